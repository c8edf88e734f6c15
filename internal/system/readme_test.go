package system_test

import (
	"context"
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/signer/prompt"
)

// The functions below hold the programs in README.md, line for line but for the handling
// of errors.

func readmePIV(ctx context.Context) (*tls.Config, error) {
	opts := &piv.Options{PIN: piv.AskPIN(prompt.Terminal{})}
	client, err := piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{}, opts)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	cert, err := client.TLSCertificate(ctx, piv.SlotAuthentication)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	return config, nil
}

func readmePKCS11(ctx context.Context, askPIN cryptoki.PINFunc) (tls.Certificate, error) {
	module, err := cryptoki.Open("/usr/lib/softhsm/libsofthsm2.so", nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	slot, err := module.FindToken("my token")
	if err != nil {
		return tls.Certificate{}, err
	}
	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: askPIN})
	cert, err := pool.TLSCertificate(ctx, cryptoki.KeyQuery{Label: "my key"})
	return cert, err
}

func readmeURI(ctx context.Context, uri string) (tls.Certificate, error) {
	cert, pool, err := cryptoki.TLSCertificate(ctx, uri, nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer pool.Close()
	return cert, err
}

func readmeCard(ctx context.Context) (*piv.Client, error) {
	app := piv.NewApplication(&piv.ApplicationOptions{Touch: func(context.Context, piv.Slot) bool { return true }})
	client, err := piv.Open(ctx, iso7816.NewChannel(card.New(nil, app), nil), nil)
	return client, err
}

// TestREADMEPrograms checks that each line of Go in README.md is one that compiles here, and
// runs what needs no hardware.
func TestREADMEPrograms(t *testing.T) {
	_, _, _ = readmePIV, readmePKCS11, readmeURI
	if client, err := readmeCard(t.Context()); err != nil || client == nil {
		t.Error(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, -1) {
		for line := range strings.Lines(string(block[1])) {
			line, _, _ = strings.Cut(line, " // ")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if lines++; !strings.Contains(string(source), "\t"+line+"\n") {
				t.Errorf("README.md has a line that nobody compiles: %s", line)
			}
		}
	}
	if lines < 10 {
		t.Errorf("README.md has %d lines of Go", lines)
	}
}

// TestREADMEServer does what README.md says under "A server of your own", but for go run,
// as that needs the folder, and the port.
func TestREADMEServer(t *testing.T) {
	t.Parallel()
	for program, debianPackage := range map[string]string{"bash": "bash", "curl": "curl", "softhsm2-util": "softhsm2"} {
		system.Need(t, program, debianPackage)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "## A server of your own\n")
	_, rest, _ = strings.Cut(rest, "```sh\n")
	script, _, found := strings.Cut(rest, "```")
	if !found || strings.Count(script, "\n") < 10 {
		t.Fatalf("README.md has no such commands, but %q", script)
	}
	dir := t.TempDir()
	build := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, name := range []string{"manage-keys", "issue-cert", "tls-server"} {
		build = append(build, "./examples/"+name)
	}
	goTool(t, nil, build...)
	script = strings.ReplaceAll(script, "go run ./examples/", "./")
	script = strings.ReplaceAll(script, "8443", strconv.Itoa(freePort(t)))
	script = strings.ReplaceAll(script, "/usr/lib/softhsm/libsofthsm2.so", module(t, "softhsm/libsofthsm2.so", "softhsm2"))
	script = strings.ReplaceAll(script, "curl ", "curl -sS --noproxy '*' ")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euc", "trap 'kill $(jobs -p)' EXIT\n"+script)
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Hello, stranger, by TLS 1.3.") {
		t.Errorf("%v\n%s", err, out)
	}
}
