//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/signer"
)

// sum is a digest from elsewhere.
func sum(hash crypto.Hash, msg string) (digest []byte) {
	outside(func() {
		h := hash.New()
		h.Write([]byte(msg))
		digest = h.Sum(nil)
	})
	return digest
}

// verifies reports whether sig is a signature of msg by key as opts asks.
func verifies(key crypto.PublicKey, msg string, sig []byte, opts crypto.SignerOpts) (ok bool) {
	outside(func() { ok = verifiesOutside(key, msg, sig, opts) })
	return ok
}

func verifiesOutside(key crypto.PublicKey, msg string, sig []byte, opts crypto.SignerOpts) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		hash := opts.HashFunc()
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(key, hash, sum(hash, msg), sig, pss) == nil
		}
		return rsa.VerifyPKCS1v15(key, hash, sum(hash, msg), sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum(opts.HashFunc(), msg), sig)
	case ed25519.PublicKey:
		return ed25519.Verify(key, []byte(msg), sig)
	}
	return false
}

func TestSigner_signsLikeTheKey(t *testing.T) {
	rsaKey, ecKey, edKey := newRSA(t, 2048), newECDSA(t, elliptic.P384()), newEd25519(t)
	for _, tt := range []struct {
		name string
		key  signer.Key
		opts crypto.SignerOpts
		fips bool // it is refused where FIPS 140 is enforced
	}{
		{"RSA PKCS #1 v1.5", rsaKey, crypto.SHA256, false},
		{"RSA-PSS, salt as long as the hash", rsaKey, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384}, false},
		{"RSA-PSS, longest salt", rsaKey, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}, false},
		{"RSA-PSS, a salt longer than the digest", rsaKey, &rsa.PSSOptions{SaltLength: 33, Hash: crypto.SHA256}, true},
		{"RSA-PSS, short salt", rsaKey, &rsa.PSSOptions{SaltLength: 7, Hash: crypto.SHA1}, true},
		{"ECDSA", ecKey, crypto.SHA384, false},
		{"ECDSA, SHA3", ecKey, crypto.SHA3_256, false},
		{"Ed25519", edKey, crypto.Hash(0), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := signer.New(tt.key, &signer.Options{Verify: signer.VerifyAlways})
			const msg = "message"
			input := []byte(msg)
			if hash := tt.opts.HashFunc(); hash != 0 {
				input = sum(hash, msg)
			}
			check := func(how string, sig []byte, err error) {
				t.Helper()
				if tt.fips && refusedInFIPS(t, err) {
					return
				}
				if err != nil || !verifies(s.Public(), msg, sig, tt.opts) {
					t.Errorf("%s: got error %v and a signature that verifies %v", how, err, verifies(s.Public(), msg, sig, tt.opts))
				}
			}
			sig, err := s.Sign(rand.Reader, input, tt.opts)
			check("Sign", sig, err)
			// SignMessage hashes, and signs the same.
			sig, err = s.SignMessage(nil, []byte(msg), tt.opts)
			check("SignMessage", sig, err)
			sig, err = crypto.SignMessage(s, nil, []byte(msg), tt.opts)
			check("crypto.SignMessage", sig, err)
		})
	}
	// The one scheme without randomness gives the same bytes by both ways.
	s := signer.New(rsaKey, nil)
	a, err := s.Sign(nil, sum(crypto.SHA256, "message"), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.SignMessage(nil, []byte("message"), crypto.SHA256)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("SignMessage and Sign differ, error %v", err)
	}
}

func TestSigner_SignMessage_refuses(t *testing.T) {
	rsaKey, edKey := newRSA(t, 1024), newEd25519(t)
	for _, tt := range []struct {
		name string
		key  signer.Key
		opts crypto.SignerOpts
		want string
	}{
		{"RSA without options", rsaKey, nil, refused},
		{"RSA with no such hash", rsaKey, crypto.Hash(99), "unsupported"},
		{"RSA with a hash that is not linked", rsaKey, crypto.BLAKE2b_256, "unsupported"},
		{"Ed25519 without options", edKey, nil, ""},
		{"Ed25519ph", edKey, &ed25519.Options{Hash: crypto.SHA512}, "unsupported"},
		{"Ed25519 with a hash", edKey, crypto.SHA256, "unsupported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := signer.New(tt.key, nil).SignMessage(nil, []byte("message"), tt.opts)
			checkError(t, err, tt.want)
		})
	}
}

func TestSigner_asksTheKeyOnlyForWhatItCanDo(t *testing.T) {
	key := newRSA(t, 1024)
	if _, err := signer.New(key, nil).Sign(nil, make([]byte, 31), crypto.SHA256); err == nil {
		t.Error("got no error, want one for a short digest")
	}
	if n := key.signed.Load(); n != 0 {
		t.Errorf("the key was asked for %d signatures, want 0", n)
	}
}

