// Envelope encrypts with keys that are encrypted themselves, by a master key that never
// leaves its PKCS#11 token, as databases with transparent encryption do. The token is asked once for
// a data key, however much that encrypts; a new master key means that the data keys are
// wrapped anew, and no data.
//
//	envelope -module MODULE -token TOKEN -store keys.json create               the first master key
//	envelope -module MODULE -token TOKEN -store keys.json seal NAME < a > b    with the data key NAME, made if need be
//	envelope -module MODULE -token TOKEN -store keys.json open NAME < b > a
//	envelope -module MODULE -token TOKEN -store keys.json rotate               another master key
//
// Start it with go run ./examples/envelope.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/cardoki/cardoki/examples/internal/token"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "envelope:", err)
		}
		os.Exit(1)
	}
}

// maxData bounds what is sealed at once: it is held in memory.
const maxData = 1 << 30

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("envelope", flag.ContinueOnError)
	var t token.Flags
	t.Add(flags)
	file := flags.String("store", "keys.json", "the `file` with the wrapped data keys")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pool, done, err := t.Open(true)
	if err != nil {
		return err
	}
	defer done()
	s := &store{pool: pool, file: *file}
	command, name := flags.Arg(0), flags.Arg(1)
	if command == "create" {
		return s.create(ctx)
	}
	if err := s.load(); err != nil {
		return err
	}
	switch {
	case command == "rotate" && name == "":
		return s.rotate(ctx)
	case name == "" || command != "seal" && command != "open":
		return errors.New("one of create, seal NAME, open NAME, rotate is needed")
	}
	data, err := io.ReadAll(io.LimitReader(in, maxData+1))
	if err == nil && len(data) > maxData {
		err = fmt.Errorf("more than %d bytes", maxData)
	}
	if err != nil {
		return err
	}
	aead, err := s.dataKey(ctx, name, command == "seal")
	if err != nil {
		return err
	}
	if command == "seal" {
		data = aead.Seal(nil, nil, data, []byte(name))
	} else if data, err = aead.Open(nil, nil, data, []byte(name)); err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}
