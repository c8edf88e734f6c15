package rsapad

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"
)

type wycheproofGroup struct {
	SHA        string `json:"sha"`
	MGFSHA     string `json:"mgfSha"`
	SaltLen    int    `json:"sLen"`
	PKCS8      string `json:"privateKeyPkcs8"`
	PublicKey  string `json:"publicKeyDer"`
	PublicKey2 string `json:"publicKeyAsn"`
	Tests      []struct {
		ID      int    `json:"tcId"`
		Comment string `json:"comment"`
		Msg     string `json:"msg"`
		CT      string `json:"ct"`
		Sig     string `json:"sig"`
		Label   string `json:"label"`
		Result  string `json:"result"`
	} `json:"tests"`
}

func readWycheproof(t *testing.T, name string) []wycheproofGroup {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		TestGroups []wycheproofGroup `json:"testGroups"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.TestGroups) == 0 {
		t.Fatalf("%s: no test groups", name)
	}
	return f.TestGroups
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (g *wycheproofGroup) private(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(unhex(t, g.PKCS8))
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

func (g *wycheproofGroup) public(t *testing.T) *rsa.PublicKey {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(unhex(t, g.PublicKey))
	if err == nil {
		return key.(*rsa.PublicKey)
	}
	// Some groups have an algorithm identifier for PSS, which crypto/x509 refuses.
	pub, err := x509.ParsePKCS1PublicKey(unhex(t, g.PublicKey2))
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

var hashNames = map[string]crypto.Hash{
	"SHA-1": crypto.SHA1, "SHA-224": crypto.SHA224, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512,
	"SHA-512/224": crypto.SHA512_224, "SHA-512/256": crypto.SHA512_256,
	"SHA3-224": crypto.SHA3_224, "SHA3-256": crypto.SHA3_256, "SHA3-384": crypto.SHA3_384, "SHA3-512": crypto.SHA3_512,
}

// exponentiate is the RSA operation with any exponent; false when x is not below
// the modulus, or not as long as it.
func exponentiate(x []byte, e, n *big.Int) ([]byte, bool) {
	i := new(big.Int).SetBytes(x)
	k := (n.BitLen() + 7) / 8
	if len(x) != k || i.Cmp(n) >= 0 {
		return nil, false
	}
	return i.Exp(i, e, n).FillBytes(make([]byte, k)), true
}

func TestWycheproof_decryption(t *testing.T) {
	for _, file := range []string{"rsa_oaep_2048_sha1_mgf1sha1", "rsa_oaep_2048_sha256_mgf1sha256", "rsa_oaep_3072_sha512_mgf1sha512", "rsa_pkcs1_2048"} {
		t.Run(file, func(t *testing.T) {
			var n int
			for _, g := range readWycheproof(t, file) {
				key := g.private(t)
				for _, tt := range g.Tests {
					if tt.Result == "acceptable" {
						continue
					}
					n++
					var got []byte
					em, ok := exponentiate(unhex(t, tt.CT), key.D, key.N)
					if ok {
						var err error
						if g.MGFSHA != "" {
							got, err = DecodeOAEP(em, hashNames[g.SHA], hashNames[g.MGFSHA], unhex(t, tt.Label))
						} else {
							got, err = DecodePKCS1v15(em)
						}
						ok = err == nil
					}
					if want := tt.Result == "valid"; ok != want || ok && !bytes.Equal(got, unhex(t, tt.Msg)) {
						t.Errorf("case %d, %q: got success %v, want %v with the message of the vector", tt.ID, tt.Comment, ok, want)
					}
				}
			}
			if n < 15 {
				t.Errorf("got %d cases, want 15 at least", n)
			}
		})
	}
}

// What a signature decrypts to is what EncodePKCS1v15 makes, if and only if the
// signature is valid: that padding has one form.
func TestWycheproof_signaturePKCS1v15(t *testing.T) {
	for _, file := range []string{"rsa_signature_2048_sha256", "rsa_signature_3072_sha384", "rsa_signature_4096_sha512", "rsa_pkcs1_2048_sig_gen"} {
		t.Run(file, func(t *testing.T) {
			var n int
			for _, g := range readWycheproof(t, file) {
				hash := hashNames[g.SHA]
				var pub *rsa.PublicKey
				if g.PublicKey != "" {
					pub = g.public(t)
				} else {
					pub = &g.private(t).PublicKey
				}
				for _, tt := range g.Tests {
					if tt.Result == "acceptable" {
						continue
					}
					n++
					want, err := EncodePKCS1v15(pub.Size(), hash, digest(hash, string(unhex(t, tt.Msg))))
					if err != nil {
						t.Fatal(err)
					}
					em, ok := exponentiate(unhex(t, tt.Sig), big.NewInt(int64(pub.E)), pub.N)
					if valid := ok && bytes.Equal(em, want); valid != (tt.Result == "valid") {
						t.Errorf("case %d, %q: got valid %v, want %v", tt.ID, tt.Comment, valid, tt.Result)
					}
				}
			}
			if n < 12 {
				t.Errorf("got %d cases, want 12 at least", n)
			}
		})
	}
}

// The salt of a valid signature, given to EncodePSS, makes the same EM again;
// that of an invalid one never does.
func TestWycheproof_signaturePSS(t *testing.T) {
	for _, file := range []string{"rsa_pss_2048_sha256_mgf1_32", "rsa_pss_3072_sha256_mgf1_32", "rsa_pss_4096_sha512_mgf1_64", "rsa_pss_misc"} {
		t.Run(file, func(t *testing.T) {
			var n int
			for _, g := range readWycheproof(t, file) {
				if g.MGFSHA != g.SHA || hashNames[g.SHA] == 0 {
					continue // EncodePSS has one hash for both
				}
				hash := hashNames[g.SHA]
				pub := g.public(t)
				for _, tt := range g.Tests {
					if tt.Result == "acceptable" {
						continue
					}
					n++
					em, ok := exponentiate(unhex(t, tt.Sig), big.NewInt(int64(pub.E)), pub.N)
					if ok {
						// Take the mask off the copy of DB to find the salt.
						emLen := (pub.N.BitLen() - 1 + 7) / 8
						body := em[len(em)-emLen:]
						db := bytes.Clone(body[:emLen-hash.Size()-1])
						xorMGF1(db, hash, body[len(db):emLen-1])
						salt := db[len(db)-g.SaltLen:]
						want, err := EncodePSS(bytes.NewReader(salt), pub.N.BitLen(), hash, digest(hash, string(unhex(t, tt.Msg))), g.SaltLen)
						if err != nil {
							t.Fatal(err)
						}
						ok = bytes.Equal(em, want)
					}
					if ok != (tt.Result == "valid") {
						t.Errorf("case %d, %q: got valid %v, want %v", tt.ID, tt.Comment, ok, tt.Result)
					}
				}
			}
			if n < 7 {
				t.Errorf("got %d cases, want 7 at least", n)
			}
		})
	}
}

// The padding survives the public and the private operation.
func TestDecode_afterTheRSAOperation(t *testing.T) {
	key := newKey(t, 1024)
	em := emPKCS1(48)
	got, err := DecodePKCS1v15(raw(key, encrypt(key, em)))
	if err != nil || !bytes.Equal(got, em[128-48:]) {
		t.Errorf("well padded: got %d bytes and error %v, want 48", len(got), err)
	}
	em[1] = 1
	if _, err := DecodePKCS1v15(raw(key, encrypt(key, em))); err != ErrDecryption {
		t.Errorf("block type 1: got error %v, want ErrDecryption", err)
	}
}
