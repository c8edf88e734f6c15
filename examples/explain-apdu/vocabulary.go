package main

import (
	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// vocabulary has words for what is met most often.
var vocabulary = &apdu.Vocabulary{
	Applications: map[string]string{
		"\xA0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00": "PIV",
		"\xD2\x76\x00\x01\x24\x01":                     "OpenPGP",
		"\xA0\x00\x00\x05\x27\x21\x01":                 "OATH",
		"\xA0\x00\x00\x05\x27\x47\x11\x17":             "YubiKey management",
		"\xA0\x00\x00\x06\x47\x2F\x00\x01":             "FIDO",
		"\xA0\x00\x00\x01\x51\x00\x00\x00":             "GlobalPlatform issuer security domain",
		"\xA0\x00\x00\x02\x47\x10\x01":                 "eMRTD",
		"1PAY.SYS.DDF01":                               "payment system environment",
		"2PAY.SYS.DDF01":                               "proximity payment system environment",
	},
	// GlobalPlatform Card Specification, and EMV for AE and A8.
	Instructions: map[apdu.Class]map[apdu.Instruction]string{
		0x80: {
			0x50: "INITIALIZE UPDATE", 0x82: "EXTERNAL AUTHENTICATE", 0xA8: "GET PROCESSING OPTIONS", 0xAE: "GENERATE AC", 0xCA: "GET DATA",
			0xD8: "PUT KEY", 0xE2: "STORE DATA", 0xE4: "DELETE", 0xE6: "INSTALL", 0xE8: "LOAD", 0xF0: "SET STATUS", 0xF2: "GET STATUS",
		},
	},
	Statuses: map[apdu.Status]string{0x6310: "more data available"},
}

// objectNames are the names of data objects in what SELECT returns (ISO/IEC
// 7816-4).
var objectNames = map[tlv.Tag]string{
	0x61:   "application template",
	0x62:   "file control parameters",
	0x64:   "file management data",
	0x6F:   "file control information",
	0x4F:   "application identifier",
	0x50:   "application label",
	0x5F50: "URL",
	0x73:   "discretionary data objects",
	0x79:   "coexistent tag allocation authority",
	0x80:   "data bytes in the file",
	0x82:   "file descriptor",
	0x83:   "file identifier",
	0x84:   "DF name",
	0x88:   "short EF identifier",
	0x8A:   "life cycle status",
	0xA5:   "proprietary information",
}
