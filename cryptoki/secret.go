package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cardoki/cardoki/internal/ck"
)

// SecretKeyOptions says what key [Session.GenerateSecretKey] makes, or what becomes of one
// that is derived, unwrapped or decapsulated.
type SecretKeyOptions struct {
	// Type is CKK_AES, CKK_GENERIC_SECRET, CKK_SHA256_HMAC, CKK_CHACHA20 or another.
	Type KeyType
	// Size is the length of the key in bytes. 0 leaves it to the mechanism.
	Size int
	// Label and ID are those of the key.
	Label string
	ID    []byte
	// What the key may do.
	Encrypt, Decrypt, Sign, Verify, Derive, Wrap, Unwrap bool
	// Extractable lets the key leave the token wrapped by another key. Without it it
	// never leaves. WrapWithTrusted lets it leave only under a key that the security
	// officer has marked as trusted (CKA_TRUSTED).
	Extractable, WrapWithTrusted bool
	// SessionOnly makes a key that ends with the session.
	SessionOnly bool
	// More are further attributes, which take the place of those of the same type.
	More Attributes
}

// template returns the attributes of the key: private and sensitive, whatever More does not
// change.
func (o *SecretKeyOptions) template() Attributes {
	a := Attributes{
		Ulong(CKA_CLASS, CKO_SECRET_KEY), Ulong(CKA_KEY_TYPE, o.Type), Bool(CKA_TOKEN, !o.SessionOnly), Bool(CKA_PRIVATE, true),
		Bool(CKA_SENSITIVE, true), Bool(CKA_EXTRACTABLE, o.Extractable), String(CKA_LABEL, o.Label), Bytes(CKA_ID, o.ID),
		Bool(CKA_ENCRYPT, o.Encrypt), Bool(CKA_DECRYPT, o.Decrypt), Bool(CKA_SIGN, o.Sign), Bool(CKA_VERIFY, o.Verify),
		Bool(CKA_DERIVE, o.Derive), Bool(CKA_WRAP, o.Wrap), Bool(CKA_UNWRAP, o.Unwrap),
	}
	if o.WrapWithTrusted {
		a = append(a, Bool(CKA_WRAP_WITH_TRUSTED, true))
	}
	if o.Size > 0 {
		a = append(a, Ulong(CKA_VALUE_LEN, uint(o.Size)))
	}
	return override(a, o.More)
}

// generators are the mechanisms that generate secret keys.
var generators = map[KeyType]MechanismType{
	CKK_AES: CKM_AES_KEY_GEN, CKK_GENERIC_SECRET: CKM_GENERIC_SECRET_KEY_GEN, CKK_CHACHA20: CKM_CHACHA20_KEY_GEN, CKK_HKDF: CKM_HKDF_KEY_GEN,
	CKK_SHA256_HMAC: CKM_GENERIC_SECRET_KEY_GEN, CKK_SHA384_HMAC: CKM_GENERIC_SECRET_KEY_GEN, CKK_SHA512_HMAC: CKM_GENERIC_SECRET_KEY_GEN,
}

// GenerateSecretKey generates a secret key in the token.
func (s *Session) GenerateSecretKey(ctx context.Context, o *SecretKeyOptions) (Object, error) {
	m, ok := generators[o.Type]
	if !ok {
		return Object{}, fmt.Errorf("%w: no mechanism is known that generates keys of type %v", ErrUnsupported, o.Type)
	}
	template := o.template()
	if m == CKM_GENERIC_SECRET_KEY_GEN {
		template = override(template, Attributes{Ulong(CKA_KEY_TYPE, CKK_GENERIC_SECRET)})
	}
	return s.make(ctx, "C_GenerateKey", Plain(m), Object{stamp: s.stamp}, nil, template, (*Session).callGenerateKey)
}

// DeriveKey derives a key from another one, or by CKM_PKCS5_PBKD2 and its like from what
// is in the mechanism: then from is the zero Object.
func (s *Session) DeriveKey(ctx context.Context, m Mechanism, from Object, o *SecretKeyOptions) (Object, error) {
	if from == (Object{}) {
		return s.make(ctx, "C_GenerateKey", m, Object{stamp: s.stamp}, nil, o.template(), (*Session).callGenerateKey)
	}
	return s.make(ctx, "C_DeriveKey", m, from, nil, o.template(), (*Session).callDerive)
}

// UnwrapKey makes a secret key of what [Session.WrapKey] gave, here or elsewhere.
func (s *Session) UnwrapKey(ctx context.Context, m Mechanism, by Object, wrapped []byte, o *SecretKeyOptions) (Object, error) {
	return s.make(ctx, "C_UnwrapKey", m, by, wrapped, o.template(), (*Session).callUnwrap)
}

// UnwrapPrivateKey makes a private key of what [Session.WrapKey] gave. The options are
// those of [Session.ImportKey]; its kind is the one of o's Curve, RSABits, Ed25519,
// X25519 or MLKEM. The public key must be stored apart, by CreateObject or as a certificate.
func (s *Session) UnwrapPrivateKey(ctx context.Context, m Mechanism, by Object, wrapped []byte, o *KeyPairOptions) (Object, error) {
	_, _, private, err := o.templates()
	if err != nil {
		return Object{}, err
	}
	return s.make(ctx, "C_UnwrapKey", m, by, wrapped, private, (*Session).callUnwrap)
}

