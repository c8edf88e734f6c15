package piv

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/elliptic"
	"fmt"
)

// An Algorithm is an algorithm identifier, P1 of GENERAL AUTHENTICATE
// (SP 800-78-5; those from E0 on are YubiKey's).
type Algorithm byte

// The algorithms. Management keys are symmetric, all others asymmetric.
const (
	AlgorithmTDESLegacy    Algorithm = 0x03 // triple DES with three keys: no longer allowed by SP 800-78-5, still in many cards
	AlgorithmRSA3072       Algorithm = 0x05
	AlgorithmRSA1024Legacy Algorithm = 0x06 // too short for today, still in old cards
	AlgorithmRSA2048       Algorithm = 0x07
	AlgorithmAES128        Algorithm = 0x08
	AlgorithmAES192        Algorithm = 0x0A
	AlgorithmAES256        Algorithm = 0x0C
	AlgorithmP256          Algorithm = 0x11
	AlgorithmP384          Algorithm = 0x14
	AlgorithmRSA4096       Algorithm = 0x16
	AlgorithmEd25519       Algorithm = 0xE0
	AlgorithmX25519        Algorithm = 0xE1
)

// algorithms has a row for each algorithm.
var algorithms = map[Algorithm]struct {
	name    string
	rsaBits int            // RSA: length of the modulus
	curve   elliptic.Curve // EC
	raw     int            // Ed25519 and X25519: length of a key in bytes
	keyLen  int            // management keys: length in bytes
	block   func(key []byte) (cipher.Block, error)
}{
	AlgorithmTDESLegacy:    {name: "triple DES", keyLen: 24, block: des.NewTripleDESCipher},
	AlgorithmRSA3072:       {name: "RSA 3072", rsaBits: 3072},
	AlgorithmRSA1024Legacy: {name: "RSA 1024", rsaBits: 1024},
	AlgorithmRSA2048:       {name: "RSA 2048", rsaBits: 2048},
	AlgorithmAES128:        {name: "AES-128", keyLen: 16, block: aes.NewCipher},
	AlgorithmAES192:        {name: "AES-192", keyLen: 24, block: aes.NewCipher},
	AlgorithmAES256:        {name: "AES-256", keyLen: 32, block: aes.NewCipher},
	AlgorithmP256:          {name: "P-256", curve: elliptic.P256()},
	AlgorithmP384:          {name: "P-384", curve: elliptic.P384()},
	AlgorithmRSA4096:       {name: "RSA 4096", rsaBits: 4096},
	AlgorithmEd25519:       {name: "Ed25519", raw: 32},
	AlgorithmX25519:        {name: "X25519", raw: 32},
}

// String returns the usual name of the algorithm.
func (a Algorithm) String() string {
	if r, ok := algorithms[a]; ok {
		return r.name
	}
	return fmt.Sprintf("algorithm %02X", byte(a))
}

// asymmetric reports whether a is one of key pairs.
func (a Algorithm) asymmetric() bool {
	r := algorithms[a]
	return r.rsaBits > 0 || r.curve != nil || r.raw > 0
}

// managementCipher returns the block cipher of a management key, to be wiped after use.
func managementCipher(a Algorithm, key []byte) (cipher.Block, error) {
	if err := checkManagementKey(a, key); err != nil {
		return nil, err
	}
	return algorithms[a].block(key)
}

// checkManagementKey returns an error when key is none of a.
func checkManagementKey(a Algorithm, key []byte) error {
	r := algorithms[a]
	if r.block == nil {
		return fmt.Errorf("piv: %v is not an algorithm of management keys", a)
	}
	if len(key) != r.keyLen {
		return fmt.Errorf("piv: a management key of %d bytes is not one of %v, which has %d", len(key), a, r.keyLen)
	}
	return nil
}
