package main

import (
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

const printed = `# Linux x86_64, 2 cores, some processor
goos: linux
BenchmarkEncode/16B/floor-2       	 100	        4.0 ns/op	 987.27 MB/s	       0 B/op	       0 allocs/op
BenchmarkEncode/16B/cardoki-2     	 100	        6.0 ns/op	 987.27 MB/s	       0 B/op	       0 allocs/op
BenchmarkEncode/16B/cardoki-2     	 100	       60.0 ns/op	 987.27 MB/s	       0 B/op	       0 allocs/op
BenchmarkEncode/16B/cardoki-2     	 100	        5.0 ns/op	 987.27 MB/s	       0 B/op	       0 allocs/op
BenchmarkEncode/16B/slow-2        	 100	      160.9 ns/op	 136.74 MB/s	      24 B/op	       1 allocs/op
BenchmarkNull/sign-2  	 2	  4.9 C-min-ns	 5.0 C-ns	 0 session-allocs	 57.8 session-min-ns	 60.0 session-ns	 12 session/C	 4.000 miekg-allocs	 231 miekg-min-ns	 240.0 miekg-ns
PASS
`

func TestParse(t *testing.T) {
	r, err := parse(strings.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		benchmark, contestant string
		ns, allocs            float64
	}{
		{"Encode/16B", "cardoki", 6, 0},
		{"Encode/16B", "slow", 160.9, 1},
		{"Null/sign", "C", 5, -1},
		{"Null/sign", "session", 60, 0},
		{"Null/sign", "miekg", 240, 4},
	} {
		c := r.costs[tt.benchmark][tt.contestant]
		if c == nil || c.median() != tt.ns || c.allocs != tt.allocs {
			t.Errorf("%s, %s: got %+v, want %v ns and %v allocations", tt.benchmark, tt.contestant, c, tt.ns, tt.allocs)
		}
	}
	if r.machine != "Linux x86_64, 2 cores, some processor" {
		t.Errorf("got the machine %q", r.machine)
	}
	if _, err := choose(r); err == nil || !strings.Contains(err.Error(), "Encode/64KiB") {
		t.Errorf("benchmarks that did not run: got %v", err)
	}
}

func TestPageAndPlot(t *testing.T) {
	r, err := parse(strings.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	costs := r.costs["Null/sign"]
	rows := []row{{subject{"PKCS#11", "sign", "Null/sign", "C", "session", ownWays}, costs, byCost(costs, "C", "session")}}
	text := string(page(r.machine, rows))
	for _, want := range []string{"2 cores, some processor", "| sign | 5.0 ns | 60 ns (0) | 12× | miekg/pkcs11 4.00× (4) |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	picture := string(plot(rows))
	for _, want := range []string{">sign</text>", "floor: 0.08×", "miekg/pkcs11: 4.00×"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture does not say %q:\n%s", want, picture)
		}
	}
	if strings.Count(picture, "<circle") != 2 {
		t.Errorf("got %d dots, want 2", strings.Count(picture, "<circle"))
	}
}
