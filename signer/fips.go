package signer

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rsa"
	"fmt"
)

// Where a program enforces FIPS 140 (GODEBUG=fips140=only), a key in a device does what
// the same key in memory does there: what the standard library refuses, by an error or
// by a panic, is refused here before the device is asked.

// notEnforced refuses what is not approved.
func notEnforced(what string) error {
	return fmt.Errorf("%w: %s, where FIPS 140 is enforced (GODEBUG=fips140=only)", ErrUnsupported, what)
}

// checkHash refuses a hash function that Go does not compute.
func checkHash(hash crypto.Hash) error {
	if !hash.Available() {
		return fmt.Errorf("%w: hash function %v is not linked into this program", ErrUnsupported, hash)
	}
	if fips140.Enforced() && !approved(hash) {
		return notEnforced("hash function " + hash.String())
	}
	return nil
}

func approved(hash crypto.Hash) bool {
	switch hash {
	case crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA512_224, crypto.SHA512_256,
		crypto.SHA3_224, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512:
		return true
	}
	return false
}

// checkSignFIPS refuses signatures that the standard library does not make or verify.
func checkSignFIPS(pub crypto.PublicKey, p SignParams) error {
	if !fips140.Enforced() {
		return nil
	}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		switch {
		case p.Hash == 0:
			return notEnforced("RSA PKCS #1 v1.5 of data whose hash function is not named")
		case !approved(p.Hash):
			return notEnforced(p.Scheme.String() + " with " + p.Hash.String())
		case p.SaltLength > p.Hash.Size():
			return notEnforced("a PSS salt longer than the digest")
		}
		return checkRSAFIPS(pub)
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return notEnforced("the curve " + pub.Curve.Params().Name)
	}
	if p.Scheme == Ed25519 && p.Hash == 0 && p.Context != "" {
		return notEnforced("Ed25519 with a context")
	}
	return nil
}

// checkDecryptFIPS does for decryption what checkSignFIPS does for signatures.
func checkDecryptFIPS(pub *rsa.PublicKey, p DecryptParams) error {
	if !fips140.Enforced() {
		return nil
	}
	if p.Scheme != OAEP {
		return notEnforced("RSA PKCS #1 v1.5 decryption")
	}
	for _, h := range []crypto.Hash{p.Hash, p.MGFHash} {
		if !approved(h) {
			return notEnforced("RSA-OAEP with " + h.String())
		}
	}
	return checkRSAFIPS(pub)
}

func checkRSAFIPS(pub *rsa.PublicKey) error {
	if bits := pub.N.BitLen(); bits < 2048 || bits%2 != 0 {
		return notEnforced(fmt.Sprintf("an RSA key of %d bits", bits))
	}
	if pub.E <= 1<<16 || pub.E%2 == 0 {
		return notEnforced(fmt.Sprintf("an RSA key with the public exponent %d", pub.E))
	}
	return nil
}

// checkAgreeFIPS does it for key agreement.
func checkAgreeFIPS(curve ecdh.Curve) error {
	if fips140.Enforced() && curve == ecdh.X25519() {
		return notEnforced("X25519")
	}
	return nil
}
