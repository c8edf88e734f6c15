package system_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// output runs a program and returns what it prints, standard error too.
func output(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(out), err
}

func mustOutput(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := output(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return out
}

// TestOpenSCReadsOurCard lets OpenSC use the card in software through pcscd: it
// knows nothing of cardoki.
func TestOpenSCReadsOurCard(t *testing.T) {
	openscTool := system.Need(t, "opensc-tool", "opensc")
	pkcs11Tool := system.Need(t, "pkcs11-tool", "opensc")
	openssl := system.Need(t, "openssl", "openssl")
	module := "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"
	if found, _ := filepath.Glob("/usr/lib/*/opensc-pkcs11.so"); len(found) > 0 {
		module = found[0]
	}
	system.NeedFile(t, module, "opensc-pkcs11")

	c := card.New(nil, newApplication())
	client, err := piv.Open(t.Context(), iso7816.NewChannel(c, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	ca := newTestAuthority(t)
	keys := []struct {
		slot      piv.Slot
		algorithm piv.Algorithm
		id        string // CKA_ID that OpenSC gives the slot
		mechanism string
	}{
		{piv.SlotAuthentication, piv.AlgorithmP256, "01", "ECDSA"},
		{piv.SlotSignature, piv.AlgorithmP384, "02", "ECDSA"},
		{piv.SlotKeyManagement, piv.AlgorithmRSA2048, "03", "SHA256-RSA-PKCS"},
	}
	for _, k := range keys {
		if err := provision(t.Context(), client, ca, k.slot, k.algorithm); err != nil {
			t.Fatal(err)
		}
	}
	daemon := system.StartPCSCD(t, nil)
	insert(t, daemon, c)
	dir := t.TempDir()
	conf := filepath.Join(dir, "opensc.conf")
	if err := os.WriteFile(conf, []byte("app default {\n\tdebug = 0;\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(daemon.Env(), "OPENSC_CONF="+conf, "HOME="+dir)

	atr := mustOutput(t, env, openscTool, "-r", "0", "-a")
	if want := strings.ToLower(fmt.Sprintf("% x", c.ATR())); !strings.Contains(strings.ReplaceAll(atr, ":", " "), want) {
		t.Errorf("opensc-tool -a: got %q, want %q in it", atr, want)
	}
	if name := mustOutput(t, env, openscTool, "-r", "0", "-n"); !strings.Contains(name, "Personal Identity Verification") {
		t.Errorf("opensc-tool -n: got %q, want PIV named in it", name)
	}
	pin := []string{"--login", "--pin", string(testPIN)}
	list := mustOutput(t, env, pkcs11Tool, append([]string{"--module", module, "-O"}, pin...)...)
	for _, want := range []string{"Private Key Object; EC", "Private Key Object; RSA", "Certificate Object; type = X.509 cert", "card holder 9A"} {
		if !strings.Contains(list, want) {
			t.Errorf("pkcs11-tool -O: %q is missing in\n%s", want, list)
		}
	}

	message := filepath.Join(dir, "message")
	if err := os.WriteFile(message, []byte("signed by a card in software\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		t.Run(fmt.Sprint(k.slot, " ", k.algorithm), func(t *testing.T) {
			input := message
			args := []string{"--module", module, "--sign", "--id", k.id, "--mechanism", k.mechanism}
			if k.mechanism == "ECDSA" {
				input = filepath.Join(dir, "digest")
				mustOutput(t, env, openssl, "dgst", "-sha256", "-binary", "-out", input, message)
				args = append(args, "--signature-format", "openssl")
			}
			signature := filepath.Join(dir, "signature")
			mustOutput(t, env, pkcs11Tool, append(append(args, "-i", input, "-o", signature), pin...)...)
			cert, err := client.Certificate(t.Context(), k.slot)
			if err != nil {
				t.Fatal(err)
			}
			public := writePEM(t, "public.pem", "PUBLIC KEY", mustPKIX(t, cert.PublicKey))
			if out := mustOutput(t, env, openssl, "dgst", "-sha256", "-verify", public, "-signature", signature, message); !strings.Contains(out, "Verified OK") {
				t.Errorf("openssl: %s", out)
			}
		})
	}

	wrong := []string{"--login", "--pin", "000000"}
	if out, err := output(t, env, pkcs11Tool, append([]string{"--module", module, "-O"}, wrong...)...); err == nil || !strings.Contains(out, "CKR_PIN_INCORRECT") {
		t.Errorf("a wrong PIN: got %v\n%s", err, out)
	}
	if v, err := client.PINStatus(t.Context()); err != nil || v.Remaining != 2 {
		t.Errorf("after a wrong PIN: got %+v, %v; want two tries left", v, err)
	}
}

func mustPKIX(t *testing.T, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