func TestSigner_givesItsContextToTheKey(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	key := newRSA(t, 2048)
	if _, err := signer.New(key, &signer.Options{Context: ctx}).Sign(nil, make([]byte, 32), crypto.SHA256); !errors.Is(err, context.Canceled) {
		t.Errorf("Sign: got error %v, want context.Canceled", err)
	}
	d, err := signer.NewDecrypter(key, &signer.Options{Context: ctx})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decrypt(nil, make([]byte, 256), &rsa.OAEPOptions{Hash: crypto.SHA256}); !errors.Is(err, context.Canceled) {
		t.Errorf("Decrypt: got error %v, want context.Canceled", err)
	}
}

func flip(sig []byte) []byte {
	sig = bytes.Clone(sig)
	sig[len(sig)/2] ^= 1
	return sig
}

func TestSigner_withholdsBadSignatures(t *testing.T) {
	digest := sum(crypto.SHA256, "message")
	pss := &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
	rsaKey, otherRSA := newRSA(t, 2048), newRSA(t, 2048)
	type want struct{ first, later bool } // caught at the first signature, at a later one
	for _, tt := range []struct {
		name   string
		rsa    bool
		opts   crypto.SignerOpts
		policy signer.VerifyPolicy
		want   want
	}{
		{"RSA by default", true, crypto.SHA256, signer.VerifyDefault, want{true, true}},
		{"RSA-PSS by default", true, pss, signer.VerifyDefault, want{true, true}},
		{"ECDSA by default", false, crypto.SHA256, signer.VerifyDefault, want{true, false}},
		{"RSA always", true, crypto.SHA256, signer.VerifyAlways, want{true, true}},
		{"ECDSA always", false, crypto.SHA256, signer.VerifyAlways, want{true, true}},
		{"RSA never", true, crypto.SHA256, signer.VerifyNever, want{false, false}},
		{"ECDSA never", false, crypto.SHA256, signer.VerifyNever, want{false, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			newKey := func() *memoryKey { return newECDSA(t, elliptic.P256()) }
			if tt.rsa {
				newKey = func() *memoryKey { return &memoryKey{Signer: rsaKey.Signer} }
			}
			check := func(what string, s *signer.Signer, caught bool) {
				t.Helper()
				sig, err := s.Sign(nil, digest, tt.opts)
				if caught && (!errors.Is(err, signer.ErrBadSignature) || sig != nil) {
					t.Errorf("%s: got %d bytes and error %v, want ErrBadSignature alone", what, len(sig), err)
				}
				if !caught && (err != nil || len(sig) == 0) {
					t.Errorf("%s: got %d bytes and error %v, want a signature", what, len(sig), err)
				}
			}
			key := newKey()
			s := signer.New(key, &signer.Options{Verify: tt.policy})
			key.disturb = flip
			check("faulty from the start", s, tt.want.first)
			check("faulty again", s, tt.want.first) // a failure does not count as the first
			key.disturb = nil
			check("sound", s, false)
			key.disturb = flip
			check("faulty later", s, tt.want.later)

			// The handle has come to mean another key, which signs well.
			key = newKey()
			other := newKey()
			if tt.rsa {
				other = &otherRSA.memoryKey
			}
			key.disturb = func([]byte) []byte {
				sig, err := other.Signer.Sign(rand.Reader, digest, tt.opts)
				if err != nil {
					t.Fatal(err)
				}
				return sig
			}
			check("another key", signer.New(key, &signer.Options{Verify: tt.policy}), tt.want.first)
		})
	}
}

func TestDecrypter(t *testing.T) {
	key := newRSA(t, 2048)
	d, err := signer.NewDecrypter(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	pub := d.Public().(*rsa.PublicKey)
	msg := []byte("0123456789ABCDEF")
	oaep := &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA384, Label: []byte("label")}
	sha1 := &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1}
	pkcs1, ct := encrypt(t, pub, msg, nil), encrypt(t, pub, msg, oaep)
	for _, tt := range []struct {
		name string
		ct   []byte
		opts crypto.DecrypterOpts
		want string
		fips bool // it is refused where FIPS 140 is enforced
	}{
		{"PKCS #1 v1.5", pkcs1, nil, "", true},
		{"a session key", pkcs1, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: len(msg)}, "", true},
		{"OAEP", ct, oaep, "", false},
		{"OAEP with SHA-1", encrypt(t, pub, msg, sha1), sha1, "", true},
		{"OAEP with another label", ct, &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA384}, "decryption", false},
		{"options of another type", ct, 7, "unsupported", false},
		{"a ciphertext too short", ct[1:], nil, refused, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := d.Decrypt(nil, tt.ct, tt.opts)
			if tt.fips && refusedInFIPS(t, err) {
				return
			}
			checkError(t, err, tt.want)
			if tt.want == "" && !bytes.Equal(got, msg) {
				t.Errorf("got %d bytes, want the plaintext", len(got))
			}
		})
	}
	if _, err := d.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
		t.Errorf("Sign: got error %v, want none", err)
	}
	_, err = signer.NewDecrypter(ecDecrypter{newECDSA(t, elliptic.P256())}, nil)
	checkError(t, err, "unsupported")
}

