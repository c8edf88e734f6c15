package system_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/pcsc"
)

// readers asks the daemon for its readers.
func readers(t *testing.T, p *system.PCSCD) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := pcsc.Establish(ctx, &pcsc.Options{Socket: p.SocketName})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.Readers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range list {
		names = append(names, r.Name)
	}
	return names
}

func TestReadersAreAsManyAndNamedAsPromised(t *testing.T) {
	for _, tt := range []struct {
		opts system.PCSCDOptions
		want int
	}{
		{system.PCSCDOptions{}, 2},
		{system.PCSCDOptions{Readers: -1}, 0},
		{system.PCSCDOptions{Readers: 3, Name: "Yubico YubiKey"}, 4},
		{system.PCSCDOptions{Readers: 16}, 16},
	} {
		t.Run(fmt.Sprintf("%d readers %s", tt.opts.Readers, tt.opts.Name), func(t *testing.T) {
			t.Parallel() // which also shows that fixtures live side by side
			tt.opts.KeepEnv = true
			p := system.StartPCSCD(t, &tt.opts)
			if len(p.Readers) != tt.want || len(p.Addresses) != tt.want {
				t.Errorf("got %d readers, %d addresses, want %d", len(p.Readers), len(p.Addresses), tt.want)
			}
			got, want := readers(t, p), slices.Clone(p.Readers)
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("readers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnvironmentLeadsToTheDaemon(t *testing.T) {
	p := system.StartPCSCD(t, nil)
	if got := os.Getenv("PCSCLITE_CSOCK_NAME"); got != p.SocketName {
		t.Errorf("got %q in the environment, want %q", got, p.SocketName)
	}
	if !slices.Contains(p.Env(), "PCSCLITE_CSOCK_NAME="+p.SocketName) {
		t.Error("Env does not name the socket")
	}
}

func TestDaemonCanBeKilledAndRestarted(t *testing.T) {
	p := system.StartPCSCD(t, nil)
	want := readers(t, p)
	for _, end := range []func(){p.Kill, p.Stop, p.Stop} {
		end()
		if _, err := net.Dial("unix", p.SocketName); err == nil {
			t.Error("somebody still listens")
		}
		p.Restart()
		if diff := cmp.Diff(want, readers(t, p)); diff != "" {
			t.Errorf("readers after a restart (-want +got):\n%s", diff)
		}
	}
}

func TestNeedFindsPrograms(t *testing.T) {
	if got := system.Need(t, "sh", "dash"); got == "" {
		t.Error("got no path")
	}
	t.Setenv("CI", "")
	var skipped bool
	t.Run("a missing program", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		system.Need(t, "no-such-program", "no-such-package")
	})
	if !skipped {
		t.Error("a test without its program was not skipped")
	}
}
