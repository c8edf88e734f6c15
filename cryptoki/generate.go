package cryptoki

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
)

// KeyPairOptions says what key pair [Session.GenerateKeyPair] makes.
type KeyPairOptions struct {
	// Curve asks for a key on P-224, P-256, P-384 or P-521, RSABits for an RSA key
	// of 2048 bits or more with exponent 65537, Ed25519 and X25519 for one of these,
	// and MLKEM, which is 512, 768 or 1024, for ML-KEM with that parameter set
	// (FIPS 203, PKCS#11 3.2). One of the five is set.
	Curve           elliptic.Curve
	RSABits         int
	Ed25519, X25519 bool
	MLKEM           int
	// Label and ID are those of both keys. The certificate of a key has the same
	// ID, by which it is found, so each key should have another.
	Label string
	ID    []byte
	// Decrypt lets an RSA key decrypt, Derive lets an EC key agree on secrets.
	// All others can sign, but those of X25519, which do nothing but agree, and those of
	// ML-KEM, which do nothing but encapsulate and decapsulate.
	Decrypt, Derive bool
	// SessionOnly makes keys that end with the session.
	SessionOnly bool
	// Public and Private are further attributes. They take the place of those of
	// the same type that are set by default.
	Public, Private Attributes
}

// GenerateKeyPair makes a key pair in the token. Unless the options say otherwise
// the private key is kept in the token, private (usable only after login),
// sensitive and not extractable: it never leaves the token.
func (s *Session) GenerateKeyPair(ctx context.Context, o *KeyPairOptions) (public, private Object, err error) {
	m, pub, priv, err := o.templates()
	if err != nil {
		return Object{}, Object{}, err
	}
	public, private, err = s.generatePair(ctx, m, pub, priv)
	if o.X25519 && errors.Is(err, CKR_MECHANISM_INVALID) {
		if public, private, edwards := s.generateAsEdwards(ctx, pub, priv); edwards == nil {
			return public, private, nil
		}
	}
	return public, private, err
}

// generateAsEdwards generates an X25519 key with the mechanism for Edwards keys, of which
// SoftHSM2 2.6.1 has it as one more curve. A token that makes another key of that has none.
func (s *Session) generateAsEdwards(ctx context.Context, pub, priv Attributes) (public, private Object, err error) {
	keyType := Attributes{Ulong(CKA_KEY_TYPE, CKK_EC_EDWARDS)}
	public, private, err = s.generatePair(ctx, CKM_EC_EDWARDS_KEY_PAIR_GEN, override(pub, keyType), override(priv, keyType))
	if err != nil {
		return Object{}, Object{}, err
	}
	a, err := s.Attributes(ctx, public, CKA_EC_PARAMS)
	if params, _ := a.Value(CKA_EC_PARAMS); err != nil || curve25519(CKK_EC_EDWARDS, params) != x25519Kind {
		return Object{}, Object{}, errors.Join(err, ErrUnsupported, s.DestroyObject(ctx, public), s.DestroyObject(ctx, private))
	}
	return public, private, nil
}

func (s *Session) generatePair(ctx context.Context, m MechanismType, pub, priv Attributes) (public, private Object, err error) {
	if err := s.begin(ctx); err != nil {
		return Object{}, Object{}, err
	}
	if err := errors.Join(fill(&s.tmpl, pub), fill(&s.priv, priv)); err != nil {
		s.end()
		return Object{}, Object{}, err
	}
	s.mech = ck.Mechanism{Type: uint(m)}
	if err := s.run(ctx, (*Session).callGenerate); err != nil {
		return Object{}, Object{}, err
	}
	public, private = Object{s.public, s.stamp}, Object{s.object, s.stamp}
	rv := s.res.RV
	s.end()
	if err := s.err("C_GenerateKeyPair", rv); err != nil {
		return Object{}, Object{}, err
	}
	return public, private, nil
}

func (s *Session) callGenerate() {
	public, private, rv := s.fl.GenerateKeyPair(s.handle, &s.mech, &s.tmpl, &s.priv)
	s.public, s.object = public, private
	s.step(rv, ck.GenerateKeyPair)
}

