//go:build cgo

package system_test

import (
	"context"
	"crypto"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// A tokenKey is a private key that is on a token already, and never leaves it.
type tokenKey struct {
	query  cryptoki.KeyQuery
	public crypto.PublicKey
}

var tokenModules = []tokenModule{
	{
		key: "SoftHSM2", title: "SoftHSM2",
		library: func(t *testing.T) string {
			system.Need(t, "softhsm2-util", "softhsm2")
			return module(t, "softhsm/libsofthsm2.so", "softhsm2")
		},
		start: func(t *testing.T, library string) *tokenSetup {
			hsm := system.StartSoftHSM(t)
			return &tokenSetup{
				library: library, pin: []byte(hsm.PIN), soPIN: []byte(hsm.SOPIN),
				find: func(m *cryptoki.Module) (*cryptoki.Slot, error) { return m.FindToken(hsm.Label) },
			}
		},
	},
	{
		key: "NSS", title: "NSS of Debian", beside: true,
		library: func(t *testing.T) string {
			// Browsers have one each in folders of their own.
			found, _ := filepath.Glob("/usr/lib/*-linux-gnu*/libsoftokn3.so")
			if len(found) == 0 {
				return module(t, "libsoftokn3.so", "libnss3")
			}
			return found[0]
		},
		start: startNSS,
	},
	{
		key: "Firefox", title: "NSS of Firefox ESR", beside: true,
		library: func(t *testing.T) string {
			const library = "/usr/lib/firefox-esr/libsoftokn3.so"
			system.NeedFile(t, library, "firefox-esr")
			return library
		},
		start: startNSS,
	},
	{
		key: "OpenSC", title: "OpenSC on our PIV card",
		library: func(t *testing.T) string { return module(t, "opensc-pkcs11.so", "opensc-pkcs11") },
		start:   startOpenSC,
	},
	{
		key: "p11-kit", title: "p11-kit, to SoftHSM2 elsewhere",
		library: func(t *testing.T) string {
			system.Need(t, "p11-kit", "p11-kit")
			return module(t, "pkcs11/p11-kit-client.so", "p11-kit-modules")
		},
		start: startP11Kit,
	},
	{
		key: "cryptokitest", title: "cryptokitest",
		library: func(t *testing.T) string { return "" },
		start: func(t *testing.T, _ string) *tokenSetup {
			m, err := cryptokitest.New(t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			return &tokenSetup{
				library: m.Path(), pin: []byte(cryptokitest.DefaultPIN), soPIN: []byte(cryptokitest.DefaultSOPIN),
				sections: []string{"Module, slots, token, login", "Objects", "Random numbers"},
				find:     func(m *cryptoki.Module) (*cryptoki.Slot, error) { return m.FindToken("cryptokitest") },
			}
		},
	},
}

// startNSS makes a token of NSS that keeps its objects in a database with a PIN.
func startNSS(t *testing.T, library string) *tokenSetup {
	setup := &tokenSetup{library: library, pin: []byte("a long password"), soPIN: []byte{}, overruns: "not tried: it writes past the end of the buffer"}
	setup.options.Reserved = fmt.Sprintf("configdir='sql:%s' certPrefix='' keyPrefix='' secmod='secmod.db' flags=", t.TempDir())
	setup.find = func(m *cryptoki.Module) (*cryptoki.Slot, error) {
		slots, err := m.Slots(true)
		if err != nil {
			return nil, err
		}
		slot := slots[len(slots)-1] // the first has no objects that last
		ctx := context.Background()
		s, err := slot.OpenSession(ctx, true)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		if err := s.Login(ctx, cryptoki.CKU_SO, cryptoki.FixedPIN(setup.soPIN)); err != nil {
			return nil, err
		}
		return slot, s.InitPIN(ctx, cryptoki.FixedPIN(setup.pin))
	}
	return setup
}

// startOpenSC puts a PIV card in software into the reader of a private pcscd.
func startOpenSC(t *testing.T, library string) *tokenSetup {
	slots := map[piv.Slot]piv.Algorithm{
		piv.SlotAuthentication:     piv.AlgorithmRSA2048,
		piv.SlotSignature:          piv.AlgorithmP256,
		piv.SlotKeyManagement:      piv.AlgorithmP256,
		piv.SlotCardAuthentication: piv.AlgorithmP384,
	}
	_, certs := newYubiKeyOf(t, newTestAuthority(t), slots)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("OPENSC_CONF", filepath.Join(dir, "opensc.conf"))
	if err := os.WriteFile(filepath.Join(dir, "opensc.conf"), []byte("app default {\n\tdebug = 0;\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setup := &tokenSetup{
		library: library, pin: []byte(factoryPIN), soPIN: []byte(factoryManagement),
		find:   func(m *cryptoki.Module) (*cryptoki.Slot, error) { return m.FindToken("card holder") },
		always: cryptoki.KeyQuery{ID: []byte{2}},
	}
	for slot, id := range map[piv.Slot]byte{piv.SlotAuthentication: 1, piv.SlotKeyManagement: 3, piv.SlotCardAuthentication: 4} {
		setup.keys = append(setup.keys, tokenKey{cryptoki.KeyQuery{ID: []byte{id}}, certs[slot].PublicKey})
	}
	return setup
}

// startP11Kit serves a token of SoftHSM2 as p11-kit does for tokens on other hosts.
func startP11Kit(t *testing.T, library string) *tokenSetup {
	hsm := system.StartSoftHSM(t)
	socket := filepath.Join(hsm.Dir, "p11-kit")
	server := exec.Command(system.Need(t, "p11-kit", "p11-kit"), "server", "-f", "-n", socket, "--provider", hsm.Module, "pkcs11:token=cardoki%20test")
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has a child for each connection
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
		server.Wait()
	})
	t.Cleanup(stop)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("p11-kit server has made no socket for 10 s")
		}
	}
	t.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+socket)
	return &tokenSetup{
		library: library, pin: []byte(hsm.PIN), soPIN: []byte(hsm.SOPIN), stop: stop,
		find: func(m *cryptoki.Module) (*cryptoki.Slot, error) { return m.FindToken(hsm.Label) },
	}
}
