package signer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// ErrBadSignature is returned in place of a signature that the public key does
// not verify: the device was disturbed, or the key behind it is another one. The
// signature is withheld, since a faulty one can reveal the key.
var ErrBadSignature = errors.New("signer: the device's signature does not verify with the public key; it was withheld")

// A Signer is a [Key] as crypto.Signer and crypto.MessageSigner. It is safe for
// concurrent use.
type Signer struct {
	d   *signing
	ctx context.Context // of WithContext, or nil
}

// signing is shared by a Signer and its copies.
type signing struct {
	device
	key      Key
	can      Ability
	verified atomic.Bool
}

var (
	_ crypto.Signer        = (*Signer)(nil)
	_ crypto.MessageSigner = (*Signer)(nil)
)

// New returns key as crypto.Signer. opts may be nil.
func New(key Key, opts *Options) *Signer {
	d := &signing{device: newDevice(key.Public(), opts), key: key}
	if able, ok := key.(Able); ok {
		d.can = able.Abilities()
	}
	return &Signer{d: d}
}

// WithContext returns a copy of s whose use of the key ends with ctx too, besides
// Options.Context: the context of a request, where an interface has no room for it.
// It shares with s what was verified.
func (s *Signer) WithContext(ctx context.Context) *Signer { return &Signer{d: s.d, ctx: ctx} }

// Public returns the public key.
func (s *Signer) Public() crypto.PublicKey { return s.d.pub }

// Sign signs digest, or for Ed25519 the message, as crypto.Signer says. rand is
// not used: randomness comes from the device, or from crypto/rand.
//
// What the options and the key do not allow is refused before the device is asked,
// with an error that Is [ErrUnsupported] or [ErrInvalid], or is a [PolicyError].
func (s *Signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	p, err := ParseSign(s.d.pub, digest, opts, s.d.can)
	if err != nil {
		return nil, err
	}
	if s.d.opts.Hash == HashOnDevice && (p.Scheme != Ed25519 || p.Hash != 0) {
		return nil, fmt.Errorf("%w: signature of a digest, where Options.Hash says that the device is to hash: use SignMessage", ErrUnsupported)
	}
	return s.sign(p, digest, digest, opts, s.d.key.Sign)
}

// sign lets f sign input, and verifies it as the signature of digest.
func (s *Signer) sign(p SignParams, input, digest []byte, opts crypto.SignerOpts, f func(context.Context, []byte, crypto.SignerOpts) ([]byte, error)) ([]byte, error) {
	var sig []byte
	err := s.d.use(s.ctx, signOperation(p, s.d.pub), func(ctx context.Context) (err error) {
		sig, err = f(ctx, input, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.mustVerify(p.Scheme) {
		if err := verify(s.d.pub, p, digest, sig); err != nil {
			return nil, err
		}
		s.d.verified.Store(true)
	}
	return sig, nil
}

// signOperation is the use of a key for p.
func signOperation(p SignParams, pub crypto.PublicKey) Operation {
	op := Operation{Use: UseSign, Scheme: p.Scheme, Hash: p.Hash, Public: pub}
	if p.Scheme == PSS {
		op.MGFHash = p.Hash
	}
	return op
}

func (s *Signer) mustVerify(scheme Scheme) bool {
	switch s.d.opts.Verify {
	case VerifyAlways:
		return true
	case VerifyNever:
		return false
	}
	return scheme == PKCS1v15 || scheme == PSS || !s.d.verified.Load()
}

// verify returns ErrBadSignature for a signature of something else or by another
// key, and another error where the standard library cannot tell.
func verify(pub crypto.PublicKey, p SignParams, input, sig []byte) error {
	ok, err := false, error(nil)
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if p.Scheme == PSS {
			err = rsa.VerifyPSS(pub, p.Hash, input, sig, &rsa.PSSOptions{SaltLength: p.SaltLength})
		} else {
			err = rsa.VerifyPKCS1v15(pub, p.Hash, input, sig)
		}
		ok = err == nil
		if errors.Is(err, rsa.ErrVerification) {
			err = nil
		}
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(pub, input, sig)
	case ed25519.PublicKey:
		ok = ed25519.VerifyWithOptions(pub, input, sig, &ed25519.Options{Hash: p.Hash, Context: p.Context}) == nil
	}
	switch {
	case ok:
		return nil
	case err != nil:
		return fmt.Errorf("%w: verification of the signature, which was withheld: %w", ErrUnsupported, err)
	}
	return ErrBadSignature
}

// SignMessage hashes msg with opts.HashFunc and signs the digest; for Ed25519 with
// hash 0 it signs msg itself. crypto/tls and crypto/x509 prefer it over Sign.
// Options.Hash says where msg is hashed.
func (s *Signer) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() == 0 {
		return s.Sign(rand, msg, opts)
	}
	hash := opts.HashFunc()
	n, ok := digestSize(hash)
	if !ok {
		return nil, fmt.Errorf("%w: hash function %v", ErrUnsupported, hash)
	}
	var placeholder [64]byte // no digest is longer
	p, err := ParseSign(s.d.pub, placeholder[:n], opts, s.d.can)
	if err != nil {
		return nil, err
	}
	if err := s.d.opts.Policy.Check(signOperation(p, s.d.pub)); err != nil { // before msg is hashed
		return nil, err
	}
	// Once verified is set it stays: sign does not verify what has no digest here.
	onDevice := s.d.opts.Hash == HashOnDevice
	var digest []byte
	if !onDevice || s.mustVerify(p.Scheme) {
		if err := checkHash(hash); err != nil {
			return nil, err
		}
		h := hash.New()
		h.Write(msg)
		digest = h.Sum(nil)
	}
	if !onDevice {
		return s.sign(p, digest, digest, opts, s.d.key.Sign)
	}
	hashing, ok := s.d.key.(Hashing)
	if !ok {
		return nil, fmt.Errorf("%w: hashing in the device, with a key of type %T", ErrUnsupported, s.d.key)
	}
	return s.sign(p, msg, digest, opts, hashing.SignMessage)
}
