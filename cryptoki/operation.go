package cryptoki

import (
	"context"
	"errors"
	"slices"

	"github.com/cardoki/cardoki/internal/ck"
)

// AppendSign signs input with the key and appends the signature, of at most
// maxLength bytes, to dst. For CKM_ECDSA it is r and s, each as long as the order of
// the curve. It allocates only what dst needs.
func (s *Session) AppendSign(ctx context.Context, dst []byte, m Mechanism, key Object, input []byte, maxLength int) ([]byte, error) {
	if s.straight(ctx, dst, input) {
		return s.operateStraight(dst, &m.m, key, input, maxLength, ck.Sign)
	}
	return s.operate(ctx, dst, m, key, input, maxLength, (*Session).callSign)
}

// AppendDecrypt decrypts input with the key and appends the plaintext, of at most
// maxLength bytes, to dst.
func (s *Session) AppendDecrypt(ctx context.Context, dst []byte, m Mechanism, key Object, input []byte, maxLength int) ([]byte, error) {
	if s.straight(ctx, dst, input) {
		return s.operateStraight(dst, &m.m, key, input, maxLength, ck.Decrypt)
	}
	return s.operate(ctx, dst, m, key, input, maxLength, (*Session).callDecrypt)
}

// AppendEncrypt encrypts input with the key and appends the ciphertext, of at most
// maxLength bytes, to dst. It allocates only what dst needs. A nonce that the token makes
// itself is lost here: see [SecretKey.AEAD].
func (s *Session) AppendEncrypt(ctx context.Context, dst []byte, m Mechanism, key Object, input []byte, maxLength int) ([]byte, error) {
	if s.straight(ctx, dst, input) {
		return s.operateStraight(dst, &m.m, key, input, maxLength, ck.Encrypt)
	}
	return s.operate(ctx, dst, m, key, input, maxLength, (*Session).callEncrypt)
}

// AppendDigest appends the digest of input, of at most maxLength bytes, to dst.
func (s *Session) AppendDigest(ctx context.Context, dst []byte, m Mechanism, input []byte, maxLength int) ([]byte, error) {
	return s.operate(ctx, dst, m, Object{stamp: s.stamp}, input, maxLength, (*Session).callDigest)
}

// ErrSignature is returned by Verify for a signature or MAC that is wrong.
var ErrSignature = errors.New("cryptoki: the signature is wrong")

// Verify verifies a signature or MAC of input in the token. A wrong one is
// [ErrSignature].
func (s *Session) Verify(ctx context.Context, m Mechanism, key Object, input, signature []byte) error {
	if err := s.check(key); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.setInput(input)
	s.out = append(s.out[:0], signature...)
	s.setMechanism(m)
	s.object = key.handle
	if err := s.run(ctx, (*Session).callVerify); err != nil {
		return err
	}
	res := s.res
	clear(s.in)
	s.end()
	switch RV(res.RV) {
	case CKR_OK:
		return nil
	case CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE:
		return ErrSignature
	}
	return s.err(res.Step.String(), res.RV)
}

func (s *Session) callVerify() {
	s.res = s.fl.Verify(s.handle, &s.mech, s.object, s.in, s.out)
}

// setInput makes a copy of input the input of the next call. It is never a null pointer:
// SoftHSM2 refuses that even where there is nothing to point at.
func (s *Session) setInput(input []byte) {
	s.in = append(slices.Grow(s.in[:0], max(1, len(input))), input...)
}

// setMechanism makes a copy of m the mechanism of the next call.
func (s *Session) setMechanism(m Mechanism) {
	s.mech = ck.Mechanism{
		Type: m.m.Type, Kind: m.m.Kind, A: m.m.A, B: m.m.B, C: m.m.C, D: m.m.D, Login: s.always, PIN: s.alwaysPIN,
		Data: append(s.mech.Data[:0], m.m.Data...), Data2: append(s.mech.Data2[:0], m.m.Data2...),
	}
}

