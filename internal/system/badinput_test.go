package system_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
)

// userTimeout is how long a user may have to wait for an error.
const userTimeout = 20 * time.Second

// refused runs a program that must fail: with an error that says each of want, no
// panic, and in time.
func refused(t *testing.T, env []string, want []string, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), userTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%v hangs:\n%s", args, out)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || bytes.Contains(out, []byte("goroutine ")) {
		t.Fatalf("%v: got %v, want exit status 1 and no panic\n%s", args, err, out)
	}
	for _, w := range want {
		if !strings.Contains(string(out), w) {
			t.Errorf("%v: %q is missing in\n%s", args, w, out)
		}
	}
}

func pinFile(t *testing.T, pin string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte(pin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUserOfAReader goes through what a person with a card and a reader meets.
func TestUserOfAReader(t *testing.T) {
	program := quickstart(t, "CGO_ENABLED=0")
	withSocket := func(path string) []string { return append(os.Environ(), "PCSCLITE_CSOCK_NAME="+path) }

	t.Run("no pcscd", func(t *testing.T) {
		refused(t, withSocket(filepath.Join(t.TempDir(), "none")), []string{"is pcscd installed and running?"}, program, "-reader", "any")
	})
	t.Run("a pcscd that closes every connection", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
		refused(t, withSocket(path), []string{"pcsc: "}, program, "-reader", "any")
	})
	t.Run("no reader", func(t *testing.T) {
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{Readers: -1})
		refused(t, daemon.Env(), []string{"plug in a reader"}, program, "-reader", "any")
	})

	daemon := system.StartPCSCD(t, nil)
	reader := daemon.Readers[0]
	t.Run("no card", func(t *testing.T) {
		refused(t, daemon.Env(), []string{"insert a card"}, program, "-reader", reader)
	})
	t.Run("another reader", func(t *testing.T) {
		refused(t, daemon.Env(), []string{`"acme"`, reader}, program, "-reader", "acme")
	})

	store := card.NewMemoryStore()
	c := card.New(&card.Options{Store: store}, newApplication())
	client, err := piv.Open(t.Context(), iso7816.NewChannel(c, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	insert(t, daemon, c)
	tries := func() int {
		t.Helper()
		v, err := client.PINStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v.Remaining
	}
	t.Run("no key on the card", func(t *testing.T) {
		refused(t, daemon.Env(), []string{"slot 9A (PIV Authentication) has no key", "nothing is written"}, program, "-reader", reader)
	})
	if err := provision(t.Context(), client, newTestAuthority(t), piv.SlotAuthentication, piv.AlgorithmP256); err != nil {
		t.Fatal(err)
	}
	t.Run("no slot", func(t *testing.T) {
		refused(t, daemon.Env(), []string{`"FF" is not a slot`}, program, "-reader", reader, "-slot", "FF")
	})
	t.Run("nobody to ask for the PIN", func(t *testing.T) {
		refused(t, daemon.Env(), []string{"-pin-file"}, program, "-reader", reader)
	})
	t.Run("wrong PIN", func(t *testing.T) {
		refused(t, daemon.Env(), []string{"2 tries left"}, program, "-reader", reader, "-pin-file", pinFile(t, "999999"))
		if n := tries(); n != 2 {
			t.Errorf("%d tries are left, want 2: one was spent", n)
		}
	})
	t.Run("a PIN that can't be", func(t *testing.T) {
		refused(t, daemon.Env(), []string{"6 to 8 bytes", "nothing was sent"}, program, "-reader", reader, "-pin-file", pinFile(t, "12"))
		if n := tries(); n != 2 {
			t.Errorf("%d tries are left, want 2: none was spent", n)
		}
	})
	t.Run("the last try", func(t *testing.T) {
		refused(t, daemon.Env(), []string{"1 try left"}, program, "-reader", reader, "-pin-file", pinFile(t, "999999"))
		refused(t, daemon.Env(), []string{"one try is left"}, program, "-reader", reader, "-pin-file", pinFile(t, "999999"))
		if n := tries(); n != 1 {
			t.Errorf("%d tries are left, want 1: the last was not spent", n)
		}
	})
	t.Run("and the right PIN, given once more by its owner", func(t *testing.T) {
		if err := client.AllowLastTry().VerifyPIN(t.Context(), testPIN); err != nil {
			t.Fatal(err)
		}
		c.Reset()
		out := mustOutput(t, daemon.Env(), program, "-trace", "-reader", reader, "-pin-file", pinFile(t, string(testPIN)))
		checkQuickstart(t, out)
		if strings.Contains(out, string(testPIN)) || strings.Contains(out, "32 34 36 38") || strings.Contains(out, "32343638") {
			t.Errorf("the PIN is in\n%s", out)
		}
	})
}

var softKey = &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "key", ID: []byte{1}}

// TestUserOfAModule does the same for a PKCS#11 token.
func TestUserOfAModule(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	program := quickstart(t, "CGO_ENABLED=1")
	env := append(os.Environ(), hsm.Env()...)
	libc, _ := filepath.Glob("/lib/*/libc.so.6")
	if len(libc) == 0 {
		t.Fatal("no libc.so.6, which is no PKCS#11 module")
	}
	pin := pinFile(t, hsm.PIN)
	for _, tt := range []struct {
		name, module, token, pin string
		want                     []string
	}{
		{"wrong path", "/nowhere/module.so", hsm.Label, pin, []string{"/nowhere/module.so"}},
		{"no shared library", filepath.Join(root, "README.md"), hsm.Label, pin, []string{"README.md"}},
		{"no PKCS#11 library", libc[0], hsm.Label, pin, []string{"C_GetFunctionList"}},
		{"unknown token", hsm.Module, "acme", pin, []string{`"acme"`, hsm.Label}},
		{"no such key", hsm.Module, hsm.Label, pin, []string{`"key"`}},
		{"nobody to ask for the PIN", hsm.Module, hsm.Label, "", []string{"-pin-file"}},
		{"wrong PIN", hsm.Module, hsm.Label, pinFile(t, "999999"), []string{"PIN", hsm.Label}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"-module", tt.module, "-token", tt.token, "-key", "key"}
			if tt.pin != "" {
				args = append(args, "-pin-file", tt.pin)
			}
			refused(t, env, tt.want, program, args...)
		})
	}
	t.Run("and a key that is there", func(t *testing.T) {
		ca := newTestAuthority(t)
		tokenCertificate(t, ca, softKey) // on a new token, to which SOFTHSM2_CONF points now
		env := os.Environ()
		out := mustOutput(t, env, program, "-module", hsm.Module, "-token", hsm.Label, "-key", softKey.Label, "-pin-file", pin)
		if !strings.Contains(out, "TLS 1.3") || !strings.Contains(out, hsm.Label) {
			t.Errorf("got\n%s", out)
		}
	})
	t.Run("without cgo it says so", func(t *testing.T) {
		refused(t, env, []string{"cgo"}, quickstart(t, "CGO_ENABLED=0"), "-module", hsm.Module, "-token", hsm.Label, "-key", "key")
	})
}

