package cryptoki_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
)

func TestKey_ECDHAgreesWithCryptoECDH(t *testing.T) {
	p, _ := openPool(t, 1)
	for i, tt := range []struct {
		curve elliptic.Curve
		peer  ecdh.Curve
	}{{elliptic.P256(), ecdh.P256()}, {elliptic.P384(), ecdh.P384()}, {elliptic.P521(), ecdh.P521()}} {
		name := tt.curve.Params().Name
		k := generate(t, p, cryptoki.KeyPairOptions{Curve: tt.curve, Label: name, ID: []byte{byte(i)}, Derive: true})
		own, err := k.Public().(*ecdsa.PublicKey).ECDH()
		if err != nil {
			t.Fatal(err)
		}
		for _, ctx := range []context.Context{context.Background(), t.Context()} {
			peer, err := tt.peer.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			want, err := peer.ECDH(own)
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.ECDH(ctx, peer.PublicKey())
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: got a secret of %d bytes, %v, want that of crypto/ecdh", name, len(got), err)
			}
		}
	}
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		left, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY)})
		if len(left) != 0 {
			t.Errorf("%d secrets are left on the token", len(left))
		}
		return err
	})
}

func TestKey_ECDHRefusesOtherCurvesAndKeys(t *testing.T) {
	p, _ := openPool(t, 1)
	ctx := context.Background()
	peer, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := generate(t, p, cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "signs only", ID: []byte{1}})
	for name, peer := range map[string]*ecdh.PublicKey{"a peer on P-384": peer.PublicKey(), "no peer": nil} {
		if _, err := ec.ECDH(ctx, peer); err == nil {
			t.Errorf("%s: got a secret from a key on P-256", name)
		}
	}
	same, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ec.ECDH(ctx, same.PublicKey()); !errors.Is(err, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED) {
		t.Errorf("a key without CKA_DERIVE: got %v, want CKR_KEY_FUNCTION_NOT_PERMITTED", err)
	}
	r := generate(t, p, cryptoki.KeyPairOptions{RSABits: 2048, Label: "rsa", ID: []byte{2}})
	if _, err := r.ECDH(ctx, peer.PublicKey()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an RSA key: got %v, want errors.ErrUnsupported", err)
	}
}
