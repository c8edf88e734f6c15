//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
)

// ErrUnsupported is what an ability wraps that a key, a token or this package
// does not have. It Is [errors.ErrUnsupported].
var ErrUnsupported = fmt.Errorf("signer: %w", errors.ErrUnsupported)

// A Scheme is a way to sign or to decrypt.
type Scheme int

// The schemes.
const (
	PKCS1v15 Scheme = iota + 1 // RSASSA-PKCS1-v1_5 or RSAES-PKCS1-v1_5 of RFC 8017
	PSS                        // RSASSA-PSS of RFC 8017, mask generation with the same hash
	OAEP                       // RSAES-OAEP of RFC 8017
	ECDSA                      // FIPS 186-5
	Ed25519                    // RFC 8032
)

// String returns the usual name of the scheme.
func (s Scheme) String() string {
	switch s {
	case PKCS1v15:
		return "RSA PKCS #1 v1.5"
	case PSS:
		return "RSA-PSS"
	case OAEP:
		return "RSA-OAEP"
	case ECDSA:
		return "ECDSA"
	case Ed25519:
		return "Ed25519"
	}
	return fmt.Sprintf("Scheme(%d)", int(s))
}

// SignParams is what a request for a signature comes to.
type SignParams struct {
	Scheme     Scheme
	Hash       crypto.Hash // 0: PKCS #1 v1.5 of unhashed data, or Ed25519
	SaltLength int         // of PSS, in bytes, never one of the negative constants of crypto/rsa
}

// ParseSign checks input and opts against the public key pub, as Key.Sign gets
// them, and returns what they ask for. It refuses keys of unknown type, a digest
// whose length is not that of its hash, a PSS salt that does not fit the key, and
// options that ask for something else than the key can do. A nil opts is refused
// too, except by Ed25519.
func ParseSign(pub crypto.PublicKey, input []byte, opts crypto.SignerOpts) (SignParams, error) {
	var hash crypto.Hash
	if opts != nil {
		hash = opts.HashFunc()
	}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if opts == nil {
			return SignParams{}, errors.New("signer: RSA needs options that name the hash")
		}
		if err := checkDigest(hash, input); err != nil {
			return SignParams{}, err
		}
		pss, ok := opts.(*rsa.PSSOptions)
		if !ok {
			if hash == 0 && len(input) > pub.Size()-11 {
				return SignParams{}, fmt.Errorf("signer: %d bytes are too long to be signed by a %d-bit key with PKCS #1 v1.5", len(input), pub.N.BitLen())
			}
			return SignParams{Scheme: PKCS1v15, Hash: hash}, nil
		}
		return parsePSS(pub, hash, pss)
	case *ecdsa.PublicKey:
		if opts == nil {
			return SignParams{}, errors.New("signer: ECDSA needs options that name the hash")
		}
		if _, ok := opts.(*rsa.PSSOptions); ok {
			return SignParams{}, fmt.Errorf("%w: RSA-PSS with an ECDSA key", ErrUnsupported)
		}
		if err := checkDigest(hash, input); err != nil {
			return SignParams{}, err
		}
		if len(input) == 0 {
			return SignParams{}, errors.New("signer: ECDSA needs a digest, none was given")
		}
		return SignParams{Scheme: ECDSA, Hash: hash}, nil
	case ed25519.PublicKey:
		if hash != 0 {
			return SignParams{}, fmt.Errorf("%w: Ed25519 signs the message, not its %v digest", ErrUnsupported, hash)
		}
		if o, ok := opts.(*ed25519.Options); ok && o.Context != "" {
			return SignParams{}, fmt.Errorf("%w: Ed25519 with a context", ErrUnsupported)
		}
		return SignParams{Scheme: Ed25519}, nil
	}
	return SignParams{}, fmt.Errorf("%w: key of type %T", ErrUnsupported, pub)
}

