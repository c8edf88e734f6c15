package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A SoftHSM is a token of SoftHSM2 in a folder of its own.
type SoftHSM struct {
	Module string // path of the PKCS#11 module
	Label  string // of the token
	PIN    string // the user's
	SOPIN  string // the security officer's
	Dir    string // holds configuration and tokens

	config string
}

// softHSMModules are the places where Debian and others put the module.
var softHSMModules = []string{
	"/usr/lib/softhsm/libsofthsm2.so",
	"/usr/lib64/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so",
	"/usr/local/lib/softhsm/libsofthsm2.so",
}

// StartSoftHSM initialises a token in a temporary folder and sets SOFTHSM2_CONF to
// it for the time of the test, for C code in this process too. The test must not
// be a parallel one.
func StartSoftHSM(t testing.TB) *SoftHSM {
	t.Helper()
	Need(t, "softhsm2-util", "softhsm2")
	h := &SoftHSM{Label: "cardoki test", PIN: "123456", SOPIN: "87654321"}
	// Not t.TempDir, whose path has the name of the test: SoftHSM2's configuration
	// does not take a path with "=".
	dir, err := os.MkdirTemp("", "softhsm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h.Dir = dir
	for _, path := range softHSMModules {
		if _, err := os.Stat(path); err == nil {
			h.Module = path
			break
		}
	}
	if h.Module == "" {
		NeedFile(t, softHSMModules[0], "softhsm2")
	}
	h.config = filepath.Join(h.Dir, "softhsm2.conf")
	tokens := filepath.Join(h.Dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n", tokens)
	if err := os.WriteFile(h.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// os.Setenv sets the environment of C as well, when the program has cgo.
	t.Setenv("SOFTHSM2_CONF", h.config)
	h.AddToken(t, h.Label)
	return h
}

// AddToken initialises one more token, with the same PINs.
func (h *SoftHSM) AddToken(t testing.TB, label string) {
	t.Helper()
	cmd := exec.Command(Need(t, "softhsm2-util", "softhsm2"), "--init-token", "--free", "--label", label, "--pin", h.PIN, "--so-pin", h.SOPIN)
	cmd.Env = append(os.Environ(), h.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
}

// Env returns what a child process needs in its environment to see the token.
func (h *SoftHSM) Env() []string { return []string{"SOFTHSM2_CONF=" + h.config} }
