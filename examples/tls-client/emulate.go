package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

// emulate makes a card in software and a server that lets in only its holder, whose URL
// and authority it sets.
func emulate(ctx context.Context, config *tls.Config, url *string) (signer.Source, func(), error) {
	client, err := place.NewCard(ctx)
	if err != nil {
		return nil, nil, err
	}
	ca, err := piv.NewAuthority("TLS demonstration CA")
	if err != nil {
		return nil, nil, err
	}
	if _, err := ca.Issue(ctx, client, piv.SlotAuthentication, piv.AlgorithmP256, nil); err != nil {
		return nil, nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	cert, err := ca.Sign(&x509.Certificate{DNSNames: []string{"localhost"}}, private.Public())
	if err != nil {
		return nil, nil, err
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s.\n", r.TLS.PeerCertificates[0].Subject)
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: private}},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca.Pool(),
	}
	server.StartTLS()
	config.RootCAs, config.ServerName, *url = ca.Pool(), "localhost", server.URL
	source := func(ctx context.Context) (tls.Certificate, error) {
		return client.TLSCertificate(ctx, piv.SlotAuthentication)
	}
	return source, func() { server.Close(); client.Close() }, nil
}
