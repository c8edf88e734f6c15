// Quickstart authenticates a TLS 1.3 client with a private key that never leaves
// its card, and says what happens.
//
//	go run ./examples/quickstart                  a PIV card in software: needs nothing
//	go run ./examples/quickstart -trace           … and shows every command to the card
//	go run ./examples/quickstart -reader NAME     a PIV card or YubiKey in a PC/SC reader
//	go run ./examples/quickstart -module PATH -token LABEL -key LABEL
//	                                              a key behind a PKCS#11 module
//
// The card in software gets a key and a certificate first. In a real card or token
// nothing is written and nothing generated: the key and certificate that are there
// are used. The PIN is asked for at the terminal, or read from -pin-file.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "quickstart:", err)
		}
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	reader, slot       string
	module, token, key string
	pinFile            string
	trace              bool
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.StringVar(&o.reader, "reader", "", "use the PIV card in the reader with this `name`, or the only one whose name contains it")
	flags.StringVar(&o.slot, "slot", "9A", "with -reader: the `slot` of the key")
	flags.StringVar(&o.module, "module", "", "use the PKCS#11 module at this `path`")
	flags.StringVar(&o.token, "token", "", "with -module: the token's `label`")
	flags.StringVar(&o.key, "key", "", "with -module: the key's `label`")
	flags.StringVar(&o.pinFile, "pin-file", "", "read the PIN from the first line of this `file` instead of asking")
	flags.BoolVar(&o.trace, "trace", false, "show every command to the card and its answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var cert tls.Certificate
	var done func()
	var err error
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	case o.reader != "" && o.module != "":
		return errors.New("-reader and -module exclude each other")
	case o.module != "":
		if o.token == "" || o.key == "" {
			return errors.New("-module needs -token and -key, their labels; pkcs11-tool --module PATH -L lists tokens")
		}
		if o.trace {
			return errors.New("-trace shows commands to a card; behind a PKCS#11 module there are none to see")
		}
		cert, done, err = fromModule(ctx, &o, out)
	case o.reader != "":
		cert, done, err = fromReader(ctx, &o, out)
	default:
		cert, done, err = fromSoftware(ctx, &o, out)
	}
	if err != nil {
		return err
	}
	defer done()
	return handshake(ctx, cert, out)
}
