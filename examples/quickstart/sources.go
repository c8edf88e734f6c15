package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
)

// fromSoftware makes a PIV card in software, generates a key in it and writes a
// certificate for that key.
func fromSoftware(ctx context.Context, o *options, out io.Writer) (tls.Certificate, func(), error) {
	pin := []byte(fmt.Sprintf("%08d", random(100_000_000)))
	managementKey := make([]byte, 24)
	rand.Read(managementKey)
	fmt.Fprintln(out, "card       a PIV card in software, new from the factory, with a random PIN")
	c := card.New(nil, piv.NewApplication(&piv.ApplicationOptions{PIN: pin, ManagementKey: managementKey}))
	client, err := openPIV(ctx, c, o, out, func(context.Context, piv.PINRequest) ([]byte, error) { return bytes.Clone(pin), nil })
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	if err := client.AuthenticateManagementKey(ctx, piv.AlgorithmAES192, managementKey); err != nil {
		return tls.Certificate{}, nil, err
	}
	public, err := client.GenerateKey(ctx, piv.SlotAuthentication, piv.AlgorithmP256, nil)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	fmt.Fprintf(out, "key        %v generated in slot %v; the private half never leaves the card\n", piv.AlgorithmP256, piv.SlotAuthentication)
	leaf, err := issue(public)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	if err := client.PutCertificate(ctx, piv.SlotAuthentication, leaf); err != nil {
		return tls.Certificate{}, nil, err
	}
	cert, err := client.TLSCertificate(ctx, piv.SlotAuthentication)
	return cert, func() {}, err
}

// fromReader uses the PIV card in a reader, as it is.
func fromReader(ctx context.Context, o *options, out io.Writer) (tls.Certificate, func(), error) {
	var slot piv.Slot
	if _, err := fmt.Sscanf(o.slot, "%x", &slot); err != nil || !slot.Valid() {
		return tls.Certificate{}, nil, fmt.Errorf("%q is not a slot of a PIV card; they are 9A, 9C, 9D, 9E and 82 to 95", o.slot)
	}
	conn, err := pcsc.Open(ctx, o.reader, nil)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	done := func() { conn.Close() }
	fmt.Fprintf(out, "reader     %s\n", conn.Reader())
	client, err := openPIV(ctx, conn, o, out, askPIV(o.pinFile))
	if err != nil {
		done()
		return tls.Certificate{}, nil, err
	}
	cert, err := client.TLSCertificate(ctx, slot)
	if err != nil {
		done()
		return tls.Certificate{}, nil, fmt.Errorf("%w\nthe key and certificate must be in slot %v already; nothing is written to a real card", err, slot)
	}
	fmt.Fprintf(out, "key        %s in slot %v; it stays in the card\n", describe(cert.Leaf), slot)
	return cert, done, nil
}

// fromModule uses a key behind a PKCS#11 module, as it is.
func fromModule(ctx context.Context, o *options, out io.Writer) (tls.Certificate, func(), error) {
	module, err := cryptoki.Open(o.module, nil)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	done := func() { module.Close() }
	slot, err := module.FindToken(o.token)
	if err != nil {
		done()
		return tls.Certificate{}, nil, err
	}
	token, err := slot.Token()
	if err != nil {
		done()
		return tls.Certificate{}, nil, err
	}
	fmt.Fprintf(out, "token      %s, %s %s, serial %s\n", token.Label, token.Manufacturer, token.Model, token.Serial)
	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: askToken(o.pinFile)})
	done = func() { pool.Close(); module.Close() }
	cert, err := pool.TLSCertificate(ctx, cryptoki.KeyQuery{Label: o.key})
	if err != nil {
		done()
		return tls.Certificate{}, nil, fmt.Errorf("%w\nthe key and its certificate must be on the token already; nothing is written to it", err)
	}
	fmt.Fprintf(out, "key        %s labelled %q; it stays in the token\n", describe(cert.Leaf), o.key)
	return cert, done, nil
}

// openPIV opens the PIV application on a card, wherever it is.
func openPIV(ctx context.Context, t apdu.Transmitter, o *options, out io.Writer, pin func(context.Context, piv.PINRequest) ([]byte, error)) (*piv.Client, error) {
	if o.trace {
		t = piv.Vocabulary().Trace(t, func(line string) { fmt.Fprintln(out, "          ", line) })
	}
	ch := iso7816.NewChannel(t, nil)
	client, err := piv.Open(ctx, ch, &piv.Options{PIN: pin})
	if err != nil {
		return nil, err
	}
	serial, err := client.Serial(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "card       ATR % X\ncard       serial number %s\n", ch.ATR(), serial)
	return client, nil
}

// issue returns a certificate for a key, signed by a certificate authority that is
// forgotten at once.
func issue(public any) (*x509.Certificate, error) {
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	authority := &x509.Certificate{Subject: pkix.Name{CommonName: "Quickstart CA"}}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(random(1 << 62)),
		Subject:      pkix.Name{CommonName: "Quickstart card holder"},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, public, ca)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func random(below int64) int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(below))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n.Int64()
}

// describe names the kind of key in a certificate.
func describe(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return key.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	}
	return cert.PublicKeyAlgorithm.String()
}
