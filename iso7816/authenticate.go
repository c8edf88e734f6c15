package iso7816

import (
	"context"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// GetChallenge asks the card for n random bytes, 1 to 256 (ISO/IEC 7816-4:2013). The
// card uses them in the next authentication.
func (ch *Channel) GetChallenge(ctx context.Context, n int) ([]byte, error) {
	if n < 1 || n > apdu.MaxShortNe {
		return nil, &apdu.LengthError{Field: "challenge", Value: n, Max: apdu.MaxShortNe}
	}
	return ch.Send(ctx, apdu.Command{Instruction: apdu.InsGetChallenge, Ne: n})
}

// InternalAuthenticate lets the card prove that it has a key: it returns what the
// card makes of challenge (ISO/IEC 7816-4:2013). algorithm and reference are
// P1 and P2, 0 where they are known without.
func (ch *Channel) InternalAuthenticate(ctx context.Context, algorithm, reference byte, challenge []byte) ([]byte, error) {
	return ch.Send(ctx, apdu.Command{
		Instruction: apdu.InsInternalAuthenticate,
		P1:          algorithm, P2: reference,
		Data: challenge,
		Ne:   longNe(challenge),
	})
}

// ExternalAuthenticate proves to the card that the host has a key: response is what
// the host made of the card's challenge (ISO/IEC 7816-4:2013). A refusal with
// a counter is a [*VerifyError].
func (ch *Channel) ExternalAuthenticate(ctx context.Context, algorithm, reference byte, response []byte) error {
	c := apdu.Command{Instruction: apdu.InsExternalAuthenticate, P1: algorithm, P2: reference, Data: response}
	r, err := ch.Exchange(ctx, c)
	if err != nil {
		return err
	}
	return verifyResult(&c, r.Status)
}

// MutualAuthenticate does both at once: it sends what the host made of the card's
// challenge with a challenge of its own, and returns the card's answer.
func (ch *Channel) MutualAuthenticate(ctx context.Context, algorithm, reference byte, data []byte) ([]byte, error) {
	c := apdu.Command{
		Instruction: apdu.InsExternalAuthenticate,
		P1:          algorithm, P2: reference,
		Data: data,
		Ne:   longNe(data),
	}
	r, err := ch.Exchange(ctx, c)
	if err != nil {
		return nil, err
	}
	return r.Data, verifyResult(&c, r.Status)
}

// longNe returns the Ne of a command whose answer is about as long as its data.
func longNe(data []byte) int {
	if len(data) > apdu.MaxShortNc {
		return apdu.MaxExtendedNe
	}
	return apdu.MaxShortNe
}

// GeneralAuthenticate sends data objects of dynamic authentication to the key
// with the given algorithm and reference, by the odd instruction, and returns
// those of the answer (ISO/IEC 7816-4:2013). objects and the result are
// the contents of the template 7C.
func (ch *Channel) GeneralAuthenticate(ctx context.Context, algorithm, reference byte, objects []byte) ([]byte, error) {
	data := tlv.Append(make([]byte, 0, len(objects)+4), tagDynamicAuthentication, objects)
	c := apdu.Command{
		Instruction: apdu.InsGeneralAuthenticateOdd,
		P1:          algorithm, P2: reference,
		Data: data,
		Ne:   longNe(data),
	}
	r, err := ch.Send(ctx, c)
	clear(data)
	if err != nil || len(r) == 0 {
		return nil, err
	}
	return tlv.Find(r, tagDynamicAuthentication)
}

const tagDynamicAuthentication tlv.Tag = 0x7C
