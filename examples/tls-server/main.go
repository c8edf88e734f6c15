// Tls-server is an HTTPS server whose private key never leaves a card or token. With
// -clients it lets in only those with a certificate (mutual TLS).
//
//	go run ./examples/tls-server -emulate -root root.pem       a card in software: needs no hardware
//	curl --cacert root.pem https://localhost:8443/             asks it
//	go run ./examples/tls-server                               the only PIV card in a reader, slot 9A
//	go run ./examples/tls-server -module PATH -token LABEL -key LABEL
//
// It goes on when the card was taken out and put back, and uses a new certificate
// within an hour.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/signer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "tls-server:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("tls-server", flag.ContinueOnError)
	listen := flags.String("listen", "localhost:8443", "listen at this `address`")
	clients := flags.String("clients", "", "let in only clients with a certificate by an authority in this PEM `file`")
	emulated := flags.Bool("emulate", false, "a card in software, with a new key")
	root := flags.String("root", "", "with -emulate: write the authority that issued the certificate to this PEM `file`")
	var key place.Flags
	key.Add(flags, "9A")
	if err := flags.Parse(args); err != nil {
		return err
	}
	open := key.Source
	if *emulated {
		open = func() (signer.Source, func(), error) { return emulate(ctx, *root) }
	}
	source, done, err := open()
	if err != nil {
		return err
	}
	defer done()
	certificate := signer.NewTLS(source, nil)
	cert, err := certificate.Certificate(ctx) // a server without a key would say so too late
	if err != nil {
		return err
	}
	config := &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: tls.VersionTLS12}
	if *clients != "" {
		b, err := os.ReadFile(*clients)
		if err != nil {
			return err
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(b) {
			return fmt.Errorf("%s holds no certificate in PEM", *clients)
		}
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The key of %q is on the token. Listening: https://%v/\n", cert.Leaf.Subject, l.Addr())
	server := &http.Server{Handler: http.HandlerFunc(greet), TLSConfig: config, ReadHeaderTimeout: 30 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func greet(w http.ResponseWriter, r *http.Request) {
	who := "stranger"
	if certs := r.TLS.PeerCertificates; len(certs) > 0 {
		who = certs[0].Subject.String()
	}
	fmt.Fprintf(w, "Hello, %s, by %s.\n", who, tls.VersionName(r.TLS.Version))
}
