package pcsc_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

// TestSoftwareDaemon is what every backend must do beyond TestConformance, on a daemon in
// software, whose readers can do more than a virtual one and fail on demand. With the
// tag libpcsclite it runs in a process of its own, since the library reads the name of the
// socket once.
func TestSoftwareDaemon(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the PC/SC library of this system knows no socket")
	}
	const child = "CARDOKI_TEST_SOFTWARE_DAEMON"
	if throughLibrary() && os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSoftwareDaemon$", "-test.v", "-test.timeout=4m")
		cmd.Env = append(os.Environ(), child+"=1", "PCSCLITE_CSOCK_NAME="+filepath.Join(shortDir(t), "s"))
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestSoftwareDaemon")) {
			t.Errorf("in a process of its own: %v\n%s", err, out)
		}
		return
	}
	socket := os.Getenv("PCSCLITE_CSOCK_NAME")
	if os.Getenv(child) == "" {
		socket = filepath.Join(shortDir(t), "s")
		t.Setenv("PCSCLITE_CSOCK_NAME", socket)
	}
	d, err := pcsctest.Start(&pcsctest.Options{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, d *pcsctest.Daemon)
	}{
		{"no reader is no error, and can be waited for", testNoReaders},
		{"cards are listed and connected to", testCards},
		{"any number of contexts watch the same readers", testManyContextsWatch},
		{"an answer to reset of 34 bytes is an error", testLongATR},
		{"a response under two bytes means that the card is gone", testShortResponses},
		{"a removal that the service has not noticed is noticed", testRemovalNotNoticed},
		{"a cancelled call returns at once and can be recovered from", testCancelled},
		{"Close returns at once during a call", testCloseDuringCall},
		{"Begin that is given up leaves no transaction", testAbandonedBegin},
		{"a direct connection needs no card", testDirect},
		{"protocol raw hands commands on as they are", testRaw},
		{"a card can be reset warm and cold, and others notice", testResets},
		{"share mode and protocol can be changed", testChange},
		{"a card can be ejected", testEject},
		{"attributes come as bytes, texts and numbers", testAttributes},
		{"the name of the device can be asked for", testFriendlyName},
		{"control codes reach the driver", testControl},
		{"a reader that knows no features has none", testNoFeatures},
		{"a reader tells its properties", testProperties},
		{"a PIN is verified on the reader", testVerifyPIN},
		{"a PIN is modified on the reader", testModifyPIN},
		{"what the reader says instead of the card is told apart", testPINPadErrors},
		{"contactless is decided by attribute and answer to reset", testContactless},
		{"calls wait for the end of another's transaction", testWaitsForTransaction},
		{"a transaction always ends", testTransactionEnds},
		{"a transaction that cannot be ended keeps nobody out", testEndFails},
		{"a card torn out in a transaction keeps nobody out", testTornOutInTransaction},
		{"a reader that is plugged in again can be reconnected", testReplugged},
		{"a service that was restarted can be reconnected", testRestarted},
		{"a reset is said again until Reconnect", testResetStays},
		{"policy that refuses a card is an error of its own", testPolicyRefusesCard},
		{"a connection that breaks once while connecting is made again", testConnectOnceMore},
		{"a context heals", testContextHeals},
		{"a service that is away is waited for in a container too", testAwayInContainer},
		{"a service that ends during the handshake is no refusal to a wait", testEndsDuringHandshake},
		{"Watch tells what is there and what happens", testWatch},
		{"Watch survives the service", testWatchRestart},
		{"watchers share one wait and all get everything", testManyWatchers},
		{"Watch ends with its context and with Close", testWatchEnds},
		{"a storm of insertions leaves every watcher with the truth", testStorm},
		{"WaitForCard waits for the card that is asked for", testWaitForCard},
		{"return values are told by what they mean", testReturnValues},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Cleanup(func() { d.SetFault(nil) })
			tt.run(t, d)
		})
	}
}

// throughLibrary reports whether libpcsclite is spoken to.
func throughLibrary() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool {
		return s.Key == "-tags" && strings.Contains(s.Value, "libpcsclite")
	})
}

// shortDir returns a new directory with a path that leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pcsc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// plug adds a reader until the end of the test, with a card unless that is nil.
func plug(t testing.TB, d *pcsctest.Daemon, name string, opts *pcsctest.ReaderOptions, card pcsctest.Card) *pcsctest.Reader {
	t.Helper()
	r, err := d.AddReader(name, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Unplug)
	if card != nil {
		if err := r.Insert(card); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// plugAndConnect is plug, and a connection to the card.
func plugAndConnect(t testing.TB, d *pcsctest.Daemon, opts *pcsctest.ReaderOptions, card pcsctest.Card, copts *pcsc.ConnectOptions) (*pcsctest.Reader, *pcsc.Conn) {
	t.Helper()
	r := plug(t, d, "Soft", opts, card)
	return r, connect(t, establish(t), r.Name(), copts)
}

// eventually fails the test unless ok becomes true in a while.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !ok() {
		if ctx.Err() != nil {
			t.Fatalf("%s: not in %v", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// A box hands a value from one goroutine to another; through libpcsclite the race
// detector sees nothing else that orders them.
type box[T any] struct {
	mu sync.Mutex
	v  T
}

func (b *box[T]) set(v T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.v = v
}

func (b *box[T]) get() T {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.v
}
