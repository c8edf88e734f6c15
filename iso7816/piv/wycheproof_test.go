package piv

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
	"github.com/cardoki/cardoki/signer"
)

type wycheproofGroup struct {
	Curve     string `json:"curve"`
	SHA       string `json:"sha"`
	MGFSHA    string `json:"mgfSha"`
	SaltLen   int    `json:"sLen"`
	PKCS8     string `json:"privateKeyPkcs8"`
	PublicKey string `json:"publicKeyDer"`
	Tests     []struct {
		ID      int    `json:"tcId"`
		Comment string `json:"comment"`
		Msg     string `json:"msg"`
		CT      string `json:"ct"`
		Sig     string `json:"sig"`
		Label   string `json:"label"`
		Public  string `json:"public"`
		Private string `json:"private"`
		Shared  string `json:"shared"`
		Result  string `json:"result"`
	} `json:"tests"`
}

func wycheproof(t *testing.T, path string) []wycheproofGroup {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		TestGroups []wycheproofGroup `json:"testGroups"`
	}
	if err := json.Unmarshal(b, &f); err != nil || len(f.TestGroups) == 0 {
		t.Fatalf("%s: %d groups, %v", path, len(f.TestGroups), err)
	}
	return f.TestGroups
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var hashes = map[string]crypto.Hash{"SHA-1": crypto.SHA1, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}

const rsaVectors = "../../internal/rsapad/testdata/"

