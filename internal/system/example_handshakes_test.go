package system_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/signer"
)

// callTimes is a slog.Handler that adds up how long calls into a module take.
type callTimes struct{ ns, calls atomic.Int64 }

func (c *callTimes) Enabled(context.Context, slog.Level) bool { return true }
func (c *callTimes) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *callTimes) WithGroup(string) slog.Handler            { return c }
func (c *callTimes) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.Kind() == slog.KindDuration {
			c.ns.Add(int64(a.Value.Duration()))
			c.calls.Add(1)
		}
		return true
	})
	return nil
}

// A timedKey adds up how long its signatures take.
type timedKey struct {
	crypto.Signer
	ns, signatures atomic.Int64
}

func (k *timedKey) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	start := time.Now()
	sig, err := k.Signer.(crypto.MessageSigner).SignMessage(rand, msg, opts)
	k.ns.Add(int64(time.Since(start)))
	k.signatures.Add(1)
	return sig, err
}

func (k *timedKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	start := time.Now()
	sig, err := k.Signer.Sign(rand, digest, opts)
	k.ns.Add(int64(time.Since(start)))
	k.signatures.Add(1)
	return sig, err
}

// softHSMCertificate makes a key on a new token of SoftHSM2, whose calls are given to
// times unless that is nil. opts has no PIN.
func softHSMCertificate(t testing.TB, ca *authority, o *cryptoki.KeyPairOptions, times *callTimes, opts *cryptoki.PoolOptions) (tls.Certificate, *cryptoki.Pool) {
	t.Helper()
	hsm := system.StartSoftHSM(t)
	var log *slog.Logger
	if times != nil {
		log = slog.New(times)
	}
	module, err := cryptoki.Open(hsm.Module, &cryptoki.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { module.Close() })
	slot, err := module.FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	opts.PIN, opts.ReadWrite = cryptoki.FixedPIN([]byte(hsm.PIN)), true
	pool := slot.NewPool(opts)
	t.Cleanup(func() { pool.Close() })
	ctx := t.Context()
	err = pool.Do(ctx, func(s *cryptoki.Session) error {
		_, _, err := s.GenerateKeyPair(ctx, o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := pool.Key(ctx, cryptoki.KeyQuery{Label: o.Label})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.issue("server", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, Leaf: leaf, PrivateKey: key.Signer(nil)}, pool
}

// inMemory is the same with a key in memory.
func inMemory(t testing.TB, ca *authority, o *cryptoki.KeyPairOptions) tls.Certificate {
	t.Helper()
	var key crypto.Signer
	var err error
	if o.RSABits > 0 {
		key, err = rsa.GenerateKey(rand.Reader, o.RSABits)
	} else {
		key, err = ecdsa.GenerateKey(o.Curve, rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.issue("server", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, Leaf: leaf, PrivateKey: key}
}

// shakeHands is pipeHandshake for a server without tickets, and leaves no timer behind:
// those of deadlines live on after the pipe, and look like something that grows.
func shakeHands(server, client *tls.Config, version uint16) error {
	client = client.Clone()
	client.MinVersion, client.MaxVersion = version, version
	a, b := net.Pipe()
	stop := time.AfterFunc(handshakeTimeout, func() { a.Close(); b.Close() })
	defer stop.Stop()
	served := make(chan error, 1)
	go func() {
		err := tls.Server(a, server).Handshake()
		if err != nil {
			a.Close()
		}
		served <- err
	}()
	err := tls.Client(b, client).Handshake()
	if err != nil {
		b.Close()
	}
	err = errors.Join(err, <-served)
	a.Close()
	b.Close()
	return err
}

var handshakeKeys = []struct {
	name string
	opts cryptoki.KeyPairOptions
}{
	{"P-256", cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "tls", ID: []byte{1}}},
	{"RSA 2048", cryptoki.KeyPairOptions{RSABits: 2048, Label: "tls", ID: []byte{1}}},
}

// BenchmarkHandshake shakes hands by TLS 1.3, client and server in this process, with the
// server's key in memory and on a token of SoftHSM2. own-ns/op is what a signature takes
// outside of the module, with the hash, with the verification of RSA signatures unless it
// is left out, and with the log by which it is measured; own-% is its share of the
// handshake.
func BenchmarkHandshake(b *testing.B) {
	ca, err := newAuthority()
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B, cert tls.Certificate) {
		server := &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}
		client := &tls.Config{RootCAs: ca.pool(), ServerName: "localhost"}
		if err := shakeHands(server, client, tls.VersionTLS13); err != nil { // the first is verified
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := shakeHands(server, client, tls.VersionTLS13); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
	}
	for _, k := range handshakeKeys {
		b.Run(k.name+"/in memory", func(b *testing.B) { run(b, inMemory(b, ca, &k.opts)) })
		b.Run(k.name+"/SoftHSM2", func(b *testing.B) {
			cert, _ := softHSMCertificate(b, ca, &k.opts, nil, &cryptoki.PoolOptions{})
			run(b, cert)
		})
		for _, m := range []struct {
			name   string
			verify signer.VerifyPolicy
		}{{"measured", signer.VerifyDefault}, {"measured, VerifyNever", signer.VerifyNever}} {
			b.Run(k.name+"/SoftHSM2, "+m.name, func(b *testing.B) {
				times := &callTimes{}
				cert, pool := softHSMCertificate(b, ca, &k.opts, times, &cryptoki.PoolOptions{Verify: m.verify})
				onToken, err := pool.Key(b.Context(), cryptoki.KeyQuery{Label: k.opts.Label})
				if err != nil {
					b.Fatal(err)
				}
				key := &timedKey{Signer: onToken.Signer(&signer.Options{Verify: m.verify})}
				cert.PrivateKey = key
				if _, err := key.SignMessage(nil, []byte("the first is verified"), crypto.SHA256); err != nil {
					b.Fatal(err)
				}
				times.ns.Store(0)
				times.calls.Store(0)
				key.ns.Store(0)
				key.signatures.Store(0)
				run(b, cert)
				n := float64(key.signatures.Load())
				own := float64(key.ns.Load()-times.ns.Load()) / n
				b.ReportMetric(own, "own-ns/op")
				b.ReportMetric(float64(times.ns.Load())/n, "module-ns/op")
				b.ReportMetric(float64(times.calls.Load())/n, "calls/op")
				b.ReportMetric(100*own*float64(b.N)/float64(b.Elapsed()), "own-%")
			})
		}
	}
}

// TestSoakTLS lets 64 goroutines shake hands with a key on SoftHSM2 for as many seconds as
// CARDOKI_SOAK_TLS says, and sees that nothing grows.
func TestSoakTLS(t *testing.T) {
	if os.Getenv(roleVariable) == "" { // in a process of its own: nothing else grows in it
		system.Need(t, "softhsm2-util", "softhsm2")
		p := startProcess(t, "TestSoakTLS", "soak")
		var figures string
		reported := p.report.Decode(&figures)
		if err := p.wait(); err != nil || reported != nil {
			t.Fatalf("%v, %v", reported, err)
		}
		t.Log(figures)
		return
	}
	const goroutines = 64
	length := time.Duration(number("CARDOKI_SOAK_TLS", 2)) * time.Second
	ca := newTestAuthority(t)
	cert, pool := softHSMCertificate(t, ca, &handshakeKeys[0].opts, nil, &cryptoki.PoolOptions{Size: 8})
	server := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ca.pool(), ClientAuth: tls.RequireAndVerifyClientCert, SessionTicketsDisabled: true}
	client := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.pool(), ServerName: "localhost"}
	shake := func(until time.Time) (handshakes int64) {
		var n atomic.Int64
		var wg sync.WaitGroup
		for i := range goroutines {
			wg.Go(func() {
				for time.Now().Before(until) && !t.Failed() {
					if err := shakeHands(server, client, tlsVersions[i%len(tlsVersions)].version); err != nil {
						t.Errorf("goroutine %d: %v", i, err)
						return
					}
					n.Add(1)
				}
			})
		}
		wg.Wait()
		return n.Load()
	}
	type sample struct{ heap, resident, goroutines int }
	look := func() sample {
		for range 3 { // what pools and finalizers hold on to goes later
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return sample{int(m.HeapAlloc), resident(t, os.Getpid()), runtime.NumGoroutine()}
	}
	const parts = 5
	part := length / parts
	shake(time.Now().Add(part)) // warm
	first, start, handshakes := look(), time.Now(), int64(0)
	last := first
	for range parts - 1 {
		handshakes += shake(time.Now().Add(part))
		last = look()
	}
	stats := pool.Stats()
	reporter().Encode(fmt.Sprintf("%d goroutines, %d handshakes with client certificates, %.0f a second; first and last: heap %d, %d KiB; resident %d, %d KiB; sessions opened %d, recoveries %d",
		goroutines, handshakes, float64(handshakes)/time.Since(start).Seconds(), first.heap>>10, last.heap>>10, first.resident>>10, last.resident>>10, stats.Opened, stats.Recoveries))
	const mib = 1 << 20
	if last.heap > first.heap+2*mib || last.resident > first.resident+32*mib || last.goroutines > first.goroutines+2 {
		t.Errorf("it grew from %+v to %+v", first, last)
	}
	if stats.Opened > 8 || stats.Recoveries > 0 || stats.LastError != nil || stats.InUse > 0 || stats.Uses < uint64(2*handshakes) {
		t.Errorf("the pool says %+v after %d handshakes", stats, handshakes)
	}
}
