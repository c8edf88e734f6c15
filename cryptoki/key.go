package cryptoki

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cardoki/cardoki/signer"
)

// A KeyQuery says which key is meant: by label (CKA_LABEL), by id (CKA_ID), by its public
// key, or by all of them. What is empty is not compared; an empty query means the only key of
// the token.
type KeyQuery struct {
	Label string
	ID    []byte
	// Public is the public key, such as that of a certificate. It is for private keys.
	Public crypto.PublicKey
}

// String returns the query as a message has it.
func (q KeyQuery) String() string {
	var parts []string
	if q.Label != "" {
		parts = append(parts, fmt.Sprintf("label %q", q.Label))
	}
	if len(q.ID) > 0 {
		parts = append(parts, fmt.Sprintf("id %X", q.ID))
	}
	if q.Public != nil {
		parts = append(parts, fmt.Sprintf("the public key given (%T)", q.Public))
	}
	if len(parts) == 0 {
		return "any label"
	}
	return strings.Join(parts, ", ")
}

// matches reports whether attributes that were read are those of the query.
func (q KeyQuery) matches(a Attributes) bool {
	id, _ := a.Value(CKA_ID)
	return (q.Label == "" || a.Text(CKA_LABEL) == q.Label) && (len(q.ID) == 0 || bytes.Equal(id, q.ID))
}

func (q KeyQuery) template(class ObjectClass) Attributes {
	a := Attributes{Ulong(CKA_CLASS, class)}
	if q.Label != "" {
		a = append(a, String(CKA_LABEL, q.Label))
	}
	if len(q.ID) > 0 {
		a = append(a, Bytes(CKA_ID, q.ID))
	}
	return a
}

// A Key is a private key of a token, used through a [Pool]. It implements
// [signer.Key] and, if it is an RSA key, [signer.Decrypting] in earnest; it is safe
// for concurrent use. It needs no Close, and is good for as long as the Pool.
//
// RSA keys do PKCS #1 v1.5, PSS and OAEP: in the token where the token takes the
// parameters, else with the padding made here and the token's raw RSA. EC keys do
// ECDSA and key agreement, Ed25519 keys sign, X25519 keys agree. A key that wants the PIN
// for each use (CKA_ALWAYS_AUTHENTICATE) gets it from PoolOptions.PIN, with
// CKU_CONTEXT_SPECIFIC in the request.
//
// When the Pool had to start anew, the key is looked for again, and used only if it
// still has the same public key; the first signature after that is verified.
type Key struct {
	pool  *Pool
	query KeyQuery // finds the key again
	label string
	id    []byte
	pub   crypto.PublicKey
	// always is CKA_ALWAYS_AUTHENTICATE: each use wants a login of its own.
	always bool
	found  atomic.Pointer[foundKey]
	// refusedOAEP are the hash functions, [2]crypto.Hash, that the token's OAEP does not take.
	refusedOAEP sync.Map
}

// A foundKey is a handle and whether a signature made with it was verified.
type foundKey struct {
	object   Object
	verified atomic.Bool
}

var (
	_ signer.Key        = (*Key)(nil)
	_ signer.Decrypting = (*Key)(nil)
)

// Key returns the private key that the query means. If there is none, the error
// wraps [ErrNotFound] and lists those that there are; if there are two, it wraps
// [ErrAmbiguous] and lists them.
func (p *Pool) Key(ctx context.Context, q KeyQuery) (*Key, error) {
	var k *Key
	err := p.safely(ctx, func(s *Session) error {
		objects, err := s.FindObjects(ctx, q.template(CKO_PRIVATE_KEY))
		if err != nil {
			return err
		}
		if q.Public != nil {
			if objects, err = p.withPublic(ctx, s, q, objects); err != nil {
				return err
			}
		}
		if len(objects) != 1 {
			return p.notOne(ctx, s, q, CKO_PRIVATE_KEY, objects)
		}
		k, err = p.key(ctx, s, q, objects[0])
		return err
	})
	return k, err
}

// withPublic returns those of the objects whose public key is that of the query.
func (p *Pool) withPublic(ctx context.Context, s *Session, q KeyQuery, objects []Object) ([]Object, error) {
	var found []Object
	for _, o := range objects {
		k, err := p.key(ctx, s, q, o)
		switch {
		case err == nil && equal(q.Public, k.pub):
			found = append(found, o)
		case err != nil && (s.closed() || ctx.Err() != nil || troubleOf(err) != 0):
			return nil, err
		}
	}
	return found, nil
}

