//go:build cgo

package system_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
)

// signerTestKeys are the private keys, which protect nothing.
var signerTestKeys = sync.OnceValue(func() map[string]crypto.PrivateKey {
	kem768, err := mlkem.NewDecapsulationKey768(make([]byte, mlkem.SeedSize))
	if err != nil {
		panic(err)
	}
	kem1024, err := mlkem.NewDecapsulationKey1024(make([]byte, mlkem.SeedSize))
	if err != nil {
		panic(err)
	}
	return map[string]crypto.PrivateKey{
		"RSA 2048": rsaTestKey(), "RSA 3072": rsa3072TestKey(), "RSA 4096": rsa4096TestKey(),
		"P-224": ecTestKey(elliptic.P224()), "P-256": ecTestKey(elliptic.P256()), "P-384": ecTestKey(elliptic.P384()), "P-521": ecTestKey(elliptic.P521()),
		"Ed25519": ed25519TestKey(), "X25519": x25519TestKey(), "ML-KEM-768": kem768, "ML-KEM-1024": kem1024,
	}
})

// rsa3072TestKey returns the key of Wycheproof's vectors.
func rsa3072TestKey() *rsa.PrivateKey {
	b, err := os.ReadFile(filepath.Join(root, "internal", "rsapad", "testdata", "rsa_oaep_3072_sha512_mgf1sha512.json"))
	if err != nil {
		panic(err)
	}
	var f struct {
		TestGroups []struct {
			Key string `json:"privateKeyPkcs8"`
		}
	}
	if err := json.Unmarshal(b, &f); err != nil {
		panic(err)
	}
	der, err := hex.DecodeString(f.TestGroups[0].Key)
	if err != nil {
		panic(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		panic(err)
	}
	return key.(*rsa.PrivateKey)
}

// rsa4096TestKey returns a key of two primes that are known to everybody: those of 2048 bits
// that RFC 3526 makes of pi (3) and RFC 7919 of e (appendix A.1).
func rsa4096TestKey() *rsa.PrivateKey {
	const bits, guard = 1918, 64
	one := new(big.Int).Lsh(big.NewInt(1), bits+guard)
	e, term := new(big.Int), new(big.Int).Set(one)
	for n := int64(1); term.Sign() != 0; n++ {
		e.Add(e, term)
		term.Div(term, big.NewInt(n))
	}
	// arctan returns that of 1/x (Machin's formula has two).
	arctan := func(x int64) *big.Int {
		sum, power := new(big.Int), new(big.Int).Div(one, big.NewInt(x))
		for n := int64(1); power.Sign() != 0; n += 4 {
			sum.Add(sum, new(big.Int).Div(power, big.NewInt(n)))
			power.Div(power, big.NewInt(x*x))
			sum.Sub(sum, new(big.Int).Div(power, big.NewInt(n+2)))
			power.Div(power, big.NewInt(x*x))
		}
		return sum
	}
	pi := new(big.Int).Mul(arctan(5), big.NewInt(16))
	pi.Sub(pi, new(big.Int).Mul(arctan(239), big.NewInt(4)))
	prime := func(constant *big.Int, add int64) *big.Int {
		p := new(big.Int).Rsh(constant, guard)
		p.Lsh(p.Add(p, big.NewInt(add)), 64)
		p.Add(p, new(big.Int).Lsh(big.NewInt(1), 2048))
		p.Sub(p, new(big.Int).Lsh(big.NewInt(1), 1984))
		return p.Sub(p, big.NewInt(1))
	}
	p, q := prime(pi, 124476), prime(e, 560316)
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, Primes: []*big.Int{p, q}}
	phi := new(big.Int).Mul(new(big.Int).Sub(p, big.NewInt(1)), new(big.Int).Sub(q, big.NewInt(1)))
	k.D = new(big.Int).ModInverse(big.NewInt(int64(k.E)), phi)
	k.Precompute()
	if err := k.Validate(); err != nil || k.N.BitLen() != 4096 {
		panic(fmt.Sprintf("a key of %d bits: %v", k.N.BitLen(), err))
	}
	return k
}

func publicOf(private crypto.PrivateKey) crypto.PublicKey {
	switch k := private.(type) {
	case *mlkem.DecapsulationKey768:
		return k.EncapsulationKey()
	case *mlkem.DecapsulationKey1024:
		return k.EncapsulationKey()
	case interface{ Public() crypto.PublicKey }:
		return k.Public()
	}
	return nil
}
