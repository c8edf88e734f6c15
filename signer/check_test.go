package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"

	"github.com/cardoki/cardoki/signer"
)

// A decryptOnly key was not made for signing.
type decryptOnly struct{ *memoryDecrypter }

func (decryptOnly) Sign(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, signer.ErrUnsupported
}

// A relabelled key says that it has another public key than it has.
type relabelled struct {
	signer.Key
	public crypto.PublicKey
}

func (k relabelled) Public() crypto.PublicKey { return k.public }

type relabelledDecrypter struct {
	decryptOnly
	public crypto.PublicKey
}

func (k relabelledDecrypter) Public() crypto.PublicKey { return k.public }

// A neverDecrypts finds each ciphertext wrong.
type neverDecrypts struct{ decryptOnly }

func (neverDecrypts) Decrypt(context.Context, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return nil, rsa.ErrDecryption
}

func TestCheck(t *testing.T) {
	rsaKey, ecKey, edKey := newRSA(t, 2048), newECKey(t, elliptic.P384()), newEd25519(t)
	otherRSA := newRSA(t, 2048)
	var no25519, wrong25519 error = nil, signer.ErrKeyMismatch
	if fips140.Enforced() { // Go does not make the other half
		no25519, wrong25519 = errors.ErrUnsupported, errors.ErrUnsupported
	}
	x25519, wrongX25519 := newAgreer(t, ecdh.X25519()), newAgreer(t, ecdh.X25519())
	wrongP384 := newAgreer(t, ecdh.P384())
	for _, k := range []*memoryAgreer{wrongX25519, wrongP384} {
		k.disturb = func(secret []byte) []byte { rand.Read(secret); return secret }
	}
	short := newAgreer(t, ecdh.P256())
	short.disturb = func([]byte) []byte { return nil }
	wrongKEM := newKEM(t)
	wrongKEM.disturb = func(shared []byte) []byte { shared = slices.Clone(shared); shared[0] ^= 1; return shared }
	type public interface{ Public() crypto.PublicKey }
	for _, tt := range []struct {
		name string
		key  public
		want error
	}{
		{"RSA", rsaKey, nil},
		{"RSA that only decrypts", decryptOnly{rsaKey}, nil},
		{"ECDSA", ecKey, nil},
		{"Ed25519", edKey, nil},
		{"X25519", x25519, no25519},
		{"P-384 that only agrees", newAgreer(t, ecdh.P384()), nil},
		{"ML-KEM", newKEM(t), nil},

		{"another RSA key", relabelled{rsaKey, otherRSA.Public()}, signer.ErrKeyMismatch},
		{"another RSA key that only decrypts", relabelledDecrypter{decryptOnly{rsaKey}, otherRSA.Public()}, signer.ErrKeyMismatch},
		{"a modulus that the ciphertext does not fit", neverDecrypts{decryptOnly{rsaKey}}, signer.ErrKeyMismatch},
		{"another ECDSA key", relabelled{ecKey, newECDSA(t, elliptic.P384()).Public()}, signer.ErrKeyMismatch},
		{"another Ed25519 key", relabelled{edKey, newEd25519(t).Public()}, signer.ErrKeyMismatch},
		{"another X25519 key", wrongX25519, wrong25519},
		{"another P-384 key that only agrees", wrongP384, signer.ErrKeyMismatch},
		{"a key that agrees on nothing", short, signer.ErrKeyMismatch},
		{"another ML-KEM key", wrongKEM, signer.ErrKeyMismatch},

		{"RSA that neither signs nor decrypts", relabelled{decryptOnly{rsaKey}, rsaKey.Public()}, errors.ErrUnsupported},
		{"a key of no known type", relabelled{edKey, "key"}, errors.ErrUnsupported},
		{"something that is no key", justPublic{}, errors.ErrUnsupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := signer.Check(t.Context(), tt.key); !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
			if tt.want != nil {
				return
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := signer.Check(ctx, tt.key); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: got error %v, want context.Canceled", err)
			}
		})
	}
}

type justPublic struct{}

func (justPublic) Public() crypto.PublicKey { return nil }

// A key that fails is asked once: a PIN that is wrong is not spent again.
func TestCheck_asksOnce(t *testing.T) {
	broken := errors.New("wrong PIN")
	key := &brokenKey{memoryDecrypter: newRSA(t, 2048), err: broken}
	if err := signer.Check(t.Context(), key); err != broken || key.asked != 1 {
		t.Errorf("got error %v after %d uses, want %v after 1", err, key.asked, broken)
	}
}

type brokenKey struct {
	*memoryDecrypter
	err   error
	asked int
}

func (k *brokenKey) Sign(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	k.asked++
	return nil, k.err
}

func (k *brokenKey) Decrypt(context.Context, []byte, crypto.DecrypterOpts) ([]byte, error) {
	k.asked++
	return nil, k.err
}
