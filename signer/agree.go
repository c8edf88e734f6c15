package signer

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/subtle"
	"errors"
	"fmt"
)

// A KeyExchanger is a key as [ecdh.KeyExchanger], for crypto/hpke and others. It is
// safe for concurrent use.
type KeyExchanger struct {
	d   *agreeing
	ctx context.Context // of WithContext, or nil
}

type agreeing struct {
	device
	key   Agreeing
	point *ecdh.PublicKey
}

var _ ecdh.KeyExchanger = (*KeyExchanger)(nil)

// NewKeyExchanger returns key as ecdh.KeyExchanger. It refuses a key that is not on
// P-256, P-384, P-521 or X25519. opts may be nil; Verify and Hash mean nothing here.
func NewKeyExchanger(key Agreeing, opts *Options) (*KeyExchanger, error) {
	point, err := agreementKey(key.Public())
	if err != nil {
		return nil, err
	}
	return &KeyExchanger{d: &agreeing{device: newDevice(key.Public(), opts), key: key, point: point}}, nil
}

// agreementKey returns a public key as one for key agreement.
func agreementKey(pub crypto.PublicKey) (*ecdh.PublicKey, error) {
	switch pub := pub.(type) {
	case *ecdh.PublicKey:
		return pub, checkAgreeFIPS(pub.Curve())
	case *ecdsa.PublicKey:
		if pub.Curve == nil {
			break
		}
		point, err := pub.ECDH()
		if err != nil {
			return nil, fmt.Errorf("%w: key agreement on %s: %w", ErrUnsupported, pub.Curve.Params().Name, err)
		}
		return point, nil
	}
	return nil, fmt.Errorf("%w: key agreement with a key of type %T", ErrUnsupported, pub)
}

// WithContext returns a copy of k whose use of the key ends with ctx too, besides
// Options.Context.
func (k *KeyExchanger) WithContext(ctx context.Context) *KeyExchanger {
	return &KeyExchanger{d: k.d, ctx: ctx}
}

// PublicKey returns the public key.
func (k *KeyExchanger) PublicKey() *ecdh.PublicKey { return k.d.point }

// Curve returns the curve of the key.
func (k *KeyExchanger) Curve() ecdh.Curve { return k.d.point.Curve() }

// ECDH returns the secret shared with peer, as [Agreeing] says; the caller clears
// it. A peer on another curve gives an error that Is [ErrInvalid]. The secret of all
// zeros that X25519 makes with a point of low order is an error (RFC 7748, 6.1).
func (k *KeyExchanger) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	if peer == nil || peer.Curve() != k.Curve() {
		return nil, fmt.Errorf("%w: key agreement with a public key that is not on %v", ErrInvalid, k.Curve())
	}
	var secret []byte
	err := k.d.use(k.ctx, Operation{Use: UseAgree, Scheme: ECDH}, func(ctx context.Context) (err error) {
		secret, err = k.d.key.ECDH(ctx, peer)
		return err
	})
	if err != nil {
		return nil, err
	}
	if n := secretSize(k.Curve()); len(secret) != n {
		clear(secret)
		return nil, fmt.Errorf("signer: the device's shared secret has %d bytes; on %v it must have %d", len(secret), k.Curve(), n)
	}
	if k.Curve() == ecdh.X25519() && subtle.ConstantTimeCompare(secret, make([]byte, len(secret))) == 1 {
		return nil, errors.New("signer: key agreement with a point of low order")
	}
	return secret, nil
}

func secretSize(curve ecdh.Curve) int {
	switch curve {
	case ecdh.P384():
		return 48
	case ecdh.P521():
		return 66
	}
	return 32
}
