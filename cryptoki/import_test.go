package cryptoki_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
)

func TestSession_ImportKey(t *testing.T) {
	ctx := context.Background()
	p, _ := openPool(t, 1)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	for i, tt := range []struct {
		name    string
		private crypto.Signer
		input   []byte
		opts    crypto.SignerOpts
	}{
		{"RSA", rsaKey, digest[:], crypto.SHA256},
		{"P-256", softwareKey(t), digest[:], crypto.SHA256},
		{"P-384", p384, digest[:], crypto.SHA256},
		{"Ed25519", edKey, []byte("message"), crypto.Hash(0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := []byte{byte(i + 1)}
			do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
				_, private, err := s.ImportKey(ctx, tt.private, &cryptoki.KeyPairOptions{Label: tt.name, ID: id})
				if err != nil {
					return err
				}
				a, err := s.Attributes(ctx, private, cryptoki.CKA_SENSITIVE, cryptoki.CKA_EXTRACTABLE, cryptoki.CKA_LOCAL)
				if sensitive, _ := a.Bool(cryptoki.CKA_SENSITIVE); !sensitive {
					t.Error("the key is not sensitive")
				}
				if extractable, ok := a.Bool(cryptoki.CKA_EXTRACTABLE); extractable || !ok {
					t.Error("the key is extractable")
				}
				if local, _ := a.Bool(cryptoki.CKA_LOCAL); local {
					t.Error("the token thinks it has made the key")
				}
				return err
			})
			k, err := p.Key(ctx, cryptoki.KeyQuery{ID: id})
			if err != nil {
				t.Fatal(err)
			}
			if !k.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(tt.private.Public()) {
				t.Error("it is another key")
			}
			if _, err := k.Sign(ctx, tt.input, tt.opts); err != nil { // which verifies the first
				t.Error(err)
			}
		})
	}
}

func TestSession_ImportKeyRefuses(t *testing.T) {
	p, _ := openPool(t, 1)
	p256, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		for name, k := range map[string]crypto.PrivateKey{"no key": "key", "nil": nil, "ECDH on P-256": p256} {
			if _, _, err := s.ImportKey(ctx, k, nil); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: got %v, want ErrUnsupported", name, err)
			}
		}
		// The public key is refused: the private one does not stay.
		o := &cryptoki.KeyPairOptions{Label: "half", ID: []byte{9}, Public: cryptoki.Attributes{cryptoki.Bytes(cryptoki.CKA_EC_PARAMS, []byte{5, 0})}}
		o.Public = append(o.Public, cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_DSA))
		if _, _, err := s.ImportKey(ctx, softwareKey(t), o); err == nil {
			t.Error("got nil, want an error")
		}
		left, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "half")})
		if len(left) != 0 {
			t.Errorf("%d objects are left", len(left))
		}
		return err
	})
}
