package apdu

import "fmt"

// An Instruction is the instruction byte of a command, INS.
type Instruction byte

// Interindustry instructions (ISO/IEC 7816-4:2013). An odd code
// is the variant whose data field is coded in BER-TLV: B3 is the odd form of
// READ RECORD and D7 that of UPDATE BINARY.
const (
	InsDeactivateFile            Instruction = 0x04
	InsEraseRecord               Instruction = 0x0C
	InsEraseBinary               Instruction = 0x0E
	InsEraseBinaryOdd            Instruction = 0x0F
	InsPerformSCQL               Instruction = 0x10
	InsPerformTransaction        Instruction = 0x12
	InsPerformUser               Instruction = 0x14
	InsVerify                    Instruction = 0x20
	InsVerifyOdd                 Instruction = 0x21
	InsManageSecurityEnvironment Instruction = 0x22
	InsChangeReferenceData       Instruction = 0x24
	InsChangeReferenceDataOdd    Instruction = 0x25
	InsDisableVerification       Instruction = 0x26
	InsEnableVerification        Instruction = 0x28
	InsPerformSecurityOperation  Instruction = 0x2A
	InsPerformSecurityOpOdd      Instruction = 0x2B
	InsResetRetryCounter         Instruction = 0x2C
	InsResetRetryCounterOdd      Instruction = 0x2D
	InsPerformBiometricOp        Instruction = 0x2E
	InsPerformBiometricOpOdd     Instruction = 0x2F
	InsCompare                   Instruction = 0x33
	InsGetAttribute              Instruction = 0x34
	InsActivateFile              Instruction = 0x44
	InsGenerateAsymmetricKeyPair Instruction = 0x46
	InsGenerateAsymmetricKeyOdd  Instruction = 0x47
	InsManageChannel             Instruction = 0x70
	InsExternalAuthenticate      Instruction = 0x82 // also MUTUAL AUTHENTICATE
	InsGetChallenge              Instruction = 0x84
	InsGeneralAuthenticate       Instruction = 0x86
	InsGeneralAuthenticateOdd    Instruction = 0x87
	InsInternalAuthenticate      Instruction = 0x88
	InsSearchBinary              Instruction = 0xA0
	InsSearchBinaryOdd           Instruction = 0xA1
	InsSearchRecord              Instruction = 0xA2
	InsSelect                    Instruction = 0xA4
	InsSelectData                Instruction = 0xA5
	InsReadBinary                Instruction = 0xB0
	InsReadBinaryOdd             Instruction = 0xB1
	InsReadRecord                Instruction = 0xB2
	InsReadRecordOdd             Instruction = 0xB3
	InsGetResponse               Instruction = 0xC0
	InsEnvelope                  Instruction = 0xC2
	InsEnvelopeOdd               Instruction = 0xC3
	InsGetData                   Instruction = 0xCA
	InsGetDataOdd                Instruction = 0xCB
	InsGetNextData               Instruction = 0xCC
	InsGetNextDataOdd            Instruction = 0xCD
	InsManageData                Instruction = 0xCF
	InsWriteBinary               Instruction = 0xD0
	InsWriteBinaryOdd            Instruction = 0xD1
	InsWriteRecord               Instruction = 0xD2
	InsUpdateBinary              Instruction = 0xD6
	InsUpdateBinaryOdd           Instruction = 0xD7
	InsPutNextData               Instruction = 0xD8
	InsPutNextDataOdd            Instruction = 0xD9
	InsPutData                   Instruction = 0xDA
	InsPutDataOdd                Instruction = 0xDB
	InsUpdateRecord              Instruction = 0xDC
	InsUpdateRecordOdd           Instruction = 0xDD
	InsUpdateData                Instruction = 0xDE
	InsUpdateDataOdd             Instruction = 0xDF
	InsCreateFile                Instruction = 0xE0
	InsAppendRecord              Instruction = 0xE2
	InsDeleteFile                Instruction = 0xE4
	InsTerminateDF               Instruction = 0xE6
	InsTerminateEF               Instruction = 0xE8
	InsLoadApplication           Instruction = 0xEA
	InsLoadApplicationOdd        Instruction = 0xEB
	InsDeleteData                Instruction = 0xEC
	InsDeleteDataOdd             Instruction = 0xED
	InsRemoveApplication         Instruction = 0xEE
	InsRemoveApplicationOdd      Instruction = 0xEF
	InsTerminateCardUsage        Instruction = 0xFE
)

