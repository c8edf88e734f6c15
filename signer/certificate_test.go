//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what old TLS clients and their servers still do.

package signer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/signer"
)

// An issuer is a certificate with its key.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue returns a certificate by i, or a root where i is nil.
func (i *issuer) issue(t testing.TB, name string, key crypto.Signer, change ...func(*x509.Certificate)) *issuer {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, f := range change {
		f(template)
	}
	parent := i
	if i == nil {
		parent = &issuer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestChain(t *testing.T) {
	var none *issuer
	root := none.issue(t, "root", newKey(t))
	a := root.issue(t, "a", newKey(t))
	b := a.issue(t, "b", newKey(t))
	leaf := b.issue(t, "leaf", newKey(t))
	// Others of the same name: with another key, expired, and valid for less long.
	impostor := root.issue(t, "b", newKey(t))
	expired := a.issue(t, "b", b.key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	shorter := a.issue(t, "b", b.key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) })
	future := a.issue(t, "b", b.key, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(1000*time.Hour)
	})
	// Two that have certified each other.
	keyX, keyY := newKey(t), newKey(t)
	x := (&issuer{&x509.Certificate{Subject: pkix.Name{CommonName: "y"}, BasicConstraintsValid: true, IsCA: true}, keyY}).issue(t, "x", keyX)
	y := (&issuer{x.cert, keyX}).issue(t, "y", keyY)
	ofX := x.issue(t, "of x", newKey(t))

	names := map[*x509.Certificate]string{root.cert: "root", a.cert: "a", b.cert: "b", leaf.cert: "leaf", impostor.cert: "impostor",
		expired.cert: "expired b", shorter.cert: "shorter b", future.cert: "future b", x.cert: "x", y.cert: "y", ofX.cert: "of x"}
	for _, tt := range []struct {
		name   string
		leaf   *issuer
		others []*issuer
		want   []string
	}{
		{"no others", leaf, nil, []string{"leaf"}},
		{"in any order, without the root", leaf, []*issuer{root, a, b}, []string{"leaf", "b", "a"}},
		{"the leaf is among them", leaf, []*issuer{leaf, b, leaf, a}, []string{"leaf", "b", "a"}},
		{"a gap ends it", leaf, []*issuer{a, root}, []string{"leaf"}},
		{"a root alone", root, []*issuer{root, a}, []string{"root"}},
		{"one of the same name with another key", leaf, []*issuer{impostor, b, a}, []string{"leaf", "b", "a"}},
		{"only one of the same name with another key", leaf, []*issuer{impostor, a}, []string{"leaf"}},
		{"one that has expired, and one that has not", leaf, []*issuer{expired, b, a}, []string{"leaf", "b", "a"}},
		{"one that has expired, where there is no other", leaf, []*issuer{expired, a}, []string{"leaf", "expired b", "a"}},
		{"the one that is valid longest", leaf, []*issuer{shorter, b, a}, []string{"leaf", "b", "a"}},
		{"one that is not valid yet", leaf, []*issuer{future, shorter, a}, []string{"leaf", "shorter b", "a"}},
		{"a circle", ofX, []*issuer{x, y}, []string{"of x", "x", "y"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var others []*x509.Certificate
			for _, i := range tt.others {
				others = append(others, i.cert)
			}
			var got []string
			for _, c := range signer.Chain(tt.leaf.cert, others) {
				got = append(got, names[c])
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("wrong chain (-want +got):\n%s", d)
			}
		})
	}
}

// A token full of certificates costs no more than a bound.
func TestChain_isBounded(t *testing.T) {
	key := newKey(t)
	var last *issuer
	var all []*x509.Certificate
	for i := range 15 {
		last = last.issue(t, fmt.Sprint("ca ", i), key)
		all = append(all, last.cert)
	}
	if got := signer.Chain(last.cert, all); len(got) != 10 {
		t.Errorf("got %d certificates, want 10", len(got))
	}
	// The right one comes after 200 others that look as good.
	var none *issuer
	root := none.issue(t, "root", key)
	noID := func(c *x509.Certificate) { c.SubjectKeyId = nil }
	var crowd []*x509.Certificate
	for i := range 200 {
		c := *root.issue(t, "ca", newKey(t), noID).cert
		c.SubjectKeyId, c.NotAfter = nil, c.NotAfter.Add(time.Duration(i)*time.Second)
		crowd = append(crowd, &c)
	}
	right := root.issue(t, "ca", newKey(t))
	leaf := right.issue(t, "leaf", newKey(t))
	leaf.cert.AuthorityKeyId = nil
	if got := signer.Chain(leaf.cert, append(crowd, right.cert)); len(got) != 1 {
		t.Errorf("got %d certificates, want 1: the right one is out of reach", len(got))
	}
	if got := signer.Chain(leaf.cert, append(crowd[:50:50], right.cert)); len(got) != 2 {
		t.Errorf("got %d certificates, want 2", len(got))
	}
}

