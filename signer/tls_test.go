package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardoki/cardoki/signer"
)

// A token gives certificates of a given validity, and can be taken away.
type token struct {
	t        testing.TB
	validity time.Duration
	delay    time.Duration // each question takes as long
	keyDelay time.Duration // and each signature

	mu     sync.Mutex
	err    error // of the token
	keyErr error // of its key
	asked  int
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
}

func (k *token) set(err, keyErr error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.keyErr = err, keyErr
}

// renew puts a new key and certificate onto the token.
func (k *token) renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	var none *issuer
	k.key = newKey(k.t)
	k.cert = none.issue(k.t, "token", k.key, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Second), time.Now().Add(k.validity)
	}).cert
}

func (k *token) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

// source is a Source.
func (k *token) source(ctx context.Context) (tls.Certificate, error) {
	k.mu.Lock()
	k.asked++
	k.mu.Unlock()
	select {
	case <-ctx.Done():
		return tls.Certificate{}, ctx.Err()
	case <-time.After(k.delay):
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return tls.Certificate{}, k.err
	}
	return tls.Certificate{Certificate: [][]byte{k.cert.Raw}, PrivateKey: signer.New(&tokenKey{&memoryKey{Signer: k.key}, k}, nil)}, nil
}

// A tokenKey is a key on the token.
type tokenKey struct {
	*memoryKey
	token *token
}

func (k *tokenKey) Sign(ctx context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.token.mu.Lock()
	err, delay := k.token.keyErr, k.token.keyDelay
	k.token.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(delay):
	}
	if err != nil {
		return nil, err
	}
	return k.memoryKey.Sign(ctx, input, opts)
}

func newToken(t testing.TB, validity time.Duration) *token {
	t.Helper()
	k := &token{t: t, validity: validity}
	k.renew()
	return k
}

// isIn reports whether the TLS gives the token's present certificate.
func (k *token) isIn(t *testing.T, s *signer.TLS) bool {
	t.Helper()
	cert, err := s.Certificate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.Equal(k.cert)
}

func TestTLS_asksWhenItIsTime(t *testing.T) {
	for _, tt := range []struct {
		name     string
		validity time.Duration
		opts     *signer.TLSOptions
		after    time.Duration // the source is asked again
	}{
		{"an hour by default", 1000 * time.Hour, nil, time.Hour},
		{"after Refresh", 1000 * time.Hour, &signer.TLSOptions{Refresh: time.Minute}, time.Minute},
		{"a tenth of its validity before it expires", 99 * time.Minute, &signer.TLSOptions{Refresh: 1000 * time.Hour}, 99*time.Minute - 99*time.Minute/10},
		{"a day before it expires", 1000 * time.Hour, &signer.TLSOptions{Refresh: 10000 * time.Hour}, 976 * time.Hour},
		{"BeforeExpiry before it expires", 1000 * time.Hour, &signer.TLSOptions{Refresh: 10000 * time.Hour, BeforeExpiry: time.Hour}, 999 * time.Hour},
		{"a second later, when it has expired", -time.Minute, nil, time.Second},
		{"Retry later, when it has expired", -time.Minute, &signer.TLSOptions{Retry: time.Minute}, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newToken(t, tt.validity)
				s := signer.NewTLS(k.source, tt.opts)
				if k.count() != 0 {
					t.Error("the source was asked before there was a need")
				}
				if !k.isIn(t, s) {
					t.Error("got another certificate")
				}
				k.renew()
				time.Sleep(tt.after - 2*time.Second/10)
				if k.isIn(t, s) || k.count() != 1 {
					t.Errorf("the source was asked %d times too early", k.count()-1)
				}
				time.Sleep(4 * time.Second / 10)
				if !k.isIn(t, s) || k.count() != 2 {
					t.Errorf("the source was asked %d times, want twice; the new certificate is there: %v", k.count(), k.isIn(t, s))
				}
			})
		})
	}
}

