//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rsa"
	"errors"
	"fmt"
)

// ErrUnsupported is what an ability wraps that a key, a token or this package
// does not have. It Is [errors.ErrUnsupported].
var ErrUnsupported = fmt.Errorf("signer: %w", errors.ErrUnsupported)

// ErrInvalid is what an error wraps about input or options that no key of this
// type and size takes: a digest of the wrong length, a salt that does not fit.
var ErrInvalid = errors.New("signer: invalid request")

// A Scheme is a way to sign, to decrypt or to agree on a secret.
type Scheme int

// The schemes.
const (
	PKCS1v15 Scheme = iota + 1 // RSASSA-PKCS1-v1_5 or RSAES-PKCS1-v1_5 of RFC 8017
	PSS                        // RSASSA-PSS of RFC 8017, mask generation with the same hash
	OAEP                       // RSAES-OAEP of RFC 8017
	ECDSA                      // FIPS 186-5
	Ed25519                    // RFC 8032, with Ed25519ph and Ed25519ctx
	ECDH                       // elliptic curve Diffie-Hellman, X25519 of RFC 7748 too
	MLKEM                      // FIPS 203
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
	case ECDH:
		return "ECDH"
	case MLKEM:
		return "ML-KEM"
	}
	return fmt.Sprintf("Scheme(%d)", int(s))
}

// SignParams is what a request for a signature comes to.
type SignParams struct {
	Scheme     Scheme
	Hash       crypto.Hash // 0: a digest of unnamed origin, or Ed25519; SHA-512 with Ed25519 is Ed25519ph
	SaltLength int         // of PSS, in bytes, never one of the negative constants of crypto/rsa
	Context    string      // of Ed25519ctx and Ed25519ph, at most 255 bytes
}

// ParseSign checks input and opts against the public key pub, as Key.Sign gets
// them, and returns what they ask for. can is what the key can do besides, see
// [Able]; without it Ed25519ph and Ed25519ctx are refused.
//
// An error Is [ErrUnsupported] for keys of unknown type and options that ask for
// something else than the key can do, and [ErrInvalid] for a digest whose length is
// not that of its hash, a PSS salt that does not fit the key, and a nil opts, which
// only Ed25519 takes. Where FIPS 140 is enforced (GODEBUG=fips140=only), what the
// standard library refuses a key in memory Is ErrUnsupported too.
func ParseSign(pub crypto.PublicKey, input []byte, opts crypto.SignerOpts, can ...Ability) (p SignParams, err error) {
	err = parseSign(&p, pub, input, opts, can)
	if err == nil && fips140.Enforced() {
		err = checkSignFIPS(pub, p)
	}
	if err != nil {
		return SignParams{}, err
	}
	return p, nil
}

// parseSign is ParseSign into p: to copy it from result to result takes longer than all the rest.
func parseSign(p *SignParams, pub crypto.PublicKey, input []byte, opts crypto.SignerOpts, can []Ability) (err error) {
	var hash crypto.Hash
	if opts != nil {
		hash = opts.HashFunc()
	}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if opts == nil {
			return fmt.Errorf("%w: RSA needs options that name the hash", ErrInvalid)
		}
		if err := checkDigest(hash, input); err != nil {
			return err
		}
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			*p, err = parsePSS(pub, hash, pss)
			return err
		}
		*p, err = parsePKCS1v15(pub, hash, input)
		return err
	case *ecdsa.PublicKey:
		if opts == nil {
			return fmt.Errorf("%w: ECDSA needs options that name the hash", ErrInvalid)
		}
		if _, ok := opts.(*rsa.PSSOptions); ok {
			return fmt.Errorf("%w: RSA-PSS with an ECDSA key", ErrUnsupported)
		}
		if err := checkDigest(hash, input); err != nil {
			return err
		}
		if pub.Curve == nil {
			return fmt.Errorf("%w: ECDSA with a key that names no curve", ErrUnsupported)
		}
		if len(input) == 0 {
			return fmt.Errorf("%w: ECDSA needs a digest, none was given", ErrInvalid)
		}
		p.Scheme, p.Hash = ECDSA, hash
		return nil
	case ed25519.PublicKey:
		var abilities Ability
		for _, a := range can {
			abilities |= a
		}
		*p, err = parseEd25519(hash, input, opts, abilities)
		return err
	}
	return fmt.Errorf("%w: signature with a key of type %T", ErrUnsupported, pub)
}

// digestInfo has the bytes that stand before the digest in a DigestInfo (RFC 8017,
// 9.2), for the hash functions that have an identifier.
var digestInfo = map[crypto.Hash]int{
	0: 0, crypto.MD5SHA1: 0,
	crypto.MD5: 18, crypto.SHA1: 15, crypto.RIPEMD160: 14,
	crypto.SHA224: 19, crypto.SHA256: 19, crypto.SHA384: 19, crypto.SHA512: 19, crypto.SHA512_224: 19, crypto.SHA512_256: 19,
	crypto.SHA3_224: 19, crypto.SHA3_256: 19, crypto.SHA3_384: 19, crypto.SHA3_512: 19,
}

