package piv

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// A PINRequest tells why a PIN is needed.
type PINRequest struct {
	// Slot is the key that is to be used.
	Slot Slot
	// Remaining is the number of tries left, or -1 when the card does not tell.
	// When it is 1 a wrong PIN blocks the card: tell the user, and call
	// AllowLastTry if the PIN is to be presented all the same.
	Remaining int

	lastTry *bool
}

// AllowLastTry allows that the last try is spent. Without it, and with Remaining
// of 1, the PIN that the callback returns is not presented.
func (r PINRequest) AllowLastTry() { *r.lastTry = true }

// ErrLastTry is returned in place of spending the last try.
var ErrLastTry = errors.New("piv: one PIN try is left, a wrong PIN would block the card, and nothing was sent; to spend it call PINRequest.AllowLastTry or VerifyPINLastTry")

// ErrPINRequired is returned when a key needs the PIN and Options.PIN is nil.
var ErrPINRequired = errors.New("piv: this key needs the PIN; set Options.PIN, or for keys that need it once call VerifyPIN first")

// ErrCounterChanged is returned in place of presenting a PIN when another
// program spent a try while the user was asked.
var ErrCounterChanged = errors.New("piv: another program tried a PIN meanwhile; nothing was sent, ask again")

// pinSize is the length of a PIN on the wire, in bytes, padded with FF.
const pinSize = 8

// padPIN checks a PIN before any try is spent, and pads it.
func padPIN(pin []byte) ([]byte, error) {
	if len(pin) < 6 || len(pin) > pinSize {
		return nil, fmt.Errorf("piv: a PIN has 6 to 8 bytes, this one has %d; nothing was sent", len(pin))
	}
	if bytes.IndexByte(pin, 0xFF) >= 0 {
		return nil, errors.New("piv: a PIN has no byte FF; nothing was sent")
	}
	padded := bytes.Repeat([]byte{0xFF}, pinSize)
	copy(padded, pin)
	return padded, nil
}

// PINStatus asks the card whether the PIN is verified, and for the tries left.
// It spends none.
func (c *Client) PINStatus(ctx context.Context) (iso7816.Verification, error) {
	var v iso7816.Verification
	err := c.exclusive(ctx, func(tx *iso7816.Channel) (err error) {
		v, err = pinStatus(ctx, tx)
		return err
	})
	return v, err
}

func pinStatus(ctx context.Context, tx *iso7816.Channel) (iso7816.Verification, error) {
	v, err := tx.VerifyStatus(ctx, referencePIN)
	if err != nil {
		return v, fmt.Errorf("piv: PIN status: %w", err)
	}
	return v, nil
}

// VerifyPIN presents the PIN, 6 to 8 bytes, which is not kept and not cleared.
// The tries left are read first: see [ErrLastTry]. A refused PIN is an
// [*iso7816.VerifyError] and has spent one try, unless its Status is 6983: the PIN
// was blocked already and was not sent.
func (c *Client) VerifyPIN(ctx context.Context, pin []byte) error {
	return c.verifyPIN(ctx, pin, false)
}

// VerifyPINLastTry is [Client.VerifyPIN] that may spend the last try.
func (c *Client) VerifyPINLastTry(ctx context.Context, pin []byte) error {
	return c.verifyPIN(ctx, pin, true)
}

func (c *Client) verifyPIN(ctx context.Context, pin []byte, lastTry bool) error {
	padded, err := padPIN(pin)
	if err != nil {
		return err
	}
	defer clear(padded)
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		v, err := pinStatus(ctx, tx)
		if err != nil {
			return err
		}
		if !v.Verified { // when it is, the counter is full and a try can't be the last
			if err := mayTry(v.Remaining, lastTry); err != nil {
				return err
			}
		}
		return presentPIN(ctx, tx, padded)
	})
}

func presentPIN(ctx context.Context, tx *iso7816.Channel, padded []byte) error {
	if err := tx.Verify(ctx, referencePIN, padded); err != nil {
		return fmt.Errorf("piv: PIN: %w", err)
	}
	return nil
}

// mayTry returns an error when no try may be spent.
func mayTry(remaining int, lastTry bool) error {
	switch {
	case remaining == 0:
		return fmt.Errorf("piv: PIN: %w", &iso7816.VerifyError{Instruction: apdu.InsVerify, Reference: referencePIN, Status: apdu.StatusAuthenticationMethodBlocked})
	case remaining == 1 && !lastTry:
		return ErrLastTry
	}
	return nil
}

// withPIN calls f in a transaction in which the PIN is verified as policy says.
// The user is asked between two transactions, when no lock is held; the second
// proves selection and counter again before it presents the PIN.
func (c *Client) withPIN(ctx context.Context, slot Slot, policy PINPolicy, f func(tx *iso7816.Channel) error) error {
	if policy == PINPolicyNever {
		return c.exclusive(ctx, f)
	}
	var before iso7816.Verification
	needed := true
	err := c.exclusive(ctx, func(tx *iso7816.Channel) (err error) {
		before, err = pinStatus(ctx, tx)
		if err == nil && before.Verified && policy == PINPolicyOnce {
			needed = false
			return f(tx)
		}
		return err
	})
	if err != nil || !needed {
		return err
	}
	if !before.Verified {
		if err := mayTry(before.Remaining, true); err != nil { // the callback decides of the last
			return err
		}
	}
	if c.opts.PIN == nil {
		return fmt.Errorf("%w (slot %v)", ErrPINRequired, slot)
	}
	lastTry := false
	pin, err := c.opts.PIN(ctx, PINRequest{Slot: slot, Remaining: before.Remaining, lastTry: &lastTry})
	defer clear(pin)
	if err != nil {
		return fmt.Errorf("piv: asking for the PIN: %w", err)
	}
	padded, err := padPIN(pin)
	if err != nil {
		return err
	}
	defer clear(padded)
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		now, err := pinStatus(ctx, tx)
		if err != nil {
			return err
		}
		if !now.Verified && now.Remaining >= 0 && now.Remaining < before.Remaining {
			return ErrCounterChanged
		}
		if !now.Verified {
			if err := mayTry(now.Remaining, lastTry); err != nil {
				return err
			}
		}
		if now.Verified && policy == PINPolicyOnce {
			return f(tx)
		}
		if err := presentPIN(ctx, tx, padded); err != nil {
			return err
		}
		return f(tx)
	})
}
