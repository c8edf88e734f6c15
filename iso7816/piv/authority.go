package piv

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// An Authority is a certificate authority for tests and demonstrations: its key is in
// memory and dies with the program. It is safe for concurrent use.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority makes an authority of the given name, which is valid for ten years.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("piv: authority: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &Authority{key: key}
	a.certificate, err = a.sign(template, template, key.Public())
	return a, err
}

// Certificate returns the authority's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Pool returns a pool with the authority's certificate alone, for tls.Config.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.certificate)
	return p
}

// Sign issues a certificate of a public key. template says what is in it; where it has
// no serial number or time of validity, a random one and a year are taken.
func (a *Authority) Sign(template *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	return a.sign(template, a.certificate, public)
}

func (a *Authority) sign(template, parent *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	t := *template
	if t.SerialNumber == nil {
		number := make([]byte, 16)
		rand.Read(number)
		number[0] = number[0]&0x7F | 0x40
		t.SerialNumber = new(big.Int).SetBytes(number)
	}
	if t.NotAfter.IsZero() {
		t.NotBefore, t.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, parent, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("piv: issue a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Issue generates a key in a slot of the card and writes a certificate of it there, in
// place of what the slot has. template says what is in the certificate, see
// [Authority.Sign]; nil means one of a TLS client and server whose name is that of the
// slot. The management key must have been authenticated.
func (a *Authority) Issue(ctx context.Context, c *Client, slot Slot, algorithm Algorithm, template *x509.Certificate) (*x509.Certificate, error) {
	if algorithm == AlgorithmX25519 {
		return nil, fmt.Errorf("piv: issue: a certificate of an X25519 key: %w", errors.ErrUnsupported)
	}
	public, err := c.GenerateKey(ctx, slot, algorithm, nil)
	if err != nil {
		return nil, err
	}
	if template == nil {
		template = &x509.Certificate{
			Subject:     pkix.Name{CommonName: "card holder " + slot.String()},
			KeyUsage:    usage(slot, public),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
			DNSNames:    []string{"localhost"},
		}
	}
	cert, err := a.Sign(template, public)
	if err != nil {
		return nil, err
	}
	return cert, c.PutCertificate(ctx, slot, cert)
}

// usage returns what a key in a slot is for.
func usage(slot Slot, public crypto.PublicKey) x509.KeyUsage {
	if slot == SlotKeyManagement || slot >= SlotRetired1 && slot <= SlotRetired20 {
		if _, ok := public.(*rsa.PublicKey); ok {
			return x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature
		}
		return x509.KeyUsageKeyAgreement | x509.KeyUsageDigitalSignature
	}
	return x509.KeyUsageDigitalSignature
}