func TestTLS_Refresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newToken(t, time.Hour)
		s := signer.NewTLS(k.source, nil)
		k.isIn(t, s)
		k.renew()
		if err := s.Refresh(t.Context()); err != nil || !k.isIn(t, s) || k.count() != 2 {
			t.Errorf("got error %v after %d questions", err, k.count())
		}
		broken := errors.New("the token is gone")
		k.set(broken, nil)
		if err := s.Refresh(t.Context()); !errors.Is(err, broken) || !k.isIn(t, s) {
			t.Errorf("got error %v, want %v, and the old certificate", err, broken)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Refresh(ctx); err == nil {
			t.Error("got no error though the context has ended")
		}
	})
}

func TestTLS_sourceThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		gone := errors.New("no card")
		k := newToken(t, time.Hour)
		k.set(gone, nil)
		s := signer.NewTLS(k.source, &signer.TLSOptions{Retry: time.Minute, Refresh: time.Minute})
		ask := func(want error, asked int) {
			t.Helper()
			cert, err := s.Certificate(t.Context())
			if !errors.Is(err, want) || (cert == nil) != (want != nil) || k.count() != asked {
				t.Errorf("got error %v after %d questions, want %v after %d", err, k.count(), want, asked)
			}
		}
		ask(gone, 1)
		ask(gone, 1) // it is left alone
		time.Sleep(time.Minute)
		ask(gone, 2)
		k.set(nil, nil)
		ask(gone, 2)
		time.Sleep(time.Minute)
		ask(nil, 3)
		// The old certificate is used until it expires.
		k.set(gone, nil)
		time.Sleep(time.Minute)
		ask(nil, 4)
		ask(nil, 4)
		time.Sleep(56 * time.Minute)
		ask(nil, 5)
		time.Sleep(time.Minute + time.Second)
		ask(gone, 6)
		k.set(nil, nil)
		k.renew()
		time.Sleep(time.Minute)
		ask(nil, 7)
	})
}

func TestTLS_refusesWhatIsNoCertificate(t *testing.T) {
	k := newToken(t, time.Hour)
	good, err := k.source(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cert tls.Certificate
	}{
		{"nothing", tls.Certificate{}},
		{"no certificate", tls.Certificate{PrivateKey: good.PrivateKey}},
		{"no key", tls.Certificate{Certificate: good.Certificate}},
		{"a key that cannot sign", tls.Certificate{Certificate: good.Certificate, PrivateKey: "key"}},
		{"no X.509", tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: good.PrivateKey}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := signer.NewTLS(func(context.Context) (tls.Certificate, error) { return tt.cert, nil }, nil)
			if cert, err := s.Certificate(t.Context()); err == nil || cert != nil {
				t.Errorf("got %v and no error", cert)
			}
		})
	}
}

// Many handshakes at once ask once; whoever waits can give up, and whoever asked and
// gave up is followed by the next.
func TestTLS_asksOnceAtATime(t *testing.T) {
	t.Run("without a certificate all wait for one question", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newToken(t, time.Hour)
			k.delay = time.Second
			s := signer.NewTLS(k.source, nil)
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if !k.isIn(t, s) {
						t.Error("got another certificate")
					}
				})
			}
			start := time.Now()
			wg.Wait()
			if k.count() != 1 || time.Since(start) != time.Second {
				t.Errorf("the source was asked %d times in %v, want once in 1 s", k.count(), time.Since(start))
			}
		})
	})
	t.Run("with a certificate only the one that asks waits", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newToken(t, 1000*time.Hour)
			s := signer.NewTLS(k.source, nil)
			k.isIn(t, s)
			k.delay = time.Second
			time.Sleep(2 * time.Hour)
			var waited atomic.Int64
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					start := time.Now()
					k.isIn(t, s)
					if time.Since(start) > 0 {
						waited.Add(1)
					}
				})
			}
			wg.Wait()
			if k.count() != 2 || waited.Load() != 1 {
				t.Errorf("the source was asked %d times and %d waited, want 2 and 1", k.count(), waited.Load())
			}
		})
	})
	t.Run("one that waits gives up", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newToken(t, time.Hour)
			k.delay = time.Minute
			s := signer.NewTLS(k.source, nil)
			var wg sync.WaitGroup
			wg.Go(func() { k.isIn(t, s) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			if _, err := s.Certificate(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
				t.Errorf("got error %v after %v", err, time.Since(start))
			}
			wg.Wait()
		})
	})
	t.Run("the one that asks gives up, and the next asks", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newToken(t, time.Hour)
			k.delay = time.Minute
			s := signer.NewTLS(k.source, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := s.Certificate(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got error %v", err)
				}
			})
			synctest.Wait()
			wg.Go(func() { k.isIn(t, s) })
			wg.Wait()
			if k.count() != 2 {
				t.Errorf("the source was asked %d times, want 2", k.count())
			}
		})
	})
}

