// Issue-cert is a small certificate authority whose key never leaves a card or token. Its
// four commands print PEM:
//
//	go run ./examples/issue-cert -subject "My CA" ca > ca.pem          its own certificate
//	go run ./examples/issue-cert -slot 9A -subject HOST csr > csr.pem  a request for a key on a card
//	go run ./examples/issue-cert -ca ca.pem sign csr.pem > cert.pem    a certificate for a request
//	go run ./examples/issue-cert -ca ca.pem crl cert.pem ... > crl.pem the list of those that are revoked
//
// The key is that in slot 9C of the only PIV card in a reader, or behind -module PATH
// -token LABEL -key LABEL. With -emulate DIR all four are done with a card in software,
// into an empty folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/signer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "issue-cert:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("issue-cert", flag.ContinueOnError)
	subject := flags.String("subject", "", "the common `name` in the certificate or request")
	caFile := flags.String("ca", "", "the authority's certificate, a PEM `file`")
	days := flags.Int("days", 90, "how many `days` a certificate or list is valid")
	dir := flags.String("emulate", "", "do it all with a card in software, into this `folder`")
	var where place.Flags
	where.Add(flags, "9C")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir != "" {
		return emulate(ctx, *dir, *days, out)
	}
	command, files := flags.Arg(0), flags.Args()[min(1, flags.NArg()):]
	switch {
	case (command == "ca" || command == "csr") && *subject != "" && len(files) == 0:
	case command == "sign" && *caFile != "" && len(files) == 1:
	case command == "crl" && *caFile != "":
	default:
		return errors.New("name a command, ca or csr with -subject, or sign or crl with -ca; see -help")
	}
	key, done, err := where.Key(ctx)
	if err != nil {
		return err
	}
	defer done()
	s := signer.New(key, &signer.Options{Context: ctx})
	switch command {
	case "ca":
		return newCA(out, s, *subject, *days)
	case "csr":
		return newRequest(out, s, *subject)
	}
	ca, err := readCertificate(*caFile)
	if err != nil {
		return err
	}
	if command == "sign" {
		return sign(out, s, ca, files[0], *days)
	}
	return revoke(out, s, ca, files, *days)
}
