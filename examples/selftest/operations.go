//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards and tokens do, and no more.

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"

	"github.com/cardoki/cardoki/signer"
)

// errWrong is the worst: an answer that is not the right one.
var errWrong = errors.New("WRONG RESULT")

// An operation is one thing that a key can do. It returns nil only where the standard
// library agrees with what the key did.
type operation struct {
	name string
	do   func(ctx context.Context) error
}

// operations returns what a key of its type can do.
func operations(key signer.Key) []operation {
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		return rsaOperations(key, public)
	case *ecdsa.PublicKey:
		sign := func(hash crypto.Hash) func(context.Context) error {
			return func(ctx context.Context) error {
				digest := randomBytes(hash.Size())
				sig, err := key.Sign(ctx, digest, hash)
				return verdict(err, func() bool { return ecdsa.VerifyASN1(public, digest, sig) })
			}
		}
		list := []operation{{"ECDSA with SHA-256", sign(crypto.SHA256)}, {"SHA-384", sign(crypto.SHA384)}, {"SHA-512", sign(crypto.SHA512)}}
		if point, err := public.ECDH(); err == nil {
			list = append(list, operation{"ECDH", agreement(key, point)})
		}
		return list
	case ed25519.PublicKey:
		return []operation{{"Ed25519", func(ctx context.Context) error {
			message := randomBytes(100)
			sig, err := key.Sign(ctx, message, crypto.Hash(0))
			return verdict(err, func() bool { return ed25519.Verify(public, message, sig) })
		}}}
	case *ecdh.PublicKey:
		return []operation{{"ECDH", agreement(key, public)}}
	case crypto.Encapsulator:
		return []operation{{"decapsulation", func(ctx context.Context) error {
			decapsulating, ok := key.(signer.Decapsulating)
			if !ok {
				return errors.ErrUnsupported
			}
			want, ciphertext := public.Encapsulate()
			got, err := decapsulating.Decapsulate(ctx, ciphertext)
			return verdict(err, func() bool { return bytes.Equal(got, want) })
		}}}
	}
	return nil
}

func rsaOperations(key signer.Key, public *rsa.PublicKey) []operation {
	sign := func(opts crypto.SignerOpts) func(context.Context) error {
		return func(ctx context.Context) error {
			digest := randomBytes(opts.HashFunc().Size())
			sig, err := key.Sign(ctx, digest, opts)
			return verdict(err, func() bool {
				if pss, ok := opts.(*rsa.PSSOptions); ok {
					return rsa.VerifyPSS(public, pss.Hash, digest, sig, pss) == nil
				}
				return rsa.VerifyPKCS1v15(public, opts.HashFunc(), digest, sig) == nil
			})
		}
	}
	pss := func(hash crypto.Hash) *rsa.PSSOptions {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	decrypt := func(oaep *rsa.OAEPOptions) func(context.Context) error {
		return func(ctx context.Context) (err error) {
			decrypting, ok := key.(signer.Decrypting)
			if !ok {
				return errors.ErrUnsupported
			}
			plaintext, opts := randomBytes(32), crypto.DecrypterOpts(&rsa.PKCS1v15DecryptOptions{})
			var ciphertext []byte
			if oaep != nil {
				opts = oaep
				ciphertext, err = rsa.EncryptOAEPWithOptions(rand.Reader, public, plaintext, oaep)
			} else {
				ciphertext, err = rsa.EncryptPKCS1v15(rand.Reader, public, plaintext)
			}
			if err != nil {
				return err
			}
			got, err := decrypting.Decrypt(ctx, ciphertext, opts)
			return verdict(err, func() bool { return bytes.Equal(got, plaintext) })
		}
	}
	return []operation{
		{"PKCS #1 v1.5 with SHA-256", sign(crypto.SHA256)}, {"SHA-512", sign(crypto.SHA512)},
		{"PSS with SHA-256", sign(pss(crypto.SHA256))}, {"SHA-384", sign(pss(crypto.SHA384))},
		{"decryption with PKCS #1 v1.5", decrypt(nil)},
		{"OAEP with SHA-1", decrypt(&rsa.OAEPOptions{Hash: crypto.SHA1})}, {"OAEP with SHA-256", decrypt(&rsa.OAEPOptions{Hash: crypto.SHA256})},
	}
}

func agreement(key signer.Key, point *ecdh.PublicKey) func(context.Context) error {
	return func(ctx context.Context) error {
		agreeing, ok := key.(signer.Agreeing)
		if !ok {
			return errors.ErrUnsupported
		}
		peer, err := point.Curve().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		want, err := peer.ECDH(point)
		if err != nil {
			return err
		}
		got, err := agreeing.ECDH(ctx, peer.PublicKey())
		return verdict(err, func() bool { return bytes.Equal(got, want) })
	}
}

func verdict(err error, right func() bool) error {
	if err == nil && !right() {
		return errWrong
	}
	return err
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
