// Explain-apdu says in plain words what a program and a card said to each other.
//
//	go run ./examples/explain-apdu 00A404000BA000000308000010000100 6A82
//	                                        a command and its answer, in hexadecimal
//	go run ./examples/explain-apdu < LOG    a transcript of package apdutest, lines of
//	                                        hexadecimal, or what OpenSC (OPENSC_DEBUG=9),
//	                                        pcscd (--debug --apdu) or GlobalPlatformPro
//	                                        (gp -d) wrote; other lines are passed over
//
// What may be secret is told by its length. With -insecure-log-secrets every byte is
// shown, PINs, keys and plaintexts too, and data objects as trees.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "explain-apdu:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("explain-apdu", flag.ContinueOnError)
	insecure := flags.Bool("insecure-log-secrets", false, "show every byte, PINs and keys too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p := &printer{out: out, insecure: *insecure}
	if flags.NArg() > 0 {
		if err := readArguments(flags.Args(), p); err != nil {
			return err
		}
	} else if err := readLog(in, p); err != nil {
		return err
	}
	return p.finish()
}

// readArguments reads commands and their answers, one an argument. Bytes that were
// typed with spaces between them, without quotes, are one command.
func readArguments(args []string, p *printer) error {
	if len(args[0]) < 8 || strings.Contains(strings.Join(args, " "), arrow) {
		args = []string{strings.Join(args, " ")}
	}
	for _, a := range args {
		if (&transcript{}).line(a, p) {
			continue
		}
		if err := hexLine(a, p); err != nil {
			return err
		}
	}
	return nil
}
