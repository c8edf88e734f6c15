package apdu

import (
	"fmt"
	"strings"
)

// A Status is the pair of status bytes SW1-SW2 (ISO/IEC 7816-4:2013, 5.6). It is
// an error value, so that errors.Is(err, apdu.StatusFileNotFound) works on
// whatever wraps it. Families match their head: 63C2 Is [StatusVerificationFailed]
// and 6C10 Is [StatusWrongLe].
type Status uint16

// Normal processing.
const (
	StatusOK            Status = 0x9000
	StatusMoreAvailable Status = 0x6100 // family 61XX: XX more bytes available, 00 for 256 or more
)

// Warning processing, non-volatile memory unchanged. The data field may be there.
const (
	StatusWarning            Status = 0x6200
	StatusDataCorrupted      Status = 0x6281
	StatusEndOfFile          Status = 0x6282 // fewer than Ne bytes read, or search without success
	StatusFileDeactivated    Status = 0x6283
	StatusFCINotFormatted    Status = 0x6284
	StatusFileTerminated     Status = 0x6285
	StatusNoSensorInput      Status = 0x6286
	StatusRecordDeactivated  Status = 0x6287
	StatusWarningChanged     Status = 0x6300
	StatusFileFilled         Status = 0x6381
	StatusVerificationFailed Status = 0x63C0 // family 63CX: X tries left
)

// Execution errors.
const (
	StatusExecutionError    Status = 0x6400
	StatusImmediateResponse Status = 0x6401
	StatusMemoryChanged     Status = 0x6500
	StatusMemoryFailure     Status = 0x6581
	StatusSecurityIssue     Status = 0x6600
)

// Checking errors.
const (
	StatusWrongLength                   Status = 0x6700
	StatusChannelNotSupported           Status = 0x6881
	StatusSecureMessagingNotSupported   Status = 0x6882
	StatusLastCommandExpected           Status = 0x6883
	StatusChainingNotSupported          Status = 0x6884
	StatusCommandNotAllowed             Status = 0x6900
	StatusIncompatibleWithFile          Status = 0x6981
	StatusSecurityStatusNotSatisfied    Status = 0x6982
	StatusAuthenticationMethodBlocked   Status = 0x6983
	StatusReferenceDataNotUsable        Status = 0x6984
	StatusConditionsNotSatisfied        Status = 0x6985
	StatusNoCurrentEF                   Status = 0x6986
	StatusSecureMessagingObjectsMissing Status = 0x6987
	StatusSecureMessagingObjectsWrong   Status = 0x6988
	StatusIncorrectParametersInData     Status = 0x6A80
	StatusFunctionNotSupported          Status = 0x6A81
	StatusFileNotFound                  Status = 0x6A82
	StatusRecordNotFound                Status = 0x6A83
	StatusNotEnoughMemory               Status = 0x6A84
	StatusNcInconsistentWithTLV         Status = 0x6A85
	StatusIncorrectP1P2                 Status = 0x6A86
	StatusNcInconsistentWithP1P2        Status = 0x6A87
	StatusReferencedDataNotFound        Status = 0x6A88
	StatusFileExists                    Status = 0x6A89
	StatusDFNameExists                  Status = 0x6A8A
	StatusWrongP1P2                     Status = 0x6B00
	StatusWrongLe                       Status = 0x6C00 // family 6CXX: XX is the exact Ne, 00 for 256
	StatusInstructionNotSupported       Status = 0x6D00
	StatusClassNotSupported             Status = 0x6E00
	StatusNoPreciseDiagnosis            Status = 0x6F00
)