func parsePKCS1v15(pub *rsa.PublicKey, hash crypto.Hash, input []byte) (SignParams, error) {
	prefix, ok := digestInfo[hash]
	if !ok {
		return SignParams{}, fmt.Errorf("%w: RSA PKCS #1 v1.5 with %v, which has no identifier there", ErrUnsupported, hash)
	}
	if n := prefix + len(input); n > pub.Size()-11 {
		return SignParams{}, fmt.Errorf("%w: %d bytes are too long to be signed by a %d-bit key with PKCS #1 v1.5", ErrInvalid, n, pub.N.BitLen())
	}
	return SignParams{Scheme: PKCS1v15, Hash: hash}, nil
}

func parsePSS(pub *rsa.PublicKey, hash crypto.Hash, o *rsa.PSSOptions) (SignParams, error) {
	if hash == 0 {
		return SignParams{}, fmt.Errorf("%w: RSA-PSS needs a hash", ErrInvalid)
	}
	// The padding and its verification are computed here, not by the device.
	if err := checkHash(hash); err != nil {
		return SignParams{}, err
	}
	longest := (pub.N.BitLen()-1+7)/8 - hash.Size() - 2 // RFC 8017, 9.1.1, step 3
	salt := o.SaltLength
	switch salt {
	case rsa.PSSSaltLengthAuto:
		salt = longest
		if fips140.Enabled() { // FIPS 186-5 has none that is longer than the digest; crypto/rsa does the same
			salt = min(longest, hash.Size())
		}
	case rsa.PSSSaltLengthEqualsHash:
		salt = hash.Size()
	}
	if o.SaltLength < rsa.PSSSaltLengthEqualsHash {
		return SignParams{}, fmt.Errorf("%w: PSS salt length %d", ErrInvalid, o.SaltLength)
	}
	if longest < 0 || salt > longest {
		return SignParams{}, fmt.Errorf("%w: a PSS salt of %d bytes with %v does not fit a %d-bit key", ErrInvalid, salt, hash, pub.N.BitLen())
	}
	return SignParams{Scheme: PSS, Hash: hash, SaltLength: salt}, nil
}

func parseEd25519(hash crypto.Hash, input []byte, opts crypto.SignerOpts, can Ability) (SignParams, error) {
	p := SignParams{Scheme: Ed25519, Hash: hash}
	if o, ok := opts.(*ed25519.Options); ok {
		p.Context = o.Context
	}
	switch {
	case hash != 0 && hash != crypto.SHA512:
		return SignParams{}, fmt.Errorf("%w: Ed25519 signs the message, not its %v digest", ErrUnsupported, hash)
	case hash != 0 && can&AbilityEd25519ph == 0:
		return SignParams{}, fmt.Errorf("%w: Ed25519ph with this key, which signs the message, not its %v digest", ErrUnsupported, hash)
	case p.Context != "" && can&AbilityEd25519ctx == 0:
		return SignParams{}, fmt.Errorf("%w: Ed25519 with a context, with this key", ErrUnsupported)
	case len(p.Context) > 255: // RFC 8032, 5.1
		return SignParams{}, fmt.Errorf("%w: an Ed25519 context of %d bytes, at most 255 are possible", ErrInvalid, len(p.Context))
	}
	if err := checkDigest(hash, input); err != nil {
		return SignParams{}, err
	}
	return p, nil
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
		return fmt.Errorf("%w: a digest of %d bytes is not one of %v, which has %d", ErrInvalid, len(input), hash, n)
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
// decrypt. Errors are as those of [ParseSign].
func ParseDecrypt(pub crypto.PublicKey, ciphertext []byte, opts crypto.DecrypterOpts) (DecryptParams, error) {
	key, ok := pub.(*rsa.PublicKey)
	if !ok {
		return DecryptParams{}, fmt.Errorf("%w: decryption with a key of type %T", ErrUnsupported, pub)
	}
	p, err := parseDecrypt(key, ciphertext, opts)
	if err == nil {
		err = checkDecryptFIPS(key, p)
	}
	if err != nil {
		return DecryptParams{}, err
	}
	return p, nil
}

func parseDecrypt(key *rsa.PublicKey, ciphertext []byte, opts crypto.DecrypterOpts) (DecryptParams, error) {
	if len(ciphertext) != key.Size() {
		return DecryptParams{}, fmt.Errorf("%w: a ciphertext of %d bytes is not one of a %d-bit key, which has %d", ErrInvalid, len(ciphertext), key.N.BitLen(), key.Size())
	}
	switch o := opts.(type) {
	case nil:
		return DecryptParams{Scheme: PKCS1v15}, nil
	case *rsa.PKCS1v15DecryptOptions:
		if o.SessionKeyLen < 0 || o.SessionKeyLen > key.Size()-11 {
			return DecryptParams{}, fmt.Errorf("%w: a session key of %d bytes does not fit a %d-bit key", ErrInvalid, o.SessionKeyLen, key.N.BitLen())
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
			return DecryptParams{}, fmt.Errorf("%w: OAEP with %v does not fit a %d-bit key", ErrInvalid, p.Hash, key.N.BitLen())
		}
		return p, nil
	}
	return DecryptParams{}, fmt.Errorf("%w: decryption options of type %T", ErrUnsupported, opts)
}
