package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// handshake is the same for every key: a TLS 1.3 server on a loopback socket
// demands the given certificate, and a client proves that it has the key.
func handshake(ctx context.Context, cert tls.Certificate, out io.Writer) error {
	fmt.Fprintf(out, "certificate %s, issued by %s, valid until %s\n", cert.Leaf.Subject, cert.Leaf.Issuer, cert.Leaf.NotAfter.Format(time.DateOnly))
	server, roots, err := serverConfig(cert.Leaf)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Fprintf(out, "server     %v asks for that certificate\n", listener.Addr())
	greeted := make(chan error, 1)
	go func() { greeted <- greet(listener, server) }()

	// This is all that a program needs to use the key.
	dialer := &tls.Dialer{Config: &tls.Config{
		Certificates: []tls.Certificate{cert},
		RootCAs:      roots,
		ServerName:   "localhost",
		MinVersion:   tls.VersionTLS13,
	}}
	conn, err := dialer.DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		listener.Close()
		return errors.Join(fmt.Errorf("TLS client: %w", err), <-greeted)
	}
	greeting, err := io.ReadAll(io.LimitReader(conn, 1<<10))
	conn.Close()
	if e := <-greeted; e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("TLS client: %w", err)
	}
	state := conn.(*tls.Conn).ConnectionState()
	fmt.Fprintf(out, "handshake  %s, %s: the card signed it\n", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	fmt.Fprintf(out, "server     says %q\n", greeting)
	return nil
}

// greet accepts one connection and greets the client by the name in its
// certificate, which the handshake has proven to be its own.
func greet(listener net.Listener, config *tls.Config) error {
	c, err := listener.Accept()
	if err != nil {
		return fmt.Errorf("TLS server: %w", err)
	}
	conn := tls.Server(c, config)
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS server: %w", err)
	}
	name := conn.ConnectionState().PeerCertificates[0].Subject
	if _, err := fmt.Fprintf(conn, "hello, %s", name); err != nil {
		return fmt.Errorf("TLS server: %w", err)
	}
	return nil
}

// serverConfig returns a server that accepts one client certificate, and the roots
// by which the client knows the server.
func serverConfig(client *x509.Certificate) (*tls.Config, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS13,
		ClientAuth:   tls.RequireAnyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, client.Raw) {
				return errors.New("the client showed another certificate")
			}
			return nil
		},
	}, roots, nil
}
