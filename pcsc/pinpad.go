package pcsc

import (
	"context"
	"fmt"
	"strings"

	"github.com/cardoki/cardoki/apdu"
)

// A PINPadError is what the reader itself says instead of a response of the card. It
// wraps one of apdu.ErrPINPadTimeout to apdu.ErrPINPadRefused, and Status.
//
// Conformance: the status words 6400 to 6403 and 6B80 are taken for the reader's, as
// PC/SC part 10 has them; a card that gives one of them cannot be told apart.
type PINPadError struct {
	Op     string      // "verify PIN" or "modify PIN"
	Reader string      // name of the reader
	Status apdu.Status // 6400 to 6403, 6B80
	Reason error       // apdu.ErrPINPadTimeout, …
}

// Error returns what was tried, at which reader, and what came of it.
func (e *PINPadError) Error() string {
	return fmt.Sprintf("pcsc: %s %q: %04X: %s", e.Op, e.Reader, uint16(e.Status), strings.TrimPrefix(e.Reason.Error(), "apdu: "))
}

// Unwrap returns Reason and Status.
func (e *PINPadError) Unwrap() []error { return []error{e.Reason, e.Status} }

var pinPadReasons = map[apdu.Status]error{
	0x6400: apdu.ErrPINPadTimeout, 0x6401: apdu.ErrPINPadCancelled, 0x6402: apdu.ErrPINPadMismatch, 0x6403: apdu.ErrPINPadLength, 0x6B80: apdu.ErrPINPadRefused,
}

// VerifyPIN has the user enter a PIN on the reader, which puts it into the command and
// sends that to the card (FEATURE_VERIFY_PIN_DIRECT). The PIN never reaches this
// computer. It returns the response of the card, whatever its status; a [*PINPadError]
// when there was no entry; and an error that Is [errors.ErrUnsupported] and
// [apdu.ErrNotSent] when the reader cannot do it.
//
// It belongs into a transaction with the SELECT before it. It waits as long as the
// reader does. When ctx ends first, c is lost, as with [Conn.Transmit]; the reader
// still waits for the user, and a PIN that is entered then is verified.
func (c *Conn) VerifyPIN(ctx context.Context, v *apdu.PINVerify) (apdu.Response, error) {
	return c.enterPIN(ctx, "verify PIN", FEATURE_VERIFY_PIN_DIRECT, v.AppendBinary)
}

// ModifyPIN has the user enter a new PIN on the reader, and the present one where m says
// so (FEATURE_MODIFY_PIN_DIRECT). It is [Conn.VerifyPIN] in all else.
func (c *Conn) ModifyPIN(ctx context.Context, m *apdu.PINModify) (apdu.Response, error) {
	return c.enterPIN(ctx, "modify PIN", FEATURE_MODIFY_PIN_DIRECT, m.AppendBinary)
}

func (c *Conn) enterPIN(ctx context.Context, op string, f Feature, structure func([]byte) ([]byte, error)) (apdu.Response, error) {
	input, err := structure(nil)
	if err != nil {
		return apdu.Response{}, &Error{Op: op, Reader: c.reader, Kind: apdu.ErrNotSent, Err: err}
	}
	out, err := c.useFeature(ctx, op, f, input)
	if err != nil {
		return apdu.Response{}, err
	}
	r, err := apdu.ParseResponse(out)
	if err != nil {
		return apdu.Response{}, &Error{Op: op, Reader: c.reader, Err: err}
	}
	if reason, ok := pinPadReasons[r.Status]; ok {
		return apdu.Response{}, &PINPadError{Op: op, Reader: c.reader, Status: r.Status, Reason: reason}
	}
	return r, nil
}
