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
	// Global tells that the PIN of the whole card is meant, as the card prefers it.
	Global bool
	// Remaining is the number of tries left, or -1 when the card does not tell.
	// When it is 1 a wrong PIN blocks the card: tell the user, and call
	// AllowLastTry if the PIN is to be presented all the same.
	Remaining int

	lastTry *bool
}

// AllowLastTry allows that the last try is spent. Without it, and with Remaining
// of 1, the PIN that the callback returns is not presented.
func (r PINRequest) AllowLastTry() { *r.lastTry = true }

// String returns what a user is to be told, such as "PIN for slot 9A (PIV
// Authentication), 2 tries left".
func (r PINRequest) String() string {
	s := fmt.Sprintf("PIN for slot %v", r.Slot)
	if r.Global {
		s = "global " + s
	}
	switch r.Remaining {
	case -1:
		return s
	case 1:
		return s + ", LAST TRY: a wrong one blocks the card"
	}
	return fmt.Sprintf("%s, %d tries left", s, r.Remaining)
}

// ErrLastTry is returned in place of spending the last try.
var ErrLastTry = errors.New("piv: one try is left, a wrong PIN or PUK would block it, and nothing was sent; to spend it call PINRequest.AllowLastTry or Client.AllowLastTry")

// ErrPINRequired is returned when a key needs the PIN and Options.PIN is nil.
var ErrPINRequired = errors.New("piv: this key needs the PIN; set Options.PIN, or for keys that need it once call VerifyPIN first")

// ErrCounterChanged is returned in place of presenting a PIN when another
// program spent a try while the user was asked.
var ErrCounterChanged = errors.New("piv: another program tried a PIN meanwhile; nothing was sent, ask again")

// Lengths of a PIN, in bytes: on the wire it is padded with FF.
const (
	minPIN     = 6
	pinSize    = 8
	pinPadding = 0xFF
)

// padPIN checks a PIN or PUK before any try is spent, and pads it.
func padPIN(pin []byte) ([]byte, error) {
	if len(pin) < minPIN || len(pin) > pinSize {
		return nil, fmt.Errorf("piv: a PIN or PUK has 6 to 8 bytes, this one has %d; nothing was sent", len(pin))
	}
	if bytes.IndexByte(pin, pinPadding) >= 0 {
		return nil, errors.New("piv: a PIN or PUK has no byte FF; nothing was sent")
	}
	padded := bytes.Repeat([]byte{pinPadding}, pinSize)
	copy(padded, pin)
	return padded, nil
}

// Discovery returns which PINs the card has, by its discovery object; a card without
// one has the application's own.
func (c *Client) Discovery() Discovery { return c.discovery }

// pinReference returns the reference of the PIN that the card prefers: its own or the
// global one.
func (c *client) pinReference() byte {
	if c.discovery.GlobalPIN && (c.discovery.PreferGlobalPIN || !c.discovery.PIN) {
		return referenceGlobalPIN
	}
	return referencePIN
}

// PINStatus asks the card whether the PIN is verified, and for the tries left.
// It spends none.
func (c *Client) PINStatus(ctx context.Context) (iso7816.Verification, error) {
	var v iso7816.Verification
	err := c.exclusive(ctx, func(tx *iso7816.Channel) (err error) {
		v, err = pinStatus(ctx, tx, c.pinReference())
		return err
	})
	return v, err
}

func pinStatus(ctx context.Context, tx *iso7816.Channel, reference byte) (iso7816.Verification, error) {
	v, err := tx.VerifyStatus(ctx, reference)
	if err != nil {
		return v, fmt.Errorf("piv: PIN status: %w", err)
	}
	return v, nil
}

// VerifyPIN presents the PIN, 6 to 8 bytes, which is not kept and not cleared: the
// application's own, or the global one on a card that prefers it. The tries left are
// read first: see [ErrLastTry] and [Client.AllowLastTry]. A refused PIN is an
// [*iso7816.VerifyError] and has spent one try, unless its Status is 6983: the PIN
// was blocked already and was not sent.
func (c *Client) VerifyPIN(ctx context.Context, pin []byte) error {
	padded, err := padPIN(pin)
	if err != nil {
		return err
	}
	defer clear(padded)
	reference := c.pinReference()
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		v, err := pinStatus(ctx, tx, reference)
		if err != nil {
			return err
		}
		if err := mayTry(reference, v, c.lastTry); err != nil {
			return err
		}
		return presentPIN(ctx, tx, reference, padded)
	})
}

func presentPIN(ctx context.Context, tx *iso7816.Channel, reference byte, padded []byte) error {
	if err := tx.Verify(ctx, reference, padded); err != nil {
		return fmt.Errorf("piv: PIN: %w", err)
	}
	return nil
}

// mayTry returns an error when no try may be spent. When the PIN is verified its
// counter is full, and a try can't be the last.
func mayTry(reference byte, v iso7816.Verification, lastTry bool) error {
	switch {
	case v.Verified:
		return nil
	case v.Remaining == 0:
		return fmt.Errorf("piv: %s: %w", referenceInWords(reference), &iso7816.VerifyError{Instruction: apdu.InsVerify, Reference: reference, Status: apdu.StatusAuthenticationMethodBlocked})
	case v.Remaining == 1 && !lastTry:
		return ErrLastTry
	}
	return nil
}

// withPIN calls f in a transaction in which the PIN is verified as policy says.
// The user is asked between two transactions, when no lock is held; the second
// proves selection and counter again before it presents the PIN.
func (c *client) withPIN(ctx context.Context, slot Slot, policy PINPolicy, f func(tx *iso7816.Channel) error) error {
	if policy == PINPolicyNever {
		return c.exclusive(ctx, f)
	}
	reference := c.pinReference()
	var before iso7816.Verification
	cached := c.pin.get()
	defer func() { clear(cached) }()
	done := false
	err := c.exclusive(ctx, func(tx *iso7816.Channel) (err error) {
		before, err = pinStatus(ctx, tx, reference)
		switch {
		case err != nil:
		case before.Verified && policy == PINPolicyOnce:
			done = true
			err = f(tx)
		case cached != nil && mayTry(reference, before, false) == nil:
			done = true
			if err = presentPIN(ctx, tx, reference, cached); err != nil {
				c.ForgetPIN() // whatever the reason: it is not tried again by itself
				return err
			}
			err = f(tx)
		}
		return err
	})
	if err != nil || done {
		return err
	}
	if err := mayTry(reference, before, true); err != nil { // the callback decides of the last
		return err
	}
	if c.opts.PINPad {
		return c.withPINPad(ctx, reference, policy, f)
	}
	if c.opts.PIN == nil {
		return fmt.Errorf("%w (slot %v)", ErrPINRequired, slot)
	}
	lastTry := false
	pin, err := c.opts.PIN(ctx, PINRequest{Slot: slot, Global: reference == referenceGlobalPIN, Remaining: before.Remaining, lastTry: &lastTry})
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
		now, err := pinStatus(ctx, tx, reference)
		if err != nil {
			return err
		}
		if !now.Verified && now.Remaining >= 0 && now.Remaining < before.Remaining {
			return ErrCounterChanged
		}
		if err := mayTry(reference, now, lastTry); err != nil {
			return err
		}
		if !now.Verified || policy != PINPolicyOnce {
			if err := presentPIN(ctx, tx, reference, padded); err != nil {
				return err
			}
			c.pin.put(padded, c.opts.CachePIN)
		}
		return f(tx)
	})
}
