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

// A VerifyPolicy says which signatures are verified with the public key before
// they are returned.
type VerifyPolicy int

// The policies.
const (
	VerifyDefault VerifyPolicy = iota // every RSA signature, and the first of any other key
	VerifyAlways                      // every signature
	VerifyNever                       // none: for devices that are trusted not to fail or change
)

// Options changes what [New] makes. The zero value, and a nil pointer, are ready
// to use.
type Options struct {
	// Context is given to the key, as crypto.Signer has no context of its own.
	// It ends waiting for a PIN, a touch or the device. Nil means
	// context.Background.
	Context context.Context
	// Verify says which signatures are verified.
	Verify VerifyPolicy
}

// ErrBadSignature is returned in place of a signature that the public key does
// not verify: the device was disturbed, or the key behind it is another one. The
// signature is withheld, since a faulty one can reveal the key.
var ErrBadSignature = errors.New("signer: the device's signature does not verify with the public key; it was withheld")

// A Signer is a [Key] as crypto.Signer and crypto.MessageSigner. It is safe for
// concurrent use.
type Signer struct {
	key      Key
	ctx      context.Context
	verify   VerifyPolicy
	verified atomic.Bool
}

var (
	_ crypto.Signer        = (*Signer)(nil)
	_ crypto.MessageSigner = (*Signer)(nil)
	_ crypto.Decrypter     = (*Decrypter)(nil)
)

// New returns key as crypto.Signer. opts may be nil.
func New(key Key, opts *Options) *Signer {
	s := &Signer{key: key, ctx: context.Background()}
	if opts != nil {
		s.verify = opts.Verify
		if opts.Context != nil {
			s.ctx = opts.Context
		}
	}
	return s
}

// Public returns the public key.
func (s *Signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign signs digest, or for Ed25519 the message, as crypto.Signer says. rand is
// not used: randomness comes from the device, or from crypto/rand.
func (s *Signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	p, err := ParseSign(s.key.Public(), digest, opts)
	if err != nil {
		return nil, err
	}
	sig, err := s.key.Sign(s.ctx, digest, opts)
	if err != nil {
		return nil, err
	}
	if !s.mustVerify(p.Scheme) {
		return sig, nil
	}
	if !verify(s.key.Public(), p, digest, sig) {
		return nil, ErrBadSignature
	}
	s.verified.Store(true)
	return sig, nil
}

func (s *Signer) mustVerify(scheme Scheme) bool {
	switch s.verify {
	case VerifyAlways:
		return true
	case VerifyNever:
		return false
	}
	return scheme == PKCS1v15 || scheme == PSS || !s.verified.Load()
}

func verify(pub crypto.PublicKey, p SignParams, input, sig []byte) bool {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if p.Scheme == PSS {
			return rsa.VerifyPSS(pub, p.Hash, input, sig, &rsa.PSSOptions{SaltLength: p.SaltLength}) == nil
		}
		return rsa.VerifyPKCS1v15(pub, p.Hash, input, sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(pub, input, sig)
	case ed25519.PublicKey:
		return ed25519.Verify(pub, input, sig)
	}
	return false
}

// SignMessage hashes msg with opts.HashFunc and signs the digest; for Ed25519 it
// signs msg itself. crypto/tls and crypto/x509 prefer it over Sign.
func (s *Signer) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil {
		return s.Sign(rand, msg, opts) // which refuses it, but for Ed25519
	}
	hash := opts.HashFunc()
	if hash == 0 {
		return s.Sign(rand, msg, opts)
	}
	if _, ok := s.key.Public().(ed25519.PublicKey); ok {
		return nil, fmt.Errorf("%w: Ed25519 signs the message, not its %v digest", ErrUnsupported, hash)
	}
	if _, ok := digestSize(hash); !ok || !hash.Available() {
		return nil, fmt.Errorf("%w: hash function %v is not linked into this program", ErrUnsupported, hash)
	}
	h := hash.New()
	h.Write(msg)
	return s.Sign(rand, h.Sum(nil), opts)
}

// A Decrypter is a [Signer] of an RSA key that also implements crypto.Decrypter.
type Decrypter struct {
	*Signer
	decrypting Decrypting
}

// NewDecrypter returns key as crypto.Signer and crypto.Decrypter. It refuses a
// key that is not RSA. opts may be nil.
//
// Whoever answers to the outside with the result of a PKCS #1 v1.5 decryption
// must use rsa.PKCS1v15DecryptOptions with SessionKeyLen: telling a stranger
// which ciphertexts are well padded gives the plaintext away.
func NewDecrypter(key Decrypting, opts *Options) (*Decrypter, error) {
	if _, ok := key.Public().(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("%w: decryption with a key of type %T", ErrUnsupported, key.Public())
	}
	return &Decrypter{Signer: New(key, opts), decrypting: key}, nil
}

// Decrypt decrypts msg as crypto.Decrypter says. opts is nil or
// *rsa.PKCS1v15DecryptOptions, or *rsa.OAEPOptions. rand is not used.
func (d *Decrypter) Decrypt(rand io.Reader, msg []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	if _, err := ParseDecrypt(d.Public(), msg, opts); err != nil {
		return nil, err
	}
	return d.decrypting.Decrypt(d.ctx, msg, opts)
}