// shake makes a handshake in which both sides use s.
func shake(s *signer.TLS) (*x509.Certificate, error) {
	var got *x509.Certificate
	server := &tls.Config{GetCertificate: s.GetCertificate, ClientAuth: tls.RequireAnyClientCert}
	client := &tls.Config{GetClientCertificate: s.GetClientCertificate, InsecureSkipVerify: true, VerifyConnection: func(c tls.ConnectionState) error {
		got = c.PeerCertificates[0]
		return nil
	}}
	return got, handshakes(server, client)
}

func TestTLS_followsTheToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newToken(t, 1000*time.Hour)
		s := signer.NewTLS(k.source, &signer.TLSOptions{Retry: time.Minute})
		check := func(what string, want *x509.Certificate, asked int) {
			t.Helper()
			got, err := shake(s)
			if want == nil {
				if err == nil {
					t.Errorf("%s: got no error", what)
				}
			} else if err != nil || !got.Equal(want) {
				t.Errorf("%s: got error %v, or another certificate", what, err)
			}
			if k.count() != asked {
				t.Errorf("%s: the source was asked %d times, want %d", what, k.count(), asked)
			}
		}
		first := k.cert
		check("the first handshake", first, 1)
		check("the next", first, 1)
		k.renew()
		second := k.cert
		check("a certificate that was replaced unseen", first, 1)
		time.Sleep(time.Hour)
		check("after an hour", second, 2)

		// The card is taken out: one handshake fails by its key, the next by the source.
		gone := errors.New("no card")
		k.set(gone, gone)
		check("the key fails", nil, 2)
		check("the source fails", nil, 3)
		check("it is left alone", nil, 3)
		// Another card comes.
		k.set(nil, nil)
		k.renew()
		time.Sleep(time.Minute)
		check("the card is back", k.cert, 4)

		// The key fails once, the source does not.
		k.set(nil, gone)
		check("the key fails once", nil, 4)
		k.set(nil, nil)
		check("the source is asked at once", k.cert, 5)

		// What the key does not do is not its failure.
		cert, err := s.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.PrivateKey.(crypto.Signer).Sign(nil, make([]byte, 31), crypto.SHA256); !errors.Is(err, signer.ErrInvalid) {
			t.Errorf("got error %v, want ErrInvalid", err)
		}
		check("after a request that was refused", k.cert, 5)
	})
}

// A client that goes away ends the wait for the key; the source is asked again, but
// not by each.
func TestTLS_handshakeEndsTheKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newToken(t, 1000*time.Hour)
		k.keyDelay = time.Hour
		s := signer.NewTLS(k.source, &signer.TLSOptions{Retry: time.Minute, Refresh: 100 * time.Hour})
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			err := serveOnce(ctx, &tls.Config{GetCertificate: s.GetCertificate})
			if took := time.Since(start); err == nil || took != time.Second {
				t.Errorf("handshake %d: got error %v after %v, want one after 1 s", i, err, took)
			}
			cancel()
		}
		if k.count() != 1 {
			t.Errorf("the source was asked %d times, want once", k.count())
		}
		k.keyDelay = 0
		time.Sleep(time.Minute)
		if _, err := shake(s); err != nil || k.count() != 2 {
			t.Errorf("got error %v after %d questions, want none after 2", err, k.count())
		}
	})
}

// serveOnce is a server whose handshake ends with ctx.
func serveOnce(ctx context.Context, config *tls.Config) error {
	a, b := net.Pipe()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(b, &tls.Config{InsecureSkipVerify: true}).Handshake() // what the server says counts
	}()
	err := tls.Server(a, config).HandshakeContext(ctx)
	a.Close()
	<-done
	return err
}

