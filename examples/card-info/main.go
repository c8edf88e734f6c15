// Card-info tells what a card is: its answer to reset in words, byte by byte; EF.ATR/INFO
// and EF.DIR; which of the well-known applications it has; of a contactless card its
// identifier; of a PIV card its serial number, keys and certificates.
//
//	go run ./examples/card-info                 the only card in a reader
//	go run ./examples/card-info -reader NAME    the card in that reader
//	go run ./examples/card-info -emulate        a PIV card in software: needs no hardware
//
// It only selects and reads: no PIN, no authentication, nothing that a card counts. All
// of it is one transaction, and no other program gets between. But another application
// is selected afterwards, so programs that had verified a PIN must do so again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/pcsc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "card-info:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("card-info", flag.ContinueOnError)
	reader := flags.String("reader", "", "the reader with this `name`, or the only one whose name contains it")
	emulate := flags.Bool("emulate", false, "a PIV card in software, with one key and certificate")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	case *emulate && *reader != "":
		return errors.New("-reader and -emulate exclude each other")
	}
	r := &report{out: out}
	if *emulate {
		c, err := newCard(ctx)
		if err != nil {
			return err
		}
		return r.card(ctx, c, nil)
	}
	conn, err := pcsc.Open(ctx, *reader, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	r.line("reader", "%q", conn.Reader())
	r.line("protocol", "%v", conn.Limits().Protocol)
	return r.card(ctx, conn, conn)
}

// card tells all there is of the card behind t. conn is the connection to its reader, or
// nil for a card in software.
func (r *report) card(ctx context.Context, t apdu.Transmitter, conn *pcsc.Conn) error {
	return iso7816.NewChannel(t, nil).Exclusive(ctx, func(tx *iso7816.Channel) error {
		r.atr(tx.ATR())
		if conn != nil {
			if err := r.contactless(ctx, conn); err != nil {
				return err
			}
		}
		for _, tell := range []func(context.Context, *iso7816.Channel) error{r.atrInfo, r.directory, r.applications, r.piv} {
			if err := tell(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}
