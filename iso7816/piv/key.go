package piv

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/rsapad"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
	"github.com/cardoki/cardoki/signer"
)

// Certificate returns the certificate of a slot. Where there is none the error Is
// [ErrNoCertificate].
func (c *Client) Certificate(ctx context.Context, slot Slot) (*x509.Certificate, error) {
	var cert *x509.Certificate
	err := c.exclusive(ctx, func(tx *iso7816.Channel) (err error) {
		cert, err = readCertificate(ctx, tx, slot)
		return err
	})
	return cert, err
}

func readCertificate(ctx context.Context, tx *iso7816.Channel, slot Slot) (*x509.Certificate, error) {
	tag, err := slot.object()
	if err != nil {
		return nil, err
	}
	object, err := tx.GetData(ctx, iso7816.CurrentDF, tag)
	if errors.Is(err, apdu.StatusFileNotFound) {
		return nil, fmt.Errorf("%w in slot %v: %w", ErrNoCertificate, slot, err)
	}
	if err != nil {
		return nil, fmt.Errorf("piv: read certificate of slot %v: %w", slot, err)
	}
	der, err := ParseCertificateObject(object)
	if err != nil {
		return nil, fmt.Errorf("slot %v: %w", slot, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("piv: certificate of slot %v: %w", slot, err)
	}
	return cert, nil
}

// A Key is a private key on the card. It implements [signer.Decrypting] for RSA
// and [signer.Agreeing] for EC and X25519; the methods that its algorithm does not have
// return errors that Are [errors.ErrUnsupported]. It is safe for concurrent use.
type Key struct {
	client    *client
	slot      Slot
	algorithm Algorithm
	policy    PINPolicy
	mayTouch  bool // the key may wait for a touch
	public    crypto.PublicKey
}

var (
	_ signer.Decrypting = (*Key)(nil)
	_ signer.Agreeing   = (*Key)(nil)
)

// Key returns the key in a slot. Its public key comes from the card's metadata
// where it has them, else from the certificate in the slot. A slot of which the
// card tells neither gives an error that Is [ErrNoCertificate].
func (c *Client) Key(ctx context.Context, slot Slot) (*Key, error) {
	if !slot.Valid() {
		_, err := slot.object()
		return nil, err
	}
	k := &Key{client: c.client, slot: slot}
	err := c.exclusive(ctx, func(tx *iso7816.Channel) error {
		m, err := readMetadata(ctx, tx, byte(slot))
		if err != nil {
			return err
		}
		if m != nil && m.Public != nil {
			k.algorithm, k.policy, k.public = m.Algorithm, m.PINPolicy, m.Public
			k.mayTouch = m.TouchPolicy == TouchPolicyAlways || m.TouchPolicy == TouchPolicyCached
			return nil
		}
		if _, err := readVersion(ctx, tx); err == nil {
			k.mayTouch = true // a YubiKey older than 5.3 has touch policies and does not tell
		} else if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		cert, err := readCertificate(ctx, tx, slot)
		if errors.Is(err, ErrNoCertificate) {
			return fmt.Errorf("piv: slot %v has no key, or the card does not tell; generate one, or write its certificate: %w", slot, err)
		}
		if err != nil {
			return err
		}
		k.public = cert.PublicKey
		k.algorithm, err = algorithmOf(cert.PublicKey)
		return err
	})
	if err != nil {
		return nil, err
	}
	if k.policy == PINPolicyDefault || k.policy > PINPolicyAlways {
		k.policy = slot.pinPolicy()
	}
	return k, nil
}

// TLSCertificate returns the certificate of a slot with its private key, ready
// for tls.Config. It refuses a certificate of another key than the slot's.
func (c *Client) TLSCertificate(ctx context.Context, slot Slot) (tls.Certificate, error) {
	k, err := c.Key(ctx, slot)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := c.Certificate(ctx, slot)
	if err != nil {
		return tls.Certificate{}, err
	}
	if p, ok := k.public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(cert.PublicKey) {
		return tls.Certificate{}, fmt.Errorf("piv: the certificate in slot %v is that of another key", slot)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: k.Signer(nil), Leaf: cert}, nil
}

// Signer returns k as crypto.Signer and crypto.MessageSigner, and as
// crypto.Decrypter if it is an RSA key. opts may be nil.
func (k *Key) Signer(opts *signer.Options) crypto.Signer {
	if _, ok := k.public.(*rsa.PublicKey); ok {
		if d, err := signer.NewDecrypter(k, opts); err == nil {
			return d
		}
	}
	return signer.New(k, opts)
}

// Public returns the public key: *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or,
// for X25519, *ecdh.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Slot returns the slot that holds the key.
func (k *Key) Slot() Slot { return k.slot }

// Algorithm returns the algorithm of the key.
func (k *Key) Algorithm() Algorithm { return k.algorithm }

// Sign implements [signer.Key]. RSA paddings are made on the host. The PIN is
// asked for when the slot's policy demands it, see [Options]. The signature is not
// verified here; [signer.Signer] does.
func (k *Key) Sign(ctx context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	p, err := signer.ParseSign(k.public, input, opts)
	if err != nil {
		return nil, err
	}
	var challenge []byte
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		if p.Scheme == signer.PSS {
			challenge, err = rsapad.EncodePSS(rand.Reader, pub.N.BitLen(), p.Hash, input, p.SaltLength)
		} else {
			challenge, err = rsapad.EncodePKCS1v15(pub.Size(), p.Hash, input)
		}
		if err != nil {
			return nil, fmt.Errorf("piv: sign: %w", err)
		}
	case *ecdsa.PublicKey:
		challenge = fitDigest(input, (pub.Curve.Params().BitSize+7)/8)
	case ed25519.PublicKey:
		if len(input) == 0 { // an empty challenge asks the card for one
			return nil, fmt.Errorf("piv: sign an empty message with %v: %w", k.algorithm, signer.ErrUnsupported)
		}
		challenge = input
	default:
		return nil, fmt.Errorf("piv: sign with %v: %w", k.algorithm, signer.ErrUnsupported)
	}
	sig, err := k.use(ctx, tagChallenge, challenge)
	if err != nil {
		return nil, fmt.Errorf("piv: sign with slot %v: %w", k.slot, err)
	}
	if pub, ok := k.public.(*rsa.PublicKey); ok && len(sig) != pub.Size() {
		return nil, fmt.Errorf("piv: sign with slot %v: a signature of %d bytes is not one of %v", k.slot, len(sig), k.algorithm)
	}
	return sig, nil
}

