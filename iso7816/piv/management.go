package piv

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
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
		algorithm := algorithm
		if algorithm == 0 {
			m, err := readMetadata(ctx, tx, referenceManagement)
			if err != nil {
				return err
			}
			if m == nil {
				return errors.New("piv: the card does not tell the algorithm of its management key; name it")
			}
			algorithm = m.algorithm
		}
		if err := authenticateManagement(ctx, tx, algorithm, key); err != nil {
			return err
		}
		c.managed.Store(c.app.Epoch())
		return nil
	})
}

func authenticateManagement(ctx context.Context, tx *iso7816.Channel, algorithm Algorithm, key []byte) error {
	block, err := managementCipher(algorithm, key)
	if err != nil {
		return err
	}
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

// GenerateKey generates a key pair in a slot, in place of the one there, and
// returns the public key. The private key never leaves the card. The management
// key must have been authenticated, see [Client.AuthenticateManagementKey]. It can
// take many seconds for RSA.
func (c *Client) GenerateKey(ctx context.Context, slot Slot, algorithm Algorithm) (crypto.PublicKey, error) {
	if !slot.Valid() {
		_, err := slot.object()
		return nil, err
	}
	if !algorithm.asymmetric() {
		return nil, fmt.Errorf("piv: generate a key of %v: %w", algorithm, errors.ErrUnsupported)
	}
	var pub crypto.PublicKey
	err := c.exclusive(ctx, func(tx *iso7816.Channel) error {
		r, err := tx.Send(ctx, apdu.Command{
			Instruction: apdu.InsGenerateAsymmetricKeyOdd,
			P2:          byte(slot),
			Data:        tlv.Append(nil, tagGenerate, tlv.Append(nil, tagGenerateAlgo, []byte{byte(algorithm)})),
			Ne:          apdu.MaxExtendedNe,
		})
		if err != nil {
			return c.managementNeeded("generate a key", err)
		}
		template, err := tlv.Find(r, tagPublicKey)
		if err != nil {
			return fmt.Errorf("piv: generate a key: answer: %w", err)
		}
		pub, err = parsePublicKey(algorithm, template)
		return err
	})
	return pub, err
}

// managementNeeded says what to do when the security status is not satisfied.
func (c *Client) managementNeeded(what string, err error) error {
	if errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		if epoch := c.managed.Load(); epoch != 0 && epoch != c.app.Epoch() {
			return fmt.Errorf("piv: %s: %w: %w", what, ErrAuthenticationLost, err)
		}
		return fmt.Errorf("piv: %s: authenticate the management key first: %w", what, err)
	}
	return fmt.Errorf("piv: %s: %w", what, err)
}

// PutCertificate writes the certificate of a slot, in place of the one there. The
// management key must have been authenticated.
func (c *Client) PutCertificate(ctx context.Context, slot Slot, cert *x509.Certificate) error {
	tag, err := slot.object()
	if err != nil {
		return err
	}
	data := iso7816.AppendTagList(nil, tag)
	data = AppendCertificateObject(data, cert.Raw)
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		if err := tx.PutData(ctx, iso7816.CurrentDF, data); err != nil {
			return c.managementNeeded("write a certificate", err)
		}
		return nil
	})
}