func parsePSS(pub *rsa.PublicKey, hash crypto.Hash, o *rsa.PSSOptions) (SignParams, error) {
	if hash == 0 {
		return SignParams{}, errors.New("signer: RSA-PSS needs a hash")
	}
	// The padding and its verification are computed here, not by the device.
	if !hash.Available() {
		return SignParams{}, fmt.Errorf("%w: hash function %v is not linked into this program", ErrUnsupported, hash)
	}
	longest := (pub.N.BitLen()-1+7)/8 - hash.Size() - 2 // RFC 8017, 9.1.1, step 3
	salt := o.SaltLength
	switch salt {
	case rsa.PSSSaltLengthAuto:
		salt = longest
	case rsa.PSSSaltLengthEqualsHash:
		salt = hash.Size()
	}
	if o.SaltLength < rsa.PSSSaltLengthEqualsHash {
		return SignParams{}, fmt.Errorf("signer: PSS salt length %d is not valid", o.SaltLength)
	}
	if longest < 0 || salt > longest {
		return SignParams{}, fmt.Errorf("signer: a PSS salt of %d bytes with %v does not fit a %d-bit key", salt, hash, pub.N.BitLen())
	}
	return SignParams{Scheme: PSS, Hash: hash, SaltLength: salt}, nil
}

// checkDigest checks that a digest has the length of its hash. Hash 0 stands for
// data that is signed as it is.
func checkDigest(hash crypto.Hash, input []byte) error {
	if hash == 0 {
		return nil
	}
	n, ok := digestSize(hash)
	if !ok {
		return fmt.Errorf("%w: hash function %v", ErrUnsupported, hash)
	}
	if len(input) != n {
		return fmt.Errorf("signer: a digest of %d bytes is not one of %v, which has %d", len(input), hash, n)
	}
	return nil
}

// digestSize returns hash.Size() without its panic on unknown hashes.
func digestSize(hash crypto.Hash) (int, bool) {
	if hash < crypto.MD4 || hash > crypto.BLAKE2b_512 {
		return 0, false
	}
	return hash.Size(), true
}

// DecryptParams is what a request for decryption comes to.
type DecryptParams struct {
	Scheme Scheme
	// Hash, MGFHash and Label are the parameters of OAEP. MGFHash is never 0.
	Hash, MGFHash crypto.Hash
	Label         []byte
	// SessionKeyLen, when not 0, is the length in bytes of the key that PKCS #1
	// v1.5 must give: a random key of that length is to be returned, without
	// any sign of it, when the plaintext is anything else.
	SessionKeyLen int
}

// ParseDecrypt checks ciphertext and opts against the public key pub, as
// Decrypting.Decrypt gets them, and returns what they ask for. Only RSA keys can
// decrypt.
func ParseDecrypt(pub crypto.PublicKey, ciphertext []byte, opts crypto.DecrypterOpts) (DecryptParams, error) {
	key, ok := pub.(*rsa.PublicKey)
	if !ok {
		return DecryptParams{}, fmt.Errorf("%w: decryption with a key of type %T", ErrUnsupported, pub)
	}
	if len(ciphertext) != key.Size() {
		return DecryptParams{}, fmt.Errorf("signer: a ciphertext of %d bytes is not one of a %d-bit key, which has %d", len(ciphertext), key.N.BitLen(), key.Size())
	}
	switch o := opts.(type) {
	case nil:
		return DecryptParams{Scheme: PKCS1v15}, nil
	case *rsa.PKCS1v15DecryptOptions:
		if o.SessionKeyLen < 0 || o.SessionKeyLen > key.Size()-11 {
			return DecryptParams{}, fmt.Errorf("signer: a session key of %d bytes does not fit a %d-bit key", o.SessionKeyLen, key.N.BitLen())
		}
		return DecryptParams{Scheme: PKCS1v15, SessionKeyLen: o.SessionKeyLen}, nil
	case *rsa.OAEPOptions:
		p := DecryptParams{Scheme: OAEP, Hash: o.Hash, MGFHash: o.MGFHash, Label: o.Label}
		if p.MGFHash == 0 {
			p.MGFHash = p.Hash
		}
		for _, h := range []crypto.Hash{p.Hash, p.MGFHash} {
			if _, ok := digestSize(h); !ok {
				return DecryptParams{}, fmt.Errorf("%w: hash function %v", ErrUnsupported, h)
			}
		}
		if key.Size() < 2*p.Hash.Size()+2 {
			return DecryptParams{}, fmt.Errorf("signer: OAEP with %v does not fit a %d-bit key", p.Hash, key.N.BitLen())
		}
		return p, nil
	}
	return DecryptParams{}, fmt.Errorf("%w: decryption options of type %T", ErrUnsupported, opts)
}
