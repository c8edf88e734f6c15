package apdu

import "fmt"

// standardParameters returns what P1 and P2 of an interindustry command say.
func standardParameters(c *Command) string {
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
