package piv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// PUKTries returns the number of tries that are left for the PUK, or -1 when the card
// does not tell: the standard has no command for it, YubiKeys do.
func (c *Client) PUKTries(ctx context.Context) (n int, err error) {
	err = c.exclusive(ctx, func(tx *iso7816.Channel) error {
		n, err = readTries(ctx, tx, referencePUK)
		return err
	})
	return n, err
}

// ChangePIN replaces the PIN; both have 6 to 8 bytes, and neither is kept or cleared.
// A wrong old one is an [*iso7816.VerifyError] and spends a try, as with
// [Client.VerifyPIN], and nothing was changed.
func (c *Client) ChangePIN(ctx context.Context, old, new []byte) error {
	return c.change(ctx, c.pinReference(), old, new)
}

// ChangePUK replaces the PUK as [Client.ChangePIN] does the PIN. It has a counter of
// its own.
func (c *Client) ChangePUK(ctx context.Context, old, new []byte) error {
	return c.change(ctx, referencePUK, old, new)
}

func (c *Client) change(ctx context.Context, reference byte, old, new []byte) error {
	return c.present(ctx, reference, old, new, func(tx *iso7816.Channel, old, new []byte) error {
		return tx.ChangeReferenceData(ctx, reference, old, new)
	})
}

// UnblockPIN gives the PIN a new value and its full counter, by the PUK, whether it is
// blocked or not. A wrong PUK is an [*iso7816.VerifyError] and spends one of the PUK's
// tries.
func (c *Client) UnblockPIN(ctx context.Context, puk, newPIN []byte) error {
	return c.present(ctx, referencePUK, puk, newPIN, func(tx *iso7816.Channel, puk, newPIN []byte) error {
		return tx.ResetRetryCounter(ctx, referencePIN, puk, newPIN)
	})
}

// present calls f with two padded values, the first of which is tried against
// reference, after it has looked at the counter.
func (c *Client) present(ctx context.Context, reference byte, old, new []byte, f func(tx *iso7816.Channel, old, new []byte) error) error {
	first, err := padPIN(old)
	if err != nil {
		return err
	}
	defer clear(first)
	second, err := padPIN(new)
	if err != nil {
		return err
	}
	defer clear(second)
	c.ForgetPIN()
	return c.tryReference(ctx, reference, func(tx *iso7816.Channel) error { return f(tx, first, second) })
}

// tryReference calls f, which spends a try of reference, after it has looked at the
// counter.
func (c *Client) tryReference(ctx context.Context, reference byte, f func(tx *iso7816.Channel) error) error {
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		var err error
		v := iso7816.Verification{Remaining: -1}
		if reference == referencePUK {
			v.Remaining, err = readTries(ctx, tx, reference)
		} else {
			v, err = pinStatus(ctx, tx, reference)
		}
		if err != nil {
			return err
		}
		if err := mayTry(reference, v, c.lastTry); err != nil {
			return err
		}
		if err := f(tx); err != nil {
			return fmt.Errorf("piv: %s: %w", referenceInWords(reference), err)
		}
		return nil
	})
}

// SetTries gives PIN and PUK new counters, each 1 to 15, on cards that have YubiKey's
// command; the management key and the PIN must have been given before. The card sets
// PIN and PUK to the values that everybody knows: change both directly afterwards.
func (c *Client) SetTries(ctx context.Context, pin, puk int) error {
	if pin < 1 || pin > card.MaxTries || puk < 1 || puk > card.MaxTries {
		return fmt.Errorf("piv: set tries: %d and %d are not in 1..%d", pin, puk, card.MaxTries)
	}
	c.ForgetPIN()
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		_, err := tx.Send(ctx, apdu.Command{Instruction: insSetTries, P1: byte(pin), P2: byte(puk)})
		if err != nil {
			return c.managementNeeded("set tries (the PIN is needed too)", err)
		}
		return nil
	})
}

// ErrConsent is returned by FactoryReset when the serial number is not the card's.
var ErrConsent = errors.New("piv: factory reset: the serial number given is not that of this card, and nothing was done")

// FactoryReset erases every key and certificate of the card and sets PIN, PUK and
// management key to what everybody knows, on cards that have YubiKey's command. serial
// must be what [Client.Serial] returned for this card: the consent of the caller.
//
// It blocks PIN and PUK first, by wrong tries, as the card demands. When it fails
// half-way they stay blocked; call it again.
func (c *Client) FactoryReset(ctx context.Context, serial string) error {
	c.ForgetPIN()
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		own, err := readSerial(ctx, tx)
		if err != nil {
			return err
		}
		if own != serial {
			return ErrConsent
		}
		if _, err := readVersion(ctx, tx); err != nil {
			return fmt.Errorf("piv: factory reset: %w", err)
		}
		for _, reference := range []byte{referencePIN, referencePUK} {
			if err := block(ctx, tx, reference); err != nil {
				return fmt.Errorf("piv: factory reset: %w", err)
			}
		}
		if _, err := tx.Send(ctx, apdu.Command{Instruction: insReset}); err != nil {
			return fmt.Errorf("piv: factory reset: PIN and PUK are blocked, but the card refused: %w", err)
		}
		return selectPIV(ctx, tx)
	})
}

// maxTries is more than any card has.
const maxTries = 256

// block spends all tries of the PIN or PUK.
func block(ctx context.Context, tx *iso7816.Channel, reference byte) error {
	for range maxTries {
		wrong := make([]byte, pinSize)
		rand.Read(wrong)
		for i := range wrong {
			wrong[i] = 'a' + wrong[i]%26
		}
		var err error
		if reference == referencePIN {
			err = tx.Verify(ctx, reference, wrong)
		} else {
			err = tx.ResetRetryCounter(ctx, referencePIN, wrong, wrong)
		}
		v, refused := errors.AsType[*iso7816.VerifyError](err)
		switch {
		case err == nil: // one time in 200,000 million
		case !refused:
			return err
		case v.Remaining == 0:
			return nil
		}
	}
	return fmt.Errorf("the %s can't be blocked", referenceInWords(reference))
}
