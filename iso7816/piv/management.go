package piv

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/wipe"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// ErrManagementKey is what a refused management key wraps.
var ErrManagementKey = errors.New("piv: the card refused the management key")

// ErrAuthenticationLost reports that the management key was authenticated, but the card
// was reset since, or another program selected its own application. Authenticate again.
var ErrAuthenticationLost = errors.New("piv: the management key's authentication was lost when the card was reset or another program used it; authenticate again")

// AuthenticateManagementKey proves to the card that the caller has its management
// key, and to the caller that the card has it (SP 800-73-5 part 2, mutual
// authentication). Generating keys and writing objects need it; it holds until the
// card is reset or another application selected. algorithm 0 asks the card, which
// YubiKeys can tell. key is not kept and not cleared.
func (c *Client) AuthenticateManagementKey(ctx context.Context, algorithm Algorithm, key []byte) error {
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		return c.authenticateManagement(ctx, tx, algorithm, key)
	})
}

func (c *client) authenticateManagement(ctx context.Context, tx *iso7816.Channel, algorithm Algorithm, key []byte) error {
	touch := false
	m, err := readMetadata(ctx, tx, referenceManagement)
	if err != nil {
		return err
	}
	switch {
	case m != nil:
		touch = m.TouchPolicy == TouchPolicyAlways || m.TouchPolicy == TouchPolicyCached
		if algorithm == 0 {
			algorithm = m.Algorithm
		}
	case algorithm == 0:
		return errors.New("piv: the card does not tell the algorithm of its management key; name it")
	}
	err = c.waitForTouch(ctx, referenceManagement, touch, func() error {
		return authenticateManagement(ctx, tx, algorithm, key)
	})
	if err != nil {
		return err
	}
	c.managed.Store(c.app.Epoch())
	return nil
}

func authenticateManagement(ctx context.Context, tx *iso7816.Channel, algorithm Algorithm, key []byte) error {
	block, err := managementCipher(algorithm, key)
	if err != nil {
		return err
	}
	defer wipe.Block(block)
	n := block.BlockSize()
	r, err := tx.GeneralAuthenticate(ctx, byte(algorithm), referenceManagement, tlv.Append(nil, tagWitness, nil))
	if err != nil {
		return fmt.Errorf("piv: management key: witness: %w", err)
	}
	witness, err := tlv.Find(r, tagWitness)
	if err != nil || len(witness) != n {
		return errors.New("piv: management key: the card's witness has the wrong form")
	}
	plain := make([]byte, n)
	defer clear(plain)
	block.Decrypt(plain, witness)
	challenge, want := make([]byte, n), make([]byte, n)
	rand.Read(challenge)
	block.Encrypt(want, challenge)

	objects := tlv.Append(nil, tagWitness, plain)
	objects = tlv.Append(objects, tagChallenge, challenge)
	defer clear(objects)
	r, err = tx.GeneralAuthenticate(ctx, byte(algorithm), referenceManagement, objects)
	if err != nil {
		if _, ok := errors.AsType[*iso7816.CommandError](err); ok {
			return fmt.Errorf("%w: %w", ErrManagementKey, err)
		}
		return fmt.Errorf("piv: management key: %w", err)
	}
	got, err := tlv.Find(r, tagResponse)
	if err != nil || subtle.ConstantTimeCompare(got, want) != 1 {
		return errors.New("piv: management key: the card did not prove that it has the key")
	}
	return nil
}

// managementNeeded says what to do when the security status is not satisfied.
func (c *client) managementNeeded(what string, err error) error {
	if errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		if epoch := c.managed.Load(); epoch != 0 && epoch != c.app.Epoch() {
			return fmt.Errorf("piv: %s: %w: %w", what, ErrAuthenticationLost, err)
		}
		return fmt.Errorf("piv: %s: authenticate the management key first: %w", what, err)
	}
	return fmt.Errorf("piv: %s: %w", what, err)
}

// SetManagementKey replaces the management key by one of the given algorithm, on cards
// that have YubiKey's command; the old one must have been authenticated. With touch the
// card is to be touched whenever the new one is authenticated. key is not kept and not
// cleared: who loses it can no longer manage the card.
func (c *Client) SetManagementKey(ctx context.Context, algorithm Algorithm, key []byte, touch bool) error {
	if err := checkManagementKey(algorithm, key); err != nil {
		return err
	}
	data := append([]byte{byte(algorithm), referenceManagement, byte(len(key))}, key...)
	defer clear(data)
	p2 := byte(0xFF)
	if touch {
		p2 = 0xFE
	}
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		_, err := tx.Send(ctx, apdu.Command{Instruction: insSetManagementKey, P1: 0xFF, P2: p2, Data: data})
		if err != nil {
			return c.managementNeeded("set the management key", err)
		}
		return nil
	})
}

// Tags of a management key that only the PIN gives out: in the object for printed
// information, as YubiKey's tools have it.
const (
	tagProtectedData       = tlv.Tag(0x88)
	tagProtectedManagement = tlv.Tag(0x89)
)

// ErrNotProtected reports a card whose management key is not kept under the PIN.
var ErrNotProtected = errors.New("piv: the card does not keep its management key under the PIN; give the key to AuthenticateManagementKey")

// AuthenticateProtectedManagementKey is [Client.AuthenticateManagementKey] with the
// key that the card itself keeps, readable with the PIN: [Client.ProtectManagementKey]
// and YubiKey's tools put it there. [Options].PIN is asked where the PIN is not verified.
func (c *Client) AuthenticateProtectedManagementKey(ctx context.Context) error {
	return c.withPIN(ctx, 0, PINPolicyOnce, func(tx *iso7816.Channel) error {
		object, err := tx.GetData(ctx, iso7816.CurrentDF, ObjectPrintedInformation)
		if errors.Is(err, apdu.StatusFileNotFound) {
			return ErrNotProtected
		}
		if err != nil {
			return fmt.Errorf("piv: protected management key: %w", err)
		}
		defer clear(object)
		key, err := tlv.Find(object, tagData, tagProtectedData, tagProtectedManagement)
		if err != nil {
			return ErrNotProtected
		}
		return c.authenticateManagement(ctx, tx, 0, key)
	})
}

// ProtectManagementKey gives the card a random management key and stores it on the card
// itself, where the PIN is needed to read it; nobody else has it. The old key must have
// been authenticated. What the object for printed information held is lost.
//
// The new key is stored first and set then: when it fails between the two, the old key is
// still the card's.
func (c *Client) ProtectManagementKey(ctx context.Context, algorithm Algorithm) error {
	row := algorithms[algorithm]
	if row.block == nil {
		return fmt.Errorf("piv: %v is not an algorithm of management keys", algorithm)
	}
	key := make([]byte, row.keyLen)
	defer clear(key)
	rand.Read(key)
	object := tlv.AppendFunc(nil, tagData, func(b []byte) []byte {
		return tlv.AppendFunc(b, tagProtectedData, func(b []byte) []byte { return tlv.Append(b, tagProtectedManagement, key) })
	})
	defer clear(object)
	if err := c.PutObject(ctx, ObjectPrintedInformation, object); err != nil {
		return err
	}
	return c.SetManagementKey(ctx, algorithm, key, false)
}
