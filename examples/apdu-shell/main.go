// Apdu-shell sends commands to a card, as they are typed in hexadecimal, and says in
// plain words what each of them and its answer mean.
//
//	go run ./examples/apdu-shell                the only card in a reader
//	go run ./examples/apdu-shell -reader NAME   the card in that reader
//	go run ./examples/apdu-shell -emulate       a PIV card in software: needs no hardware
//	go run ./examples/apdu-shell < COMMANDS     a line at a time, until one goes wrong
//
// Type help for what can be typed. What may be secret, and what a card answers, is told
// by its length; with -insecure-log-secrets every byte is shown. A transcript (-transcript)
// holds every byte always, PINs too, and is what package apdutest replays.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/iso7816"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "apdu-shell:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, in *os.File, out io.Writer) (err error) {
	flags := flag.NewFlagSet("apdu-shell", flag.ContinueOnError)
	reader := flags.String("reader", "", "the reader with this `name`, or the only one whose name contains it")
	emulate := flags.Bool("emulate", false, "a PIV card in software, new from the factory")
	transcript := flags.String("transcript", "", "write what is exchanged to this new `file`, with every secret")
	raw := flags.Bool("raw", false, "send exactly what is typed: no chaining, nothing done about 61XX and 6CXX")
	insecure := flags.Bool("insecure-log-secrets", false, "show every byte, PINs and keys too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; commands come from the terminal or a pipe; see -help", flags.Arg(0))
	case *emulate && *reader != "":
		return errors.New("-reader and -emulate exclude each other")
	}
	s := &shell{out: out}
	t, closeCard, err := s.open(*reader, *emulate)
	if err != nil {
		return err
	}
	defer closeCard()
	if *transcript != "" {
		// A file that is there already is not overwritten, nor given secrets to read.
		f, failed := os.OpenFile(*transcript, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if failed != nil {
			return failed
		}
		s.recorder = apdutest.Record(t, f)
		t = s.recorder
		defer func() { err = errors.Join(err, s.recorder.Err(), f.Close()) }()
	}
	s.card = newWitness(t, out, *insecure)
	if !*raw {
		s.channel = iso7816.NewChannel(s.card, nil)
	}
	lines, err := newLines(in, out)
	if err != nil {
		return err
	}
	return s.run(lines)
}
