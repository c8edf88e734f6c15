package cryptoki

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/signer"
)

var _ signer.Agreeing = (*Key)(nil)

// ECDH returns the secret that the key shares with peer, the x coordinate, as
// [signer.Agreeing] says. The key must be on the curve of peer and allow derivation
// (CKA_DERIVE). The secret leaves the token: it exists there for the time of the
// call only, as an object of the session. Tokens refuse it for a key that wants its PIN for
// each use (CKA_ALWAYS_AUTHENTICATE), which is an error that Is [ErrUnsupported].
func (k *Key) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	var own *ecdh.PublicKey
	size := x25519Size
	switch pub := k.pub.(type) {
	case *ecdsa.PublicKey:
		var err error
		if own, err = pub.ECDH(); err != nil {
			return nil, fmt.Errorf("%w: key agreement on %s", ErrUnsupported, pub.Curve.Params().Name)
		}
		size = coordinateSize(pub.Curve)
	case *ecdh.PublicKey:
		own = pub
	default:
		return nil, fmt.Errorf("%w: key agreement with a key of type %T", ErrUnsupported, k.pub)
	}
	if peer == nil || peer.Curve() != own.Curve() {
		return nil, errors.New("cryptoki: key agreement with a key on another curve")
	}
	if !k.pool.has(CKM_ECDH1_DERIVE) {
		return nil, fmt.Errorf("%w: key agreement by this token", ErrUnsupported)
	}
	var secret []byte
	err := k.use(ctx, func(s *Session, found *foundKey) error {
		var err error
		secret, err = s.agree(ctx, found.object, peer.Bytes(), size)
		return err
	})
	if k.always && errors.Is(err, CKR_USER_NOT_LOGGED_IN) {
		err = fmt.Errorf("%w: key agreement with a key that wants its PIN for each use, for which PKCS#11 has no login: use a key with another PIN policy: %w", ErrUnsupported, err)
	}
	return secret, err
}

// x25519Size is the length of an X25519 secret in bytes.
const x25519Size = 32

// agree derives a secret of n bytes from the key and the point of the other side.
func (s *Session) agree(ctx context.Context, key Object, point []byte, n int) ([]byte, error) {
	m := Mechanism{ck.Mechanism{Type: uint(CKM_ECDH1_DERIVE), Kind: ck.ECDH1, A: uint(CKD_NULL), Data: point}}
	return s.reveal(ctx, m, key, nil, n, (*Session).callAgree)
}

// reveal makes a secret of n bytes by a call, and returns it.
func (s *Session) reveal(ctx context.Context, m Mechanism, key Object, input []byte, n int, call func(*Session)) ([]byte, error) {
	if err := s.check(key); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	err := fill(&s.tmpl, Attributes{
		Ulong(CKA_CLASS, CKO_SECRET_KEY), Ulong(CKA_KEY_TYPE, CKK_GENERIC_SECRET), Ulong(CKA_VALUE_LEN, uint(n)),
		Bool(CKA_TOKEN, false), Bool(CKA_PRIVATE, false), Bool(CKA_SENSITIVE, false), Bool(CKA_EXTRACTABLE, true),
	})
	if err != nil {
		s.end()
		return nil, err
	}
	s.priv.Reset()
	s.priv.Ask(uint(CKA_VALUE), n)
	s.setMechanism(m)
	s.setInput(input)
	s.object = key.handle
	s.out = s.out[:0]
	if err := s.run(ctx, call); err != nil {
		return nil, err
	}
	res := s.res
	secret := append(make([]byte, 0, n), s.out...)
	clear(s.out)
	s.end()
	if res.RV != ck.RV(CKR_OK) {
		return nil, s.err(res.Step.String(), res.RV)
	}
	if len(secret) != n {
		clear(secret)
		return nil, fmt.Errorf("cryptoki: the module gave a secret of %d bytes; it must have %d", len(secret), n)
	}
	return secret, nil
}

func (s *Session) callAgree() {
	s.res = s.fl.DeriveKey(s.handle, &s.mech, s.object, &s.tmpl)
	s.readSecret()
}

// readSecret reads and destroys the secret that a call has made.
func (s *Session) readSecret() {
	if s.res.RV != ck.RV(CKR_OK) {
		return
	}
	object := s.res.N
	s.step(s.fl.GetAttributeValue(s.handle, object, &s.priv), ck.GetAttributeValue)
	if v, ok := s.priv.Value(0); ok {
		s.out = append(s.out, v...)
	}
	s.priv.Reset()
	if rv := s.fl.DestroyObject(s.handle, object); s.res.RV == ck.RV(CKR_OK) && rv != ck.RV(CKR_OK) {
		s.step(rv, ck.DestroyObject)
	}
}
