package iso7816

import (
	"context"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// CurrentDF is the file that [Channel.GetData] and [Channel.PutData] name for
// data objects of the selected application.
const CurrentDF uint16 = 0x3FFF

// GetData reads the data object with the given tag from a file, by the odd
// instruction, whose data field is a tag list. It returns the response data as
// the card sends it, most often one data object (ISO/IEC 7816-4:2013).
func (ch *Channel) GetData(ctx context.Context, file uint16, tag tlv.Tag) ([]byte, error) {
	return ch.Send(ctx, apdu.Command{
		Instruction: apdu.InsGetDataOdd,
		P1:          byte(file >> 8), P2: byte(file),
		Data: AppendTagList(make([]byte, 0, 8), tag),
		Ne:   apdu.MaxExtendedNe,
	})
}

// AppendTagList appends a tag list data object, 5C, that holds one tag.
func AppendTagList(dst []byte, tag tlv.Tag) []byte {
	return tlv.AppendFunc(dst, 0x5C, tag.AppendTo)
}

// PutData writes data objects to a file, by the odd instruction. data holds them
// in BER-TLV (ISO/IEC 7816-4:2013).
func (ch *Channel) PutData(ctx context.Context, file uint16, data []byte) error {
	_, err := ch.Send(ctx, apdu.Command{
		Instruction: apdu.InsPutDataOdd,
		P1:          byte(file >> 8), P2: byte(file),
		Data: data,
	})
	return err
}

// GetDataPlain reads the data object with a tag of one or two bytes, by the even
// instruction, whose P1-P2 are the tag: 9F7F reads the production data of a
// GlobalPlatform card. It returns the response data as the card sends it: the value,
// or the whole object, as the application has it.
func (ch *Channel) GetDataPlain(ctx context.Context, tag tlv.Tag) ([]byte, error) {
	if tag > 0xFFFF {
		return nil, &apdu.LengthError{Field: "tag", Value: tag.Size(), Max: 2}
	}
	return ch.Send(ctx, apdu.Command{Instruction: apdu.InsGetData, P1: byte(tag >> 8), P2: byte(tag), Ne: apdu.MaxShortNe})
}

// PutDataPlain writes the value of the data object with a tag of one or two bytes,
// by the even instruction, whose P1-P2 are the tag.
func (ch *Channel) PutDataPlain(ctx context.Context, tag tlv.Tag, value []byte) error {
	if tag > 0xFFFF {
		return &apdu.LengthError{Field: "tag", Value: tag.Size(), Max: 2}
	}
	_, err := ch.Send(ctx, apdu.Command{Instruction: apdu.InsPutData, P1: byte(tag >> 8), P2: byte(tag), Data: value})
	return err
}
