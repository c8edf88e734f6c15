//go:build cgo

package peers

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
)

// nssVariable is the path of the NSS module that BenchmarkNSS is about: its libraries
// are beside it, which the loader must know from the begin of the process. So there is a
// process for each benchmark of each, this program again.
const nssVariable = "CARDOKI_PEERS_NSS"

// nssModules are the softokn of Debian's NSS, and the newer one that comes with Firefox.
var nssModules = []struct{ name, path, debianPackage string }{
	{"Debian", "/usr/lib/x86_64-linux-gnu/libsoftokn3.so", "libnss3"},
	{"Firefox", "/usr/lib/firefox-esr/libsoftokn3.so", "firefox-esr"},
}

// BenchmarkNSS compares cardoki with C and with peers on the tokens of NSS: that without
// objects that last, where attributes are read from memory, and the database in a file.
func BenchmarkNSS(b *testing.B) {
	all := append(workloads[:len(workloads):len(workloads)], workload{"message=AES-GCM,1KiB", func(b *testing.B, t *token) {
		byTurns(b, 0, t.messages(b, "AES")...)
	}})
	for _, w := range stored {
		all = append(all, workload{w.name, func(b *testing.B, t *token) { w.run(b, openDatabase(b, t)) }})
	}
	for _, m := range nssModules {
		b.Run(m.name, func(b *testing.B) {
			system.NeedFile(b, m.path, m.debianPackage)
			switch path := os.Getenv(nssVariable); path {
			case m.path:
				reserved := fmt.Sprintf("configdir='sql:%s' certPrefix='' keyPrefix='' secmod='' flags=noModDB", b.TempDir())
				t := openToken(b, path, "NSS Generic Crypto Services", "", &cryptoki.Options{Reserved: reserved})
				t.fill(b, 1000)
				run(b, t, all...)
			case "":
				for _, w := range all {
					b.Run(w.name, func(b *testing.B) { inChild(b, m.path) })
				}
			}
		})
	}
}

// openDatabase opens the database of the module of another token, and makes a key pair in it.
func openDatabase(tb testing.TB, other *token) *token {
	tb.Helper()
	const pin = "a long password"
	m, err := cryptoki.Open(other.path, other.options)
	if err != nil {
		tb.Fatal(err)
	}
	defer m.Close()
	slots, err := m.Slots(true)
	if err != nil || len(slots) < 2 {
		tb.Fatalf("%d slots: %v", len(slots), err)
	}
	slot := slots[len(slots)-1]
	s, err := slot.OpenSession(background, true)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(s.Login(background, cryptoki.CKU_SO, cryptoki.FixedPIN([]byte{})), s.InitPIN(background, cryptoki.FixedPIN([]byte(pin))), s.Close()); err != nil {
		tb.Fatal(err)
	}
	info, err := slot.Token()
	if err != nil {
		tb.Fatal(err)
	}
	t := openToken(tb, other.path, info.Label, pin, other.options)
	t.store(tb)
	return t
}

// inChild runs the benchmark b in a process with the libraries of the module at path, and
// tells what it tells.
func inChild(b *testing.B, path string) {
	pattern := "^" + strings.ReplaceAll(b.Name(), "/", "$/^") + "$"
	cmd := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", flag.Lookup("test.benchtime").Value.String())
	cmd.Env = append(os.Environ(), nssVariable+"="+path, "LD_LIBRARY_PATH="+filepath.Dir(path))
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	told := 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, b.Name()) {
			continue
		}
		fields := strings.Fields(line)
		for i := 2; i+1 < len(fields); i += 2 {
			if x, err := strconv.ParseFloat(fields[i], 64); err == nil {
				b.ReportMetric(x, fields[i+1])
				told++
			}
		}
	}
	if told == 0 {
		b.Fatalf("no result\n%s", out)
	}
	b.ReportMetric(0, "ns/op") // that of a process means nothing
}
