package piv

import "github.com/cardoki/cardoki/apdu"

// Instructions of YubiKey's extensions.
const (
	insMoveKey          apdu.Instruction = 0xF6
	insGetMetadata      apdu.Instruction = 0xF7
	insGetSerial        apdu.Instruction = 0xF8
	insAttest           apdu.Instruction = 0xF9
	insSetTries         apdu.Instruction = 0xFA
	insReset            apdu.Instruction = 0xFB
	insGetVersion       apdu.Instruction = 0xFD
	insImportKey        apdu.Instruction = 0xFE
	insSetManagementKey apdu.Instruction = 0xFF
)
