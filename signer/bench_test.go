package signer_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"testing"
	"time"

	"github.com/cardoki/cardoki/signer"
)

// A freeKey costs nothing but the copy of its signature, and checks its input as every
// key does.
type freeKey struct {
	public    crypto.PublicKey
	signature []byte
}

func (k *freeKey) Public() crypto.PublicKey { return k.public }

func (k *freeKey) Sign(_ context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, err := signer.ParseSign(k.public, input, opts); err != nil {
		return nil, err
	}
	return append([]byte(nil), k.signature...), nil
}

func newFreeKey(t testing.TB) *freeKey {
	t.Helper()
	key := newECDSA(t, elliptic.P256())
	digest := sha256.Sum256([]byte("message"))
	sig, err := key.Sign(t.Context(), digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return &freeKey{key.Public(), sig}
}

func before(context.Context, signer.Operation) (func(error), error) { return nil, nil }

// What users pay over the key: signatures in ASN.1 form.
func TestSigner_allocations(t *testing.T) {
	key := newFreeKey(t)
	digest := sha256.Sum256([]byte("message"))
	policy := &signer.Policy{Schemes: []signer.Scheme{signer.ECDSA}, Hashes: []crypto.Hash{crypto.SHA256}, Curves: []string{"P-256"}}
	for _, tt := range []struct {
		name string
		opts *signer.Options
		want float64 // 1 is the signature
	}{
		{"by default", nil, 1},
		{"with a policy", &signer.Options{Policy: policy}, 1},
		{"with Before", &signer.Options{Before: before}, 1},
		{"with a context", &signer.Options{Context: t.Context()}, 1},
	} {
		s := signer.New(key, tt.opts)
		got := testing.AllocsPerRun(100, func() {
			if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil {
				t.Fatal(err)
			}
		})
		if got > tt.want {
			t.Errorf("%s: got %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}

func BenchmarkSigner_Sign(b *testing.B) {
	key := newFreeKey(b)
	digest := sha256.Sum256([]byte("message"))
	policy := &signer.Policy{Schemes: []signer.Scheme{signer.ECDSA}, Hashes: []crypto.Hash{crypto.SHA256}, Curves: []string{"P-256"}}
	b.Run("bare key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := key.Sign(context.Background(), digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, bm := range []struct {
		name string
		opts *signer.Options
	}{
		{"default", nil},
		{"policy", &signer.Options{Policy: policy}},
		{"before", &signer.Options{Before: before}},
		{"timeout", &signer.Options{Timeout: time.Minute}},
		{"verify always", &signer.Options{Verify: signer.VerifyAlways}},
	} {
		s := signer.New(key, bm.opts)
		if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil { // the one that is verified
			b.Fatal(err)
		}
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A handshake's own cost: the certificate of the present, beside one that is fixed.
func BenchmarkTLS_GetCertificate(b *testing.B) {
	k := newToken(b, 1000*time.Hour)
	s := signer.NewTLS(k.source, nil)
	hello := &tls.ClientHelloInfo{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.GetCertificate(hello); err != nil {
			b.Fatal(err)
		}
	}
}

// Handshakes with a key in memory, as it is and behind a Signer.
func BenchmarkHandshake(b *testing.B) {
	var none *issuer
	private := newKey(b)
	leaf := none.issue(b, "leaf", private)
	behind, err := signer.Certificate(&memoryKey{Signer: private}, leaf.cert, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	s := signer.NewTLS(func(context.Context) (tls.Certificate, error) { return behind, nil }, nil)
	for _, bm := range []struct {
		name   string
		config *tls.Config
	}{
		{"key in memory", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: private}}}},
		{"signer", &tls.Config{Certificates: []tls.Certificate{behind}}},
		{"signer.TLS", &tls.Config{GetCertificate: s.GetCertificate}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			client := &tls.Config{InsecureSkipVerify: true}
			b.ReportAllocs()
			for b.Loop() {
				if err := handshakes(bm.config, client); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