func (o *KeyPairOptions) templates() (m MechanismType, pub, priv Attributes, err error) {
	pub = Attributes{
		Ulong(CKA_CLASS, CKO_PUBLIC_KEY), Bool(CKA_TOKEN, !o.SessionOnly), Bool(CKA_PRIVATE, false),
		String(CKA_LABEL, o.Label), Bytes(CKA_ID, o.ID), Bool(CKA_VERIFY, true),
	}
	priv = Attributes{
		Ulong(CKA_CLASS, CKO_PRIVATE_KEY), Bool(CKA_TOKEN, !o.SessionOnly), Bool(CKA_PRIVATE, true),
		Bool(CKA_SENSITIVE, true), Bool(CKA_EXTRACTABLE, false),
		String(CKA_LABEL, o.Label), Bytes(CKA_ID, o.ID), Bool(CKA_SIGN, true),
	}
	kinds := 0
	for _, asked := range []bool{o.Curve != nil, o.RSABits != 0, o.Ed25519, o.X25519, o.MLKEM != 0} {
		if asked {
			kinds++
		}
	}
	switch {
	case kinds == 1 && o.Ed25519:
		if o.Decrypt || o.Derive {
			return 0, nil, nil, fmt.Errorf("%w: decryption and key agreement with an Ed25519 key", ErrUnsupported)
		}
		m = CKM_EC_EDWARDS_KEY_PAIR_GEN
		pub = append(pub, Ulong(CKA_KEY_TYPE, CKK_EC_EDWARDS), Bytes(CKA_EC_PARAMS, []byte(paramsEd25519)))
		priv = append(priv, Ulong(CKA_KEY_TYPE, CKK_EC_EDWARDS))
	case kinds == 1 && o.X25519:
		if o.Decrypt {
			return 0, nil, nil, fmt.Errorf("%w: decryption with an X25519 key", ErrUnsupported)
		}
		m = CKM_EC_MONTGOMERY_KEY_PAIR_GEN
		pub = append(override(pub, Attributes{Bool(CKA_VERIFY, false)}), Ulong(CKA_KEY_TYPE, CKK_EC_MONTGOMERY), Bytes(CKA_EC_PARAMS, []byte(paramsX25519)))
		priv = append(override(priv, Attributes{Bool(CKA_SIGN, false)}), Ulong(CKA_KEY_TYPE, CKK_EC_MONTGOMERY), Bool(CKA_DERIVE, true))
	case kinds == 1 && parameterSets[o.MLKEM] != 0:
		if o.Decrypt || o.Derive {
			return 0, nil, nil, fmt.Errorf("%w: decryption and key agreement with an ML-KEM key", ErrUnsupported)
		}
		m = CKM_ML_KEM_KEY_PAIR_GEN
		pub = append(without(pub, CKA_VERIFY), Ulong(CKA_KEY_TYPE, CKK_ML_KEM), Ulong(CKA_PARAMETER_SET, parameterSets[o.MLKEM]), Bool(CKA_ENCAPSULATE, true))
		priv = append(without(priv, CKA_SIGN), Ulong(CKA_KEY_TYPE, CKK_ML_KEM), Bool(CKA_DECAPSULATE, true))
	case kinds == 1 && o.Curve != nil:
		params, err := ecParams(o.Curve)
		if err != nil {
			return 0, nil, nil, err
		}
		if o.Decrypt {
			return 0, nil, nil, fmt.Errorf("%w: decryption with an EC key", ErrUnsupported)
		}
		m = CKM_EC_KEY_PAIR_GEN
		pub = append(pub, Ulong(CKA_KEY_TYPE, CKK_EC), Bytes(CKA_EC_PARAMS, params))
		priv = append(priv, Ulong(CKA_KEY_TYPE, CKK_EC), Bool(CKA_DERIVE, o.Derive))
	case kinds == 1 && o.RSABits >= 2048 && o.RSABits <= 16384:
		if o.Derive {
			return 0, nil, nil, fmt.Errorf("%w: key agreement with an RSA key", ErrUnsupported)
		}
		m = CKM_RSA_PKCS_KEY_PAIR_GEN
		pub = append(pub, Ulong(CKA_KEY_TYPE, CKK_RSA), Ulong(CKA_MODULUS_BITS, uint(o.RSABits)),
			Bytes(CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}), Bool(CKA_ENCRYPT, o.Decrypt))
		priv = append(priv, Ulong(CKA_KEY_TYPE, CKK_RSA), Bool(CKA_DECRYPT, o.Decrypt))
	default:
		return 0, nil, nil, errors.New("cryptoki: a key pair needs one of Curve, Ed25519, X25519, MLKEM of 512, 768 or 1024, and RSABits of 2048 to 16384")
	}
	return m, override(pub, o.Public), override(priv, o.Private), nil
}

// parameterSets are the values of CKA_PARAMETER_SET for ML-KEM.
var parameterSets = map[int]uint{512: CKP_ML_KEM_512, 768: CKP_ML_KEM_768, 1024: CKP_ML_KEM_1024}

// override replaces and adds attributes.
func override(a, by Attributes) Attributes {
next:
	for _, attr := range by {
		for i := range a {
			if a[i].Type == attr.Type {
				a[i] = attr
				continue next
			}
		}
		a = append(a, attr)
	}
	return a
}