var instructionNames = map[Instruction]string{
	InsDeactivateFile:            "DEACTIVATE FILE",
	InsEraseRecord:               "ERASE RECORD",
	InsEraseBinary:               "ERASE BINARY",
	InsEraseBinaryOdd:            "ERASE BINARY",
	InsPerformSCQL:               "PERFORM SCQL OPERATION",
	InsPerformTransaction:        "PERFORM TRANSACTION OPERATION",
	InsPerformUser:               "PERFORM USER OPERATION",
	InsVerify:                    "VERIFY",
	InsVerifyOdd:                 "VERIFY",
	InsManageSecurityEnvironment: "MANAGE SECURITY ENVIRONMENT",
	InsChangeReferenceData:       "CHANGE REFERENCE DATA",
	InsChangeReferenceDataOdd:    "CHANGE REFERENCE DATA",
	InsDisableVerification:       "DISABLE VERIFICATION REQUIREMENT",
	InsEnableVerification:        "ENABLE VERIFICATION REQUIREMENT",
	InsPerformSecurityOperation:  "PERFORM SECURITY OPERATION",
	InsPerformSecurityOpOdd:      "PERFORM SECURITY OPERATION",
	InsResetRetryCounter:         "RESET RETRY COUNTER",
	InsResetRetryCounterOdd:      "RESET RETRY COUNTER",
	InsPerformBiometricOp:        "PERFORM BIOMETRIC OPERATION",
	InsPerformBiometricOpOdd:     "PERFORM BIOMETRIC OPERATION",
	InsCompare:                   "COMPARE",
	InsGetAttribute:              "GET ATTRIBUTE",
	InsActivateFile:              "ACTIVATE FILE",
	InsGenerateAsymmetricKeyPair: "GENERATE ASYMMETRIC KEY PAIR",
	InsGenerateAsymmetricKeyOdd:  "GENERATE ASYMMETRIC KEY PAIR",
	InsManageChannel:             "MANAGE CHANNEL",
	InsExternalAuthenticate:      "EXTERNAL AUTHENTICATE",
	InsGetChallenge:              "GET CHALLENGE",
	InsGeneralAuthenticate:       "GENERAL AUTHENTICATE",
	InsGeneralAuthenticateOdd:    "GENERAL AUTHENTICATE",
	InsInternalAuthenticate:      "INTERNAL AUTHENTICATE",
	InsSearchBinary:              "SEARCH BINARY",
	InsSearchBinaryOdd:           "SEARCH BINARY",
	InsSearchRecord:              "SEARCH RECORD",
	InsSelect:                    "SELECT",
	InsSelectData:                "SELECT DATA",
	InsReadBinary:                "READ BINARY",
	InsReadBinaryOdd:             "READ BINARY",
	InsReadRecord:                "READ RECORD",
	InsReadRecordOdd:             "READ RECORD",
	InsGetResponse:               "GET RESPONSE",
	InsEnvelope:                  "ENVELOPE",
	InsEnvelopeOdd:               "ENVELOPE",
	InsGetData:                   "GET DATA",
	InsGetDataOdd:                "GET DATA",
	InsGetNextData:               "GET NEXT DATA",
	InsGetNextDataOdd:            "GET NEXT DATA",
	InsManageData:                "MANAGE DATA",
	InsWriteBinary:               "WRITE BINARY",
	InsWriteBinaryOdd:            "WRITE BINARY",
	InsWriteRecord:               "WRITE RECORD",
	InsUpdateBinary:              "UPDATE BINARY",
	InsUpdateBinaryOdd:           "UPDATE BINARY",
	InsPutNextData:               "PUT NEXT DATA",
	InsPutNextDataOdd:            "PUT NEXT DATA",
	InsPutData:                   "PUT DATA",
	InsPutDataOdd:                "PUT DATA",
	InsUpdateRecord:              "UPDATE RECORD",
	InsUpdateRecordOdd:           "UPDATE RECORD",
	InsUpdateData:                "UPDATE DATA",
	InsUpdateDataOdd:             "UPDATE DATA",
	InsCreateFile:                "CREATE FILE",
	InsAppendRecord:              "APPEND RECORD",
	InsDeleteFile:                "DELETE FILE",
	InsTerminateDF:               "TERMINATE DF",
	InsTerminateEF:               "TERMINATE EF",
	InsLoadApplication:           "LOAD APPLICATION",
	InsLoadApplicationOdd:        "LOAD APPLICATION",
	InsDeleteData:                "DELETE DATA",
	InsDeleteDataOdd:             "DELETE DATA",
	InsRemoveApplication:         "REMOVE APPLICATION",
	InsRemoveApplicationOdd:      "REMOVE APPLICATION",
	InsTerminateCardUsage:        "TERMINATE CARD USAGE",
}

// Valid reports whether the interindustry rules allow i: 6X and 9X are not
// instructions, they would be taken for status bytes (ISO/IEC 7816-3:2006). The
// codec does not refuse them, as some cards do use them.
func (i Instruction) Valid() bool { return i>>4 != 0x6 && i>>4 != 0x9 }

// Odd reports whether the data field is coded in BER-TLV, in commands of an
// interindustry class.
func (i Instruction) Odd() bool { return i&1 != 0 }

// String returns the standard's name of the instruction, such as "SELECT", or
// "INS FD" when it has none.
func (i Instruction) String() string {
	if n, ok := instructionNames[i]; ok {
		return n
	}
	return fmt.Sprintf("INS %02X", byte(i))
}
