//go:build cgo

package system_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"

	"golang.org/x/crypto/ssh"

	"github.com/cardoki/cardoki/signer"
)

// callerRows are what others do with keys that they know by an interface of the standard library.
func callerRows() []signerRow {
	const section = "Used by crypto/x509, x/crypto/ssh and crypto/hpke"
	var rows []signerRow
	for _, key := range []string{"RSA 2048", "RSA 3072", "RSA 4096", "P-256", "P-384", "P-521", "Ed25519"} {
		rows = append(rows, signerRow{section: section, key: key, name: "certificate request", openssl: true, try: func(x *signerTrial) error { return x.requests(0) }})
	}
	rows = append(rows, signerRow{section: section, key: "RSA 2048", name: "certificate request, RSA-PSS", openssl: true, try: func(x *signerTrial) error { return x.requests(x509.SHA256WithRSAPSS) }})
	for _, k := range [][2]string{
		{"RSA 2048", ssh.KeyAlgoRSA}, {"RSA 2048", ssh.KeyAlgoRSASHA256}, {"RSA 2048", ssh.KeyAlgoRSASHA512},
		{"P-256", ssh.KeyAlgoECDSA256}, {"P-384", ssh.KeyAlgoECDSA384}, {"P-521", ssh.KeyAlgoECDSA521}, {"Ed25519", ssh.KeyAlgoED25519},
	} {
		rows = append(rows, signerRow{section: section, key: k[0], name: "SSH, " + k[1], try: func(x *signerTrial) error { return x.sshSigns(k[1]) }})
	}
	for _, key := range []string{"P-256", "P-384", "P-521", "X25519"} {
		rows = append(rows, signerRow{section: section, key: key, name: "HPKE", try: func(x *signerTrial) error {
			k, err := x.exchanger(nil)
			if err != nil {
				return err
			}
			private, err := hpke.NewDHKEMPrivateKey(k)
			return x.opens(private, err)
		}})
	}
	for _, key := range []string{"ML-KEM-768", "ML-KEM-1024"} {
		rows = append(rows, signerRow{section: section, key: key, name: "HPKE", try: func(x *signerTrial) error {
			k, err := x.decapsulator()
			if err != nil {
				return err
			}
			private, err := hpke.NewMLKEMPrivateKey(k)
			return x.opens(private, err)
		}})
	}
	return rows
}

// requests makes a certificate request, which openssl verifies.
func (x *signerTrial) requests(algorithm x509.SignatureAlgorithm) error {
	key, err := x.signerKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "key"}, SignatureAlgorithm: algorithm}, signer.New(key, nil))
	if err != nil {
		return err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return wrong("%v", err)
	}
	if err := request.CheckSignature(); err != nil {
		return wrong("%v", err)
	}
	if algorithm != 0 && request.SignatureAlgorithm != algorithm {
		return wrong("a signature of %v", request.SignatureAlgorithm)
	}
	check := func(der []byte) error {
		_, err := x.openssl(map[string][]byte{"request": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})}, "req", "-verify", "-noout", "-in", "request")
		return err
	}
	if err := check(der); err != nil {
		return wrong("openssl: %v", err)
	}
	if i := bytes.Index(der, []byte("key")); i < 0 || check(append(append(append([]byte(nil), der[:i]...), "foe"...), der[i+3:]...)) == nil {
		return wrong("openssl verifies everything")
	}
	return nil
}

// sshSigns signs as a client or a host of SSH does.
func (x *signerTrial) sshSigns(algorithm string) error {
	key, err := x.signerKey()
	if err != nil {
		return err
	}
	s, err := ssh.NewSignerFromSigner(signer.New(key, nil))
	if err != nil {
		return err
	}
	sig, err := s.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, testMessage, algorithm)
	if err != nil {
		return err
	}
	other, err := ssh.NewPublicKey(otherKey(key.Public()))
	if err != nil {
		x.t.Fatal(err)
	}
	if sig.Format != algorithm || s.PublicKey().Verify(testMessage, sig) != nil || s.PublicKey().Verify(sessionKey, sig) == nil || other.Verify(testMessage, sig) == nil {
		return wrong("a signature of %s that does not verify, or one that always does", sig.Format)
	}
	return nil
}

// opens opens what was sealed for the public key.
func (x *signerTrial) opens(private hpke.PrivateKey, err error) error {
	if err != nil {
		return err
	}
	sealed, err := hpke.Seal(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), sessionKey)
	if err != nil {
		x.t.Fatal(err)
	}
	got, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), sealed)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, sessionKey) {
		return wrong("another plaintext")
	}
	return nil
}

// An impostor says that it has another public key than its own.
type impostor struct {
	signer.Key
	public crypto.PublicKey
}

func (k impostor) Public() crypto.PublicKey { return k.public }

type impostorAgreeing struct{ impostor }

func (k impostorAgreeing) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	return k.Key.(signer.Agreeing).ECDH(ctx, peer)
}

type impostorKEM struct {
	signer.Decapsulating
	public crypto.PublicKey
}

func (k impostorKEM) Public() crypto.PublicKey { return k.public }

// checkRows prove that a key is the one of its public key, and that another is found out.
func checkRows() []signerRow {
	const section = "The key of the public key"
	var rows []signerRow
	for _, key := range []string{"RSA 2048", "RSA 3072", "RSA 4096", "P-224", "P-256", "P-384", "P-521", "Ed25519", "X25519", "ML-KEM-768", "ML-KEM-1024"} {
		rows = append(rows, signerRow{section: section, key: key, name: "signer.Check proves it, and finds out another", try: (*signerTrial).isChecked})
	}
	for _, key := range []string{"RSA 2048", "P-224", "P-256", "P-384", "P-521", "Ed25519"} {
		rows = append(rows, signerRow{section: section, key: key, name: "a signature of another key is withheld", try: (*signerTrial).isWithheld})
	}
	return rows
}

func (x *signerTrial) isChecked() error {
	key, err := x.get(x.ctx, x.row.key)
	if err != nil {
		return err
	}
	if err := signer.Check(x.ctx, key); err != nil {
		return err
	}
	var other signerDevice
	switch key.Public().(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		other = impostor{key.(signer.Key), otherKey(key.Public())}
	case *ecdh.PublicKey:
		other = impostorAgreeing{impostor{key.(signer.Key), otherKey(key.Public())}}
	default:
		other = impostorKEM{key.(signer.Decapsulating), otherKey(key.Public())}
	}
	if err := signer.Check(x.ctx, other); !errors.Is(err, signer.ErrKeyMismatch) {
		return wrong("of another key it says %v", err)
	}
	return nil
}

func (x *signerTrial) isWithheld() error {
	key, err := x.signerKey()
	if err != nil {
		return err
	}
	if err := x.signsWith(signer.New(key, nil), signDigest, x.defaultHash(), testMessage); err != nil {
		return err
	}
	sig, err := signer.New(impostor{key, otherKey(key.Public())}, nil).Sign(rand.Reader, x.defaultInput(), x.defaultHash())
	if sig != nil || !errors.Is(err, signer.ErrBadSignature) {
		return wrong("a signature of %d bytes, error %v", len(sig), err)
	}
	return nil
}

// defaultHash is what the row's key is asked to sign with where that does not matter.
func (x *signerTrial) defaultHash() crypto.Hash {
	if x.row.key == "Ed25519" {
		return 0
	}
	return crypto.SHA256
}

func (x *signerTrial) defaultInput() []byte {
	if x.row.key == "Ed25519" {
		return testMessage
	}
	return digest256(testMessage)
}
