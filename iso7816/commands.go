package iso7816

import (
	"context"
	"errors"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// CurrentDF is the file that [Channel.GetData] and [Channel.PutData] name for
// data objects of the selected application.
const CurrentDF uint16 = 0x3FFF

// GetData reads the data object with the given tag from a file, by the odd
// instruction, whose data field is a tag list. It returns the response data as
// the card sends it, most often one data object (ISO/IEC 7816-4:2013, 11.4.3).
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
// in BER-TLV (ISO/IEC 7816-4:2013, 11.4.6).
func (ch *Channel) PutData(ctx context.Context, file uint16, data []byte) error {
	_, err := ch.Send(ctx, apdu.Command{
		Instruction: apdu.InsPutDataOdd,
		P1:          byte(file >> 8), P2: byte(file),
		Data: data,
	})
	return err
}

// Verify presents reference data, such as a PIN, to the card (ISO/IEC
// 7816-4:2013, 11.5.6). data is what the card expects, padding included; it is
// not kept. A refusal is a [*VerifyError]. Each refused call spends a try.
func (ch *Channel) Verify(ctx context.Context, reference byte, data []byte) error {
	if len(data) == 0 {
		return errors.New("iso7816: VERIFY without data asks for the status and verifies nothing; use VerifyStatus")
	}
	sw, err := ch.verify(ctx, reference, data)
	if err != nil {
		return err
	}
	return verifyResult(reference, sw)
}

// A Verification is what a card tells of reference data without trying it.
type Verification struct {
	Verified  bool // the security status is set: nothing need be presented
	Remaining int  // tries left; 0 means blocked; -1 when the card does not tell
}

// VerifyStatus asks for the security status of reference data and the tries
// left, by VERIFY without a data field. It spends no try. A card that does not
// know that form gives Remaining -1.
func (ch *Channel) VerifyStatus(ctx context.Context, reference byte) (Verification, error) {
	sw, err := ch.verify(ctx, reference, nil)
	if err != nil {
		return Verification{}, err
	}
	switch n := sw.Retries(); {
	case sw.OK():
		return Verification{Verified: true, Remaining: -1}, nil
	case n >= 0:
		return Verification{Remaining: n}, nil
	case sw == apdu.StatusAuthenticationMethodBlocked:
		return Verification{}, nil
	case sw == apdu.StatusReferencedDataNotFound || sw == apdu.StatusInstructionNotSupported || sw == apdu.StatusClassNotSupported:
		return Verification{}, commandError(&apdu.Command{Instruction: apdu.InsVerify, P2: reference}, sw)
	}
	return Verification{Remaining: -1}, nil
}

func (ch *Channel) verify(ctx context.Context, reference byte, data []byte) (apdu.Status, error) {
	r, err := ch.Exchange(ctx, apdu.Command{Instruction: apdu.InsVerify, P2: reference, Data: data})
	return r.Status, err
}

func verifyResult(reference byte, sw apdu.Status) error {
	switch n := sw.Retries(); {
	case sw.OK():
		return nil
	case n >= 0:
		return &VerifyError{Reference: reference, Remaining: n, Status: sw}
	case sw == apdu.StatusAuthenticationMethodBlocked:
		return &VerifyError{Reference: reference, Remaining: 0, Status: sw}
	case sw == apdu.StatusWarningChanged || sw == apdu.StatusSecurityStatusNotSatisfied:
		return &VerifyError{Reference: reference, Remaining: -1, Status: sw}
	}
	return commandError(&apdu.Command{Instruction: apdu.InsVerify, P2: reference}, sw)
}

// GeneralAuthenticate sends data objects of dynamic authentication to the key
// with the given algorithm and reference, by the odd instruction, and returns
// those of the answer (ISO/IEC 7816-4:2013, 11.5.5). objects and the result are
// the contents of the template 7C.
func (ch *Channel) GeneralAuthenticate(ctx context.Context, algorithm, reference byte, objects []byte) ([]byte, error) {
	data := tlv.Append(make([]byte, 0, len(objects)+4), tagDynamicAuthentication, objects)
	c := apdu.Command{
		Instruction: apdu.InsGeneralAuthenticateOdd,
		P1:          algorithm, P2: reference,
		Data: data,
		Ne:   apdu.MaxShortNe,
	}
	if len(data) > apdu.MaxShortNc { // an answer of that size may not fit either
		c.Ne = apdu.MaxExtendedNe
	}
	r, err := ch.Send(ctx, c)
	clear(data)
	if err != nil || len(r) == 0 {
		return nil, err
	}
	return tlv.Find(r, tagDynamicAuthentication)
}

const tagDynamicAuthentication tlv.Tag = 0x7C
