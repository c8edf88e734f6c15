// Tls-client gets a page by HTTPS from a server that demands a certificate (mutual TLS);
// the key of that certificate never leaves a card or token.
//
//	go run ./examples/tls-client https://HOST/                  the only PIV card in a reader, slot 9A
//	go run ./examples/tls-client -module PATH -token LABEL -key LABEL https://HOST/
//	go run ./examples/tls-client -emulate                       a card in software, and a server that wants it
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/signer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "tls-client:", err)
		}
		os.Exit(1)
	}
}

// maxPage is the longest page that is shown, in bytes.
const maxPage = 1 << 20

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("tls-client", flag.ContinueOnError)
	servers := flags.String("servers", "", "trust servers with a certificate by an authority in this PEM `file`, instead of the system's")
	emulated := flags.Bool("emulate", false, "a card in software, and a server that wants it")
	var key place.Flags
	key.Add(flags, "9A")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	url := flags.Arg(0)
	open := key.Source
	if *emulated {
		open = func() (signer.Source, func(), error) { return emulate(ctx, config, &url) }
	} else if flags.NArg() != 1 {
		return errors.New("name one URL; see -help")
	}
	source, done, err := open()
	if err != nil {
		return err
	}
	defer done()
	certificate := signer.NewTLS(source, nil)
	cert, err := certificate.Certificate(ctx)
	if err != nil {
		return err
	}
	config.GetClientCertificate = certificate.GetClientCertificate
	if *servers != "" {
		b, err := os.ReadFile(*servers)
		if err != nil {
			return err
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(b) {
			return fmt.Errorf("%s holds no certificate in PEM", *servers)
		}
	}
	fmt.Fprintf(out, "The key of %q is on the token.\n", cert.Leaf.Subject)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, TLSHandshakeTimeout: time.Minute}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Fprintf(out, "%s by %s from %q\n\n", response.Status, tls.VersionName(response.TLS.Version), response.TLS.PeerCertificates[0].Subject)
	_, err = io.Copy(out, io.LimitReader(response.Body, maxPage))
	return err
}