// key returns the key that is an object.
func (p *Pool) key(ctx context.Context, s *Session, q KeyQuery, o Object) (*Key, error) {
	a, err := s.Attributes(ctx, o, keyAttributes...)
	if err != nil {
		return nil, err
	}
	if !q.matches(a) {
		return nil, errMisread
	}
	always, _ := a.Bool(CKA_ALWAYS_AUTHENTICATE)
	id, _ := a.Value(CKA_ID)
	k := &Key{pool: p, label: a.Text(CKA_LABEL), id: id, always: always}
	if k.query = (KeyQuery{ID: id}); len(id) == 0 {
		k.query = KeyQuery{Label: k.label}
	}
	if k.pub, err = s.publicKey(ctx, a); err != nil {
		return nil, fmt.Errorf("cryptoki: key with %v: %w", k.query, err)
	}
	k.found.Store(&foundKey{object: o})
	return k, nil
}

// Keys iterates over the private keys that the query means. One that can't be used, as
// its public key is of a strange kind or can't be found, comes as an error that says which, and hides
// no other. An error that ends the search is the last.
func (p *Pool) Keys(ctx context.Context, q KeyQuery) iter.Seq2[*Key, error] {
	return func(yield func(*Key, error) bool) {
		type result struct {
			key *Key
			err error
		}
		var all []result
		err := p.safely(ctx, func(s *Session) error {
			all = nil
			objects, err := s.FindObjects(ctx, q.template(CKO_PRIVATE_KEY))
			if err != nil {
				return err
			}
			for _, o := range objects {
				k, err := p.key(ctx, s, q, o)
				if err != nil && (s.closed() || ctx.Err() != nil || troubleOf(err) != 0) {
					return err
				}
				all = append(all, result{k, err})
			}
			return nil
		})
		for _, r := range all {
			if !yield(r.key, r.err) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// Label returns the key's CKA_LABEL.
func (k *Key) Label() string { return k.label }

// ID returns a copy of the key's CKA_ID, which its certificate has too.
func (k *Key) ID() []byte { return append([]byte(nil), k.id...) }

// Public returns the public key: *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, for
// X25519 *ecdh.PublicKey, for ML-KEM *mlkem.EncapsulationKey768 or
// *mlkem.EncapsulationKey1024.
func (k *Key) Public() crypto.PublicKey { return k.pub }

// keyAttributes are what is read of a private key.
var keyAttributes = []AttributeType{
	CKA_KEY_TYPE, CKA_ID, CKA_LABEL, CKA_ALWAYS_AUTHENTICATE,
	CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS, CKA_EC_POINT,
}

// publicAttributes are what is read of a public key.
var publicAttributes = append([]AttributeType{CKA_CLASS, CKA_PARAMETER_SET, CKA_VALUE}, keyAttributes...)

// notOne returns the error for a query that matches no key or several.
func (p *Pool) notOne(ctx context.Context, s *Session, q KeyQuery, class ObjectClass, objects []Object) error {
	if len(objects) > 0 {
		return fmt.Errorf("cryptoki: key with %v: %w: %s", q, ErrAmbiguous, s.list(ctx, objects))
	}
	all, err := s.FindObjects(ctx, KeyQuery{}.template(class))
	if err != nil {
		return err
	}
	switch {
	case len(all) > 0:
		return fmt.Errorf("cryptoki: key with %v: %w; there are: %s", q, ErrNotFound, s.list(ctx, all))
	case p.opts.PIN == nil:
		return fmt.Errorf("cryptoki: key with %v: %w; the token shows no such key, as most tokens do before a login: set PoolOptions.PIN", q, ErrNotFound)
	}
	return fmt.Errorf("cryptoki: key with %v: %w; the token has no %s", q, ErrNotFound, map[ObjectClass]string{CKO_PRIVATE_KEY: "private key", CKO_SECRET_KEY: "secret key"}[class])
}

// list names keys, for errors. It is best effort.
func (s *Session) list(ctx context.Context, objects []Object) string {
	const most = 20
	var names []string
	for i, o := range objects {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(objects)-most))
			break
		}
		a, err := s.Attributes(ctx, o, CKA_LABEL, CKA_ID)
		if err != nil {
			names = append(names, "one that cannot be read")
			continue
		}
		id, _ := a.Value(CKA_ID)
		names = append(names, fmt.Sprintf("label %q, id %X", a.Text(CKA_LABEL), id))
	}
	return strings.Join(names, "; ")
}

