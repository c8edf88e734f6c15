package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// newCard makes a PIV card in software with a key and a certificate.
func newCard(ctx context.Context) (*card.Card, error) {
	managementKey := make([]byte, 24)
	rand.Read(managementKey)
	c := card.New(nil, piv.NewApplication(&piv.ApplicationOptions{ManagementKey: managementKey}))
	client, err := piv.Open(ctx, iso7816.NewChannel(c, nil), nil)
	if err != nil {
		return nil, err
	}
	if err := client.AuthenticateManagementKey(ctx, piv.AlgorithmAES192, managementKey); err != nil {
		return nil, err
	}
	public, err := client.GenerateKey(ctx, piv.SlotAuthentication, piv.AlgorithmP256, nil)
	if err != nil {
		return nil, err
	}
	cert, err := issue(public)
	if err != nil {
		return nil, err
	}
	if err := client.PutCertificate(ctx, piv.SlotAuthentication, cert); err != nil {
		return nil, err
	}
	c.Reset()
	return c, nil
}

// issue returns a certificate for a key, signed by an authority that is forgotten at once.
func issue(public any) (*x509.Certificate, error) {
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "Card in software"},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	authority := &x509.Certificate{Subject: pkix.Name{CommonName: "Card-info CA"}}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, public, ca)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
