package iso7816

import (
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
)

// Verify presents reference data, such as a PIN, to the card (ISO/IEC
// 7816-4:2013). data is what the card expects, padding included; it is
// not kept. A refusal is a [*VerifyError]. Each refused call spends a try.
func (ch *Channel) Verify(ctx context.Context, reference byte, data []byte) error {
	if len(data) == 0 {
		return errors.New("iso7816: VERIFY without data asks for the status and verifies nothing; use VerifyStatus")
	}
	sw, err := ch.verify(ctx, reference, data)
	if err != nil {
		return err
	}
	return verifyResult(&apdu.Command{Instruction: apdu.InsVerify, P2: reference}, sw)
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

// verifyResult returns the error for the status of a command that presents reference
// data.
func verifyResult(c *apdu.Command, sw apdu.Status) error {
	switch n := sw.Retries(); {
	case sw.OK():
		return nil
	case n >= 0:
		return &VerifyError{Instruction: c.Instruction, Reference: c.P2, Remaining: n, Status: sw}
	case sw == apdu.StatusAuthenticationMethodBlocked:
		return &VerifyError{Instruction: c.Instruction, Reference: c.P2, Remaining: 0, Status: sw}
	case sw == apdu.StatusWarningChanged || c.Instruction == apdu.InsVerify && sw == apdu.StatusSecurityStatusNotSatisfied:
		return &VerifyError{Instruction: c.Instruction, Reference: c.P2, Remaining: -1, Status: sw}
	}
	return commandError(c, sw)
}

// ChangeReferenceData replaces reference data, such as a PIN, by new data, against
// the old (ISO/IEC 7816-4:2013). Both are what the card expects, padding
// included; they are sent one after the other and not kept. Without old data the new
// is set, where the card allows it. A refusal of the old data is a [*VerifyError],
// and spends a try.
func (ch *Channel) ChangeReferenceData(ctx context.Context, reference byte, old, new []byte) error {
	var p1 byte
	if len(old) == 0 {
		p1 = 0x01 // new data alone
	}
	return ch.present(ctx, apdu.InsChangeReferenceData, p1, reference, old, new)
}

// ResetRetryCounter fills the counter of reference data against a resetting code,
// such as a PUK, and sets new data, if there is any (ISO/IEC 7816-4:2013).
// Both are what the card expects. Without a code the security status must allow it.
// A refusal of the code is a [*VerifyError] with the tries that the code has left.
func (ch *Channel) ResetRetryCounter(ctx context.Context, reference byte, code, new []byte) error {
	var p1 byte
	switch {
	case len(code) > 0 && len(new) == 0:
		p1 = 0x01
	case len(code) == 0 && len(new) > 0:
		p1 = 0x02
	case len(code) == 0:
		p1 = 0x03
	}
	return ch.present(ctx, apdu.InsResetRetryCounter, p1, reference, code, new)
}

// EnableVerification makes the card ask for reference data from now on (ISO/IEC
// 7816-4:2013). A refusal of data is a [*VerifyError]. Without data the
// security status must allow it.
func (ch *Channel) EnableVerification(ctx context.Context, reference byte, data []byte) error {
	return ch.present(ctx, apdu.InsEnableVerification, withoutData(data), reference, data, nil)
}

// DisableVerification makes the card do without reference data from now on (ISO/IEC
// 7816-4:2013). A refusal of data is a [*VerifyError]. Without data the
// security status must allow it.
func (ch *Channel) DisableVerification(ctx context.Context, reference byte, data []byte) error {
	return ch.present(ctx, apdu.InsDisableVerification, withoutData(data), reference, data, nil)
}

func withoutData(data []byte) byte {
	if len(data) == 0 {
		return 0x01
	}
	return 0x00
}

// present sends one or two pieces of reference data.
func (ch *Channel) present(ctx context.Context, ins apdu.Instruction, p1, reference byte, first, second []byte) error {
	data := make([]byte, 0, len(first)+len(second))
	data = append(append(data, first...), second...)
	defer clear(data)
	c := apdu.Command{Instruction: ins, P1: p1, P2: reference, Data: data}
	r, err := ch.Exchange(ctx, c)
	if err != nil {
		return err
	}
	return verifyResult(&c, r.Status)
}

// VerifyByPINPad has the user enter a PIN on the reader's keypad, which presents it to
// the card (PC/SC part 10). data is the data field with its padding and without the PIN;
// e says where the PIN goes, its Command is made here. A refusal is a [*VerifyError], as
// with [Channel.Verify]. A transport without a keypad gives an error that Is
// [errors.ErrUnsupported], and so does secure messaging, which the reader can't put on;
// nothing was sent then. See [apdu.PINPad] for the errors of the entry.
func (ch *Channel) VerifyByPINPad(ctx context.Context, reference byte, data []byte, e apdu.PINEntry) error {
	c := apdu.Command{Instruction: apdu.InsVerify, P2: reference, Data: data}
	return ch.byPINPad(ctx, &c, func(pad apdu.PINPad, command []byte) (apdu.Response, error) {
		e.Command = command
		return pad.VerifyPIN(ctx, &apdu.PINVerify{PINEntry: e})
	})
}

// ChangeByPINPad has the user enter the old and the new PIN on the reader's keypad, which
// replaces one by the other. data is the data field with its padding and without the PINs,
// the old one first; m says where they go, its Command is made here. It is
// [Channel.VerifyByPINPad] in all else.
func (ch *Channel) ChangeByPINPad(ctx context.Context, reference byte, data []byte, m apdu.PINModify) error {
	c := apdu.Command{Instruction: apdu.InsChangeReferenceData, P2: reference, Data: data}
	return ch.byPINPad(ctx, &c, func(pad apdu.PINPad, command []byte) (apdu.Response, error) {
		m.Command = command
		return pad.ModifyPIN(ctx, &m)
	})
}

func (ch *Channel) byPINPad(ctx context.Context, c *apdu.Command, enter func(apdu.PINPad, []byte) (apdu.Response, error)) error {
	pad, ok := ch.t.(apdu.PINPad)
	if !ok {
		return fmt.Errorf("iso7816: %v: this reader has no keypad: %w: %w", c.Instruction, errors.ErrUnsupported, apdu.ErrNotSent)
	}
	if err := ch.acquire(ctx); err != nil {
		return err
	}
	defer ch.release()
	if err := ch.usable(); err != nil {
		return err
	}
	if ch.sm != nil {
		return fmt.Errorf("iso7816: %v by the reader's keypad under secure messaging: %w: %w", c.Instruction, errors.ErrUnsupported, apdu.ErrNotSent)
	}
	if err := ch.breakChain(ctx); err != nil {
		return err
	}
	command := *c
	if ch.number != 0 && !ch.opts.OwnedChannel {
		command.Class = ch.profile.setChannel(command.Class, ch.number)
	}
	b, err := command.AppendBinary(nil)
	if err != nil {
		return err
	}
	r, err := enter(pad, b)
	if err != nil {
		return fmt.Errorf("iso7816: %v: %w", c.Instruction, err)
	}
	return verifyResult(c, r.Status)
}
