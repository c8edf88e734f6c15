package cryptoki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// A SecretKey is a secret key of a token, used through a [Pool]. It is safe for concurrent
// use, needs no Close, and is good for as long as the Pool.
//
// When the Pool had to start anew, the key is looked for again, and used only if its
// type, length, check value (CKA_CHECK_VALUE) and unique id (CKA_UNIQUE_ID) are what they
// were, as far as the token tells them; else it is [ErrKeyChanged].
type SecretKey struct {
	pool  *Pool
	query KeyQuery
	is    secretIdentity
	found atomic.Pointer[Object]
}

// secretIdentity is what a token tells of a secret key.
type secretIdentity struct {
	keyType       KeyType
	size          int // 0: not told
	check, unique string
	label, id     string
}

var secretAttributes = []AttributeType{CKA_KEY_TYPE, CKA_VALUE_LEN, CKA_CHECK_VALUE, CKA_UNIQUE_ID, CKA_LABEL, CKA_ID}

func identify(a Attributes) secretIdentity {
	t, _ := a.Ulong(CKA_KEY_TYPE)
	size, _ := a.Ulong(CKA_VALUE_LEN)
	return secretIdentity{
		keyType: KeyType(t), size: int(size), check: a.Text(CKA_CHECK_VALUE), unique: a.Text(CKA_UNIQUE_ID),
		label: a.Text(CKA_LABEL), id: a.Text(CKA_ID),
	}
}

// SecretKey returns the secret key that the query means. If there is none, the error wraps
// [ErrNotFound] and lists those that there are; if there are two, it wraps [ErrAmbiguous]
// and lists them.
func (p *Pool) SecretKey(ctx context.Context, q KeyQuery) (*SecretKey, error) {
	var k *SecretKey
	err := p.safely(ctx, func(s *Session) error {
		objects, err := s.FindObjects(ctx, q.template(CKO_SECRET_KEY))
		if err != nil {
			return err
		}
		if len(objects) != 1 {
			return p.notOne(ctx, s, q, CKO_SECRET_KEY, objects)
		}
		a, err := s.Attributes(ctx, objects[0], secretAttributes...)
		if err != nil {
			return err
		}
		if !q.matches(a) {
			return errMisread
		}
		k = &SecretKey{pool: p, is: identify(a)}
		k.query = KeyQuery{ID: []byte(k.is.id)}
		if k.is.id == "" {
			k.query = KeyQuery{Label: k.is.label}
		}
		k.found.Store(&objects[0])
		return nil
	})
	return k, err
}

// Label returns the key's CKA_LABEL.
func (k *SecretKey) Label() string { return k.is.label }

// ID returns the key's CKA_ID.
func (k *SecretKey) ID() []byte { return []byte(k.is.id) }

// Type returns the key's CKA_KEY_TYPE.
func (k *SecretKey) Type() KeyType { return k.is.keyType }

// Size returns the length of the key in bytes, or 0 if the token does not tell.
func (k *SecretKey) Size() int { return k.is.size }

// Do calls f with a session and the key in it. f is called again, in another session or after
// a recovery, when it returned an error that says that its session, login or handle was
// lost: it must do nothing that may not be done twice.
func (k *SecretKey) Do(ctx context.Context, f func(*Session, Object) error) error {
	return k.pool.safely(ctx, func(s *Session) error {
		found, err := k.in(ctx, s)
		if err != nil {
			return err
		}
		err = f(s, *found)
		if errors.Is(err, CKR_KEY_HANDLE_INVALID) || errors.Is(err, CKR_OBJECT_HANDLE_INVALID) {
			k.found.CompareAndSwap(found, nil)
		}
		return err
	})
}

// in returns the key as s knows it, after finding it again if need be.
func (k *SecretKey) in(ctx context.Context, s *Session) (*Object, error) {
	if o := k.found.Load(); o != nil && o.stamp == s.stamp {
		return o, nil
	}
	objects, err := s.FindObjects(ctx, k.query.template(CKO_SECRET_KEY))
	if err != nil {
		return nil, err
	}
	for i := range objects {
		a, err := s.Attributes(ctx, objects[i], secretAttributes...)
		if err != nil {
			return nil, err
		}
		if identify(a) == k.is {
			k.found.Store(&objects[i])
			k.pool.fruitful()
			return &objects[i], nil
		}
	}
	if len(objects) > 0 {
		return nil, ErrKeyChanged
	}
	return nil, fmt.Errorf("cryptoki: key with %v: %w", k.query, errGone)
}

// AppendMAC appends the MAC of message by a mechanism such as CKM_SHA256_HMAC or
// CKM_AES_CMAC, of at most maxLength bytes, to dst.
func (k *SecretKey) AppendMAC(ctx context.Context, dst []byte, m Mechanism, message []byte, maxLength int) ([]byte, error) {
	out := dst
	err := k.Do(ctx, func(s *Session, key Object) (err error) {
		out, err = s.AppendSign(ctx, dst, m, key, message, maxLength)
		return err
	})
	return out, err
}

// Random returns a reader of the token's random numbers, safe for concurrent use. ctx is
// that of all its reads.
func (p *Pool) Random(ctx context.Context) io.Reader { return &randomReader{p, ctx} }

type randomReader struct {
	p   *Pool
	ctx context.Context
}

// randomChunk is how many bytes one call is asked for: some tokens give no more.
const randomChunk = 1024

// Read implements [io.Reader]. It fills b whole, or returns an error.
func (r *randomReader) Read(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		chunk := b[n:min(n+randomChunk, len(b))]
		if err = r.p.safely(r.ctx, func(s *Session) error { return s.Random(r.ctx, chunk) }); err == nil {
			n += len(chunk)
		}
	}
	return n, err
}

// CheckValue returns the first three bytes of what the key encrypts, as tokens compare keys
// by, or nil if the token does not tell (CKA_CHECK_VALUE).
func (k *SecretKey) CheckValue() []byte { return bytes.Clone([]byte(k.is.check)) }
