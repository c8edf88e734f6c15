// Selftest tries a PIV card, or a token behind a PKCS#11 module, and prints a report in
// Markdown: what is there, and what each key and mechanism can do, checked with Go's
// standard library. The report can be given away: it holds no PIN, and without -v no
// serial number, label or name.
//
//	go run ./examples/selftest                               the only PIV card in a reader
//	go run ./examples/selftest -pin                          and its keys that want the PIN
//	go run ./examples/selftest -module PATH -token LABEL [-pin]
//	go run ./examples/selftest -emulate                      a card in software: needs no hardware
//
// It writes nothing, and asks for no PIN without -pin; then once, and never for the last
// try. With -destructive it also makes keys of each kind and deletes them again: on a PIV
// card in slot 95, where nothing may be, with the management key, which it asks for.
package main

import (
	"context"
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
			fmt.Fprintln(os.Stderr, "selftest:", err)
		}
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	serial        string
	module, token string
	emulate       bool
	pin           bool
	destructive   bool
	times         bool
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("selftest", flag.ContinueOnError)
	flags.StringVar(&o.serial, "serial", "", "the PIV card with this serial `number`")
	flags.StringVar(&o.module, "module", "", "the PKCS#11 module at this `path`, instead of a PIV card")
	flags.StringVar(&o.token, "token", "", "with -module: the token's `label`")
	flags.BoolVar(&o.emulate, "emulate", false, "a PIV card in software, with new keys")
	flags.BoolVar(&o.pin, "pin", false, "ask for the PIN, once, and try the keys that want it")
	flags.BoolVar(&o.destructive, "destructive", false, "make keys of each kind, and delete them again")
	flags.BoolVar(&o.times, "times", true, "tell how long each takes")
	verbose := flags.Bool("v", false, "show serial numbers, labels and names: not to be given away")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	case o.module != "" && (o.emulate || o.serial != ""):
		return errors.New("-module excludes -emulate and -serial")
	case o.module != "" && o.token == "":
		return errors.New("-module needs -token, its label; examples/token-info lists tokens")
	}
	r := &report{out: out, verbose: *verbose, times: o.times}
	if o.module != "" {
		return testToken(ctx, &o, r)
	}
	return testCard(ctx, &o, r)
}
