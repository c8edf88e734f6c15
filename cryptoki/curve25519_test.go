package cryptoki_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
)

func TestKey_Ed25519SignaturesVerify(t *testing.T) {
	p, _ := openPool(t, 1)
	k := generate(t, p, cryptoki.KeyPairOptions{Ed25519: true, Label: "ed", ID: []byte{1}})
	pub, ok := k.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatalf("a public key of type %T", k.Public())
	}
	for _, message := range [][]byte{nil, []byte("message"), bytes.Repeat([]byte{7}, 10_000)} {
		sig, err := k.Sign(context.Background(), message, crypto.Hash(0))
		if err != nil {
			t.Fatalf("%d bytes: %v", len(message), err)
		}
		if !ed25519.Verify(pub, message, sig) {
			t.Errorf("%d bytes: the signature does not verify", len(message))
		}
	}
	digest := sha512.Sum512([]byte("message"))
	for name, opts := range map[string]crypto.SignerOpts{"ph": &ed25519.Options{Hash: crypto.SHA512}, "a context": &ed25519.Options{Context: "x"}} {
		if _, err := k.Sign(context.Background(), digest[:], opts); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", name, err)
		}
	}
	cert := certify(t, k)
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Error(err)
	}
	if _, err := k.ECDH(context.Background(), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("key agreement: got %v, want ErrUnsupported", err)
	}
}

func TestKey_X25519Agrees(t *testing.T) {
	p, _ := openPool(t, 1)
	err := p.Do(context.Background(), func(s *cryptoki.Session) error {
		_, _, err := s.GenerateKeyPair(context.Background(), &cryptoki.KeyPairOptions{X25519: true, Label: "x", ID: []byte{2}})
		return err
	})
	if errors.Is(err, cryptoki.CKR_MECHANISM_INVALID) {
		t.Skip("SoftHSM2 of this version has no X25519")
	}
	if err != nil {
		t.Fatal(err)
	}
	k, err := p.Key(context.Background(), cryptoki.KeyQuery{Label: "x"})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.ECDH(context.Background(), peer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.ECDH(k.Public().(*ecdh.PublicKey))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the secrets differ: %v", err)
	}
}
