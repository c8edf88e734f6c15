package rsapad

import (
	"crypto"
	"crypto/fips140"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// Where FIPS 140 is enforced SHA-1 is refused by an error; the standard library panics.
func TestFIPS_refusesSHA1(t *testing.T) {
	if !fips140.Enforced() {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if _, err := EncodePSS(nil, 2048, crypto.SHA1, make([]byte, 20), 20); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("EncodePSS: got %v", err)
	}
	for _, h := range [][2]crypto.Hash{{crypto.SHA1, crypto.SHA256}, {crypto.SHA256, crypto.SHA1}} {
		if _, err := DecodeOAEP(make([]byte, 256), h[0], h[1], nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("DecodeOAEP with %v and %v: got %v", h[0], h[1], err)
		}
	}
	if _, err := EncodePSS(nil, 2048, crypto.SHA256, make([]byte, 32), 32); err != nil {
		t.Errorf("EncodePSS with SHA-256: %v", err)
	}
}
