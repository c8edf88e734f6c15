package system_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

// TestTransmitters runs the conformance suite on cards behind daemons, through the backend
// of this build, each in a process of its own: libpcsclite reads the name of a daemon's
// socket once.
func TestTransmitters(t *testing.T) {
	rows := []struct {
		name string
		open func(t *testing.T) (newCard func(t *testing.T) apdu.Transmitter)
	}{
		{"card in software behind pcscd", behindPCSCD},
		{"card in software behind a daemon in software", behindSoftware},
		{"vicc's card behind pcscd", viccBehindPCSCD},
	}
	role := os.Getenv(roleVariable)
	for _, tt := range rows {
		if role == tt.name {
			apdutest.TestTransmitter(t, tt.open(t))
			reporter().Encode("done")
			return
		}
	}
	if role != "" {
		t.Fatalf("no such role: %s", role)
	}
	t.Run("card in memory", func(t *testing.T) {
		apdutest.TestTransmitter(t, func(*testing.T) apdu.Transmitter { return card.New(nil, newApplication()) })
	})
	needPCSCD(t)
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.name, "vicc") {
				needVicc(t)
			}
			p := startProcess(t, "TestTransmitters", tt.name)
			var done string
			reported := p.report.Decode(&done)
			if err := p.wait(); err != nil || reported != nil {
				t.Errorf("%v, %v", reported, err)
			}
		})
	}
}

// connectsTo returns a function that connects to the card in a reader, once that is there.
func connectsTo(t *testing.T, reader string) func(t *testing.T) apdu.Transmitter {
	t.Helper()
	wait, cancel := context.WithTimeout(t.Context(), stepLimit)
	defer cancel()
	pc, err := pcsc.Establish(wait, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	if _, err := pc.WaitForCard(wait, func(r pcsc.Reader) bool { return r.Name == reader }); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) apdu.Transmitter {
		conn, err := pc.Connect(t.Context(), reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

func behindPCSCD(t *testing.T) func(t *testing.T) apdu.Transmitter {
	daemon := system.StartPCSCD(t, nil)
	slot := vpcd.NewSlot(daemon.Addresses[0])
	if err := slot.Insert(t.Context(), card.New(nil, newApplication())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slot.Remove() })
	return connectsTo(t, daemon.Readers[0])
}

func behindSoftware(t *testing.T) func(t *testing.T) apdu.Transmitter {
	dir, err := os.MkdirTemp("", "pcsc-") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	t.Setenv("PCSCLITE_CSOCK_NAME", socket)
	d, err := pcsctest.Start(&pcsctest.Options{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	r, err := d.AddReader("Soft", nil)
	if err == nil {
		err = r.Insert(card.New(nil, newApplication()))
	}
	if err != nil {
		t.Fatal(err)
	}
	return connectsTo(t, r.Name())
}

// needVicc returns the path of vicc of vsmartcard.
func needVicc(t *testing.T) string {
	const debian = "vsmartcard-vpicc python3-pycryptodome"
	system.NeedFile(t, "/usr/lib/python3/dist-packages/Cryptodome/__init__.py", debian)
	return system.Need(t, "vicc", debian)
}

func viccBehindPCSCD(t *testing.T) func(t *testing.T) apdu.Transmitter {
	vicc := needVicc(t)
	// It looks for PyCryptodome under the name of what that replaced, and Debian 12 puts
	// its modules where Python does not look.
	alias := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(alias, "Crypto"), 0o755),
		os.WriteFile(filepath.Join(alias, "Crypto", "__init__.py"), []byte("from Cryptodome import __path__\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	daemon := system.StartPCSCD(t, nil)
	host, port, _ := strings.Cut(daemon.Addresses[0], ":")
	cmd := exec.Command(vicc, "-t", "iso7816", "-H", host, "-P", port)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+alias+":/usr/lib/python3/site-packages/virtualsmartcard", "PYTHONDONTWRITEBYTECODE=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("vicc:\n%s", out.String())
		}
	})
	return connectsTo(t, daemon.Readers[0])
}
