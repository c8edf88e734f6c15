package system_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// TestYKCS11 manages and uses the card through Yubico's PKCS#11 module, whose security
// officer is who has the management key.
//
// Expected failures of ykcs11 2.2.0 as Debian 12 has it: it refuses private keys that
// come with the attribute CKA_PRIVATE, as pkcs11-tool sends it (Yubico/yubico-piv-tool
// issue 418), and it has no C_InitPIN. The card is one of version 5.4.3, as it knows no
// AES management keys.
func TestYKCS11(t *testing.T) {
	pkcs11Tool, openssl := system.Need(t, "pkcs11-tool", "opensc"), system.Need(t, "openssl", "openssl")
	library := module(t, "libykcs11.so.2", "ykcs11")
	daemon, _ := newYubiKey(t, &piv.ApplicationOptions{Version: piv.Version{Major: 5, Minor: 4, Patch: 3}, Serial: testSerial})
	officer := newTool(t, daemon, pkcs11Tool, "--module", library, "--login", "--login-type", "so", "--so-pin", factoryManagement)
	user := newTool(t, daemon, pkcs11Tool, "--module", library, "--login", "--pin", factoryPIN)
	ca := newTestAuthority(t)
	message := user.file("message")
	if err := os.WriteFile(message, []byte("signed by a card in software\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	user.says("YubiKey PIV #20261125", "-L")

	for _, k := range []struct {
		id, keyType string
		slot        piv.Slot
		mechanisms  []string
	}{
		{"01", "EC:prime256v1", piv.SlotAuthentication, []string{"ECDSA-SHA1", "ECDSA-SHA224", "ECDSA-SHA256"}},
		{"02", "rsa:2048", piv.SlotSignature, []string{"SHA1-RSA-PKCS", "SHA256-RSA-PKCS", "SHA384-RSA-PKCS", "SHA512-RSA-PKCS",
			"SHA1-RSA-PKCS-PSS", "SHA256-RSA-PKCS-PSS", "SHA384-RSA-PKCS-PSS", "SHA512-RSA-PKCS-PSS"}},
		{"03", "rsa:1024", piv.SlotKeyManagement, []string{"SHA256-RSA-PKCS", "SHA256-RSA-PKCS-PSS"}},
		{"04", "EC:secp384r1", piv.SlotCardAuthentication, []string{"ECDSA-SHA256", "ECDSA-SHA384"}},
		{"05", "EC:prime256v1", piv.SlotRetired1, []string{"ECDSA-SHA256"}},
	} {
		t.Run(k.id+" "+k.keyType, func(t *testing.T) {
			officer, user := *officer, *user
			officer.t, user.t = t, t
			officer.says("Key pair generated", "--keypairgen", "--key-type", k.keyType, "--id", k.id)
			m := metadata(t, daemon, k.slot)
			cert, err := ca.issueUser(m.Public)
			if err != nil {
				t.Fatal(err)
			}
			der := user.file("certificate")
			if err := os.WriteFile(der, cert.Raw, 0o600); err != nil {
				t.Fatal(err)
			}
			officer.says("Created certificate", "--write-object", der, "--type", "cert", "--id", k.id)
			user.run("--read-object", "--type", "cert", "--id", k.id, "-o", user.file("read"))
			if got := mustRead(t, user.file("read")); got != string(cert.Raw) {
				t.Error("--read-object: got another certificate")
			}
			public := writePEM(t, "public.pem", "PUBLIC KEY", mustPKIX(t, m.Public))
			signature := user.file("signature")
			for _, mechanism := range k.mechanisms {
				hash := "-sha1"
				for _, h := range []string{"SHA224", "SHA256", "SHA384", "SHA512"} {
					if strings.Contains(mechanism, h) {
						hash = "-" + strings.ToLower(h)
					}
				}
				sign, verify := []string{"--sign", "--mechanism", mechanism, "--id", k.id, "-i", message, "-o", signature}, []string{"dgst", hash, "-verify", public, "-signature", signature}
				switch {
				case strings.HasPrefix(mechanism, "ECDSA"):
					sign = append(sign, "--signature-format", "openssl")
				case strings.HasSuffix(mechanism, "PSS"):
					verify = append(verify, "-sigopt", "rsa_padding_mode:pss")
				}
				user.run(sign...)
				mustOutput(t, user.env, openssl, append(verify, message)...)
			}
		})
	}

	// Decryption and key agreement.
	enveloped := user.file("enveloped")
	public := writePEM(t, "public.pem", "PUBLIC KEY", mustPKIX(t, metadata(t, daemon, piv.SlotKeyManagement).Public))
	mustOutput(t, user.env, openssl, "pkeyutl", "-encrypt", "-pubin", "-inkey", public, "-in", message, "-out", enveloped)
	user.run("--decrypt", "--mechanism", "RSA-PKCS", "--id", "03", "-i", enveloped, "-o", user.file("plain"))
	if got := mustRead(t, user.file("plain")); got != mustRead(t, message) {
		t.Errorf("--decrypt: got %q", got)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(user.file("peer"), mustPKIX(t, peer.Public()), 0o600); err != nil {
		t.Fatal(err)
	}
	user.run("--derive", "--mechanism", "ECDH1-DERIVE", "--id", "01", "-i", user.file("peer"), "-o", user.file("secret"))
	if want := sharedSecret(t, peer, metadata(t, daemon, piv.SlotAuthentication).Public); mustRead(t, user.file("secret")) != string(want) {
		t.Error("--derive: got another secret")
	}

	// Attestations are certificates; keys can't be brought along; what was written can be deleted.
	user.says("X.509 Certificate for PIV Attestation 9a", "-O")
	block, _ := pem.Decode([]byte(mustOutput(t, user.env, openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")))
	if err := os.WriteFile(user.file("key"), block.Bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	officer.fails("CKR_ATTRIBUTE_TYPE_INVALID", "--write-object", user.file("key"), "--type", "privkey", "--id", "03")
	officer.run("--delete-object", "--type", "cert", "--id", "03")
	if out := user.run("-O", "--type", "cert"); strings.Contains(out, "X.509 Certificate for Key Management") {
		t.Errorf("--delete-object: it is still there\n%s", out)
	}

	// PIN, PUK and management key.
	user.says("PIN successfully changed", "--change-pin", "--new-pin", "654321")
	user.fails("CKR_PIN_INCORRECT", "-O")
	newKey := "A1" + factoryManagement[2:]
	officer.says("PIN successfully changed", "--change-pin", "--new-pin", newKey)
	officer.fails("CKR_PIN_INCORRECT", "--delete-object", "--type", "cert", "--id", "02")
	key, err := hex.DecodeString(newKey)
	if err != nil {
		t.Fatal(err)
	}
	look(t, daemon, func(client *piv.Client) {
		if err := client.AuthenticateManagementKey(t.Context(), 0, key); err != nil {
			t.Error(err)
		}
	})
	newTool(t, daemon, pkcs11Tool, "--module", library, "--login", "--login-type", "so", "--so-pin", newKey).
		fails("CKR_FUNCTION_NOT_SUPPORTED", "--init-pin", "--new-pin", "112233")
}

// sharedSecret returns the secret that one's private and the other's public key make.
func sharedSecret(t *testing.T, private *ecdh.PrivateKey, public any) []byte {
	t.Helper()
	peer, ok := public.(interface {
		ECDH() (*ecdh.PublicKey, error)
	})
	if !ok {
		t.Fatalf("%T agrees on no key", public)
	}
	p, err := peer.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := private.ECDH(p)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// TestOpenSSHOnYKCS11 logs in with a key that ssh uses through Yubico's PKCS#11 module.
func TestOpenSSHOnYKCS11(t *testing.T) {
	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP256, piv.AlgorithmRSA2048} {
		t.Run(algorithm.String(), func(t *testing.T) {
			useOpenSSH(t, newHolder(t, module(t, "libykcs11.so.2", "ykcs11"), map[piv.Slot]piv.Algorithm{
				piv.SlotAuthentication:     algorithm,
				piv.SlotCardAuthentication: piv.AlgorithmP384,
			}))
		})
	}
}
