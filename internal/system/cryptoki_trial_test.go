//go:build cgo

package system_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/ck"
)

// Keys that go into every token. They protect nothing.
var (
	rsaTestKey = sync.OnceValue(func() *rsa.PrivateKey {
		b, err := os.ReadFile(filepath.Join(root, "internal", "rsapad", "testdata", "rsa_oaep_2048_sha256_mgf1sha256.json"))
		if err != nil {
			panic(err)
		}
		var f struct {
			TestGroups []struct {
				Key string `json:"privateKeyPkcs8"`
			}
		}
		if err := json.Unmarshal(b, &f); err != nil {
			panic(err)
		}
		der, err := hex.DecodeString(f.TestGroups[0].Key)
		if err != nil {
			panic(err)
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			panic(err)
		}
		return key.(*rsa.PrivateKey)
	})
	aesTestValue = []byte("0123456789abcdef0123456789ABCDEF")
	testMessage  = []byte("a message of some forty bytes, no more no less")
)

func ecTestKey(c elliptic.Curve) *ecdsa.PrivateKey {
	scalar := make([]byte, (c.Params().BitSize+7)/8)
	for i := range scalar[1:] {
		scalar[1+i] = byte(i + 1)
	}
	k, err := ecdsa.ParseRawPrivateKey(c, scalar)
	if err != nil {
		panic(err)
	}
	return k
}

func ed25519TestKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(aesTestValue) }

func x25519TestKey() *ecdh.PrivateKey {
	k, err := ecdh.X25519().NewPrivateKey(aesTestValue)
	if err != nil {
		panic(err)
	}
	return k
}

// works notes what a row adds to "works".
func (x *tokenTrial) works(format string, args ...any) error {
	x.note = fmt.Sprintf(format, args...)
	return nil
}

// givePINs gives the PIN that there is and the one that is to be set.
func givePINs(old, new []byte) cryptoki.PINFunc {
	return func(_ context.Context, r cryptoki.PINRequest) ([]byte, error) {
		if r.New {
			return bytes.Clone(new), nil
		}
		return bytes.Clone(old), nil
	}
}

// pair puts a key pair into the token, or finds one of the same kind there.
func (x *tokenTrial) pair(private crypto.PrivateKey) (pub, priv cryptoki.Object, public crypto.PublicKey, err error) {
	o := &cryptoki.KeyPairOptions{SessionOnly: true, Label: "pair", ID: []byte("pair")}
	switch k := private.(type) {
	case *rsa.PrivateKey:
		o.Decrypt = true
		o.Public = cryptoki.Attributes{cryptoki.Bool(cryptoki.CKA_WRAP, true)}
		o.Private = cryptoki.Attributes{cryptoki.Bool(cryptoki.CKA_UNWRAP, true)}
		public = &k.PublicKey
	case *ecdsa.PrivateKey:
		o.Derive = true
		public = &k.PublicKey
	case ed25519.PrivateKey:
		public = k.Public()
	case *ecdh.PrivateKey:
		public = k.PublicKey()
	}
	if pub, priv, err = x.s.ImportKey(x.ctx, private, o); err == nil {
		return pub, priv, public, nil
	}
	for _, k := range x.setup.keys {
		if !sameKind(k.public, public) {
			continue
		}
		var found [2][]cryptoki.Object
		for i, class := range []cryptoki.ObjectClass{cryptoki.CKO_PUBLIC_KEY, cryptoki.CKO_PRIVATE_KEY} {
			var other error
			if found[i], other = x.s.FindObjects(x.ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, class), cryptoki.Bytes(cryptoki.CKA_ID, k.query.ID)}); other != nil {
				return pub, priv, nil, other
			}
			if len(found[i]) != 1 {
				return pub, priv, nil, fmt.Errorf("%d objects of class %v with id %x", len(found[i]), class, k.query.ID)
			}
		}
		return found[0][0], found[1][0], k.public, nil
	}
	return pub, priv, nil, err
}

func sameKind(a, b crypto.PublicKey) bool {
	switch a := a.(type) {
	case *rsa.PublicKey:
		b, ok := b.(*rsa.PublicKey)
		return ok && a.Size() == b.Size()
	case *ecdsa.PublicKey:
		b, ok := b.(*ecdsa.PublicKey)
		return ok && a.Curve == b.Curve
	}
	return false
}