func (s *Session) operate(ctx context.Context, dst []byte, m Mechanism, key Object, input []byte, maxLength int, call func(*Session)) ([]byte, error) {
	if err := s.check(key); err != nil {
		return dst, err
	}
	if err := s.begin(ctx); err != nil {
		return dst, err
	}
	s.setInput(input)
	s.out = slices.Grow(s.out[:0], max(1, maxLength))[:maxLength]
	s.setMechanism(m)
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
	if res.RV == ck.RV(CKR_BUFFER_TOO_SMALL) || res.RV != ck.RV(CKR_OK) && res.Step == ck.Login {
		s.retire() // such an operation stays active in the session
	} else {
		s.end()
	}
	if res.RV != ck.RV(CKR_OK) {
		return dst, s.err(res.Step.String(), res.RV)
	}
	return dst, nil
}

// straight reports whether a call may have the caller's own slices: nobody can give up
// waiting for it, and so nothing is written when the caller does not expect it any more;
// nothing else is to be done around it; and the output does not come to lie over the input,
// which not all modules bear.
func (s *Session) straight(ctx context.Context, dst, input []byte) bool {
	return ctx.Done() == nil && s.m.log == nil && s.m.turn == nil && !ck.Overlap(dst[len(dst):cap(dst)], input)
}

// operateStraight is operate for such a call. The operation f is told by its number, as
// a pointer to a function would put on the heap what is given to it.
func (s *Session) operateStraight(dst []byte, m *ck.Mechanism, key Object, input []byte, maxLength int, f ck.Function) ([]byte, error) {
	if err := s.check(key); err != nil {
		return dst, err
	}
	if err := s.begin(context.Background()); err != nil {
		return dst, err
	}
	n := len(dst)
	dst = slices.Grow(dst, maxLength)
	out := dst[n : n+maxLength]
	parameter := len(m.Data)+len(m.Data2) > 0
	if parameter {
		// A nonce that the module makes is not written to the caller's parameter.
		s.in = append(append(s.in[:0], m.Data...), m.Data2...)
		m.Data, m.Data2 = s.in[:len(m.Data)], s.in[len(m.Data):]
	}
	m.Login, m.PIN = s.always, s.alwaysPIN
	var res ck.Result
	switch f {
	case ck.Sign:
		res = s.m.in.Sign(s.handle, m, key.handle, input, out)
	case ck.Decrypt:
		res = s.m.in.Decrypt(s.handle, m, key.handle, input, out)
	case ck.Encrypt:
		res = s.m.in.Encrypt(s.handle, m, key.handle, input, out)
	}
	if parameter {
		clear(s.in)
	}
	if res.RV == ck.RV(CKR_OK) {
		s.end()
		return dst[:n+int(res.N)], nil
	}
	clear(out) // plaintext that is not authentic is not left behind
	if res.RV == ck.RV(CKR_BUFFER_TOO_SMALL) || res.Step == ck.Login {
		s.retire() // such an operation stays active in the session
	} else {
		s.end()
	}
	return dst[:n], s.err(res.Step.String(), res.RV)
}

func (s *Session) callSign() {
	s.res = s.fl.Sign(s.handle, &s.mech, s.object, s.in, s.out)
}

func (s *Session) callDecrypt() {
	s.res = s.fl.Decrypt(s.handle, &s.mech, s.object, s.in, s.out)
}

func (s *Session) callEncrypt() {
	s.res = s.fl.Encrypt(s.handle, &s.mech, s.object, s.in, s.out)
}

func (s *Session) callDigest() { s.res = s.fl.Digest(s.handle, &s.mech, s.in, s.out) }

// SeedRandom mixes seed into the token's generator of random numbers. Few tokens take it.
func (s *Session) SeedRandom(ctx context.Context, seed []byte) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.setInput(seed)
	if err := s.run(ctx, (*Session).callSeed); err != nil {
		return err
	}
	rv := s.res.RV
	clear(s.in)
	s.end()
	return s.err("C_SeedRandom", rv)
}

func (s *Session) callSeed() { s.step(s.fl.SeedRandom(s.handle, s.in), ck.SeedRandom) }

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

func (s *Session) callRandom() { s.step(s.fl.GenerateRandom(s.handle, s.out), ck.GenerateRandom) }
