//go:build cgo

package system_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/system"
)

// TestSoakToken signs for a long time with a SoftHSM2 token, from 64 goroutines, and sees that
// neither heap, nor the sessions and threads, become more. CARDOKI_SOAK is the number of
// signatures.
func TestSoakToken(t *testing.T) {
	if os.Getenv(roleVariable) == "" { // in a process of its own: nothing else grows in it
		system.Need(t, "softhsm2-util", "softhsm2")
		p := startProcess(t, "TestSoakToken", "soak")
		var figures string
		reported := p.report.Decode(&figures)
		if err := p.wait(); err != nil || reported != nil {
			t.Fatalf("%v, %v", reported, err)
		}
		t.Log(figures)
		return
	}
	signatures := number("CARDOKI_SOAK", 4000)
	hsm := system.StartSoftHSM(t)
	// The test module tells how much of the C heap is in use, by whomever.
	c, err := cryptokitest.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	scale, err := cryptoki.Open(c.Path(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer scale.Close()
	m, err := cryptoki.Open(hsm.Module, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	slot, err := m.FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(hsm.PIN)), ReadWrite: true})
	defer pool.Close()
	err = pool.Do(t.Context(), func(s *cryptoki.Session) error {
		_, _, err := s.GenerateKeyPair(t.Context(), &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "soak", ID: []byte{1}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := pool.Key(t.Context(), cryptoki.KeyQuery{Label: "soak"})
	if err != nil {
		t.Fatal(err)
	}
	run := func(n int) {
		t.Helper()
		var left atomic.Int64
		left.Store(int64(n))
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				digest := make([]byte, 32)
				for left.Add(-1) >= 0 {
					rand.Read(digest)
					ctx, cancel := context.Background(), func() {}
					if i%2 == 0 {
						ctx, cancel = context.WithTimeout(ctx, stepLimit)
					}
					sig, err := key.Sign(ctx, digest, crypto.SHA256)
					cancel()
					if err == nil && left.Load()%64 == 0 && !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest, sig) {
						err = errors.New("a wrong signature")
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	type sample struct{ goHeap, cHeap, resident, threads, goroutines, sessions int }
	look := func() (s sample) {
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		if _, err := scale.Info(); err != nil {
			t.Fatal(err)
		}
		stats := pool.Stats()
		return sample{int(mem.HeapAlloc), c.Heap(), resident(t, os.Getpid()), threads(t), runtime.NumGoroutine(), stats.Idle + stats.InUse}
	}
	const samples = 10
	part := max(signatures/samples, 1)
	run(part) // warm
	start, first := time.Now(), look()
	last := first
	for range samples - 1 {
		run(part)
		last = look()
	}
	each := time.Since(start) / time.Duration(part*(samples-1))
	const mib = 1 << 20
	reporter().Encode(fmt.Sprintf("%d signatures by 64 goroutines, %v each; first and last: Go heap %d, %d KiB; C heap %d, %d KiB; resident %d, %d KiB; threads %d, %d; sessions %d, %d; logins %d",
		part*samples, each, first.goHeap>>10, last.goHeap>>10, first.cHeap>>10, last.cHeap>>10, first.resident>>10, last.resident>>10, first.threads, last.threads, first.sessions, last.sessions, pool.Stats().Logins))
	for _, what := range []struct {
		name                string
		first, last, growth int
	}{
		{"Go heap", first.goHeap, last.goHeap, mib},
		{"C heap", first.cHeap, last.cHeap, mib},
		{"resident memory", first.resident, last.resident, 16 * mib},
		{"threads", first.threads, last.threads, 8},
		{"goroutines", first.goroutines, last.goroutines, 4},
		{"sessions", first.sessions, last.sessions, 0},
	} {
		if what.last > what.first+what.growth {
			t.Errorf("%s: grew from %d to %d, want at most %d more", what.name, what.first, what.last, what.growth)
		}
	}
	if n := pool.Stats().Logins; n != 1 {
		t.Errorf("got %d logins, want one", n)
	}
}

// threads returns the number of threads of this process.
func threads(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Threads:" {
			var n int
			fmt.Sscan(f[1], &n)
			return n
		}
	}
	t.Fatal("no Threads in /proc")
	return 0
}