var statusWords = map[Status]string{
	StatusOK:                            "success",
	StatusWarning:                       "warning, nothing changed",
	StatusDataCorrupted:                 "part of the returned data may be corrupted",
	StatusEndOfFile:                     "end of file or record reached before all the bytes asked for",
	StatusFileDeactivated:               "selected file is deactivated",
	StatusFCINotFormatted:               "file control information is not formatted as the standard says",
	StatusFileTerminated:                "selected file is in the termination state",
	StatusNoSensorInput:                 "no input from a sensor of the card",
	StatusRecordDeactivated:             "a referenced record is deactivated",
	StatusWarningChanged:                "warning, memory changed",
	StatusFileFilled:                    "file filled up by the last write",
	StatusExecutionError:                "execution error, nothing changed",
	StatusImmediateResponse:             "immediate response required by the card",
	StatusMemoryChanged:                 "execution error, memory changed",
	StatusMemoryFailure:                 "memory failure",
	StatusSecurityIssue:                 "security issue",
	StatusWrongLength:                   "wrong length",
	0x6800:                              "function in CLA not supported",
	StatusChannelNotSupported:           "logical channel not supported",
	StatusSecureMessagingNotSupported:   "secure messaging not supported",
	StatusLastCommandExpected:           "last command of the chain expected",
	StatusChainingNotSupported:          "command chaining not supported",
	StatusCommandNotAllowed:             "command not allowed",
	StatusIncompatibleWithFile:          "command incompatible with file structure",
	StatusSecurityStatusNotSatisfied:    "security status not satisfied",
	StatusAuthenticationMethodBlocked:   "authentication method blocked",
	StatusReferenceDataNotUsable:        "reference data not usable",
	StatusConditionsNotSatisfied:        "conditions of use not satisfied",
	StatusNoCurrentEF:                   "command not allowed, no current EF",
	StatusSecureMessagingObjectsMissing: "expected secure messaging data objects missing",
	StatusSecureMessagingObjectsWrong:   "incorrect secure messaging data objects",
	0x6A00:                              "wrong parameters P1-P2",
	StatusIncorrectParametersInData:     "incorrect parameters in the data field",
	StatusFunctionNotSupported:          "function not supported",
	StatusFileNotFound:                  "file or application not found",
	StatusRecordNotFound:                "record not found",
	StatusNotEnoughMemory:               "not enough memory space in the file",
	StatusNcInconsistentWithTLV:         "Nc inconsistent with TLV structure",
	StatusIncorrectP1P2:                 "incorrect parameters P1-P2",
	StatusNcInconsistentWithP1P2:        "Nc inconsistent with parameters P1-P2",
	StatusReferencedDataNotFound:        "referenced data not found",
	StatusFileExists:                    "file already exists",
	StatusDFNameExists:                  "DF name already exists",
	StatusWrongP1P2:                     "wrong parameters P1-P2",
	StatusInstructionNotSupported:       "instruction not supported or invalid",
	StatusClassNotSupported:             "class not supported",
	StatusNoPreciseDiagnosis:            "no precise diagnosis",
}

// SW1 returns the first status byte.
func (s Status) SW1() byte { return byte(s >> 8) }

// SW2 returns the second status byte.
func (s Status) SW2() byte { return byte(s) }

// OK reports whether s is 9000.
func (s Status) OK() bool { return s == StatusOK }

// A StatusClass is what the standard says of a status as a whole.
type StatusClass byte

// The classes of status (ISO/IEC 7816-4:2013, 5.6, table 5).
const (
	ClassInvalid        StatusClass = iota // not of the form 6XXX or 9XXX, or 60XX
	ClassNormal                            // 9000, 61XX: done
	ClassWarning                           // 62XX, 63XX: done, with a warning
	ClassExecutionError                    // 64XX, 65XX, 66XX: begun and given up
	ClassCheckingError                     // 67XX to 6FXX: refused
	ClassProprietary                       // 9XXX but 9000: the application's own
)

// Class returns the class of s.
func (s Status) Class() StatusClass {
	switch sw1 := s.SW1(); {
	case s == StatusOK || sw1 == 0x61:
		return ClassNormal
	case sw1 == 0x62 || sw1 == 0x63:
		return ClassWarning
	case sw1 >= 0x64 && sw1 <= 0x66:
		return ClassExecutionError
	case sw1 >= 0x67 && sw1 <= 0x6F:
		return ClassCheckingError
	case sw1>>4 == 0x9:
		return ClassProprietary
	}
	return ClassInvalid
}

