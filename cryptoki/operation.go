package cryptoki

import (
	"bytes"
	"context"
	"slices"

	"github.com/cardoki/cardoki/internal/ck"
)

// A Mechanism is a mechanism with its parameter, for [Session.Sign] and its like.
type Mechanism struct{ m ck.Mechanism }

// Plain returns the mechanism t without a parameter.
func Plain(t MechanismType) Mechanism { return Mechanism{ck.Mechanism{Type: uint(t)}} }

// PSS returns CKM_RSA_PKCS_PSS for a digest made with hash, such as CKM_SHA256,
// with mask generation function mgf, such as CKG_MGF1_SHA256, and a salt of
// saltLength bytes.
func PSS(hash MechanismType, mgf uint, saltLength int) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_RSA_PKCS_PSS), Kind: ck.PSS, A: uint(hash), B: mgf, C: uint(saltLength)}}
}

// OAEP returns CKM_RSA_PKCS_OAEP with the given hash, mask generation function and
// label, which may be nil.
func OAEP(hash MechanismType, mgf uint, label []byte) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_RSA_PKCS_OAEP), Kind: ck.OAEP, A: uint(hash), B: mgf, C: uint(CKZ_DATA_SPECIFIED), Data: label}}
}

// AppendSign signs input with the key and appends the signature, of at most
// maxLength bytes, to dst. For CKM_ECDSA it is r and s, each as long as the order of
// the curve. It allocates only what dst needs.
func (s *Session) AppendSign(ctx context.Context, dst []byte, m Mechanism, key Object, input []byte, maxLength int) ([]byte, error) {
	return s.operate(ctx, dst, m, key, input, maxLength, (*Session).callSign)
}

// AppendDecrypt decrypts input with the key and appends the plaintext, of at most
// maxLength bytes, to dst.
func (s *Session) AppendDecrypt(ctx context.Context, dst []byte, m Mechanism, key Object, input []byte, maxLength int) ([]byte, error) {
	return s.operate(ctx, dst, m, key, input, maxLength, (*Session).callDecrypt)
}

func (s *Session) operate(ctx context.Context, dst []byte, m Mechanism, key Object, input []byte, maxLength int, call func(*Session)) ([]byte, error) {
	if err := s.check(key); err != nil {
		return dst, err
	}
	if err := s.begin(ctx); err != nil {
		return dst, err
	}
	// Never a null pointer: SoftHSM2 refuses it even where there is nothing to point at.
	s.in = append(slices.Grow(s.in[:0], max(1, len(input))), input...)
	s.out = slices.Grow(s.out[:0], maxLength)[:maxLength]
	s.mech = m.m
	s.mech.Data = bytes.Clone(m.m.Data)
	s.object = key.handle
	if err := s.run(ctx, call); err != nil {
		return dst, err
	}
	res := s.res
	if res.RV == ck.RV(CKR_OK) {
		dst = append(dst, s.out[:res.N]...)
	}
	clear(s.out)
	clear(s.in)
	if res.RV == ck.RV(CKR_BUFFER_TOO_SMALL) {
		s.retire() // such an operation stays active in the session
	} else {
		s.end()
	}
	if res.RV != ck.RV(CKR_OK) {
		return dst, s.err(res.Step.String(), res.RV)
	}
	return dst, nil
}

func (s *Session) callSign() {
	s.res = s.fl.Sign(s.handle, &s.mech, s.object, s.in, s.out)
}

func (s *Session) callDecrypt() {
	s.res = s.fl.Decrypt(s.handle, &s.mech, s.object, s.in, s.out)
}

// Random fills b with random bytes of the token.
func (s *Session) Random(ctx context.Context, b []byte) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.out = slices.Grow(s.out[:0], len(b))[:len(b)]
	if err := s.run(ctx, (*Session).callRandom); err != nil {
		return err
	}
	rv := s.res.RV
	if rv == ck.RV(CKR_OK) {
		copy(b, s.out)
	}
	clear(s.out)
	s.end()
	return s.err("C_GenerateRandom", rv)
}

func (s *Session) callRandom() { s.res.RV = s.fl.GenerateRandom(s.handle, s.out) }