// fitDigest returns the leftmost n bytes of a digest, or the digest with zeros in
// front: the number that ECDSA signs is the same.
func fitDigest(digest []byte, n int) []byte {
	if len(digest) >= n {
		return digest[:n]
	}
	b := make([]byte, n)
	copy(b[n-len(digest):], digest)
	return b
}

// Decrypt implements [signer.Decrypting], for RSA. Paddings are removed on the
// host, in constant time.
func (k *Key) Decrypt(ctx context.Context, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	p, err := signer.ParseDecrypt(k.public, ciphertext, opts)
	if err != nil {
		return nil, err
	}
	em, err := k.use(ctx, tagChallenge, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("piv: decrypt with slot %v: %w", k.slot, err)
	}
	defer clear(em)
	if len(em) != len(ciphertext) {
		return nil, fmt.Errorf("piv: decrypt with slot %v: a result of %d bytes is not one of %v", k.slot, len(em), k.algorithm)
	}
	var message []byte // within em
	switch {
	case p.Scheme == signer.OAEP:
		message, err = rsapad.DecodeOAEP(em, p.Hash, p.MGFHash, p.Label)
	case p.SessionKeyLen > 0:
		session := make([]byte, p.SessionKeyLen)
		rand.Read(session)
		rsapad.DecodePKCS1v15SessionKey(em, session)
		return session, nil
	default:
		message, err = rsapad.DecodePKCS1v15(em)
	}
	if err != nil {
		return nil, fmt.Errorf("piv: decrypt with slot %v: %w", k.slot, err)
	}
	return bytes.Clone(message), nil
}

// ECDH implements [signer.Agreeing], for EC keys: it returns the x coordinate of
// the shared point.
func (k *Key) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	var own *ecdh.PublicKey
	n := algorithms[k.algorithm].raw
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		var err error
		if own, err = pub.ECDH(); err != nil {
			return nil, fmt.Errorf("piv: key agreement: %w", err)
		}
		n = (pub.Curve.Params().BitSize + 7) / 8
	case *ecdh.PublicKey:
		own = pub
	default:
		return nil, fmt.Errorf("piv: key agreement with %v: %w", k.algorithm, signer.ErrUnsupported)
	}
	if peer.Curve() != own.Curve() {
		return nil, fmt.Errorf("piv: key agreement: the peer's key is on %v, the card's on %v", peer.Curve(), own.Curve())
	}
	secret, err := k.use(ctx, tagExponentiation, peer.Bytes())
	if err != nil {
		return nil, fmt.Errorf("piv: key agreement with slot %v: %w", k.slot, err)
	}
	if len(secret) != n {
		clear(secret)
		return nil, fmt.Errorf("piv: key agreement with slot %v: a secret of %d bytes is not one of %v", k.slot, len(secret), k.algorithm)
	}
	return secret, nil
}

// use gives input to the key and returns its response, in one transaction with
// the PIN.
func (k *Key) use(ctx context.Context, tag tlv.Tag, input []byte) ([]byte, error) {
	objects := tlv.Append(make([]byte, 0, len(input)+8), tagResponse, nil)
	objects = tlv.Append(objects, tag, input)
	defer clear(objects)
	var response []byte
	err := k.client.withPIN(ctx, k.slot, k.policy, func(tx *iso7816.Channel) error {
		return k.client.waitForTouch(ctx, k.slot, k.mayTouch, func() error {
			r, err := tx.GeneralAuthenticate(ctx, byte(k.algorithm), byte(k.slot), objects)
			if err != nil {
				return err
			}
			response, err = tlv.Find(r, tagResponse)
			return err
		})
	})
	return response, err
}