// encrypt is what a peer does: PKCS #1 v1.5 where oaep is nil.
func encrypt(t *testing.T, pub *rsa.PublicKey, msg []byte, oaep *rsa.OAEPOptions) (ciphertext []byte) {
	t.Helper()
	var err error
	outside(func() {
		if oaep == nil {
			ciphertext, err = rsa.EncryptPKCS1v15(rand.Reader, pub, msg)
		} else {
			ciphertext, err = rsa.EncryptOAEPWithOptions(rand.Reader, pub, msg, oaep)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ciphertext
}

// An ecDecrypter claims to decrypt with a key that cannot.
type ecDecrypter struct{ *memoryKey }

func (ecDecrypter) Decrypt(context.Context, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return nil, errors.New("not reached")
}

// selfSigned returns a TLS certificate of key.
func selfSigned(t testing.TB, key signer.Key) tls.Certificate {
	t.Helper()
	s := signer.New(key, nil)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "card"}, DNSNames: []string{"card"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.Public(), s)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err != nil {
		t.Fatalf("the certificate does not verify: %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s, Leaf: leaf}
}

func keys(t testing.TB) map[string]signer.Key {
	return map[string]signer.Key{
		"RSA": newRSA(t, 2048), "P-256": newECDSA(t, elliptic.P256()), "P-384": newECDSA(t, elliptic.P384()), "Ed25519": newEd25519(t),
	}
}

func TestSigner_requestsCertificates(t *testing.T) {
	for name, key := range keys(t) {
		algorithms := []x509.SignatureAlgorithm{x509.UnknownSignatureAlgorithm}
		if name == "RSA" {
			algorithms = append(algorithms, x509.SHA384WithRSA, x509.SHA256WithRSAPSS, x509.SHA512WithRSAPSS)
		}
		for _, algorithm := range algorithms {
			t.Run(fmt.Sprint(name, " ", algorithm), func(t *testing.T) {
				template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "card"}, SignatureAlgorithm: algorithm}
				der, err := x509.CreateCertificateRequest(rand.Reader, template, signer.New(key, nil))
				if err != nil {
					t.Fatal(err)
				}
				csr, err := x509.ParseCertificateRequest(der)
				if err != nil {
					t.Fatal(err)
				}
				if err := csr.CheckSignature(); err != nil {
					t.Errorf("the request does not verify: %v", err)
				}
			})
		}
	}
}

// handshake makes both sides authenticate with cert, which has the given DNS name.
func handshake(cert tls.Certificate, roots *x509.CertPool, name string, version uint16) error {
	config := &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: roots, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: name, MinVersion: version, MaxVersion: version,
	}
	return handshakes(config, config)
}

// handshakes makes a handshake, after which the server greets.
func handshakes(server, client *tls.Config) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(30 * time.Second)
	if err := errors.Join(a.SetDeadline(deadline), b.SetDeadline(deadline)); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		_, err := conn.Write([]byte("hello"))
		if err != nil {
			a.Close()
		}
		served <- err
	}()
	conn := tls.Client(b, client)
	buf := make([]byte, 5)
	_, err := conn.Read(buf)
	if err == nil && string(buf) != "hello" {
		err = fmt.Errorf("read %q", buf)
	}
	if err != nil {
		b.Close()
	}
	return errors.Join(err, <-served)
}

// itself returns a pool with a certificate alone.
func itself(cert tls.Certificate) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	return roots
}

func TestSigner_handshakes(t *testing.T) {
	for name, key := range keys(t) {
		cert := selfSigned(t, key)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				if err := handshake(cert, itself(cert), "card", version); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestSigner_isSharedByGoroutines(t *testing.T) {
	for name, key := range keys(t) {
		t.Run(name, func(t *testing.T) {
			cert := selfSigned(t, key)
			opts := crypto.SignerOpts(crypto.SHA256)
			if name == "Ed25519" {
				opts = crypto.Hash(0)
			}
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					for range 5 {
						msg := fmt.Sprint("message ", i)
						s := cert.PrivateKey.(*signer.Signer)
						sig, err := s.SignMessage(nil, []byte(msg), opts)
						if err != nil || !verifies(s.Public(), msg, sig, opts) {
							t.Errorf("got error %v and a signature that verifies %v", err, verifies(s.Public(), msg, sig, opts))
						}
					}
					if err := handshake(cert, itself(cert), "card", tls.VersionTLS13); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}
