package iso7816

import (
	"context"

	"github.com/cardoki/cardoki/apdu"
)

// A SelectMethod is how SELECT names what it selects, P1 (ISO/IEC 7816-4:2013).
type SelectMethod byte

// The methods of SELECT, with what their data field holds.
const (
	SelectFileID     SelectMethod = 0x00 // file identifier of an MF, DF or EF; nothing for the MF
	SelectChildDF    SelectMethod = 0x01 // identifier of a DF below the current one
	SelectEF         SelectMethod = 0x02 // identifier of an EF below the current DF
	SelectParentDF   SelectMethod = 0x03 // nothing
	SelectDFName     SelectMethod = 0x04 // DF name, such as an AID, whole or right-truncated
	SelectPath       SelectMethod = 0x08 // path from the MF, without its identifier
	SelectPathFromDF SelectMethod = 0x09 // path from the current DF, without its identifier
)

// An Occurrence is which of several that fit SELECT takes, bits 2 and 1 of P2.
type Occurrence byte

// The occurrences.
const (
	FirstOccurrence Occurrence = iota // first or only
	LastOccurrence
	NextOccurrence
	PreviousOccurrence
)

// A Template is what SELECT asks the card to return, bits 4 and 3 of P2.
type Template byte

// The templates.
const (
	ReturnFCI     Template = 0x00 // file control information, optional
	ReturnFCP     Template = 0x04 // file control parameters
	ReturnFMD     Template = 0x08 // file management data
	ReturnNothing Template = 0x0C
)

// A Selection is a SELECT command. The zero value selects the MF.
type Selection struct {
	Method     SelectMethod
	Data       []byte // what Method says
	Occurrence Occurrence
	Return     Template
}

// Select selects a file or an application and returns what the card tells of it.
// What it tells in a form that is not one of the standard, as PIV and EMV cards may,
// is in [FCI.Raw]. A warning, such as 6283 of a deactivated file, comes as a
// [*CommandError] together with the FCI: the selection was made.
func (ch *Channel) Select(ctx context.Context, s Selection) (FCI, error) {
	c := apdu.Command{
		Instruction: apdu.InsSelect,
		P1:          byte(s.Method),
		P2:          byte(s.Occurrence)&0x03 | byte(s.Return)&0x0C,
		Data:        s.Data,
	}
	if s.Return != ReturnNothing {
		c.Ne = apdu.MaxShortNe
	}
	data, err := ch.Send(ctx, c)
	return ParseFCI(data), err
}

// SelectApplication selects an application by its identifier and returns what the
// card says of it as it is, usually an FCI or application property template.
func (ch *Channel) SelectApplication(ctx context.Context, aid AID) ([]byte, error) {
	fci, err := ch.Select(ctx, Selection{Method: SelectDFName, Data: aid.AppendTo(make([]byte, 0, 16))})
	return fci.Raw, err
}
