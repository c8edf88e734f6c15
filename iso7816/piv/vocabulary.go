package piv

import (
	"fmt"

	"github.com/cardoki/cardoki/apdu"
)

// Vocabulary returns the words of PIV and of YubiKey's extensions, for traces:
//
//	t = piv.Vocabulary().Trace(t, func(line string) { log.Print(line) })
func Vocabulary() *apdu.Vocabulary {
	objects := map[uint32]string{}
	for tag, name := range objectNames {
		objects[uint32(tag)] = name
	}
	for s := 0; s < 256; s++ {
		if tag, err := Slot(s).object(); err == nil {
			objects[uint32(tag)] = fmt.Sprintf("certificate of slot %02X", s)
		}
	}
	return &apdu.Vocabulary{
		Applications: map[string]string{string(AID.AppendTo(nil)): "PIV"},
		Instructions: map[apdu.Class]map[apdu.Instruction]string{0x00: {
			insMoveKey:          "MOVE KEY",
			insGetMetadata:      "GET METADATA",
			insGetSerial:        "GET SERIAL",
			insAttest:           "ATTEST",
			insSetTries:         "SET PIN RETRIES",
			insReset:            "RESET",
			insGetVersion:       "GET VERSION",
			insImportKey:        "IMPORT ASYMMETRIC KEY",
			insSetManagementKey: "SET MANAGEMENT KEY",
		}},
		Objects:    objects,
		Parameters: parametersInWords,
	}
}

// parametersInWords returns what P1 and P2 mean to PIV, or "".
func parametersInWords(c *apdu.Command) string {
	switch c.Instruction {
	case apdu.InsGeneralAuthenticateOdd:
		return fmt.Sprintf("%v, %s", Algorithm(c.P1), referenceInWords(c.P2))
	case apdu.InsGenerateAsymmetricKeyOdd, insGetMetadata:
		return referenceInWords(c.P2)
	}
	return ""
}

func referenceInWords(p2 byte) string {
	switch p2 {
	case referenceManagement:
		return "management key"
	case referencePIN:
		return "PIN"
	case referenceGlobalPIN:
		return "global PIN"
	case referencePUK:
		return "PUK"
	}
	return fmt.Sprintf("slot %02X", p2)
}