// publicKey returns the public key that goes with the private key with attributes
// a: from its own attributes, from the public key object with the same CKA_ID (or
// CKA_LABEL if it has no id), or from the certificate with the same CKA_ID.
func (s *Session) publicKey(ctx context.Context, a Attributes) (crypto.PublicKey, error) {
	if pub, err := parsePublicKey(a); pub != nil || err != nil {
		return pub, err
	}
	id, _ := a.Value(CKA_ID)
	q := KeyQuery{ID: id}
	if len(id) == 0 {
		q = KeyQuery{Label: a.Text(CKA_LABEL)}
	}
	var strange error
	if len(q.ID) > 0 || q.Label != "" {
		objects, err := s.FindObjects(ctx, q.template(CKO_PUBLIC_KEY))
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			b, err := s.Attributes(ctx, o, publicAttributes...)
			if err != nil {
				return nil, err
			}
			if pub, err := parsePublicKey(b); pub != nil && sameType(a, b) {
				return pub, nil
			} else if err != nil {
				strange = err
			}
		}
	}
	if len(id) > 0 {
		certs, err := s.Certificates(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, cert := range certs {
			switch pub := cert.PublicKey.(type) {
			case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
				return pub, nil
			}
		}
	}
	if strange != nil {
		return nil, strange
	}
	if t, ok := a.Ulong(CKA_KEY_TYPE); ok && !slices.Contains([]KeyType{CKK_RSA, CKK_EC, CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKK_ML_KEM}, KeyType(t)) {
		return nil, fmt.Errorf("%w: key type %v", ErrUnsupported, KeyType(t))
	}
	return nil, fmt.Errorf("its public key is %w: the token has no public key object and no certificate with the same id; store one of them", ErrNotFound)
}

func sameType(a, b Attributes) bool {
	x, xok := a.Ulong(CKA_KEY_TYPE)
	y, yok := b.Ulong(CKA_KEY_TYPE)
	return xok && yok && x == y
}

// parsePublicKey returns the public key in the attributes of an object, or nil if
// it is not in them.
func parsePublicKey(a Attributes) (crypto.PublicKey, error) {
	t, _ := a.Ulong(CKA_KEY_TYPE)
	switch KeyType(t) {
	case CKK_RSA:
		n, _ := a.Value(CKA_MODULUS)
		e, _ := a.Value(CKA_PUBLIC_EXPONENT)
		if len(n) == 0 || len(e) == 0 {
			return nil, nil
		}
		exponent := new(big.Int).SetBytes(e)
		if !exponent.IsInt64() || exponent.Int64() > 1<<31-1 || exponent.Int64() < 3 {
			return nil, fmt.Errorf("%w: RSA with an exponent of %d bits", ErrUnsupported, exponent.BitLen())
		}
		pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}
		if bits := pub.N.BitLen(); bits < 512 || bits > 16384 {
			return nil, fmt.Errorf("%w: RSA with %d bits", ErrUnsupported, bits)
		}
		return pub, nil
	case CKK_ML_KEM:
		set, ok := a.Ulong(CKA_PARAMETER_SET)
		value, _ := a.Value(CKA_VALUE)
		if class, _ := a.Ulong(CKA_CLASS); !ok || len(value) == 0 || ObjectClass(class) != CKO_PUBLIC_KEY {
			return nil, nil
		}
		return parseMLKEM(set, value)
	case CKK_EC, CKK_EC_EDWARDS, CKK_EC_MONTGOMERY:
		params, _ := a.Value(CKA_EC_PARAMS)
		point, _ := a.Value(CKA_EC_POINT)
		if len(point) == 0 || len(params) == 0 && KeyType(t) == CKK_EC {
			return nil, nil
		}
		if c := curve25519(KeyType(t), params); c != none25519 {
			return parse25519(c, point)
		}
		curve, err := parseECParams(params)
		if err != nil {
			return nil, err
		}
		pub, err := parseECPoint(curve, point)
		if err != nil {
			return nil, err
		}
		return pub, nil
	}
	return nil, nil
}

func equal(a, b crypto.PublicKey) bool {
	switch a := a.(type) {
	case *rsa.PublicKey:
		return a.Equal(b)
	case *ecdsa.PublicKey:
		return a.Equal(b)
	case ed25519.PublicKey:
		return a.Equal(b)
	case *ecdh.PublicKey:
		return a.Equal(b)
	case interface{ Bytes() []byte }: // of ML-KEM
		b, ok := b.(interface{ Bytes() []byte })
		return ok && bytes.Equal(a.Bytes(), b.Bytes())
	}
	return false
}

// errGone is ErrNotFound for a key that was there.
var errGone = fmt.Errorf("%w any more", ErrNotFound)

