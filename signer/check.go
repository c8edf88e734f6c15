//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
)

// ErrKeyMismatch is returned by [Check] for a device that has another private key
// than the one of the public key.
var ErrKeyMismatch = errors.New("signer: the private key in the device is not that of the public key")

// challengeLabel is before what Check lets a key sign, so that it can be nothing else.
const challengeLabel = "cardoki signer.Check: a random challenge, which means nothing\x00"

// Check proves that the device has the private key that belongs to key.Public(): the
// key must sign a random challenge, or, where its type or its device does not sign
// (an error that Is [ErrUnsupported]), agree on a secret, decrypt or decapsulate one.
// It returns nil, an error that Is [ErrKeyMismatch], or why the key could not be
// used. key is a [Key] or a [Decapsulating].
//
// It uses the key, which can cost a PIN or a touch, so nothing here calls it unasked.
// What an unmatched key would do to a signature is seen without it, see
// [VerifyPolicy]; for decryption, key agreement and ML-KEM it is the only way.
func Check(ctx context.Context, key interface{ Public() crypto.PublicKey }) error {
	err := fmt.Errorf("%w: check of a key of type %T", ErrUnsupported, key.Public())
	// next tries one more use; the error is that of the first that could be tried.
	tried := false
	next := func(check func() error) {
		if tried && !errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if e := check(); !tried || !errors.Is(e, errors.ErrUnsupported) {
			err = e
		}
		tried = true
	}
	switch key.Public().(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		if k, ok := key.(Key); ok {
			next(func() error { return checkSign(ctx, k) })
		}
	}
	switch key.Public().(type) {
	case *ecdsa.PublicKey, *ecdh.PublicKey:
		if k, ok := key.(Agreeing); ok {
			next(func() error { return checkAgree(ctx, k) })
		}
	case *rsa.PublicKey:
		if k, ok := key.(Decrypting); ok {
			next(func() error { return checkDecrypt(ctx, k) })
		}
	case *mlkem.EncapsulationKey768, *mlkem.EncapsulationKey1024:
		if k, ok := key.(Decapsulating); ok {
			next(func() error { return checkDecapsulate(ctx, k) })
		}
	}
	return err
}

func checkSign(ctx context.Context, key Key) error {
	challenge := make([]byte, len(challengeLabel)+32)
	rand.Read(challenge[copy(challenge, challengeLabel):])
	digest := sha256.Sum256(challenge)
	input, opts := digest[:], crypto.SignerOpts(crypto.SHA256)
	switch pub := key.Public().(type) {
	case ed25519.PublicKey:
		input, opts = challenge, crypto.Hash(0)
	case *rsa.PublicKey, *ecdsa.PublicKey:
	default:
		return fmt.Errorf("%w: signature with a key of type %T", ErrUnsupported, pub)
	}
	p, err := ParseSign(key.Public(), input, opts)
	if err != nil {
		return err
	}
	sig, err := key.Sign(ctx, input, opts)
	if err != nil {
		return err
	}
	if err := verify(key.Public(), p, input, sig); err != nil {
		if err == ErrBadSignature {
			return ErrKeyMismatch
		}
		return err
	}
	return nil
}

func checkAgree(ctx context.Context, key Agreeing) error {
	pub, err := agreementKey(key.Public())
	if err != nil {
		return err
	}
	peer, err := pub.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("signer: check: %w", err)
	}
	want, err := peer.ECDH(pub)
	if err != nil {
		return fmt.Errorf("signer: check: %w", err)
	}
	got, err := key.ECDH(ctx, peer.PublicKey())
	return same(want, got, err)
}

func checkDecrypt(ctx context.Context, key Decrypting) error {
	pub, ok := key.Public().(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: decryption with a key of type %T", ErrUnsupported, key.Public())
	}
	if fips140.Enforced() {
		if err := checkRSAFIPS(pub); err != nil {
			return err
		}
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	var ciphertext []byte
	var opts crypto.DecrypterOpts
	var err error
	if fips140.Enforced() {
		opts = &rsa.OAEPOptions{Hash: crypto.SHA256}
		ciphertext, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, secret, nil)
	} else { // what every device has
		opts = &rsa.PKCS1v15DecryptOptions{SessionKeyLen: len(secret)}
		ciphertext, err = rsa.EncryptPKCS1v15(rand.Reader, pub, secret)
	}
	if err != nil {
		return fmt.Errorf("signer: check: %w", err)
	}
	got, err := key.Decrypt(ctx, ciphertext, opts)
	if errors.Is(err, rsa.ErrDecryption) {
		return ErrKeyMismatch
	}
	return same(secret, got, err)
}

func checkDecapsulate(ctx context.Context, key Decapsulating) error {
	k, err := NewDecapsulator(key, &Options{Context: ctx})
	if err != nil {
		return err
	}
	want, ciphertext := k.Encapsulator().Encapsulate()
	got, err := k.Decapsulate(ciphertext)
	return same(want, got, err)
}

func same(want, got []byte, err error) error {
	defer clear(want)
	defer clear(got)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(want, got) != 1 {
		return ErrKeyMismatch
	}
	return nil
}
