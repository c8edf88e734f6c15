package signer

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rsa"
	"fmt"
	"slices"
)

// A Use is what a key is used for.
type Use int

// The uses.
const (
	UseSign Use = iota + 1
	UseDecrypt
	UseAgree
	UseDecapsulate
)

// String returns the use as a verb, such as "sign".
func (u Use) String() string {
	switch u {
	case UseSign:
		return "sign"
	case UseDecrypt:
		return "decrypt"
	case UseAgree:
		return "agree on a secret"
	case UseDecapsulate:
		return "decapsulate"
	}
	return fmt.Sprintf("Use(%d)", int(u))
}

// An Operation is one use of a key. It holds no input and no result.
type Operation struct {
	Use    Use
	Scheme Scheme
	// Hash is the hash function: that of the digest, of Ed25519ph (SHA-512) or of
	// OAEP. It is 0 where there is none, and where nobody says what was signed.
	Hash crypto.Hash
	// MGFHash is the hash function of the mask generation of PSS or OAEP, else 0.
	MGFHash crypto.Hash
	// Public is the public key.
	Public crypto.PublicKey
}

// String returns the operation in words, such as "sign with ECDSA and SHA-256, P-256".
func (op Operation) String() string {
	s := op.Use.String() + " with " + op.Scheme.String()
	if op.Hash != 0 {
		s += " and " + op.Hash.String()
	}
	if name, bits := keyKind(op.Public); bits > 0 {
		s += fmt.Sprintf(", %d bits", bits)
	} else if name != "" && name != op.Scheme.String() {
		s += ", " + name
	}
	return s
}

// keyKind returns the name of a key's curve or parameter set, or the bits of an RSA
// modulus.
func keyKind(pub crypto.PublicKey) (name string, rsaBits int) {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return "RSA", pub.N.BitLen()
	case *ecdsa.PublicKey:
		if pub.Curve != nil {
			return pub.Curve.Params().Name, 0
		}
	case *ecdh.PublicKey:
		return fmt.Sprint(pub.Curve()), 0
	case ed25519.PublicKey:
		return "Ed25519", 0
	case *mlkem.EncapsulationKey768:
		return "ML-KEM-768", 0
	case *mlkem.EncapsulationKey1024:
		return "ML-KEM-1024", 0
	}
	return "", 0
}

// A Policy says which of the things that a key can do it is used for. The zero
// value, and a nil pointer, allow everything that the standard library can verify.
// It must not change while it is used, and is then safe for concurrent use.
type Policy struct {
	// Schemes are the ways to sign, decrypt and agree that are allowed; nil
	// allows all.
	Schemes []Scheme
	// Hashes are the hash functions that are allowed for digests, for OAEP and
	// for mask generation; nil allows all. Where it is not nil, a digest whose
	// hash function nobody names is refused, unless crypto.Hash(0) is in it.
	// It says nothing about the hash functions that are part of Ed25519 and
	// ML-KEM.
	Hashes []crypto.Hash
	// Curves are the curves that are allowed for ECDSA and key agreement, by
	// their names: "P-224", "P-256", "P-384", "P-521", "X25519", or that in
	// elliptic.CurveParams; nil allows all.
	Curves []string
	// MinRSABits and MaxRSABits bound the modulus of RSA keys; 0 is no bound.
	MinRSABits, MaxRSABits int
}

// A PolicyError reports what [Policy] does not allow.
type PolicyError struct {
	Operation Operation
	Reason    string // what is not allowed, in words
}

// Error says what was refused and why.
func (e *PolicyError) Error() string {
	return fmt.Sprintf("signer: refused to %v: the policy does not allow %s", e.Operation, e.Reason)
}

// Check returns a *PolicyError if the policy does not allow op.
func (p *Policy) Check(op Operation) error {
	if p == nil {
		return nil
	}
	if reason := p.refuses(op); reason != "" {
		return &PolicyError{Operation: op, Reason: reason}
	}
	return nil
}

func (p *Policy) refuses(op Operation) string {
	if p.Schemes != nil && !slices.Contains(p.Schemes, op.Scheme) {
		return op.Scheme.String()
	}
	if p.Hashes != nil {
		if op.Hash != 0 || op.Scheme == PKCS1v15 && op.Use == UseSign || op.Scheme == ECDSA {
			if !slices.Contains(p.Hashes, op.Hash) {
				if op.Hash == 0 {
					return "a digest whose hash function is not named"
				}
				return op.Hash.String()
			}
		}
		if op.MGFHash != 0 && !slices.Contains(p.Hashes, op.MGFHash) {
			return op.MGFHash.String() + " for mask generation"
		}
	}
	name, bits := keyKind(op.Public)
	switch op.Scheme {
	case PKCS1v15, PSS, OAEP:
		if bits < p.MinRSABits || p.MaxRSABits > 0 && bits > p.MaxRSABits {
			return fmt.Sprintf("an RSA key of %d bits", bits)
		}
	case ECDSA, ECDH:
		if p.Curves != nil && !slices.Contains(p.Curves, name) {
			return "the curve " + name
		}
	}
	return ""
}