// in returns the key as s knows it, after finding it again if need be.
func (k *Key) in(ctx context.Context, s *Session) (*foundKey, error) {
	if f := k.found.Load(); f != nil && f.object.stamp == s.stamp {
		return f, nil
	}
	return k.findAgain(ctx, s)
}

// findAgain is in for a life in which the key was not found yet.
func (k *Key) findAgain(ctx context.Context, s *Session) (*foundKey, error) {
	objects, err := s.FindObjects(ctx, k.query.template(CKO_PRIVATE_KEY))
	if err != nil {
		return nil, err
	}
	changed := false
	for _, o := range objects {
		a, err := s.Attributes(ctx, o, keyAttributes...)
		if err != nil {
			return nil, err
		}
		if !k.query.matches(a) {
			return nil, errMisread
		}
		pub, err := s.publicKey(ctx, a)
		switch {
		case err == nil && equal(k.pub, pub):
			f := &foundKey{object: o}
			k.found.Store(f)
			k.pool.fruitful()
			return f, nil
		case err != nil && troubleOf(err) != 0:
			return nil, err
		case err == nil || !errors.Is(err, ErrNotFound): // that is no public key at all
			changed = true
		}
	}
	if changed {
		return nil, ErrKeyChanged
	}
	return nil, fmt.Errorf("cryptoki: key with %v: %w", k.query, errGone)
}

// forget drops the handle if an error says that it is good for nothing.
func (k *Key) forget(f *foundKey, err error) {
	if errors.Is(err, CKR_KEY_HANDLE_INVALID) || errors.Is(err, CKR_OBJECT_HANDLE_INVALID) || errors.Is(err, ErrKeyChanged) {
		k.found.CompareAndSwap(f, nil)
	}
}

// errMisread is why an object is not used whose attributes are not those by which it was found.
var errMisread = fmt.Errorf("%w: its handle meant another one a moment later", ErrKeyChanged)

// errMisused is what ErrKeyChanged is when another key was used whose result nobody saw: the right
// one may be found under another handle.
var errMisused = fmt.Errorf("%w, and what another key gave in its place was thrown away", ErrKeyChanged)

// use calls f with a session and the handle of the key in it; and again, in another
// session or after a recovery, when that has failed for reasons of its session.
func (k *Key) use(ctx context.Context, f func(*Session, *foundKey) error) error {
	for tries := 1; ; tries++ {
		err, repeat := k.useOnce(ctx, f)
		if tries == 1 && errors.Is(err, errGone) {
			continue // a token that comes back shows its objects one after the other
		}
		if !repeat || tries == mostTries {
			return err
		}
	}
}

func (k *Key) useOnce(ctx context.Context, f func(*Session, *foundKey) error) (err error, again bool) {
	var pin []byte
	if k.always {
		if pin, err = k.pool.contextPIN(ctx, k.label); err != nil {
			return err, false
		}
		defer clear(pin)
	}
	s, err := k.pool.get(ctx)
	if err != nil {
		return err, false
	}
	defer k.pool.put(s)
	found, err := k.in(ctx, s)
	if err != nil {
		return err, k.pool.again(ctx, s, err)
	}
	if k.always {
		s.authorize(pin)
		err = f(s, found)
		s.authorized()
		err = k.pool.contextRefusal(ctx, s, pin, err)
	} else {
		err = f(s, found)
	}
	if err == nil {
		return nil, false
	}
	k.forget(found, err)
	return err, k.pool.again(ctx, s, err)
}

// Certificate returns the certificate of the key: the one with the same CKA_ID and
// the key's public key. If there is none, the error wraps [ErrNotFound].
func (k *Key) Certificate(ctx context.Context) (*x509.Certificate, error) {
	var cert *x509.Certificate
	err := k.pool.safely(ctx, func(s *Session) error {
		if len(k.id) == 0 {
			return fmt.Errorf("cryptoki: certificate of key %q: %w: the key has no CKA_ID, by which its certificate would be found", k.label, ErrNotFound)
		}
		certs, err := s.Certificates(ctx, k.id)
		if err != nil {
			return err
		}
		for _, c := range certs {
			if equal(k.pub, c.PublicKey) {
				cert = c
				return nil
			}
		}
		if len(certs) > 0 {
			return fmt.Errorf("cryptoki: certificate of key %q: %w: the certificate with id %X is one of another key", k.label, ErrNotFound, k.id)
		}
		return fmt.Errorf("cryptoki: certificate of key %q: %w: store one with id %X on the token, with Session.PutCertificate or pkcs11-tool --write-object", k.label, ErrNotFound, k.id)
	})
	return cert, err
}
