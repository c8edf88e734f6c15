package signer

import (
	"context"
	"crypto"
	"crypto/ecdh"
)

// A Key is a private key that can sign and that does not leave its device.
type Key interface {
	// Public returns the public key: *rsa.PublicKey, *ecdsa.PublicKey,
	// ed25519.PublicKey, or one that cannot sign, see Agreeing. It does not wait
	// for the device, and it does not change.
	Public() crypto.PublicKey

	// Sign signs input: the digest for RSA and ECDSA, the message for Ed25519
	// with opts.HashFunc() == 0. The options mean what they mean to
	// crypto.Signer: *rsa.PSSOptions asks for RSA-PSS, any other for PKCS #1
	// v1.5. ECDSA signatures are in ASN.1 DER. An implementation checks input
	// and opts with ParseSign, so that what it cannot do is refused; a key that
	// was not made for signing gives an error that Is ErrUnsupported.
	//
	// ctx ends the wait for a PIN, a touch or the device, as far as the device
	// can be interrupted. Implementations are safe for concurrent use.
	Sign(ctx context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error)
}

// Able is a [Key] that can do what not every key of its type can.
type Able interface {
	Key
	// Abilities returns what the key can do besides. It does not wait for the
	// device, and it does not change.
	Abilities() Ability
}

// An Ability is a set of what only some devices can do; Ability values are
// joined with |.
type Ability uint

// The abilities.
const (
	AbilityEd25519ph  Ability = 1 << iota // Ed25519ph of RFC 8032, which signs a SHA-512 digest
	AbilityEd25519ctx                     // a context, for Ed25519ctx, and for Ed25519ph where that is there
)

// Hashing is a [Key] that can hash what it signs in its device.
type Hashing interface {
	Key
	// SignMessage hashes message with opts.HashFunc(), which is not 0, in the
	// device, and signs the digest as Sign does. What the device cannot hash
	// gives an error that Is ErrUnsupported.
	SignMessage(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error)
}

// Decrypting is a [Key] that can also decrypt, with RSA.
type Decrypting interface {
	Key
	// Decrypt decrypts ciphertext. The options mean what they mean to
	// crypto.Decrypter: nil or *rsa.PKCS1v15DecryptOptions, or *rsa.OAEPOptions.
	// An implementation checks them with ParseDecrypt. A ciphertext that does not
	// decrypt gives an error that Is rsa.ErrDecryption, whatever is wrong with it,
	// and none at all where ParseDecrypt gives a SessionKeyLen.
	Decrypt(ctx context.Context, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error)
}

// Agreeing is a [Key] that can also agree on a secret, with elliptic curve
// Diffie-Hellman. Its Public is an *ecdsa.PublicKey on P-256, P-384 or P-521, or
// an *ecdh.PublicKey, as X25519 keys have; the latter cannot sign, which Sign
// says with an error that Is ErrUnsupported.
type Agreeing interface {
	Key
	// ECDH returns the shared secret, the x coordinate for the NIST curves. peer
	// is on the curve of the key, else it is refused.
	ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error)
}

// Decapsulating is a private key of ML-KEM (FIPS 203) that does not leave its
// device.
type Decapsulating interface {
	// Public returns the public key, *mlkem.EncapsulationKey768 or
	// *mlkem.EncapsulationKey1024. It does not wait for the device.
	Public() crypto.PublicKey
	// Decapsulate returns the shared key, 32 bytes, that ciphertext carries. As
	// FIPS 203 has it, a ciphertext of another key gives another shared key
	// and no error.
	Decapsulate(ctx context.Context, ciphertext []byte) ([]byte, error)
}
