//go:build cgo

package peers

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
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThalesGroup/crypto11"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
)

// together lets n callers begin at the same time, each of whom calls f so many times, and
// returns how long it took until the last was done.
func together(n, each int, f func() error) (time.Duration, error) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	var failed atomic.Pointer[error]
	ready.Add(n)
	for range n {
		done.Go(func() {
			ready.Done()
			<-begin
			for range each {
				if err := f(); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	took := time.Since(start)
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return took, nil
}

// callers compares signing with P-256 by several callers at once: threads of C with a
// session each, and goroutines that share a Key, or a key of crypto11. An operation is one
// signature, whoever made it. best-C/cardoki is what C needs for it with that number of
// threads, no more than there are callers, that is best, by what cardoki needs, and
// cgo/cardoki what goroutines need that do nothing else.
func callers(b *testing.B, t *token) {
	const label, turn = "P-256", 1024
	digest := make([]byte, 32)
	key := t.find(b, cryptoki.CKO_PRIVATE_KEY, label)
	ours, err := t.pool.Key(background, cryptoki.KeyQuery{Label: label})
	if err != nil {
		b.Fatal(err)
	}
	its := t.crypto11Key(b, label)
	counts := []int{1, 2, 8, 64}
	var sessions []uint
	var players []player
	for _, n := range counts {
		for len(sessions) < n {
			sessions = append(sessions, openRaw(b, t))
		}
		mine := sessions[:n]
		players = append(players, player{name: fmt.Sprint("C*", n), outside: true, timed: func(all int) (time.Duration, error) {
			return t.floor.SignThreads(mine, uint(cryptoki.CKM_ECDSA), key.raw, digest, all/n)
		}})
	}
	goroutines := func(name string, n int, f func() error) {
		players = append(players, player{name: fmt.Sprint(name, "*", n), outside: true, timed: func(all int) (time.Duration, error) { return together(n, all/n, f) }})
	}
	for _, n := range counts {
		goroutines("cardoki", n, func() error {
			_, err := ours.Sign(background, digest, crypto.SHA256)
			return err
		})
	}
	// Go's scheduler has its price where calls take longer than it waits for: this is the
	// least that goroutines can do, two calls of C each with one of as many sessions as
	// there are processors.
	free := make(chan uint, runtime.GOMAXPROCS(0))
	for i := range cap(free) {
		free <- sessions[i]
	}
	for _, n := range counts {
		goroutines("cgo", n, func() error {
			session, out := <-free, make([]byte, 64)
			err := t.floor.Sign(session, uint(cryptoki.CKM_ECDSA), key.raw, digest, out, 1)
			free <- session
			return err
		})
	}
	goroutines("crypto11", 64, func() error {
		_, err := its.Sign(rand.Reader, digest, crypto.SHA256)
		return err
	})
	medians := byTurns(b, turn, players...)
	for i, n := range counts {
		b.ReportMetric(slices.Min(medians[:i+1])/medians[len(counts)+i], fmt.Sprint("best-C/cardoki*", n))
		b.ReportMetric(medians[2*len(counts)+i]/medians[len(counts)+i], fmt.Sprint("cgo/cardoki*", n))
	}
}

// BenchmarkWaiting has 500 callers at a token that takes 5 ms for a signature, with 64
// sessions. It tells how long a signature takes until 50 and 99 of 100 callers have it, where
// 39 ms are ideal; the signatures in a second; the threads of the process; and the signatures
// of the caller who had the fewest by those of the caller who had the most.
func BenchmarkWaiting(b *testing.B) {
	const callers, sessions = 500, 64
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	library, err := cryptokitest.Build(dir)
	if err != nil {
		b.Skip(err)
	}
	digest := make([]byte, 32)
	start := func(b *testing.B) *cryptokitest.Module {
		m, err := cryptokitest.Start(library, dir, &cryptokitest.Options{Keys: []cryptokitest.Key{{Label: "key", ID: []byte{1}, Private: private}}})
		if err == nil {
			err = m.SetFaults(cryptokitest.Fault{Function: "C_Sign", Sleep: 5 * time.Millisecond})
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { m.Close() })
		return m
	}
	ours := func(b *testing.B, timeout time.Duration) {
		m, err := cryptoki.Open(start(b).Path(), nil)
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		slot, err := m.FindToken("cryptokitest")
		if err != nil {
			b.Fatal(err)
		}
		p := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN)), Size: sessions})
		defer p.Close()
		k, err := p.Key(background, cryptoki.KeyQuery{Label: "key"})
		if err != nil {
			b.Fatal(err)
		}
		wait(b, callers, func() error {
			ctx := background
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			_, err := k.Sign(ctx, digest, crypto.SHA256)
			return err
		})
	}
	b.Run("cardoki", func(b *testing.B) { ours(b, 0) })
	b.Run("cardoki,deadline=10s", func(b *testing.B) { ours(b, 10*time.Second) })
	b.Run("crypto11", func(b *testing.B) {
		c, err := crypto11.Configure(&crypto11.Config{Path: start(b).Path(), TokenLabel: "cryptokitest", Pin: cryptokitest.DefaultPIN, MaxSessions: sessions + 1})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		k, err := c.FindKeyPair(nil, []byte("key"))
		if err != nil {
			b.Fatal(err)
		}
		wait(b, callers, func() error {
			_, err := k.Sign(rand.Reader, digest, crypto.SHA256)
			return err
		})
	})
}

// wait lets callers call f again and again until the benchmark has run long enough.
func wait(b *testing.B, callers int, f func() error) {
	var stop atomic.Bool
	took := make([][]time.Duration, callers)
	errs := make([]error, callers)
	var done sync.WaitGroup
	begin := time.Now()
	for i := range callers {
		done.Go(func() {
			for !stop.Load() {
				start := time.Now()
				if err := f(); err != nil {
					errs[i] = err
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	for b.Loop() {
		time.Sleep(50 * time.Millisecond)
	}
	stop.Store(true)
	threads, _ := os.ReadDir("/proc/self/task")
	done.Wait()
	elapsed := time.Since(begin)
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	var all []time.Duration
	fewest, most := len(took[0]), 0
	for _, t := range took {
		all = append(all, t...)
		fewest, most = min(fewest, len(t)), max(most, len(t))
	}
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))]) / 1e6 }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(float64(len(all))/elapsed.Seconds(), "signatures/s")
	b.ReportMetric(float64(len(threads)), "threads")
	b.ReportMetric(float64(fewest)/float64(max(most, 1)), "fewest/most")
	b.ReportMetric(0, "ns/op")
}