// secret puts a secret key into the token that may do everything.
func (x *tokenTrial) secret(t cryptoki.KeyType, value []byte, more ...cryptoki.Attribute) (cryptoki.Object, error) {
	a := cryptoki.Attributes{
		cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, t), cryptoki.Bool(cryptoki.CKA_TOKEN, false),
		cryptoki.Bytes(cryptoki.CKA_VALUE, value), cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, true), cryptoki.Bool(cryptoki.CKA_SENSITIVE, false),
		cryptoki.Bool(cryptoki.CKA_ENCRYPT, true), cryptoki.Bool(cryptoki.CKA_DECRYPT, true), cryptoki.Bool(cryptoki.CKA_SIGN, true), cryptoki.Bool(cryptoki.CKA_VERIFY, true),
		cryptoki.Bool(cryptoki.CKA_WRAP, true), cryptoki.Bool(cryptoki.CKA_UNWRAP, true), cryptoki.Bool(cryptoki.CKA_DERIVE, true),
	}
next:
	for _, m := range more {
		for i := range a {
			if a[i].Type == m.Type {
				a[i] = m
				continue next
			}
		}
		a = append(a, m)
	}
	o, err := x.s.CreateObject(x.ctx, a)
	if err == nil {
		x.made = append(x.made, o)
	}
	return o, err
}

// inTheClear lets a secret key be read, for comparison.
var inTheClear = cryptoki.Attributes{cryptoki.Bool(cryptoki.CKA_SENSITIVE, false), cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, true)}

// readable are options for a key of n bytes that can be read.
func readable(n int) *cryptoki.SecretKeyOptions {
	return &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_GENERIC_SECRET, Size: n, Extractable: true, SessionOnly: true, Derive: true, Sign: true, More: inTheClear}
}

// has compares the value of a secret key.
func (x *tokenTrial) has(key cryptoki.Object, want []byte) error {
	a, err := x.s.Attributes(x.ctx, key, cryptoki.CKA_VALUE)
	if err != nil {
		return err
	}
	got, ok := a.Value(cryptoki.CKA_VALUE)
	if !ok {
		return errors.New("the value is not given out")
	}
	if !bytes.Equal(got, want) {
		return wrong("another key")
	}
	return nil
}

// data makes an object with a value.
func (x *tokenTrial) data(label string, value []byte, more ...cryptoki.Attribute) (cryptoki.Object, error) {
	return x.s.CreateObject(x.ctx, append(cryptoki.Attributes{
		cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.Bool(cryptoki.CKA_TOKEN, false), cryptoki.String(cryptoki.CKA_LABEL, label), cryptoki.Bytes(cryptoki.CKA_VALUE, value),
	}, more...))
}

// signs checks a signature.
func (x *tokenTrial) signs(m cryptoki.Mechanism, key cryptoki.Object, input []byte, right func(sig []byte) bool) error {
	sig, err := x.s.AppendSign(x.ctx, nil, m, key, input, signatureRoom(m.Type()))
	if err == nil && !right(sig) {
		return wrong("a signature that does not verify")
	}
	return err
}

// signatureRoom is how much a signature may take: for Ed25519 exactly what it has, as NSS wants it.
func signatureRoom(t cryptoki.MechanismType) int {
	if t == cryptoki.CKM_EDDSA {
		return ed25519.SignatureSize
	}
	return 512
}

// point32 returns the 32 bytes in CKA_EC_POINT.
func (x *tokenTrial) point32(pub cryptoki.Object) ([]byte, error) {
	a, err := x.s.Attributes(x.ctx, pub, cryptoki.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	point, _ := a.Value(cryptoki.CKA_EC_POINT)
	switch len(point) {
	case 32:
		x.note = "point bare"
		return point, nil
	case 34:
		x.note = "point in DER"
		return point[2:], nil
	}
	return nil, wrong("a point of %d bytes", len(point))
}

func digest256(message []byte) []byte {
	d := sha256.Sum256(message)
	return d[:]
}

// module returns the module as package ck has it, with a session, for what package cryptoki
// does not do or does otherwise.
func (x *tokenTrial) module() (*ck.Instance, uint, error) {
	fl, err := ck.Open(x.setup.library)
	if err != nil {
		return nil, 0, err
	}
	session, rv := fl.OpenSession(uint(x.slot.ID()), uint(cryptoki.CKF_RW_SESSION))
	if rv != 0 {
		return nil, 0, &cryptoki.Error{Function: "C_OpenSession", RV: cryptoki.RV(rv)}
	}
	return fl, session, nil
}

// destroy destroys all objects with an id, whatever their handles are by now.
func (x *tokenTrial) destroy(id []byte) {
	objects, _ := x.s.FindObjects(x.ctx, cryptoki.Attributes{cryptoki.Bytes(cryptoki.CKA_ID, id)})
	for _, o := range objects {
		_ = x.s.DestroyObject(x.ctx, o) // the next row would tell
	}
}
