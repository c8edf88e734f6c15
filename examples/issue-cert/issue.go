package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

// newCA writes a certificate of the authority's own key.
func newCA(w io.Writer, s crypto.Signer, subject string, days int) error {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: subject},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().AddDate(0, 0, days),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.Public(), s)
	if err != nil {
		return err
	}
	return pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// newRequest writes a certificate signing request.
func newRequest(w io.Writer, s crypto.Signer, subject string) error {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: subject}, DNSNames: []string{subject}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, s)
	if err != nil {
		return err
	}
	return pem.Encode(w, &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// sign writes a certificate for a request, of whose extensions only the names count.
func sign(w io.Writer, s crypto.Signer, ca *x509.Certificate, path string, days int) error {
	block, err := readPEM(path, "CERTIFICATE REQUEST")
	if err != nil {
		return err
	}
	request, err := x509.ParseCertificateRequest(block)
	if err != nil {
		return err
	}
	if err := request.CheckSignature(); err != nil {
		return fmt.Errorf("%s: whoever made it does not have the key: %w", path, err)
	}
	template := &x509.Certificate{
		Subject:     request.Subject,
		DNSNames:    request.DNSNames,
		IPAddresses: request.IPAddresses,
		NotBefore:   time.Now().Add(-time.Minute),
		NotAfter:    time.Now().AddDate(0, 0, days),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, request.PublicKey, s)
	if err != nil {
		return err
	}
	return pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// revoke writes the list of all certificates that are revoked; what is not named is not
// in it, so name those of before too.
func revoke(w io.Writer, s crypto.Signer, ca *x509.Certificate, paths []string, days int) error {
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(now.Unix()), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.AddDate(0, 0, days)}
	for _, path := range paths {
		cert, err := readCertificate(path)
		if err != nil {
			return err
		}
		if err := cert.CheckSignatureFrom(ca); err != nil {
			return fmt.Errorf("%s is not by this authority: %w", path, err)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca, s)
	if err != nil {
		return err
	}
	return pem.Encode(w, &pem.Block{Type: "X509 CRL", Bytes: der})
}

func readPEM(path, kind string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no %s in PEM", path, kind)
	}
	return block.Bytes, nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	der, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// emulate does all four with a card in software.
func emulate(ctx context.Context, dir string, days int, out io.Writer) error {
	client, err := place.NewCard(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	var keys []crypto.Signer
	for _, slot := range []piv.Slot{piv.SlotSignature, piv.SlotAuthentication} {
		if _, err := client.GenerateKey(ctx, slot, piv.AlgorithmP256, nil); err != nil {
			return err
		}
		key, err := client.Key(ctx, slot)
		if err != nil {
			return err
		}
		keys = append(keys, signer.New(key, &signer.Options{Context: ctx}))
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, f func(io.Writer) error) error {
		w, err := os.OpenFile(file(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		return errors.Join(f(w), w.Close())
	}
	if err := write("ca.pem", func(w io.Writer) error { return newCA(w, keys[0], "Issue-cert CA", days) }); err != nil {
		return err
	}
	ca, err := readCertificate(file("ca.pem"))
	if err != nil {
		return err
	}
	if err := write("csr.pem", func(w io.Writer) error { return newRequest(w, keys[1], "localhost") }); err != nil {
		return err
	}
	if err := write("cert.pem", func(w io.Writer) error { return sign(w, keys[0], ca, file("csr.pem"), days) }); err != nil {
		return err
	}
	if err := write("crl.pem", func(w io.Writer) error { return revoke(w, keys[0], ca, []string{file("cert.pem")}, days) }); err != nil {
		return err
	}
	fmt.Fprintf(out, "ca.pem, csr.pem, cert.pem and crl.pem are in %s. To verify:\n\n", dir)
	fmt.Fprintf(out, "openssl verify -CAfile %s %s\n", file("ca.pem"), file("cert.pem"))
	fmt.Fprintf(out, "openssl crl -in %s -CAfile %s -noout -text\n", file("crl.pem"), file("ca.pem"))
	return nil
}
