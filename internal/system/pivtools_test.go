package system_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// A tool is a foreign program that is used on our card through a pcscd of its own.
type tool struct {
	t    *testing.T
	env  []string
	path string
	args []string // that each call begins with
	dir  string
}

// run calls the tool and returns what it prints.
func (x *tool) run(args ...string) string {
	x.t.Helper()
	return mustOutput(x.t, x.env, x.path, append(append([]string(nil), x.args...), args...)...)
}

// fails calls the tool, which must fail and say want.
func (x *tool) fails(want string, args ...string) {
	x.t.Helper()
	out, err := output(x.t, x.env, x.path, append(append([]string(nil), x.args...), args...)...)
	if err == nil || !strings.Contains(out, want) {
		x.t.Errorf("%s %s: got %v, want a failure that says %q\n%s", filepath.Base(x.path), strings.Join(args, " "), err, want, out)
	}
}

// says calls the tool, which must succeed and say want.
func (x *tool) says(want string, args ...string) {
	x.t.Helper()
	if out := x.run(args...); !strings.Contains(out, want) {
		x.t.Errorf("%s %s: %q is missing in\n%s", filepath.Base(x.path), strings.Join(args, " "), want, out)
	}
}

// file returns the path of a file in the tool's folder.
func (x *tool) file(name string) string { return filepath.Join(x.dir, name) }

// newYubiKey puts a card in the state of a new YubiKey into a reader that is named as
// theirs are, for tools that look at names.
func newYubiKey(t *testing.T, opts *piv.ApplicationOptions) (*system.PCSCD, *card.Card) {
	t.Helper()
	c := card.New(nil, piv.NewApplication(opts))
	daemon := system.StartPCSCD(t, &system.PCSCDOptions{Name: "Yubico YubiKey"})
	insert(t, daemon, c)
	return daemon, c
}

func newTool(t *testing.T, daemon *system.PCSCD, path string, args ...string) *tool {
	dir := t.TempDir()
	return &tool{t: t, env: append(daemon.Env(), "HOME="+dir, "LC_ALL=C.UTF-8"), path: path, args: args, dir: dir}
}

