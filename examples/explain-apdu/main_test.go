package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/internal/leak"
)

var update = flag.Bool("update", false, "write the expected outputs in testdata anew")

func TestMain(m *testing.M) { leak.Main(m) }

var samples = []string{"opensc.log", "pcscd.log", "globalplatformpro.log", "transcript.txt", "hexadecimal.txt"}

func explain(t *testing.T, sample string, args ...string) string {
	t.Helper()
	in, err := os.Open(filepath.Join("testdata", sample))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out strings.Builder
	if err := run(args, in, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRun_logs(t *testing.T) {
	for _, sample := range samples {
		for _, tt := range []struct {
			suffix string
			args   []string
		}{{".want", nil}, {".insecure.want", []string{"-insecure-log-secrets"}}} {
			t.Run(sample+tt.suffix, func(t *testing.T) {
				got := explain(t, sample, tt.args...)
				name := filepath.Join("testdata", sample+tt.suffix)
				if *update {
					if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		}
	}
}

// The PINs in the samples, and what looks like the start of one, are not shown
// unless that was asked for.
func TestRun_hidesSecrets(t *testing.T) {
	found := 0
	for _, sample := range samples {
		for _, secret := range []string{"313233", "241234", "123456", "C1C2C3", "B1B2B3"} {
			packed := strings.ReplaceAll(explain(t, sample), " ", "")
			if strings.Contains(packed, secret) {
				t.Errorf("%s: %s is shown:\n%s", sample, secret, packed)
			}
			if strings.Contains(strings.ReplaceAll(explain(t, sample, "-insecure-log-secrets"), " ", ""), secret) {
				found++
			}
		}
	}
	if found < len(samples) {
		t.Errorf("the samples hold %d secrets, want one in each at least", found)
	}
}

func TestRun_arguments(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"a command", []string{"00A40400 05 A000000308"}, "SELECT PIV\n"},
		{"a command and its answer", []string{"00A4040005A000000308", "6A82"}, "SELECT PIV → 6A82 file or application not found\n"},
		{"bytes without quotes", []string{"00", "a4", "04", "00"}, "SELECT\n"},
		{"an exchange without quotes", []string{"00", "84", "00", "00", "01", "->", "AA", "90", "00"}, "GET CHALLENGE → 9000 success, 1 byte\n"},
		{"an exchange", []string{"0084000001 -> AA9000"}, "GET CHALLENGE → 9000 success, 1 byte\n"},
		{"two commands", []string{"00840000", "00840000"}, "GET CHALLENGE\nGET CHALLENGE\n"},
		{"every byte", []string{"-insecure-log-secrets", "0020008004 31323334", "9000"}, "VERIFY reference 80, 4 bytes hidden → 9000 success\n    > 00 20 00 80 04 31 32 33 34\n    < 90 00\n"},
		{"a malformed command", []string{"00A4040005A0"}, "malformed command of 6 bytes\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if err := run(tt.args, nil, &out); err != nil || out.String() != tt.want {
				t.Errorf("got  %q and error %v\nwant %q", out.String(), err, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"not hexadecimal", []string{"SELECT PIV"}, "apdu: malformed hexadecimal text at offset 0: not a hexadecimal digit"},
		{"too short", []string{"00A4"}, "a command has at least four bytes: CLA INS P1 P2"},
		{"an answer to nothing", []string{"<9000"}, "a response without a command before it"},
		{"an empty argument", []string{""}, "no command in the input; it may be a transcript, lines of hexadecimal, or a log of OpenSC, pcscd or GlobalPlatformPro"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := run(tt.args, nil, &strings.Builder{}); err == nil || err.Error() != tt.want {
				t.Errorf("got  error %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestRun_oddLogs(t *testing.T) {
	for _, tt := range []struct{ name, log, want string }{
		{"pcscd at a terminal, with threads", "\x1b[35m00000002 [140123] APDU: 00 84 00 00 08 \x1b[0m\n\x1b[35m00012345 [140123] SW: 69 85 \x1b[0m\n",
			"GET CHALLENGE → 6985 conditions of use not satisfied, 12.3 ms\n"},
		{"an older OpenSC", "Outgoing APDU data [    5 bytes] =====================================\n00 84 00 00 08 .....\n======\n" +
			"Incoming APDU data [    2 bytes] =====================================\n69 85 i.\n", "GET CHALLENGE → 6985 conditions of use not satisfied, 0 ms\n"},
		{"OpenSC at midnight", "T:1 23:59:59.999 [x] a\nOutgoing APDU (5 bytes):\n00 84 00 00 08 .....\nT:1 00:00:00.011 [x] b\nIncoming APDU (2 bytes):\n69 85 i.\n",
			"GET CHALLENGE → 6985 conditions of use not satisfied, 12 ms\n"},
		{"OpenSC cut short", "Outgoing APDU (20 bytes):\n00 84 00 00 08 .....\nOutgoing APDU (4 bytes):\n00 84 00 00 ....\n", "GET CHALLENGE\n"},
		{"a card that does not answer", "00000002 APDU: 00 84 00 00 08 \n00000002 APDU: 00 84 00 00 04 \n00000100 SW: \n", "GET CHALLENGE\nGET CHALLENGE → malformed response of 0 bytes, 0.1 ms\n"},
		{"a transcript that plays tricks", "00840000 -> ! \x1b[2Jx\x07\n", "GET CHALLENGE → no response: ?[2Jx?\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if err := run(nil, strings.NewReader(tt.log), &out); err != nil || out.String() != tt.want {
				t.Errorf("got  %q and error %v\nwant %q", out.String(), err, tt.want)
			}
		})
	}
	for _, tt := range []struct{ name, log, want string }{
		{"nothing", "", "no command in the input"},
		{"another log", "hello\nworld\n", "no command in the input"},
		{"a line without end", strings.Repeat("00", maxLine), "line 1 is longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := run(nil, strings.NewReader(tt.log), &strings.Builder{}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got error %v, want %s…", err, tt.want)
			}
		})
	}
}

// FuzzRun: whatever the input is, the output is text in lines, and not much longer.
func FuzzRun(f *testing.F) {
	for _, sample := range samples {
		b, err := os.ReadFile(filepath.Join("testdata", sample))
		if err != nil {
			f.Fatal(err)
		}
		b = b[:min(len(b), 1000)] // short ones are changed to more purpose
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, in []byte, insecure bool) {
		var args []string
		if insecure {
			args = []string{"-insecure-log-secrets"}
		}
		var out bytes.Buffer
		if err := run(args, bytes.NewReader(in), &out); err != nil {
			return
		}
		if bytes.ContainsAny(out.Bytes(), "\x1b\x07\r") {
			t.Errorf("got %q, want printable text", out.Bytes())
		}
		if most := 400 + 100*len(in); out.Len() > most {
			t.Errorf("got %d bytes from %d, want at most %d", out.Len(), len(in), most)
		}
	})
}
