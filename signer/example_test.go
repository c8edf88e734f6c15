package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"

	"github.com/cardoki/cardoki/signer"
)

// A deviceKey stands for a key of a card or token.
type deviceKey struct{ *ecdsa.PrivateKey }

func (k deviceKey) Public() crypto.PublicKey { return &k.PublicKey }

func (k deviceKey) Sign(ctx context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(rand.Reader, input, opts)
}

// Any Key is a crypto.Signer, here with one that lives in memory.
func ExampleNew() {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	var s crypto.Signer = signer.New(deviceKey{private}, nil)

	digest := sha256.Sum256([]byte("message"))
	signature, err := s.Sign(nil, digest[:], crypto.SHA256)
	fmt.Println(ecdsa.VerifyASN1(&private.PublicKey, digest[:], signature), err)

	// What the key cannot do is refused before the device is asked.
	_, err = s.Sign(nil, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256})
	fmt.Println(errors.Is(err, errors.ErrUnsupported), err)
	// Output:
	// true <nil>
	// true signer: unsupported operation: RSA-PSS with an ECDSA key
}

func ExampleParseSign() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	p, err := signer.ParseSign(&key.PublicKey, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256})
	fmt.Println(p.Scheme, p.Hash, p.SaltLength, err)
	// Output: RSA-PSS SHA-256 222 <nil>
}
