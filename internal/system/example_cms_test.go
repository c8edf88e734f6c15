package system_test

import (
	"crypto/elliptic"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// buildModule builds an example that is a module of its own, and returns its path.
func buildModule(t *testing.T, name string, env ...string) string {
	t.Helper()
	dir := filepath.Join("examples", name)
	download := exec.Command("go", "mod", "download")
	download.Dir = filepath.Join(root, dir)
	if out, err := download.CombinedOutput(); err != nil && os.Getenv("CI") == "" {
		t.Skipf("what %s needs can't be downloaded: %v\n%s", dir, err, out)
	} else if err != nil {
		t.Fatalf("go mod download: %v\n%s", err, out)
	}
	path := filepath.Join(t.TempDir(), name)
	goTool(t, env, "-C", dir, "vet", ".")
	goTool(t, env, "-C", dir, "build", "-o", path, ".")
	if t.Failed() {
		t.FailNow()
	}
	return path
}

// A document is a file that is signed.
type document struct{ file, signature string }

func newDocument(t *testing.T) document {
	t.Helper()
	d := document{file: filepath.Join(t.TempDir(), "file")}
	d.signature = d.file + ".p7s"
	d.write(t, "line one\nline two\r\n\x00")
	return d
}

func (d document) write(t *testing.T, content string) {
	t.Helper()
	if err := os.WriteFile(d.file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// verify lets openssl verify the signature, of the file and of another one.
func (d document) verify(t *testing.T, caFile string) {
	t.Helper()
	openssl := system.Need(t, "openssl", "openssl")
	args := []string{"cms", "-verify", "-inform", "PEM", "-in", d.signature, "-content", d.file, "-binary", "-CAfile", caFile, "-purpose", "any", "-out", os.DevNull}
	if out, err := output(t, os.Environ(), openssl, args...); err != nil || !strings.Contains(out, "Verification successful") {
		t.Errorf("openssl: %v\n%s", err, out)
	}
	d.write(t, "line one\nline 2\r\n\x00")
	if out, err := output(t, os.Environ(), openssl, args...); err == nil || !strings.Contains(out, "digest failure") && !strings.Contains(out, "digest mismatch") && !strings.Contains(out, "content verify error") {
		t.Errorf("openssl verifies another file: %v\n%s", err, out)
	}
}

func TestSignCMS(t *testing.T) {
	t.Parallel()
	program := buildModule(t, "sign-cms", "CGO_ENABLED=0")

	t.Run("a card in software", func(t *testing.T) {
		d, caFile := newDocument(t), filepath.Join(t.TempDir(), "root.pem")
		out, err := runExample(t, "/nowhere", "", program, "-emulate", "-root", caFile, d.file)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := os.WriteFile(d.signature, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		d.verify(t, caFile)
	})

	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP256, piv.AlgorithmP384, piv.AlgorithmRSA2048} {
		t.Run("a card in a reader, "+algorithm.String(), func(t *testing.T) {
			ca := newTestAuthority(t)
			daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
			putIn(t, daemon, 0, signerCard(t, ca, map[piv.Slot]piv.Algorithm{piv.SlotSignature: algorithm}))
			d := newDocument(t)
			startAtTerminal(t, daemon.Env(), string(testPIN), quote(program, d.file)+" > "+quote(d.signature)).ends()
			d.verify(t, writePEM(t, "ca.pem", "CERTIFICATE", ca.cert.Raw))
		})
	}

	t.Run("what the library for CMS cannot do is said before the PIN is asked for", func(t *testing.T) {
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
		putIn(t, daemon, 0, signerCard(t, newTestAuthority(t), map[piv.Slot]piv.Algorithm{piv.SlotSignature: piv.AlgorithmEd25519}))
		out, err := runExample(t, daemon.SocketName, "", program, newDocument(t).file)
		if err == nil || !strings.Contains(out, "use RSA or ECDSA") {
			t.Errorf("got %v\n%s", err, out)
		}
	})
}

// TestSignCMSOnSoftHSM is not parallel, as the token is in the environment.
func TestSignCMSOnSoftHSM(t *testing.T) {
	program := buildModule(t, "sign-cms")
	for _, tt := range []struct {
		name string
		opts *cryptoki.KeyPairOptions
	}{
		{"P-521", &cryptoki.KeyPairOptions{Curve: elliptic.P521(), Label: "cms", ID: []byte{1}}},
		{"RSA 2048", &cryptoki.KeyPairOptions{RSABits: 2048, Label: "cms", ID: []byte{1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca := newTestAuthority(t)
			tokenCertificate(t, ca, tt.opts)
			d := newDocument(t)
			module := module(t, "softhsm/libsofthsm2.so", "softhsm2")
			startAtTerminal(t, os.Environ(), "123456", quote(program, "-module", module, "-token", "cardoki test", "-key", "cms", d.file)+" > "+quote(d.signature)).ends()
			d.verify(t, writePEM(t, "ca.pem", "CERTIFICATE", ca.cert.Raw))
		})
	}
}