// Decapsulate makes a secret key of its encapsulation, with the private key of a key
// encapsulation mechanism such as CKM_ML_KEM (PKCS#11 3.2).
func (s *Session) Decapsulate(ctx context.Context, m Mechanism, private Object, encapsulated []byte, o *SecretKeyOptions) (Object, error) {
	return s.make(ctx, "C_DecapsulateKey", m, private, encapsulated, o.template(), (*Session).callDecapsulate)
}

// Encapsulate makes a secret key for the holder of a private key, and its encapsulation
// for them, of at most maxLength bytes (PKCS#11 3.2).
func (s *Session) Encapsulate(ctx context.Context, m Mechanism, public Object, o *SecretKeyOptions, maxLength int) (key Object, encapsulated []byte, err error) {
	if err := s.check(public); err != nil {
		return Object{}, nil, err
	}
	if err := s.begin(ctx); err != nil {
		return Object{}, nil, err
	}
	if err := fill(&s.tmpl, o.template()); err != nil {
		s.end()
		return Object{}, nil, err
	}
	s.out = slices.Grow(s.out[:0], max(1, maxLength))[:maxLength]
	s.setMechanism(m)
	s.object = public.handle
	if err := s.run(ctx, (*Session).callEncapsulate); err != nil {
		return Object{}, nil, err
	}
	res, handle := s.res, s.object
	encapsulated = append([]byte(nil), s.out[:min(res.N, uint(len(s.out)))]...)
	s.end()
	if res.RV != ck.RV(CKR_OK) {
		return Object{}, nil, s.err("C_EncapsulateKey", res.RV)
	}
	return Object{handle, s.stamp}, encapsulated, nil
}

// make makes an object by one call that has a mechanism, mostly a key, sometimes input,
// and a template.
func (s *Session) make(ctx context.Context, function string, m Mechanism, key Object, input []byte, template Attributes, call func(*Session)) (Object, error) {
	if err := s.check(key); err != nil {
		return Object{}, err
	}
	if err := s.begin(ctx); err != nil {
		return Object{}, err
	}
	if err := fill(&s.tmpl, template); err != nil {
		s.end()
		return Object{}, err
	}
	s.setInput(input)
	s.setMechanism(m)
	if s.mech.Kind == ck.PBKDF2 && s.m.quirks.PasswordPointer {
		s.mech.Kind = ck.PBKDF2Pointer
	}
	s.object = key.handle
	if err := s.run(ctx, call); err != nil {
		return Object{}, err
	}
	res := s.res
	clear(s.in)
	clear(s.mech.Data2) // the session's own copy, of a password too
	s.tmpl.Reset()
	s.end()
	if err := s.err(function, res.RV); err != nil {
		return Object{}, err
	}
	return Object{res.N, s.stamp}, nil
}

func (s *Session) callGenerateKey() { s.res = s.fl.GenerateKey(s.handle, &s.mech, &s.tmpl) }

func (s *Session) callDerive() {
	s.res = s.fl.DeriveKey(s.handle, &s.mech, s.object, &s.tmpl)
}

func (s *Session) callUnwrap() {
	s.res = s.fl.UnwrapKey(s.handle, &s.mech, s.object, s.in, &s.tmpl)
}

func (s *Session) callDecapsulate() {
	s.res = s.fl.DecapsulateKey(s.handle, &s.mech, s.object, s.in, &s.tmpl)
}

func (s *Session) callEncapsulate() {
	s.object, s.res = s.fl.EncapsulateKey(s.handle, &s.mech, s.object, &s.tmpl, s.out)
}

// CopyObject makes a copy of an object with some attributes changed, where the token
// allows it.
func (s *Session) CopyObject(ctx context.Context, o Object, changes Attributes) (Object, error) {
	return s.make(ctx, "C_CopyObject", Mechanism{}, o, nil, changes, (*Session).callCopy)
}

func (s *Session) callCopy() { s.res = s.fl.CopyObject(s.handle, s.object, &s.tmpl) }

// SetAttributes changes attributes of an object, all or none of them.
func (s *Session) SetAttributes(ctx context.Context, o Object, changes Attributes) error {
	_, err := s.make(ctx, "C_SetAttributeValue", Mechanism{}, o, nil, changes, (*Session).callSetAttributes)
	return err
}

func (s *Session) callSetAttributes() {
	s.step(s.fl.SetAttributeValue(s.handle, s.object, &s.tmpl), ck.SetAttributeValue)
}

// errWrapRefused says why a key did not leave, in words.
func errWrapRefused(err error) error {
	for rv, why := range map[RV]string{
		CKR_KEY_UNEXTRACTABLE:              "the key was made so that it never leaves the token (CKA_EXTRACTABLE is false)",
		CKR_KEY_NOT_WRAPPABLE:              "the key leaves only under a trusted key (CKA_WRAP_WITH_TRUSTED), and this one is not",
		CKR_WRAPPING_KEY_TYPE_INCONSISTENT: "the wrapping key is of the wrong type for the mechanism",
		CKR_WRAPPING_KEY_SIZE_RANGE:        "the wrapping key has the wrong size",
		CKR_KEY_FUNCTION_NOT_PERMITTED:     "the wrapping key was not made for wrapping (CKA_WRAP is false)",
		CKR_KEY_SIZE_RANGE:                 "the key is too long for the mechanism: RSA-OAEP takes less than the modulus, use RSAAESWrap",
	} {
		if errors.Is(err, rv) {
			return fmt.Errorf("cryptoki: wrap: %s: %w", why, err)
		}
	}
	return err
}