// A client sends no certificate to a server that wants another.
func TestTLS_GetClientCertificate_thatDoesNotFit(t *testing.T) {
	k := newToken(t, time.Hour)
	s := signer.NewTLS(k.source, nil)
	for _, tt := range []struct {
		name string
		cas  [][]byte
		want int
	}{
		{"any will do", nil, 1},
		{"the right issuer", [][]byte{k.cert.RawIssuer}, 1},
		{"another issuer", [][]byte{[]byte("another")}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert, err := s.GetClientCertificate(&tls.CertificateRequestInfo{Version: tls.VersionTLS13, AcceptableCAs: tt.cas, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}})
			if err != nil || len(cert.Certificate) != tt.want {
				t.Errorf("got %d certificates and error %v, want %d", len(cert.Certificate), err, tt.want)
			}
		})
	}
	broken := errors.New("no card")
	s = signer.NewTLS(func(context.Context) (tls.Certificate, error) { return tls.Certificate{}, broken }, nil)
	if _, err := s.GetClientCertificate(&tls.CertificateRequestInfo{}); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
	if _, err := s.GetCertificate(&tls.ClientHelloInfo{}); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}

// plainKey is a crypto.Signer and nothing else.
type plainKey struct{ crypto.Signer }

// A source can have keys that are not ours: whatever they can do is kept.
func TestTLS_keysOfOthers(t *testing.T) {
	var none *issuer
	rsaKey := newRSA(t, 2048)
	ours, err := signer.NewDecrypter(rsaKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		key      crypto.Signer
		decrypts bool
	}{
		{"a key in memory, ECDSA", newKey(t), false},
		{"a key in memory, RSA", rsaKey.key, true},
		{"a crypto.Signer and nothing else", plainKey{newKey(t)}, false},
		{"a Signer", signer.New(rsaKey, nil), false},
		{"a Decrypter", ours, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf := none.issue(t, "leaf", tt.key, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment })
			s := signer.NewTLS(func(context.Context) (tls.Certificate, error) {
				return tls.Certificate{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: tt.key}, nil
			}, nil)
			if _, err := shake(s); err != nil {
				t.Error(err)
			}
			cert, err := s.GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := cert.PrivateKey.(crypto.Decrypter); ok != tt.decrypts {
				t.Errorf("it decrypts: %v, want %v", ok, tt.decrypts)
			}
			if !cert.PrivateKey.(interface{ Public() crypto.PublicKey }).Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(tt.key.Public()) {
				t.Error("it has another public key")
			}
			if !tt.decrypts {
				return
			}
			old := []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
			err = handshakes(&tls.Config{GetCertificate: s.GetCertificate, CipherSuites: old, MaxVersion: tls.VersionTLS12},
				&tls.Config{InsecureSkipVerify: true, CipherSuites: old, MaxVersion: tls.VersionTLS12})
			if (err != nil) != fips140.Enabled() { // where crypto/tls has no such cipher suite
				t.Errorf("RSA key exchange: got error %v, FIPS mode: %v", err, fips140.Enabled())
			}
		})
	}
}

// What a client sends cannot make the source be asked.
func TestTLS_badCiphertextIsNotTheKeysFault(t *testing.T) {
	var none *issuer
	key := answering{newRSA(t, 2048), nil, rsa.ErrDecryption}
	leaf := none.issue(t, "leaf", signer.New(key, nil))
	asked := 0
	s := signer.NewTLS(func(context.Context) (tls.Certificate, error) {
		asked++
		return signer.Certificate(key, leaf.cert, nil, nil)
	}, nil)
	for range 3 {
		cert, err := s.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.PrivateKey.(crypto.Decrypter).Decrypt(nil, make([]byte, 256), &rsa.OAEPOptions{Hash: crypto.SHA256}); !errors.Is(err, rsa.ErrDecryption) {
			t.Errorf("got error %v, want rsa.ErrDecryption", err)
		}
	}
	if asked != 1 {
		t.Errorf("the source was asked %d times, want once", asked)
	}
}

func TestTLS_isSharedByGoroutines(t *testing.T) {
	k := newToken(t, time.Hour)
	s := signer.NewTLS(k.source, &signer.TLSOptions{Refresh: time.Millisecond, Retry: time.Microsecond})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				if i == 0 {
					k.renew()
					if err := s.Refresh(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if _, err := shake(s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