// TestMalformedCommands sends what no command is, and what is too long, to a card in
// memory and to one behind pcscd.
func TestMalformedCommands(t *testing.T) {
	daemon := system.StartPCSCD(t, nil)
	c := card.New(nil, newApplication())
	insert(t, daemon, c)
	conn, err := pcsc.Open(t.Context(), daemon.Readers[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, transmitter := range map[string]apdu.Transmitter{"memory": card.New(nil, newApplication()), "pcscd": conn} {
		for _, tt := range []struct {
			name    string
			command []byte
			status  string // "" is an error that Is ErrNotSent
		}{
			{"nothing", nil, ""},
			{"three bytes", []byte{0, 0xA4, 4}, ""},
			{"Lc without data", []byte{0, 0xA4, 4, 0, 5}, "6A82"}, // that is an Le
			{"data cut off", []byte{0, 0xA4, 4, 0, 5, 1}, "6700"},
			{"data too long", []byte{0, 0xA4, 4, 0, 1, 1, 2, 3}, "6700"},
			{"extended Lc of zero", []byte{0, 0xA4, 4, 0, 0, 0, 0, 1}, "6700"},
			{"longer than any command", make([]byte, apdu.MaxCommandSize+10), ""},
		} {
			t.Run(name+", "+tt.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), userTimeout)
				defer cancel()
				r, err := transmitter.Transmit(ctx, nil, tt.command)
				if tt.status == "" {
					if !errors.Is(err, apdu.ErrNotSent) {
						t.Errorf("got %X, %v; want an error that is ErrNotSent", r, err)
					}
					return
				}
				if response, err := apdu.ParseResponse(r); err != nil || response.Status.String() != tt.status {
					t.Errorf("got %X, %v; want %s", r, err, tt.status)
				}
			})
		}
	}
}