// importKey puts a key into slot 9E, which needs no PIN.
func importKey(t *testing.T, c *Client, private crypto.PrivateKey) *Key {
	t.Helper()
	if err := c.ImportKey(ctx, SlotCardAuthentication, private, nil); err != nil {
		t.Fatal(err)
	}
	k, err := c.Key(ctx, SlotCardAuthentication)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWycheproofDecryption(t *testing.T) {
	c, _, _ := open(t, nil)
	manage(t, c)
	for _, name := range []string{"rsa_pkcs1_2048", "rsa_oaep_2048_sha1_mgf1sha1", "rsa_oaep_2048_sha256_mgf1sha256", "rsa_oaep_3072_sha512_mgf1sha512"} {
		valid, invalid := 0, 0
		for _, g := range wycheproof(t, rsaVectors+name+".json") {
			private, err := x509.ParsePKCS8PrivateKey(fromHex(t, g.PKCS8))
			if err != nil {
				t.Fatal(err)
			}
			k := importKey(t, c, private)
			for _, tt := range g.Tests {
				var opts crypto.DecrypterOpts
				if g.SHA != "" {
					opts = &rsa.OAEPOptions{Hash: hashes[g.SHA], MGFHash: hashes[g.MGFSHA], Label: fromHex(t, tt.Label)}
				}
				got, err := k.Decrypt(ctx, fromHex(t, tt.CT), opts)
				switch tt.Result {
				case "valid":
					valid++
					if err != nil || !bytes.Equal(got, fromHex(t, tt.Msg)) {
						t.Errorf("%s %d %q: got %x, %v", name, tt.ID, tt.Comment, got, err)
					}
				case "invalid":
					invalid++
					if err == nil {
						t.Errorf("%s %d %q: got %x, want an error", name, tt.ID, tt.Comment, got)
					}
				}
			}
		}
		if valid == 0 || invalid == 0 {
			t.Errorf("%s: %d valid and %d invalid cases", name, valid, invalid)
		}
	}
}

func TestWycheproofSignatures(t *testing.T) {
	c, _, _ := open(t, nil)
	manage(t, c)
	n := 0
	for _, g := range wycheproof(t, rsaVectors+"rsa_pkcs1_2048_sig_gen.json") {
		private, err := x509.ParsePKCS8PrivateKey(fromHex(t, g.PKCS8))
		if err != nil {
			t.Fatal(err)
		}
		if r := private.(*rsa.PrivateKey); r.E != 65537 || hashes[g.SHA] == 0 {
			continue
		}
		k := importKey(t, c, private)
		for _, tt := range g.Tests {
			h := hashes[g.SHA].New()
			h.Write(fromHex(t, tt.Msg))
			got, err := k.Sign(ctx, h.Sum(nil), hashes[g.SHA])
			if n++; err != nil || !bytes.Equal(got, fromHex(t, tt.Sig)) {
				t.Errorf("%d %q: got %x, %v", tt.ID, tt.Comment, got, err)
			}
		}
	}
	if n == 0 {
		t.Error("no case")
	}
}

// A card that gives a signature which is none is found out by the signer: the vectors'
// signatures are answered by the card, whatever it is asked.
func TestWycheproofSignaturesOfABadCard(t *testing.T) {
	for _, name := range []string{
		"testdata/ecdsa_secp256r1_sha256", "testdata/ecdsa_secp384r1_sha384",
		rsaVectors + "rsa_signature_2048_sha256", rsaVectors + "rsa_signature_3072_sha384",
		rsaVectors + "rsa_pss_2048_sha256_mgf1_32", rsaVectors + "rsa_pss_3072_sha256_mgf1_32", rsaVectors + "rsa_pss_4096_sha512_mgf1_64",
	} {
		counts := map[string]int{}
		for _, g := range wycheproof(t, name+".json") {
			pub, err := x509.ParsePKIXPublicKey(fromHex(t, g.PublicKey))
			if err != nil {
				t.Logf("%s: a group is left out: %v", name, err) // an algorithm identifier of PSS
				continue
			}
			algorithm, err := algorithmOf(pub)
			if err != nil {
				t.Fatal(err)
			}
			template, err := appendPublicKey(nil, pub)
			if err != nil {
				t.Fatal(err)
			}
			var sig []byte
			c, _, s := open(t, nil)
			ok := func(data []byte) []byte { return append(data, 0x90, 0x00) }
			s.answer = func(cmd *apdu.Command) []byte {
				switch cmd.Instruction {
				case insGetMetadata:
					b := tlv.Append(nil, tagMetadataAlgorithm, []byte{byte(algorithm)})
					b = tlv.Append(b, tagMetadataPolicy, []byte{byte(PINPolicyNever), byte(TouchPolicyNever)})
					return ok(tlv.Append(b, tagMetadataPublicKey, template))
				case apdu.InsGeneralAuthenticateOdd:
					if cmd.Class.Chained() {
						return ok(nil)
					}
					return ok(tlv.Append(nil, tagDynamicAuth, tlv.Append(nil, tagResponse, sig)))
				}
				return nil
			}
			k, err := c.Key(ctx, SlotCardAuthentication)
			if err != nil {
				t.Fatal(err)
			}
			hash := hashes[g.SHA]
			var opts crypto.SignerOpts = hash
			if g.MGFSHA != "" {
				opts = &rsa.PSSOptions{Hash: hash, SaltLength: g.SaltLen}
			}
			for _, tt := range g.Tests {
				h := hash.New()
				h.Write(fromHex(t, tt.Msg))
				sig = fromHex(t, tt.Sig)
				got, err := k.Signer(&signer.Options{Verify: signer.VerifyAlways}).Sign(nil, h.Sum(nil), opts)
				counts[tt.Result]++
				if tt.Result == "valid" && (err != nil || !bytes.Equal(got, sig)) {
					t.Errorf("%s %d %q: %v", name, tt.ID, tt.Comment, err)
				}
				if tt.Result == "invalid" && err == nil {
					t.Errorf("%s %d %q: a wrong signature was passed on", name, tt.ID, tt.Comment)
				}
			}
		}
		if counts["valid"] == 0 || counts["invalid"] == 0 {
			t.Errorf("%s: %v", name, counts)
		}
	}
}

func TestWycheproofKeyAgreement(t *testing.T) {
	c, _, _ := open(t, nil)
	manage(t, c)
	for name, curve := range map[string]elliptic.Curve{"ecdh_secp256r1": elliptic.P256(), "ecdh_secp384r1": elliptic.P384(), "x25519": nil} {
		counts := map[string]int{}
		for _, g := range wycheproof(t, "testdata/"+name+".json") {
			for _, tt := range g.Tests {
				counts[tt.Result]++
				err := agreeAsTold(t, c, curve, fromHex(t, tt.Private), fromHex(t, tt.Public), fromHex(t, tt.Shared))
				if (err == nil) != (tt.Result == "valid") && tt.Result != "acceptable" {
					t.Errorf("%s %d %q, %s: got %v", name, tt.ID, tt.Comment, tt.Result, err)
				}
			}
		}
		if counts["valid"] == 0 {
			t.Errorf("%s: %v", name, counts)
		}
	}
}

// agreeAsTold imports a private key, agrees with the public one and compares the secret.
func agreeAsTold(t *testing.T, c *Client, curve elliptic.Curve, private, public, shared []byte) error {
	t.Helper()
	var key crypto.PrivateKey
	var peer *ecdh.PublicKey
	var err error
	if curve == nil {
		if key, err = ecdh.X25519().NewPrivateKey(private); err != nil {
			return err
		}
		if peer, err = ecdh.X25519().NewPublicKey(public); err != nil {
			return err
		}
	} else {
		n := (curve.Params().BitSize + 7) / 8
		scalar := new(big.Int).SetBytes(private).FillBytes(make([]byte, n))
		if key, err = ecdsa.ParseRawPrivateKey(curve, scalar); err != nil {
			return err
		}
		parsed, err := x509.ParsePKIXPublicKey(public)
		if err != nil {
			return err
		}
		ec, ok := parsed.(*ecdsa.PublicKey)
		if !ok {
			return fmt.Errorf("a key of type %T", parsed)
		}
		if peer, err = ec.ECDH(); err != nil {
			return err
		}
	}
	got, err := importKey(t, c, key).ECDH(ctx, peer)
	if err == nil && !bytes.Equal(got, shared) {
		err = fmt.Errorf("got %x, want %x", got, shared)
	}
	return err
}
