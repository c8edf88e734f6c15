package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cardoki/cardoki/internal/ck"
)

// A KeyPolicy is what the attributes of a private or secret key say of leaving its token.
// A token that is not told an attribute is taken at its worst.
type KeyPolicy struct {
	Class ObjectClass
	Type  KeyType
	Label string
	ID    []byte

	Extractable      bool // it can leave, wrapped
	Sensitive        bool // it can't be read in the clear
	WrapWithTrusted  bool // it leaves only under a key that the security officer trusts
	NeverExtractable bool // it never could leave: the token vouches for it
	AlwaysSensitive  bool // it never could be read
	Local            bool // it was generated on the token
	Wraps            bool // it can wrap others
	Trusted          bool // the security officer trusts it for wrapping
	Copyable         bool // copies of it can be made, which may be more restricted only
	Modifiable       bool
}

// policyAttributes are what is read for a KeyPolicy.
var policyAttributes = []AttributeType{
	CKA_CLASS, CKA_KEY_TYPE, CKA_LABEL, CKA_ID, CKA_EXTRACTABLE, CKA_SENSITIVE, CKA_WRAP_WITH_TRUSTED, CKA_NEVER_EXTRACTABLE,
	CKA_ALWAYS_SENSITIVE, CKA_LOCAL, CKA_WRAP, CKA_TRUSTED, CKA_COPYABLE, CKA_MODIFIABLE,
}

// Policy returns what a private or secret key says of leaving its token.
func (s *Session) Policy(ctx context.Context, key Object) (*KeyPolicy, error) {
	a, err := s.Attributes(ctx, key, policyAttributes...)
	if err != nil {
		return nil, err
	}
	flag := func(t AttributeType, unknown bool) bool {
		v, ok := a.Bool(t)
		return ok && v || !ok && unknown
	}
	class, _ := a.Ulong(CKA_CLASS)
	keyType, _ := a.Ulong(CKA_KEY_TYPE)
	id, _ := a.Value(CKA_ID)
	return &KeyPolicy{
		Class: ObjectClass(class), Type: KeyType(keyType), Label: a.Text(CKA_LABEL), ID: id,
		Extractable: flag(CKA_EXTRACTABLE, true), Sensitive: flag(CKA_SENSITIVE, false), WrapWithTrusted: flag(CKA_WRAP_WITH_TRUSTED, false),
		NeverExtractable: flag(CKA_NEVER_EXTRACTABLE, false), AlwaysSensitive: flag(CKA_ALWAYS_SENSITIVE, false), Local: flag(CKA_LOCAL, false),
		Wraps: flag(CKA_WRAP, false), Trusted: flag(CKA_TRUSTED, false), Copyable: flag(CKA_COPYABLE, true), Modifiable: flag(CKA_MODIFIABLE, true),
	}, nil
}

// String returns what the policy means, in words.
func (p *KeyPolicy) String() string {
	switch {
	case !p.Sensitive && p.Extractable:
		return "can be read in the clear by whoever is logged in"
	case p.NeverExtractable:
		return "never could leave the token"
	case !p.Extractable:
		return "can't leave the token now, but could once"
	case p.WrapWithTrusted:
		return "leaves wrapped by a trusted key only"
	}
	return "leaves wrapped by any key that wraps, which whoever is logged in can make"
}

// Exportable returns the policies of all private and secret keys of the token that could
// leave it, in the clear or wrapped: a report for whoever answers for them. A key that can't
// be asked is in the error, and hides no other.
func (s *Session) Exportable(ctx context.Context) ([]*KeyPolicy, error) {
	var report []*KeyPolicy
	var strange error
	for _, class := range []ObjectClass{CKO_PRIVATE_KEY, CKO_SECRET_KEY} {
		keys, err := s.FindObjects(ctx, Attributes{Ulong(CKA_CLASS, class)})
		if err != nil {
			return report, err
		}
		for _, o := range keys {
			p, err := s.Policy(ctx, o)
			switch {
			case err != nil && ctx.Err() != nil:
				return report, err
			case err != nil:
				strange = errors.Join(strange, err)
			case p.Extractable || !p.Sensitive:
				report = append(report, p)
			}
		}
	}
	return report, strange
}

// ErrNotWrapped is returned by WrapKey in place of handing out a key in a form that does
// not protect it.
var ErrNotWrapped = errors.New("cryptoki: this mechanism does not protect the key that it wraps")

// protecting are the mechanisms that WrapKey takes: they hide the key, and the first ones
// notice when it was changed.
var protecting = []MechanismType{
	CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD, CKM_AES_GCM, CKM_AES_CCM, CKM_RSA_AES_KEY_WRAP, CKM_RSA_PKCS_OAEP,
}

// WrapKey exports a key from the token, encrypted by another one: the only way in which
// keys leave here. The mechanism is AES key wrap, with or without padding (by an AES key),
// AES-GCM or CCM, RSA-OAEP (secret keys) or RSA with AES ([RSAAESWrap]); any other is
// [ErrNotWrapped]. What the attributes of the keys do not allow is refused here, since there
// are modules that do not (NSS wraps whatever it has); what the token refuses is told in
// words. The result is at most maxLength bytes.
func (s *Session) WrapKey(ctx context.Context, m Mechanism, by, key Object, maxLength int) ([]byte, error) {
	if !slices.Contains(protecting, m.Type()) {
		return nil, fmt.Errorf("%w: %v", ErrNotWrapped, m.Type())
	}
	if err := errors.Join(s.check(by), s.check(key)); err != nil {
		return nil, err
	}
	if err := s.leaves(ctx, by, key); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.out = slices.Grow(s.out[:0], max(1, maxLength))[:maxLength]
	s.setMechanism(m)
	s.object, s.public = by.handle, key.handle
	if err := s.run(ctx, (*Session).callWrap); err != nil {
		return nil, err
	}
	res := s.res
	wrapped := append([]byte(nil), s.out[:min(res.N, uint(len(s.out)))]...)
	s.end()
	if res.RV != ck.RV(CKR_OK) {
		return nil, errWrapRefused(s.err("C_WrapKey", res.RV))
	}
	return wrapped, nil
}

// leaves returns why a key must not leave the token under another, as far as their
// attributes tell.
func (s *Session) leaves(ctx context.Context, by, key Object) error {
	a, err := s.Attributes(ctx, key, CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED)
	if err != nil {
		return err
	}
	if extractable, told := a.Bool(CKA_EXTRACTABLE); told && !extractable {
		return errWrapRefused(CKR_KEY_UNEXTRACTABLE)
	}
	if bound, _ := a.Bool(CKA_WRAP_WITH_TRUSTED); !bound {
		return nil
	}
	if a, err = s.Attributes(ctx, by, CKA_TRUSTED); err != nil {
		return err
	}
	if trusted, _ := a.Bool(CKA_TRUSTED); !trusted {
		return errWrapRefused(CKR_KEY_NOT_WRAPPABLE)
	}
	return nil
}

func (s *Session) callWrap() {
	s.res = s.fl.WrapKey(s.handle, &s.mech, s.object, s.public, s.out)
}
