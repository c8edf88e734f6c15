package system_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
)

// TestVirtualCard runs the example twice on one state file: the card that comes
// back is the one that went.
func TestVirtualCard(t *testing.T) {
	program := filepath.Join(t.TempDir(), "virtual-card")
	goTool(t, []string{"CGO_ENABLED=0"}, "build", "-o", program, "./examples/virtual-card")
	daemon := system.StartPCSCD(t, nil)
	state := filepath.Join(t.TempDir(), "card.json")
	var serials [2]string
	for i := range serials {
		var out bytes.Buffer
		cmd := exec.Command(program, "-state", state, "-address", daemon.Addresses[0], "-trace")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		serials[i] = serialInReader(t, daemon)
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, out.Bytes())
		}
		waitForEmptyReader(t, daemon)
		for _, want := range []string{serials[i], "can use this card", "SELECT PIV", "The card was taken out."} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, out.Bytes())
			}
		}
	}
	if serials[0] != serials[1] {
		t.Errorf("got card %s, and after a restart card %s", serials[0], serials[1])
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: got %v, %v; want mode 0600", info, err)
	}
}

// waitForEmptyReader waits until pcscd has seen that the card is gone.
func waitForEmptyReader(t *testing.T, daemon *system.PCSCD) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pc, err := pcsc.Establish(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	readers, err := pc.Readers(ctx)
	for err == nil && slices.ContainsFunc(readers, func(r pcsc.Reader) bool { return r.State.Present() }) {
		readers, err = pc.WaitForChange(ctx, readers)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serialInReader waits for the card and reads its serial number.
func serialInReader(t *testing.T, daemon *system.PCSCD) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pc, err := pcsc.Establish(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if _, err := pc.WaitForCard(ctx, func(r pcsc.Reader) bool { return r.Name == daemon.Readers[0] }); err != nil {
		t.Fatal(err)
	}
	client, err := piv.Open(ctx, connect(t, daemon), nil)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := client.Serial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return serial
}
