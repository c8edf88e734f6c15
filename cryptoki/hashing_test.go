package cryptoki_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/signer"
)

func TestKey_SignMessageHashesInTheToken(t *testing.T) {
	p, _ := openPool(t, 1)
	k := generate(t, p, cryptoki.KeyPairOptions{RSABits: 2048, Label: "rsa", ID: []byte{1}})
	message := []byte("a message")
	for _, opts := range []crypto.SignerOpts{crypto.SHA256, crypto.SHA512, &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: rsa.PSSSaltLengthEqualsHash}} {
		sig, err := k.SignMessage(t.Context(), message, opts)
		if err != nil {
			t.Errorf("%v: %v", opts, err)
			continue
		}
		h := opts.HashFunc().New()
		h.Write(message)
		pub := k.Public().(*rsa.PublicKey)
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			err = rsa.VerifyPSS(pub, pss.Hash, h.Sum(nil), sig, pss)
		} else {
			err = rsa.VerifyPKCS1v15(pub, opts.HashFunc(), h.Sum(nil), sig)
		}
		if err != nil {
			t.Errorf("%v: %v", opts, err)
		}
	}
	s := k.Signer(&signer.Options{Hash: signer.HashOnDevice})
	if _, err := crypto.SignMessage(s, nil, message, crypto.SHA384); err != nil {
		t.Error(err)
	}
	ec := generate(t, p, cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "ec", ID: []byte{2}})
	if _, err := ec.SignMessage(t.Context(), message, crypto.SHA256); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ECDSA with SoftHSM2: got %v, want errors.ErrUnsupported", err)
	}
	// Keys are found by their public key.
	for _, want := range []*cryptoki.Key{k, ec} {
		got, err := p.Key(t.Context(), cryptoki.KeyQuery{Public: want.Public()})
		if err != nil || got.Label() != want.Label() {
			t.Errorf("by public key: got %v, %v, want %q", got, err, want.Label())
		}
	}
	if _, err := p.Key(t.Context(), cryptoki.KeyQuery{Public: softwareKey(t).Public()}); !errors.Is(err, cryptoki.ErrNotFound) {
		t.Errorf("by the public key of no key: got %v, want ErrNotFound", err)
	}
}
