package cryptoki

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ImportKey puts a private key into the token, with its public key: *rsa.PrivateKey of
// two primes, *ecdsa.PrivateKey, ed25519.PrivateKey or *ecdh.PrivateKey of X25519. o may be
// nil; its Curve, RSABits, Ed25519, X25519 and MLKEM are not read, all else is as with
// [Session.GenerateKeyPair]: the key is then sensitive and not extractable, but the token
// knows that it was outside once (CKA_LOCAL, CKA_NEVER_EXTRACTABLE). Not every token takes
// keys, and the session must be read-write.
//
// When the public key can't be stored, the private key is deleted again.
func (s *Session) ImportKey(ctx context.Context, private crypto.PrivateKey, o *KeyPairOptions) (public, imported Object, err error) {
	if o == nil {
		o = &KeyPairOptions{}
	}
	opts, pubValues, privValues, err := importAttributes(private, o)
	if err != nil {
		return Object{}, Object{}, err
	}
	defer func() {
		for _, a := range privValues {
			clear(a.Value)
		}
	}()
	_, pub, priv, err := opts.templates()
	if err != nil {
		return Object{}, Object{}, err
	}
	pub, priv = override(without(pub, CKA_MODULUS_BITS), pubValues), override(priv, privValues)
	pub, priv = override(pub, o.Public), override(priv, o.Private)
	public, imported, err = s.createPair(ctx, pub, priv)
	for _, form := range forms25519(private) {
		if !formRefused(err) {
			break
		}
		var other error
		if public, imported, other = s.createPair(ctx, override(slices.Clone(pub), form.public), override(slices.Clone(priv), form.private)); other == nil || !formRefused(other) {
			err = other
		}
	}
	return public, imported, err
}

// A form25519 is what differs in a form of a key of Curve25519 that not every module takes.
type form25519 struct{ public, private Attributes }

// forms25519 returns the forms that there are of the two objects of a key of Curve25519,
// after that of PKCS#11 3.0: NSS wants the bare point, as PKCS#11 3.2 has it, and
// SoftHSM2 2.6.1 has X25519 as a key of the type for Edwards keys.
func forms25519(private crypto.PrivateKey) []form25519 {
	switch k := private.(type) {
	case ed25519.PrivateKey:
		return []form25519{{public: Attributes{Bytes(CKA_EC_POINT, k.Public().(ed25519.PublicKey))}}}
	case *ecdh.PrivateKey:
		edwards := Attributes{Ulong(CKA_KEY_TYPE, CKK_EC_EDWARDS)}
		return []form25519{{public: Attributes{Bytes(CKA_EC_POINT, k.PublicKey().Bytes())}}, {public: edwards, private: edwards}}
	}
	return nil
}

// formRefused reports whether a module refused an object for what is in its attributes.
func formRefused(err error) bool {
	return errors.Is(err, CKR_ATTRIBUTE_VALUE_INVALID) || errors.Is(err, CKR_TEMPLATE_INCONSISTENT)
}

// createPair creates both objects of a key pair, or none.
func (s *Session) createPair(ctx context.Context, pub, priv Attributes) (public, imported Object, err error) {
	if imported, err = s.CreateObject(ctx, priv); err != nil {
		return Object{}, Object{}, err
	}
	if public, err = s.CreateObject(ctx, pub); err != nil {
		if undo := s.DestroyObject(ctx, imported); undo != nil {
			err = errors.Join(err, fmt.Errorf("cryptoki: the private key stays on the token: %w", undo))
		}
		return Object{}, Object{}, err
	}
	return public, imported, nil
}

// importAttributes returns options of the kind of key, and what the two objects hold.
func importAttributes(private crypto.PrivateKey, o *KeyPairOptions) (opts KeyPairOptions, pub, priv Attributes, err error) {
	opts = *o
	opts.Curve, opts.RSABits, opts.Ed25519, opts.X25519, opts.MLKEM, opts.Public, opts.Private = nil, 0, false, false, 0, nil, nil
	switch k := private.(type) {
	case *rsa.PrivateKey:
		if len(k.Primes) != 2 {
			return opts, nil, nil, fmt.Errorf("%w: an RSA key of %d primes", ErrUnsupported, len(k.Primes))
		}
		if k.Precomputed.Dp == nil {
			k.Precompute()
		}
		opts.RSABits = k.N.BitLen()
		e := big.NewInt(int64(k.E)).Bytes()
		pub = Attributes{Bytes(CKA_MODULUS, k.N.Bytes()), Bytes(CKA_PUBLIC_EXPONENT, e)}
		priv = Attributes{
			Bytes(CKA_MODULUS, k.N.Bytes()), Bytes(CKA_PUBLIC_EXPONENT, e), Bytes(CKA_PRIVATE_EXPONENT, k.D.Bytes()),
			Bytes(CKA_PRIME_1, k.Primes[0].Bytes()), Bytes(CKA_PRIME_2, k.Primes[1].Bytes()), Bytes(CKA_EXPONENT_1, k.Precomputed.Dp.Bytes()),
			Bytes(CKA_EXPONENT_2, k.Precomputed.Dq.Bytes()), Bytes(CKA_COEFFICIENT, k.Precomputed.Qinv.Bytes()),
		}
		return opts, pub, priv, nil
	case *ecdsa.PrivateKey:
		opts.Curve = k.Curve
		params, err := ecParams(k.Curve)
		if err != nil {
			return opts, nil, nil, err
		}
		point, err := k.PublicKey.Bytes()
		if err != nil {
			return opts, nil, nil, fmt.Errorf("cryptoki: import: %w", err)
		}
		scalar, err := k.Bytes()
		if err != nil {
			return opts, nil, nil, fmt.Errorf("cryptoki: import: %w", err)
		}
		return opts, Attributes{Bytes(CKA_EC_POINT, octetString(point))}, Attributes{Bytes(CKA_EC_PARAMS, params), Bytes(CKA_VALUE, scalar)}, nil
	case ed25519.PrivateKey:
		opts.Ed25519 = true
		pub = Attributes{Bytes(CKA_EC_POINT, octetString(k.Public().(ed25519.PublicKey)))}
		return opts, pub, Attributes{Bytes(CKA_EC_PARAMS, []byte(paramsEd25519)), Bytes(CKA_VALUE, k.Seed())}, nil
	case *ecdh.PrivateKey:
		if k.Curve() != ecdh.X25519() {
			return opts, nil, nil, fmt.Errorf("%w: an ECDH key on %v; import it as *ecdsa.PrivateKey", ErrUnsupported, k.Curve())
		}
		opts.X25519 = true
		pub = Attributes{Bytes(CKA_EC_POINT, octetString(k.PublicKey().Bytes()))}
		return opts, pub, Attributes{Bytes(CKA_EC_PARAMS, []byte(paramsX25519)), Bytes(CKA_VALUE, k.Bytes())}, nil
	}
	return opts, nil, nil, fmt.Errorf("%w: a private key of type %T", ErrUnsupported, private)
}

// octetString returns b as a DER OCTET STRING, as CKA_EC_POINT has it.
func octetString(b []byte) []byte {
	var out cryptobyte.Builder
	out.AddASN1(asn1.OCTET_STRING, func(c *cryptobyte.Builder) { c.AddBytes(b) })
	return out.BytesOrPanic() // no error can be in it
}

// without returns a less the attribute t.
func without(a Attributes, t AttributeType) Attributes {
	kept := make(Attributes, 0, len(a))
	for _, attr := range a {
		if attr.Type != t {
			kept = append(kept, attr)
		}
	}
	return kept
}