// Warning reports whether s is 62XX or 63XX: the command was done, and its data
// is there, but something is to be said of it.
func (s Status) Warning() bool { return s.Class() == ClassWarning }

// Retries returns the number X of a 63CX status: the tries left, 0 to 15. It
// returns -1 for any other status.
func (s Status) Retries() int {
	if s.family() == StatusVerificationFailed {
		return int(s & 0x0F)
	}
	return -1
}

// More returns the number of further bytes that 61XX announces, 1 to 256, or 0
// for any other status. 256 stands for 256 or more.
func (s Status) More() int {
	if s.family() != StatusMoreAvailable {
		return 0
	}
	return 1 + int(byte(s)-1)
}

// ExactNe returns the Ne, 1 to 256, with which 6CXX asks to repeat the command,
// or 0 for any other status.
func (s Status) ExactNe() int {
	if s.family() != StatusWrongLe {
		return 0
	}
	return 1 + int(byte(s)-1)
}

// family returns the head of the family that s belongs to, or s.
func (s Status) family() Status {
	switch {
	case s.SW1() == 0x61, s.SW1() == 0x6C:
		return s & 0xFF00
	case s&0xFFF0 == StatusVerificationFailed:
		return StatusVerificationFailed
	}
	return s
}

// Is reports whether target is s or the head of its family. It is called by
// errors.Is.
func (s Status) Is(target error) bool {
	t, ok := target.(Status)
	return ok && (s == t || s.family() == t)
}

// Meaning returns what s says in words, without the number.
func (s Status) Meaning() string {
	if w, ok := statusWords[s]; ok {
		return w
	}
	switch s.family() {
	case StatusMoreAvailable:
		if s == StatusMoreAvailable {
			return "256 or more bytes available"
		}
		return plural(s.More(), "more byte", "available")
	case StatusWrongLe:
		return fmt.Sprintf("wrong Le, exactly %s", plural(s.ExactNe(), "byte", "available"))
	case StatusVerificationFailed:
		return "verification failed, " + triesLeft(s.Retries())
	}
	switch {
	case s >= 0x6202 && s <= 0x6280:
		return fmt.Sprintf("the card has a query of %d bytes", byte(s))
	case s >= 0x6402 && s <= 0x6480:
		return fmt.Sprintf("execution stopped, the card has a query of %d bytes", byte(s))
	}
	switch s.SW1() {
	case 0x62:
		return "warning, nothing changed"
	case 0x63:
		return "warning, memory changed"
	case 0x64:
		return "execution error, nothing changed"
	case 0x65:
		return "execution error, memory changed"
	case 0x66:
		return "security issue"
	case 0x67:
		return "wrong length"
	case 0x68:
		return "function in CLA not supported"
	case 0x69:
		return "command not allowed"
	case 0x6A, 0x6B:
		return "wrong parameters P1-P2"
	case 0x6D:
		return "instruction not supported or invalid"
	case 0x6E:
		return "class not supported"
	case 0x6F:
		return "no precise diagnosis"
	}
	if s.Class() == ClassProprietary {
		return "meaning defined by the application"
	}
	return "not a status of ISO/IEC 7816-4"
}

func triesLeft(n int) string {
	if n == 0 {
		return "no try left"
	}
	return plural(n, "try", "left")
}

func plural(n int, thing, what string) string {
	if n != 1 {
		if strings.HasSuffix(thing, "y") {
			thing = thing[:len(thing)-1] + "ie"
		}
		thing += "s"
	}
	return fmt.Sprintf("%d %s %s", n, thing, what)
}

// Error returns the number and its meaning, such as "63C2 verification failed, 2
// tries left".
func (s Status) Error() string { return s.String() + " " + s.Meaning() }

// String returns SW1-SW2 in hexadecimal, such as "6A82".
func (s Status) String() string { return fmt.Sprintf("%04X", uint16(s)) }
