package system_test

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
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

func readmeCard(ctx context.Context) (*piv.Client, error) {
	app := piv.NewApplication(&piv.ApplicationOptions{Touch: func(context.Context, piv.Slot) bool { return true }})
	client, err := piv.Open(ctx, iso7816.NewChannel(card.New(nil, app), nil), nil)
	return client, err
}

// TestREADMEPrograms checks that each line of Go in README.md is one that compiles here, and
// runs what needs no hardware.
func TestREADMEPrograms(t *testing.T) {
	_, _ = readmePIV, readmePKCS11
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
