package cryptoki_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/internal/system"
)

func TestMain(m *testing.M) { leak.Main(cleaning{m}) }

// cleaning removes what the tests have built.
type cleaning struct{ *testing.M }

func (c cleaning) Run() int {
	defer func() { os.RemoveAll(testLibrary.dir) }()
	return c.M.Run()
}

// openModule opens the module of a token of SoftHSM2 for the time of the test.
func openModule(t testing.TB, hsm *system.SoftHSM, opts ...*cryptoki.Options) *cryptoki.Module {
	t.Helper()
	m, err := cryptoki.Open(hsm.Module, append(opts, nil)[0])
	system.Supported(t, err)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// openPool returns a pool that can write, with a fresh token of SoftHSM2.
func openPool(t testing.TB, size int) (*cryptoki.Pool, *system.SoftHSM) {
	t.Helper()
	hsm := system.StartSoftHSM(t)
	slot, err := openModule(t, hsm).FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	p := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(hsm.PIN)), ReadWrite: true, Size: size})
	t.Cleanup(func() { p.Close() })
	return p, hsm
}

func do(t testing.TB, p *cryptoki.Pool, f func(ctx context.Context, s *cryptoki.Session) error) {
	t.Helper()
	ctx := context.Background()
	if err := p.Do(ctx, func(s *cryptoki.Session) error { return f(ctx, s) }); err != nil {
		t.Fatal(err)
	}
}

// generate makes a key pair and returns its private half.
func generate(t testing.TB, p *cryptoki.Pool, o cryptoki.KeyPairOptions) *cryptoki.Key {
	t.Helper()
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, _, err := s.GenerateKeyPair(ctx, &o)
		return err
	})
	k, err := p.Key(context.Background(), cryptoki.KeyQuery{Label: o.Label, ID: o.ID})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// certify makes a certificate of the key, signed by the key itself.
func certify(t testing.TB, k *cryptoki.Key) *x509.Certificate {
	t.Helper()
	return issue(t, k.Public(), k.Signer(nil))
}

// issue makes a certificate of pub.
func issue(t testing.TB, pub crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x80), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// softwareKey makes a key that is not on any token.
func softwareKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
