package apdu

import (
	"fmt"
	"strings"
)

// Explain returns an exchange in one line of plain words, for traces:
//
//	SELECT A0 00 00 03 08 00 00 10 00 01 00 → 9000 success, 61 bytes
//	VERIFY reference 80, 8 bytes hidden → 63C2 verification failed, 2 tries left
//
// It never shows a byte that may be secret. Of the data fields it shows only
// those known to be harmless: the name or path that SELECT selects, and the tag
// list of GET DATA; both only where no secure messaging and no chaining is in
// use. Every other data field, every response data field, and all of an
// instruction that the standard does not know, is told by its length. This holds
// for each command of a chain on its own, so that no order of calls can undo it.
// Header bytes are shown.
//
// command and response are what went through [Transmitter.Transmit]; response is
// nil when there was none, and then the line ends after the command.
func Explain(command, response []byte) string {
	var b strings.Builder
	c, err := ParseCommand(command)
	if err != nil {
		fmt.Fprintf(&b, "malformed command of %s", count(len(command)))
	} else {
		explainCommand(&b, &c)
	}
	if response == nil {
		return b.String()
	}
	b.WriteString(" → ")
	r, err := ParseResponse(response)
	if err != nil {
		fmt.Fprintf(&b, "malformed response of %s", count(len(response)))
		return b.String()
	}
	b.WriteString(r.Status.String() + " ")
	if tries := r.Status.Retries(); tries >= 0 && c.asksForTries() {
		b.WriteString("not verified, " + triesLeft(tries))
	} else {
		b.WriteString(r.Status.Meaning())
	}
	if len(r.Data) > 0 {
		b.WriteString(", " + count(len(r.Data)))
	}
	return b.String()
}

// asksForTries reports whether c is VERIFY without data, which verifies nothing
// (ISO/IEC 7816-4:2013, 11.5.6).
func (c *Command) asksForTries() bool {
	return c.Class.Interindustry() && c.Instruction == InsVerify && len(c.Data) == 0
}

func explainCommand(b *strings.Builder, c *Command) {
	_, known := instructionNames[c.Instruction]
	known = known && c.Class.Interindustry()
	switch {
	case c.Class == 0xFF:
		fmt.Fprintf(b, "command to the reader, INS %02X, P1-P2 %02X%02X", byte(c.Instruction), c.P1, c.P2)
	case !known:
		fmt.Fprintf(b, "CLA %02X INS %02X, P1-P2 %02X%02X", byte(c.Class), byte(c.Instruction), c.P1, c.P2)
	default:
		b.WriteString(c.Instruction.String())
		if what := explainParameters(c); what != "" {
			b.WriteString(" " + what)
		}
	}
	if n := len(c.Data); n > 0 {
		if shown := harmless(c); known && shown != nil {
			fmt.Fprintf(b, " % X", shown)
		} else {
			fmt.Fprintf(b, ", %s hidden", count(n))
		}
	}
	if n := c.Class.Channel(); n != 0 {
		fmt.Fprintf(b, ", channel %d", n)
	}
	if c.Class.SecureMessaging() != SMNone {
		b.WriteString(", secure messaging")
	}
	if c.Class.Chained() {
		b.WriteString(", more follows")
	}
}

// explainParameters returns what P1 and P2 of an interindustry command say.
func explainParameters(c *Command) string {
	p := int(c.P1)<<8 | int(c.P2)
	switch c.Instruction {
	case InsVerify, InsVerifyOdd:
		if c.P1 == 0xFF {
			return fmt.Sprintf("reference %02X, take back", c.P2)
		}
		if len(c.Data) == 0 {
			return fmt.Sprintf("reference %02X, query", c.P2)
		}
		return fmt.Sprintf("reference %02X", c.P2)
	case InsChangeReferenceData, InsChangeReferenceDataOdd, InsDisableVerification, InsEnableVerification,
		InsResetRetryCounter, InsResetRetryCounterOdd, InsGenerateAsymmetricKeyPair, InsGenerateAsymmetricKeyOdd:
		return fmt.Sprintf("reference %02X", c.P2)
	case InsExternalAuthenticate, InsInternalAuthenticate, InsGeneralAuthenticate, InsGeneralAuthenticateOdd:
		return fmt.Sprintf("algorithm %02X, key %02X", c.P1, c.P2)
	case InsPerformSecurityOperation, InsPerformSecurityOpOdd:
		if what, ok := securityOperations[p]; ok {
			return what
		}
		return fmt.Sprintf("%04X", p)
	case InsGetData, InsPutData:
		return fmt.Sprintf("object %04X", p)
	case InsReadBinary, InsUpdateBinary, InsWriteBinary, InsEraseBinary:
		if c.P1&0x80 != 0 {
			return fmt.Sprintf("short EF %02X, offset %d", c.P1&0x1F, c.P2)
		}
		return fmt.Sprintf("offset %d", p)
	case InsReadRecord, InsReadRecordOdd, InsUpdateRecord, InsUpdateRecordOdd, InsWriteRecord, InsEraseRecord:
		if sfi := c.P2 >> 3; sfi != 0 {
			return fmt.Sprintf("%d of short EF %02X", c.P1, sfi)
		}
		return fmt.Sprintf("%d", c.P1)
	case InsManageChannel:
		if c.P1 == 0x80 {
			return fmt.Sprintf("close %d", c.P2)
		}
		return "open"
	case InsManageSecurityEnvironment:
		return fmt.Sprintf("%04X", p)
	}
	return ""
}

// securityOperations are the operations that P1-P2 of PERFORM SECURITY OPERATION
// name (ISO/IEC 7816-8).
var securityOperations = map[int]string{
	0x9E9A: "compute digital signature",
	0x8086: "decipher",
	0x8680: "encipher",
	0x9080: "hash",
	0x90A0: "hash",
	0x00BE: "verify certificate",
	0x00AE: "verify certificate",
	0x00A8: "verify digital signature",
}

// harmless returns the data field of c if it is known to hold no secret.
func harmless(c *Command) []byte {
	if c.Class.SecureMessaging() != SMNone || c.Class.Chained() {
		return nil
	}
	switch c.Instruction {
	case InsSelect:
		// By name, by file identifier, by path. Applications that use the code
		// for something else, as OATH does, fall out.
		n := len(c.Data)
		if c.P1 == 0x04 && n <= 16 || c.P1 <= 0x03 && n == 2 || (c.P1 == 0x08 || c.P1 == 0x09) && n <= 16 && n%2 == 0 {
			return c.Data
		}
	case InsGetDataOdd:
		// A tag list, 5C, and nothing after it.
		if n := len(c.Data); n >= 2 && n <= 32 && c.Data[0] == 0x5C && int(c.Data[1]) == n-2 {
			return c.Data
		}
	}
	return nil
}

func count(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}
