package piv

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// KeyOptions are settings of [Client.GenerateKey] and [Client.ImportKey]. The zero
// value, and a nil pointer, are what the standard says of the slot. Cards without
// YubiKey's policies refuse others.
type KeyOptions struct {
	PINPolicy   PINPolicy
	TouchPolicy TouchPolicy
}

// appendTo appends the policies that are not default.
func (o *KeyOptions) appendTo(dst []byte) []byte {
	if o == nil {
		return dst
	}
	if o.PINPolicy != PINPolicyDefault {
		dst = tlv.Append(dst, tagPINPolicy, []byte{byte(o.PINPolicy)})
	}
	if o.TouchPolicy != TouchPolicyDefault {
		dst = tlv.Append(dst, tagTouchPolicy, []byte{byte(o.TouchPolicy)})
	}
	return dst
}

// GenerateKey generates a key pair in a slot, in place of the one there, and
// returns the public key: *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or
// *ecdh.PublicKey. The private key never leaves the card. opts may be nil. The management
// key must have been authenticated, see [Client.AuthenticateManagementKey]. It can
// take many seconds for RSA.
func (c *Client) GenerateKey(ctx context.Context, slot Slot, algorithm Algorithm, opts *KeyOptions) (crypto.PublicKey, error) {
	if !slot.Valid() {
		_, err := slot.object()
		return nil, err
	}
	if !algorithm.asymmetric() {
		return nil, fmt.Errorf("piv: generate a key of %v: %w", algorithm, errors.ErrUnsupported)
	}
	control := opts.appendTo(tlv.Append(nil, tagGenerateAlgo, []byte{byte(algorithm)}))
	var pub crypto.PublicKey
	err := c.exclusive(ctx, func(tx *iso7816.Channel) error {
		r, err := tx.Send(ctx, apdu.Command{
			Instruction: apdu.InsGenerateAsymmetricKeyOdd,
			P2:          byte(slot),
			Data:        tlv.Append(nil, tagGenerate, control),
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

// ImportKey puts a private key into a slot, in place of the one there, on cards that
// have YubiKey's command: *rsa.PrivateKey with two primes and the exponent 65537,
// *ecdsa.PrivateKey, ed25519.PrivateKey or *ecdh.PrivateKey of X25519. opts may be nil.
// The management key must have been authenticated. A key that was once outside can't be
// attested.
func (c *Client) ImportKey(ctx context.Context, slot Slot, private crypto.PrivateKey, opts *KeyOptions) error {
	if !slot.Valid() {
		_, err := slot.object()
		return err
	}
	algorithm, data, err := appendPrivateKey(nil, private)
	if err != nil {
		return err
	}
	data = opts.appendTo(data)
	defer clear(data)
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		_, err := tx.Send(ctx, apdu.Command{Instruction: insImportKey, P1: byte(algorithm), P2: byte(slot), Data: data})
		if err != nil {
			return c.managementNeeded("import a key", err)
		}
		return nil
	})
}

// appendPrivateKey appends the objects of IMPORT ASYMMETRIC KEY.
func appendPrivateKey(dst []byte, private crypto.PrivateKey) (Algorithm, []byte, error) {
	public, ok := private.(privateKey)
	if !ok {
		return 0, dst, fmt.Errorf("piv: import a key of type %T: %w", private, errors.ErrUnsupported)
	}
	algorithm, err := algorithmOf(public.Public())
	if err != nil {
		return 0, dst, err
	}
	switch k := private.(type) {
	case *rsa.PrivateKey:
		if len(k.Primes) != 2 || k.E != 65537 {
			return 0, dst, fmt.Errorf("piv: import an RSA key of %d primes with the exponent %d: %w", len(k.Primes), k.E, errors.ErrUnsupported)
		}
		if k.Precomputed.Dp == nil {
			k.Precompute()
		}
		half := algorithms[algorithm].rsaBits / 16
		dst = make([]byte, 0, 5*(half+4))
		buf := make([]byte, half)
		defer clear(buf)
		dst = tlv.Append(dst, tagImportP, k.Primes[0].FillBytes(buf))
		dst = tlv.Append(dst, tagImportQ, k.Primes[1].FillBytes(buf))
		dst = tlv.Append(dst, tagImportDP, k.Precomputed.Dp.FillBytes(buf))
		dst = tlv.Append(dst, tagImportDQ, k.Precomputed.Dq.FillBytes(buf))
		return algorithm, tlv.Append(dst, tagImportQinv, k.Precomputed.Qinv.FillBytes(buf)), nil
	case *ecdsa.PrivateKey:
		scalar, err := k.Bytes()
		if err != nil {
			return 0, dst, fmt.Errorf("piv: import: %w", err)
		}
		defer clear(scalar)
		return algorithm, tlv.Append(dst, tagImportScalar, scalar), nil
	case ed25519.PrivateKey:
		seed := k.Seed()
		defer clear(seed)
		return algorithm, tlv.Append(dst, tagImportEd25519, seed), nil
	case *ecdh.PrivateKey:
		scalar := k.Bytes()
		defer clear(scalar)
		return algorithm, tlv.Append(dst, tagImportX25519, scalar), nil
	}
	return 0, dst, fmt.Errorf("piv: import a key of type %T: %w", private, errors.ErrUnsupported)
}

// MoveKey moves a key from one slot to another, in place of the one there, on cards
// that have YubiKey's command; certificates stay where they are. The management key
// must have been authenticated.
func (c *Client) MoveKey(ctx context.Context, from, to Slot) error {
	if !from.Valid() || !to.Valid() {
		return fmt.Errorf("piv: move a key from %v to %v: not two slots", from, to)
	}
	return c.moveKey(ctx, "move a key", from, byte(to))
}

// DeleteKey deletes the key in a slot, for ever, on cards that have YubiKey's command.
// The management key must have been authenticated.
func (c *Client) DeleteKey(ctx context.Context, slot Slot) error {
	if !slot.Valid() {
		_, err := slot.object()
		return err
	}
	return c.moveKey(ctx, "delete a key", slot, 0xFF)
}

func (c *Client) moveKey(ctx context.Context, what string, from Slot, to byte) error {
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		_, err := tx.Send(ctx, apdu.Command{Instruction: insMoveKey, P1: to, P2: byte(from)})
		if err != nil {
			return c.managementNeeded(what, err)
		}
		return nil
	})
}

// PutCertificate writes the certificate of a slot, in place of the one there. The
// management key must have been authenticated.
func (c *Client) PutCertificate(ctx context.Context, slot Slot, cert *x509.Certificate) error {
	tag, err := slot.object()
	if err != nil {
		return err
	}
	return c.PutObject(ctx, tag, AppendCertificateObject(nil, cert.Raw))
}

// DeleteCertificate deletes the certificate of a slot; the key stays. The management
// key must have been authenticated.
func (c *Client) DeleteCertificate(ctx context.Context, slot Slot) error {
	tag, err := slot.object()
	if err != nil {
		return err
	}
	return c.PutObject(ctx, tag, tlv.Append(nil, tagData, nil))
}

// ErrNoObject is returned for a data object that the card does not have.
var ErrNoObject = errors.New("piv: the card has no such object")

// Object returns a data object as the card stores it, with its outer tag 53, or 7E for
// the discovery object. Some need the PIN: they are refused with an error that Is
// [apdu.StatusSecurityStatusNotSatisfied] before [Client.VerifyPIN].
func (c *Client) Object(ctx context.Context, tag tlv.Tag) (object []byte, err error) {
	err = c.exclusive(ctx, func(tx *iso7816.Channel) error {
		object, err = tx.GetData(ctx, iso7816.CurrentDF, tag)
		switch {
		case errors.Is(err, apdu.StatusFileNotFound):
			return fmt.Errorf("%w: %v: %w", ErrNoObject, tag, err)
		case err != nil:
			return fmt.Errorf("piv: read object %v: %w", tag, err)
		}
		return nil
	})
	return object, err
}

// PutObject writes a data object with its outer tag 53, in place of the one there; an
// empty one deletes it. The management key must have been authenticated.
func (c *Client) PutObject(ctx context.Context, tag tlv.Tag, object []byte) error {
	if o, rest, err := tlv.Next(object); err != nil || o.Tag != tagData || len(rest) != 0 {
		return fmt.Errorf("piv: write object %v: it is not one data object with the tag 53", tag)
	}
	data := append(iso7816.AppendTagList(make([]byte, 0, 8+len(object)), tag), object...)
	defer clear(data)
	return c.exclusive(ctx, func(tx *iso7816.Channel) error {
		if err := tx.PutData(ctx, iso7816.CurrentDF, data); err != nil {
			return c.managementNeeded(fmt.Sprintf("write object %v", tag), err)
		}
		return nil
	})
}
