package piv

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// pinEntry says how a reader puts a PIN into a command: 6 to 8 characters, padded with FF.
var pinEntry = apdu.PINEntry{Encoding: apdu.PINASCII, BlockSize: pinSize, MinLen: minPIN, MaxLen: pinSize}

// emptyPINs returns the data field of n PINs that are to be entered.
func emptyPINs(n int) []byte { return bytes.Repeat([]byte{pinPadding}, n*pinSize) }

// VerifyPINByPINPad is [Client.VerifyPIN] with the PIN entered on the keypad of the
// reader: it never reaches this computer. The transaction is open meanwhile, which keeps
// other programs from the card. See [apdu.PINPad] for its errors.
func (c *Client) VerifyPINByPINPad(ctx context.Context) error {
	reference := c.pinReference()
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		v, err := pinStatus(ctx, tx, reference)
		if err != nil {
			return err
		}
		if err := mayTry(reference, v, c.lastTry); err != nil {
			return err
		}
		return enterPIN(ctx, tx, reference)
	})
}

func enterPIN(ctx context.Context, tx *iso7816.Channel, reference byte) error {
	if err := tx.VerifyByPINPad(ctx, reference, emptyPINs(1), pinEntry); err != nil {
		return fmt.Errorf("piv: PIN: %w", err)
	}
	return nil
}

// withPINPad calls f in a transaction in which the PIN was entered on the reader. The
// last try is not spent this way.
func (c *client) withPINPad(ctx context.Context, reference byte, policy PINPolicy, f func(tx *iso7816.Channel) error) error {
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		v, err := pinStatus(ctx, tx, reference)
		if err != nil {
			return err
		}
		if err := mayTry(reference, v, false); err != nil {
			return err
		}
		if !v.Verified || policy != PINPolicyOnce {
			if err := enterPIN(ctx, tx, reference); err != nil {
				return err
			}
		}
		return f(tx)
	})
}

// ChangePINByPINPad is [Client.ChangePIN] with both PINs entered on the keypad of the
// reader, the new one twice.
func (c *Client) ChangePINByPINPad(ctx context.Context) error {
	return c.changeByPINPad(ctx, c.pinReference())
}

// ChangePUKByPINPad is [Client.ChangePUK] with both values entered on the keypad of the
// reader, the new one twice.
func (c *Client) ChangePUKByPINPad(ctx context.Context) error {
	return c.changeByPINPad(ctx, referencePUK)
}

func (c *Client) changeByPINPad(ctx context.Context, reference byte) error {
	c.ForgetPIN()
	m := apdu.PINModify{PINEntry: pinEntry, OffsetNew: pinSize, Confirm: true, EnterOld: true, Message: [3]byte{0, 1, 2}}
	return c.tryReference(ctx, reference, func(tx *iso7816.Channel) error {
		return tx.ChangeByPINPad(ctx, reference, emptyPINs(2), m)
	})
}
