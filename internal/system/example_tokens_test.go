package system_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// TestSecretKeyExamples lets keys of a SoftHSM2 token encrypt files and other keys, with the
// examples encrypt-file, envelope and wrap-key.
func TestSecretKeyExamples(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	dir := t.TempDir()
	program := func(name string) string {
		path := filepath.Join(dir, name)
		goTool(t, []string{"CGO_ENABLED=1"}, "build", "-o", path, "./examples/"+name)
		return path
	}
	encryptFile, envelope, wrapKey := program("encrypt-file"), program("envelope"), program("wrap-key")
	if t.Failed() {
		return
	}
	pin := filepath.Join(dir, "pin")
	if err := os.WriteFile(pin, []byte(hsm.PIN+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := os.Environ()
	args := []string{"-module", hsm.Module, "-uri", "pkcs11:token=cardoki%20test?pin-source=file:" + pin}
	with := func(more ...string) []string { return append(args[:len(args):len(args)], more...) }
	file := func(name string) string { return filepath.Join(dir, name) }

	mustOutput(t, env, encryptFile, with("-generate", "files")...)
	for _, n := range []int{0, 1, 64 << 10, 64<<10 + 1, 200_000} {
		plain := make([]byte, n)
		rand.Read(plain)
		if err := os.WriteFile(file("plain"), plain, 0o600); err != nil {
			t.Fatal(err)
		}
		out := mustOutput(t, env, encryptFile, with("-key", "files", file("plain"), file("sealed"))...)
		if n > 0 && !strings.Contains(out, "100 %") {
			t.Errorf("%d bytes: no progress in %q", n, out)
		}
		mustOutput(t, env, encryptFile, with("-key", "files", "-d", file("sealed"), file("opened"))...)
		if got, err := os.ReadFile(file("opened")); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: got %d back, %v", n, len(got), err)
		}
		sealed, err := os.ReadFile(file("sealed"))
		if err != nil || n > 16 && bytes.Contains(sealed, plain[:16]) {
			t.Fatalf("%d bytes: the file holds its plaintext, or %v", n, err)
		}
		// Cut off at a chunk's end, with a bit changed, and with chunks the other way around.
		chunk := 64<<10 + 16
		wrong := map[string][]byte{"a bit changed": slices.Concat(sealed[:len(sealed)-1], []byte{sealed[len(sealed)-1] ^ 1})}
		if len(sealed) > 7+chunk {
			wrong["cut off"] = sealed[:7+chunk]
		}
		if len(sealed) > 7+2*chunk {
			wrong["exchanged"] = slices.Concat(sealed[:7], sealed[7+chunk:7+2*chunk], sealed[7:7+chunk], sealed[7+2*chunk:])
		}
		for what, b := range wrong {
			if err := os.WriteFile(file("wrong"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := output(t, env, encryptFile, with("-key", "files", "-d", file("wrong"), file("never"))...); err == nil || !strings.Contains(out, "not authentic") {
				t.Errorf("%d bytes, %s: got %v\n%s", n, what, err, out)
			}
			if _, err := os.Stat(file("never")); err == nil {
				t.Errorf("%d bytes, %s: a file was written", n, what)
			}
		}
	}

	// Data that was sealed under the first master key is opened after two rotations.
	store := with("-store", file("keys.json"))
	pipe := func(in []byte, more ...string) ([]byte, error) {
		cmd := exec.Command(envelope, append(store[:len(store):len(store)], more...)...)
		cmd.Env, cmd.Stdin = env, bytes.NewReader(in)
		return cmd.Output()
	}
	if _, err := pipe(nil, "create"); err != nil {
		t.Fatal(err)
	}
	plain := []byte("a row of a table")
	sealed, err := pipe(plain, "seal", "table")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := pipe(nil, "rotate"); err != nil {
			t.Fatal(err)
		}
		if got, err := pipe(sealed, "open", "table"); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("after a rotation: got %q, %v", got, err)
		}
	}
	if keys, err := os.ReadFile(file("keys.json")); err != nil || !bytes.Contains(keys, []byte(`"Master": 3`)) {
		t.Errorf("got %s, %v", keys, err)
	}
	if _, err := pipe(sealed, "open", "another"); err == nil {
		t.Error("it was opened by another data key")
	}

	mustOutput(t, env, wrapKey, with("new-wrapping-key", "wraps")...)
	mustOutput(t, env, wrapKey, with("new-data-key", "data")...)
	if out := mustOutput(t, env, wrapKey, with("report")...); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"data"`) || !strings.Contains(out, "leaves wrapped by any key") {
		t.Errorf("report:\n%s", out)
	}
	mustOutput(t, env, wrapKey, with("export", "data", "wraps", file("wrapped"))...)
	mustOutput(t, env, wrapKey, with("import", "again", "wraps", file("wrapped"))...)
	if out, err := output(t, env, wrapKey, with("export", "again", "wraps", file("never"))...); err == nil || !strings.Contains(out, "never leaves") {
		t.Errorf("export of what may not leave: %v\n%s", err, out)
	}
	// It is the same key: what one has sealed the other opens.
	if err := os.WriteFile(file("plain"), plain, 0o600); err != nil {
		t.Fatal(err)
	}
	mustOutput(t, env, encryptFile, with("-key", "data", file("plain"), file("sealed"))...)
	mustOutput(t, env, encryptFile, with("-key", "again", "-d", file("sealed"), file("opened"))...)
}
