package system_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/system"
)

// TestTokenExamples goes through the life of keys on a SoftHSM2 token with the examples
// token-info and manage-keys.
func TestTokenExamples(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	dir := t.TempDir()
	tokenInfo, manageKeys := filepath.Join(dir, "token-info"), filepath.Join(dir, "manage-keys")
	goTool(t, []string{"CGO_ENABLED=1"}, "build", "-o", tokenInfo, "./examples/token-info")
	goTool(t, []string{"CGO_ENABLED=1"}, "build", "-o", manageKeys, "./examples/manage-keys")
	if t.Failed() {
		return
	}
	env := os.Environ()
	out := mustOutput(t, env, tokenInfo, "-module", hsm.Module, "-mechanisms")
	for _, want := range []string{"SoftHSM", `token        "cardoki test"`, "CKM_ECDSA", "not initialised", "keys of 512 to"} {
		if !strings.Contains(out, want) {
			t.Errorf("token-info: %q is missing in\n%s", want, out)
		}
	}
	out = mustOutput(t, env, tokenInfo, "-module", hsm.Module, "-uri", "pkcs11:token=cardoki%20test")
	if strings.Count(out, "Slot ") != 1 || strings.Contains(out, "not initialised") {
		t.Errorf("token-info of one token:\n%s", out)
	}

	pin := filepath.Join(dir, "pin")
	if err := os.WriteFile(pin, []byte(hsm.PIN+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-module", hsm.Module, "-uri", "pkcs11:token=cardoki%20test?pin-source=file:" + pin}
	manage := func(more ...string) string { return mustOutput(t, env, manageKeys, append(args, more...)...) }
	for _, kind := range []string{"p256", "ed25519", "rsa2048"} {
		manage("generate", "key "+kind, kind)
	}
	if out, err := output(t, env, manageKeys, append(args, "generate", "key p256", "p256")...); err == nil || !strings.Contains(out, "already") {
		t.Errorf("a label that is there: %v\n%s", err, out)
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	manage("import", "imported", writePEM(t, "key.pem", "PRIVATE KEY", pkcs8))
	cert, err := newTestAuthority(t).issue("holder", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	manage("certificate", "imported", writePEM(t, "cert.pem", "CERTIFICATE", cert.Raw))
	out = manage("list")
	for _, want := range []string{`private key  "key p256"`, `public key   "key ed25519"`, "CKK_EC_EDWARDS", `private key  "imported"`, `certificate  "imported"`, "never leaves the token", `"CN=holder"`} {
		if !strings.Contains(out, want) {
			t.Errorf("manage-keys list: %q is missing in\n%s", want, out)
		}
	}
	if out := manage("delete", "imported"); !strings.Contains(out, "Deleted 3 objects") {
		t.Errorf("manage-keys delete: %s", out)
	}
	if out := manage("list"); strings.Contains(out, "imported") || !strings.Contains(out, "key rsa2048") {
		t.Errorf("manage-keys list, after delete:\n%s", out)
	}
	if out, err := output(t, env, manageKeys, append(args, "delete", "imported")...); err == nil || !strings.Contains(out, "0 keys") {
		t.Errorf("what is not there: %v\n%s", err, out)
	}
}