// TestYubicoPIVTool goes through what yubico-piv-tool can do.
//
// Expected failures of version 2.2.0 as Debian 12 has it, with OpenSSL 3.0:
// request-certificate and selfsign-certificate fail ("Failed signing request") before
// they send any command that signs, so with every card (Yubico/yubico-piv-tool issue 388);
// certificates are made here. It knows no AES management keys by default, so the card is one of version 5.4.3.
func TestYubicoPIVTool(t *testing.T) {
	openssl := system.Need(t, "openssl", "openssl")
	daemon, _ := newYubiKey(t, &piv.ApplicationOptions{Version: piv.Version{Major: 5, Minor: 4, Patch: 3}})
	x := newTool(t, daemon, system.Need(t, "yubico-piv-tool", "yubico-piv-tool"))
	ca := newTestAuthority(t)
	message := x.file("message")
	if err := os.WriteFile(message, []byte("signed by a card in software\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	x.says("5.4.3", "-a", "version")
	x.says("PIN tries left:\t3", "-a", "status")
	for _, k := range []struct{ slot, algorithm, hash, pin, touch string }{
		{"9a", "ECCP256", "SHA256", "once", "never"},
		{"9c", "RSA2048", "SHA256", "always", "always"},
		{"9d", "RSA1024", "SHA512", "once", "cached"},
		{"9e", "ECCP384", "SHA384", "never", "never"},
		{"82", "ECCP256", "SHA1", "once", "never"},
		{"95", "RSA2048", "SHA384", "once", "never"},
	} {
		t.Run(k.slot+" "+k.algorithm, func(t *testing.T) {
			y := *x
			y.t = t
			public, cert := y.file(k.slot+".pub"), y.file(k.slot+".crt")
			y.says("Successfully generated", "-a", "generate", "-s", k.slot, "-A", k.algorithm, "--pin-policy", k.pin, "--touch-policy", k.touch, "-o", public)
			writeCertificate(t, ca, public, cert)
			y.says("Successfully imported", "-a", "import-certificate", "-s", k.slot, "-i", cert)
			y.says("card holder", "-a", "status")
			if out := y.run("-a", "read-certificate", "-s", k.slot); out != mustRead(t, cert) {
				t.Errorf("read-certificate: got\n%s", out)
			}
			y.says("verification.", "-a", "verify-pin", "-P", "123456", "-a", "test-signature", "-s", k.slot, "-A", k.algorithm, "-i", cert)
			if strings.HasPrefix(k.algorithm, "RSA") {
				y.says("Successfully performed", "-a", "verify-pin", "-P", "123456", "-a", "test-decipher", "-s", k.slot, "-A", k.algorithm, "-i", cert)
			}
			signature := y.file("signature")
			y.run("-a", "verify-pin", "-P", "123456", "--sign", "-s", k.slot, "-A", k.algorithm, "-H", k.hash, "-i", message, "-o", signature)
			mustOutput(t, x.env, openssl, "dgst", "-"+strings.ToLower(k.hash), "-verify", public, "-signature", signature, message)
			attestation := y.run("-a", "attest", "-s", k.slot)
			checkAttestation(t, y.run("-a", "read-certificate", "-s", "f9"), attestation, public, k.pin, k.touch)
			y.run("-a", "delete-certificate", "-s", k.slot)
		})
	}

	// A key that was made elsewhere: usable, and never attested.
	for _, k := range [][]string{{"RSA2048", "rsa:2048"}, {"ECCP256", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"}} {
		keyFile, cert := x.file("imported.key"), x.file("imported.crt")
		mustOutput(t, x.env, openssl, append([]string{"req", "-x509", "-nodes", "-subj", "/CN=imported", "-keyout", keyFile, "-out", cert, "-newkey"}, k[1:]...)...)
		x.says("Successfully imported a new private key", "-a", "import-key", "-s", "9d", "-i", keyFile, "--pin-policy", "once", "--touch-policy", "always")
		x.run("-a", "import-certificate", "-s", "9d", "-i", cert)
		x.says("verification.", "-a", "verify-pin", "-P", "123456", "-a", "test-signature", "-s", "9d", "-A", k[0], "-i", cert)
		x.fails("Failed to attest", "-a", "attest", "-s", "9d")
	}

	// PIN, PUK and management key.
	x.says("Successfully changed the pin", "-a", "change-pin", "-P", "123456", "-N", "654321")
	x.fails("2 tries left", "-a", "verify-pin", "-P", "123456")
	x.says("PIN tries left:\t2", "-a", "status")
	x.says("Successfully changed the puk", "-a", "change-puk", "-P", "12345678", "-N", "87654321")
	for range 2 {
		x.fails("", "-a", "verify-pin", "-P", "123456")
	}
	x.says("PIN tries left:\t0", "-a", "status")
	x.says("Successfully unblocked the pin", "-a", "unblock-pin", "-P", "87654321", "-N", "112233")
	x.says("Successfully verified PIN", "-a", "verify-pin", "-P", "112233")
	x.says("Successfully set new management key", "-a", "set-mgm-key", "-n", "A1A2A3A4A5A6A7A8B1B2B3B4B5B6B7B8C1C2C3C4C5C6C7C8")
	x.fails("Failed authentication", "-a", "set-chuid")
	managed := []string{"-kA1A2A3A4A5A6A7A8B1B2B3B4B5B6B7B8C1C2C3C4C5C6C7C8"}
	x.run(append(managed, "-a", "set-chuid", "-a", "set-ccc")...)
	x.says("Successfully changed pin retries to 5 and puk retries to 7", append(managed, "-a", "verify-pin", "-P", "112233", "-a", "pin-retries", "--pin-retries", "5", "--puk-retries", "7")...)
	x.says("PIN tries left:\t5", "-a", "status")

	// Reset wants both blocked.
	x.fails("", "-a", "reset")
	for range 5 {
		x.fails("", "-a", "verify-pin", "-P", "999999")
	}
	for range 7 {
		x.fails("", "-a", "change-puk", "-P", "99999999", "-N", "87654321")
	}
	serial := x.run("-a", "status")
	x.says("Successfully reset the application", "-a", "reset")
	x.says("PIN tries left:\t3", "-a", "status")
	if before, after := field(serial, "Serial Number:"), field(x.run("-a", "status"), "Serial Number:"); before == "" || before != after {
		t.Errorf("serial number: got %q, before the reset %q", after, before)
	}
}

// field returns what follows name on its line.
func field(out, name string) string {
	_, rest, _ := strings.Cut(out, name)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// writeCertificate writes a certificate of the public key in a PEM file.
func writeCertificate(t *testing.T, ca *authority, public, path string) {
	t.Helper()
	block, _ := pem.Decode([]byte(mustRead(t, public)))
	if block == nil {
		t.Fatalf("%s holds no PEM", public)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.issue("card holder", key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkAttestation checks what a card says of the key in a PEM file.
func checkAttestation(t *testing.T, issuer, attestation, public, pin, touch string) {
	t.Helper()
	certs := make([]*x509.Certificate, 0, 2)
	for _, s := range []string{issuer, attestation} {
		block, _ := pem.Decode([]byte(s))
		if block == nil {
			t.Fatalf("no PEM in %q", s)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certs[0])
	a, err := piv.VerifyAttestation(certs[1], certs[0], roots, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if a.PINPolicy.String() != pin || a.TouchPolicy.String() != touch || a.Serial == 0 {
		t.Errorf("attestation: got %+v, want PIN %s and touch %s", a, pin, touch)
	}
	block, _ := pem.Decode([]byte(mustRead(t, public)))
	if !bytes.Equal(block.Bytes, mustPKIX(t, certs[1].PublicKey)) {
		t.Error("the attestation is that of another key")
	}
}
