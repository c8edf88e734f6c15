package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log"
	"math/big"
	"time"

	"github.com/cardoki/cardoki/signer"
)

// A deviceKey stands for a key of a card or token.
type deviceKey struct{ *ecdsa.PrivateKey }

func (k deviceKey) Public() crypto.PublicKey { return &k.PublicKey }

func (k deviceKey) Sign(ctx context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(rand.Reader, input, opts)
}

func (k deviceKey) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	private, err := k.PrivateKey.ECDH()
	if err != nil {
		return nil, err
	}
	return private.ECDH(peer)
}

func newDeviceKey() deviceKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	return deviceKey{private}
}

// Any Key is a crypto.Signer, here with one that lives in memory.
func ExampleNew() {
	key := newDeviceKey()
	var s crypto.Signer = signer.New(key, nil)

	digest := sha256.Sum256([]byte("message"))
	signature, err := s.Sign(nil, digest[:], crypto.SHA256)
	fmt.Println(ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature), err)

	// What the key cannot do is refused before the device is asked.
	_, err = s.Sign(nil, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256})
	fmt.Println(errors.Is(err, errors.ErrUnsupported), err)
	// Output:
	// true <nil>
	// true signer: unsupported operation: RSA-PSS with an ECDSA key
}

// A program tells its user what the key is about to do, and does not wait for ever.
func ExampleOptions() {
	s := signer.New(newDeviceKey(), &signer.Options{
		Timeout: 15 * time.Second,
		Before: func(ctx context.Context, op signer.Operation) (func(error), error) {
			fmt.Println("Touch your key to", op)
			return func(err error) { fmt.Println("Done:", err) }, nil
		},
	})
	_, err := s.SignMessage(nil, []byte("message"), crypto.SHA256)
	fmt.Println(err)
	// Output:
	// Touch your key to sign with ECDSA and SHA-256, P-256
	// Done: <nil>
	// <nil>
}

// A policy in the manner of FIPS 186-5 and SP 800-131A: SHA-2, the NIST curves, and
// RSA of 2048 bits and more, without PKCS #1 v1.5 decryption.
func ExamplePolicy() {
	policy := &signer.Policy{
		Schemes:    []signer.Scheme{signer.PKCS1v15, signer.PSS, signer.OAEP, signer.ECDSA, signer.Ed25519, signer.ECDH, signer.MLKEM},
		Hashes:     []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512},
		Curves:     []string{"P-256", "P-384", "P-521"},
		MinRSABits: 2048,
	}
	s := signer.New(newDeviceKey(), &signer.Options{Policy: policy})
	_, err := s.SignMessage(nil, []byte("message"), crypto.SHA256)
	fmt.Println(err)

	_, err = s.SignMessage(nil, []byte("message"), crypto.SHA1)
	if refusal, ok := errors.AsType[*signer.PolicyError](err); ok {
		fmt.Println("not allowed:", refusal.Reason)
	}
	// Output:
	// <nil>
	// not allowed: SHA-1
}

// Before a program encrypts to a key it can make sure that the device has that key.
func ExampleCheck() {
	key := newDeviceKey()
	fmt.Println(signer.Check(context.Background(), key))
	// Output: <nil>
}

// HPKE of the standard library decrypts with a key that stays in its device.
func ExampleNewKeyExchanger() {
	k, err := signer.NewKeyExchanger(newDeviceKey(), nil)
	if err != nil {
		log.Fatal(err)
	}
	private, err := hpke.NewDHKEMPrivateKey(k)
	if err != nil {
		log.Fatal(err)
	}
	sealed, err := hpke.Seal(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES128GCM(), nil, []byte("for the holder of the card"))
	if err != nil {
		log.Fatal(err)
	}
	opened, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES128GCM(), nil, sealed)
	fmt.Printf("%s, %v\n", opened, err)
	// Output: for the holder of the card, <nil>
}

// exampleCertificate returns a certificate of a key.
func exampleCertificate(key signer.Key) *x509.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "card"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	s := signer.New(key, nil)
	der, err := x509.CreateCertificate(nil, template, template, s.Public(), s)
	if err != nil {
		log.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return cert
}

// The certificates that lie about are put in order.
func ExampleCertificate() {
	key := newDeviceKey()
	leaf := exampleCertificate(key)
	var found []*x509.Certificate // on the token, or in a file
	cert, err := signer.Certificate(key, leaf, found, nil)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	fmt.Println(len(config.Certificates[0].Certificate), "certificate")
	// Output: 1 certificate
}

// A server whose certificate is renewed on the token needs no restart.
func ExampleNewTLS() {
	source := func(ctx context.Context) (tls.Certificate, error) {
		key := newDeviceKey() // looks for the token and its key
		return signer.Certificate(key, exampleCertificate(key), nil, &signer.Options{Timeout: 10 * time.Second})
	}
	t := signer.NewTLS(source, &signer.TLSOptions{Refresh: 10 * time.Minute})
	config := &tls.Config{GetCertificate: t.GetCertificate}

	cert, err := config.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cert.Leaf.Subject)
	// Output: CN=card
}

func ExampleParseSign() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	p, err := signer.ParseSign(&key.PublicKey, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	fmt.Println(p.Scheme, p.Hash, p.SaltLength, err)
	// Output: RSA-PSS SHA-256 32 <nil>
}
