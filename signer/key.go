package signer

import (
	"context"
	"crypto"
	"crypto/ecdh"
)

// A Key is a private key that can sign and that does not leave its device.
type Key interface {
	// Public returns the public key: *rsa.PublicKey, *ecdsa.PublicKey or
	// ed25519.PublicKey. It does not wait for the device.
	Public() crypto.PublicKey

	// Sign signs input: the digest for RSA and ECDSA, the message for Ed25519
	// with opts.HashFunc() == 0. The options mean what they mean to
	// crypto.Signer: *rsa.PSSOptions asks for RSA-PSS, any other for PKCS #1
	// v1.5. ECDSA signatures are in ASN.1 DER. An implementation checks input
	// and opts with ParseSign, so that what it cannot do is refused.
	//
	// ctx ends the wait for a PIN, a touch or the device, as far as the device
	// can be interrupted. Implementations are safe for concurrent use.
	Sign(ctx context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error)
}

// Decrypting is a [Key] that can also decrypt, with RSA.
type Decrypting interface {
	Key
	// Decrypt decrypts ciphertext. The options mean what they mean to
	// crypto.Decrypter: nil or *rsa.PKCS1v15DecryptOptions, or *rsa.OAEPOptions.
	// An implementation checks them with ParseDecrypt.
	Decrypt(ctx context.Context, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error)
}

// Agreeing is a [Key] that can also agree on a secret, with elliptic curve
// Diffie-Hellman.
type Agreeing interface {
	Key
	// ECDH returns the shared secret, the x coordinate for the NIST curves. peer
	// is on the curve of the key, else it is refused.
	ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error)
}