func TestCertificate(t *testing.T) {
	var none *issuer
	root := none.issue(t, "root", newKey(t))
	ca := root.issue(t, "ca", newKey(t))
	rsaKey, ecKey, edKey := newRSA(t, 2048), newECDSA(t, elliptic.P256()), newEd25519(t)
	for _, tt := range []struct {
		name   string
		key    signer.Key
		policy *signer.Policy
		want   []tls.SignatureScheme
	}{
		{"RSA", rsaKey, nil, nil},
		{"ECDSA", ecKey, nil, nil},
		{"Ed25519", edKey, nil, nil},
		{"RSA, only PSS with SHA-2", rsaKey, &signer.Policy{Schemes: []signer.Scheme{signer.PSS}, Hashes: []crypto.Hash{crypto.SHA256, crypto.SHA512}},
			[]tls.SignatureScheme{tls.PSSWithSHA256, tls.PSSWithSHA512}},
		{"ECDSA, without SHA-1", ecKey, &signer.Policy{Hashes: []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}},
			[]tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512}},
		{"Ed25519, SHA-2", edKey, &signer.Policy{Hashes: []crypto.Hash{crypto.SHA256}}, []tls.SignatureScheme{tls.Ed25519}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf := ca.issue(t, "leaf", crypto.Signer(signer.New(tt.key, nil)))
			cert, err := signer.Certificate(tt.key, leaf.cert, []*x509.Certificate{root.cert, ca.cert}, &signer.Options{Policy: tt.policy})
			if err != nil {
				t.Fatal(err)
			}
			if len(cert.Certificate) != 2 || !slices.Equal(cert.Certificate[1], ca.cert.Raw) || cert.Leaf != leaf.cert {
				t.Errorf("got a chain of %d, want leaf and ca", len(cert.Certificate))
			}
			if d := cmp.Diff(tt.want, cert.SupportedSignatureAlgorithms); d != "" {
				t.Errorf("wrong signature algorithms (-want +got):\n%s", d)
			}
			if _, ok := cert.PrivateKey.(crypto.Decrypter); ok != (tt.key == rsaKey) {
				t.Errorf("got a private key of type %T", cert.PrivateKey)
			}
			roots := x509.NewCertPool()
			roots.AddCert(root.cert)
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				if err := handshake(cert, roots, "leaf", version); err != nil {
					t.Errorf("%s: %v", tls.VersionName(version), err)
				}
			}
		})
	}
	leaf := ca.issue(t, "leaf", newKey(t)).cert
	if _, err := signer.Certificate(ecKey, leaf, nil, nil); !errors.Is(err, signer.ErrCertificate) {
		t.Errorf("a certificate of another key: got error %v, want ErrCertificate", err)
	}
	if _, err := signer.Certificate(relabelled{ecKey, "key"}, leaf, nil, nil); !errors.Is(err, signer.ErrCertificate) {
		t.Errorf("a key of unknown type: got error %v, want ErrCertificate", err)
	}
	leaf = ca.issue(t, "leaf", crypto.Signer(signer.New(ecKey, nil))).cert
	_, err := signer.Certificate(ecKey, leaf, nil, &signer.Options{Policy: &signer.Policy{Curves: []string{"P-384"}}})
	if _, ok := errors.AsType[*signer.PolicyError](err); !ok {
		t.Errorf("a key that the policy allows nothing with: got error %v, want a PolicyError", err)
	}
}

// An RSA key that can decrypt serves clients that know nothing newer.
func TestCertificate_keyExchangeOfOldClients(t *testing.T) {
	var none *issuer
	key := newRSA(t, 2048)
	leaf := none.issue(t, "leaf", signer.New(key, nil), func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment })
	cert, err := signer.Certificate(key, leaf.cert, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf.cert)
	old := []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	err = handshakes(&tls.Config{Certificates: []tls.Certificate{cert}, CipherSuites: old, MaxVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: roots, ServerName: "leaf", CipherSuites: old, MaxVersion: tls.VersionTLS12})
	if (err != nil) != fips140.Enabled() { // where crypto/tls has no such cipher suite
		t.Errorf("got error %v, FIPS mode: %v", err, fips140.Enabled())
	}
}

// What rsa.DecryptPKCS1v15 tells apart, a session key does not.
func TestDecrypter_sessionKeysTellNothing(t *testing.T) {
	key := newRSA(t, 2048)
	pub := key.Public().(*rsa.PublicKey)
	noise := make([]byte, pub.Size())
	rand.Read(noise)
	noise[0] = 0
	for _, tt := range []struct {
		name   string
		answer []byte
		err    error
	}{
		{"a device that says that the padding is wrong", nil, rsa.ErrDecryption},
		{"a device that wraps it", nil, fmt.Errorf("device: %w", rsa.ErrDecryption)},
		{"a device that gives what is too short", make([]byte, 31), nil},
		{"a device that gives what is too long", make([]byte, 33), nil},
		{"a device that gives nothing", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := signer.NewDecrypter(answering{key, tt.answer, tt.err}, nil)
			if err != nil {
				t.Fatal(err)
			}
			opts := &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 32}
			first, err := d.Decrypt(nil, noise, opts)
			if refusedInFIPS(t, err) {
				return
			}
			if err != nil || len(first) != 32 {
				t.Fatalf("got %d bytes and error %v, want 32", len(first), err)
			}
			second, err := d.Decrypt(nil, noise, opts)
			if err != nil || slices.Equal(first, second) || slices.Equal(first, make([]byte, 32)) {
				t.Errorf("got error %v, or a key that is not random", err)
			}
			if tt.err == nil {
				return
			}
			if _, err := d.Decrypt(nil, noise, nil); !errors.Is(err, rsa.ErrDecryption) {
				t.Errorf("without a session key: got error %v, want rsa.ErrDecryption", err)
			}
		})
	}
	t.Run("a device that is gone says so", func(t *testing.T) {
		gone := errors.New("the card is gone")
		d, err := signer.NewDecrypter(answering{key, nil, gone}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Decrypt(nil, noise, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 32})
		if !refusedInFIPS(t, err) && err != gone {
			t.Errorf("got error %v, want %v", err, gone)
		}
	})
}
