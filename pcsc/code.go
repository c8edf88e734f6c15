package pcsc

import "fmt"

// A Code is a return value of PC/SC other than success. It is an error, found in
// an [Error] by errors.Is:
//
//	errors.Is(err, pcsc.SCARD_E_NO_SMARTCARD)
type Code uint32

// The return values of PC/SC, with their names there (PC/SC part 5; winscard.h,
// pcsclite.h). Values that no call of this package meets are left out.
const (
	SCARD_F_INTERNAL_ERROR       Code = 0x80100001
	SCARD_E_CANCELLED            Code = 0x80100002
	SCARD_E_INVALID_HANDLE       Code = 0x80100003
	SCARD_E_INVALID_PARAMETER    Code = 0x80100004
	SCARD_E_NO_MEMORY            Code = 0x80100006
	SCARD_E_INSUFFICIENT_BUFFER  Code = 0x80100008
	SCARD_E_UNKNOWN_READER       Code = 0x80100009
	SCARD_E_TIMEOUT              Code = 0x8010000A
	SCARD_E_SHARING_VIOLATION    Code = 0x8010000B
	SCARD_E_NO_SMARTCARD         Code = 0x8010000C
	SCARD_E_PROTO_MISMATCH       Code = 0x8010000F
	SCARD_E_NOT_READY            Code = 0x80100010
	SCARD_E_INVALID_VALUE        Code = 0x80100011
	SCARD_E_SYSTEM_CANCELLED     Code = 0x80100012
	SCARD_F_COMM_ERROR           Code = 0x80100013
	SCARD_F_UNKNOWN_ERROR        Code = 0x80100014
	SCARD_E_NOT_TRANSACTED       Code = 0x80100016
	SCARD_E_READER_UNAVAILABLE   Code = 0x80100017
	SCARD_E_NO_SERVICE           Code = 0x8010001D
	SCARD_E_SERVICE_STOPPED      Code = 0x8010001E
	SCARD_E_UNSUPPORTED_FEATURE  Code = 0x8010001F
	SCARD_E_NO_READERS_AVAILABLE Code = 0x8010002E
	SCARD_E_COMM_DATA_LOST       Code = 0x8010002F
	SCARD_E_SERVER_TOO_BUSY      Code = 0x80100031
	SCARD_W_UNSUPPORTED_CARD     Code = 0x80100065
	SCARD_W_UNRESPONSIVE_CARD    Code = 0x80100066
	SCARD_W_UNPOWERED_CARD       Code = 0x80100067
	SCARD_W_RESET_CARD           Code = 0x80100068
	SCARD_W_REMOVED_CARD         Code = 0x80100069
	SCARD_W_SECURITY_VIOLATION   Code = 0x8010006A
)

var codes = map[Code]struct{ name, words string }{
	SCARD_F_INTERNAL_ERROR:       {"SCARD_F_INTERNAL_ERROR", "internal error of the PC/SC service"},
	SCARD_E_CANCELLED:            {"SCARD_E_CANCELLED", "cancelled by another call"},
	SCARD_E_INVALID_HANDLE:       {"SCARD_E_INVALID_HANDLE", "the service does not know this connection any more"},
	SCARD_E_INVALID_PARAMETER:    {"SCARD_E_INVALID_PARAMETER", "the service refuses a parameter"},
	SCARD_E_NO_MEMORY:            {"SCARD_E_NO_MEMORY", "the service is out of memory"},
	SCARD_E_INSUFFICIENT_BUFFER:  {"SCARD_E_INSUFFICIENT_BUFFER", "command or response too long for the service"},
	SCARD_E_UNKNOWN_READER:       {"SCARD_E_UNKNOWN_READER", "no such reader"},
	SCARD_E_TIMEOUT:              {"SCARD_E_TIMEOUT", "timed out"},
	SCARD_E_SHARING_VIOLATION:    {"SCARD_E_SHARING_VIOLATION", "another program has the card for itself"},
	SCARD_E_NO_SMARTCARD:         {"SCARD_E_NO_SMARTCARD", "no card in the reader"},
	SCARD_E_PROTO_MISMATCH:       {"SCARD_E_PROTO_MISMATCH", "the card does not speak the protocol asked for, or speaks another one now"},
	SCARD_E_NOT_READY:            {"SCARD_E_NOT_READY", "reader or card is not ready"},
	SCARD_E_INVALID_VALUE:        {"SCARD_E_INVALID_VALUE", "the service refuses a value"},
	SCARD_E_SYSTEM_CANCELLED:     {"SCARD_E_SYSTEM_CANCELLED", "cancelled by the system"},
	SCARD_F_COMM_ERROR:           {"SCARD_F_COMM_ERROR", "the connection to the PC/SC service broke"},
	SCARD_F_UNKNOWN_ERROR:        {"SCARD_F_UNKNOWN_ERROR", "unknown error of the PC/SC service"},
	SCARD_E_NOT_TRANSACTED:       {"SCARD_E_NOT_TRANSACTED", "the reader lost contact with the card, or there was no transaction"},
	SCARD_E_READER_UNAVAILABLE:   {"SCARD_E_READER_UNAVAILABLE", "the reader is gone"},
	SCARD_E_NO_SERVICE:           {"SCARD_E_NO_SERVICE", "no PC/SC service"},
	SCARD_E_SERVICE_STOPPED:      {"SCARD_E_SERVICE_STOPPED", "the PC/SC service stopped or refuses this client"},
	SCARD_E_UNSUPPORTED_FEATURE:  {"SCARD_E_UNSUPPORTED_FEATURE", "not supported by the reader"},
	SCARD_E_NO_READERS_AVAILABLE: {"SCARD_E_NO_READERS_AVAILABLE", "no reader"},
	SCARD_E_COMM_DATA_LOST:       {"SCARD_E_COMM_DATA_LOST", "communication with the card failed"},
	SCARD_E_SERVER_TOO_BUSY:      {"SCARD_E_SERVER_TOO_BUSY", "the PC/SC service is too busy"},
	SCARD_W_UNSUPPORTED_CARD:     {"SCARD_W_UNSUPPORTED_CARD", "the reader cannot speak to this card"},
	SCARD_W_UNRESPONSIVE_CARD:    {"SCARD_W_UNRESPONSIVE_CARD", "the card does not answer to reset"},
	SCARD_W_UNPOWERED_CARD:       {"SCARD_W_UNPOWERED_CARD", "the card has no power"},
	SCARD_W_RESET_CARD:           {"SCARD_W_RESET_CARD", "the card was reset by another program"},
	SCARD_W_REMOVED_CARD:         {"SCARD_W_REMOVED_CARD", "the card was removed"},
	SCARD_W_SECURITY_VIOLATION:   {"SCARD_W_SECURITY_VIOLATION", "access denied"},
}

// String returns the name of c, such as "SCARD_E_NO_SMARTCARD", or its number.
func (c Code) String() string {
	if d, ok := codes[c]; ok {
		return d.name
	}
	return fmt.Sprintf("0x%08X", uint32(c))
}

// Meaning returns what c says in words, without name and number.
func (c Code) Meaning() string {
	if d, ok := codes[c]; ok {
		return d.words
	}
	return "error of the PC/SC service"
}

// Error returns the words, the name and the number.
func (c Code) Error() string {
	if d, ok := codes[c]; ok {
		return fmt.Sprintf("%s (%s, 0x%08X)", d.words, d.name, uint32(c))
	}
	return fmt.Sprintf("%s (0x%08X)", c.Meaning(), uint32(c))
}
