// Virtual-card puts a PIV card in software into the virtual reader of pcscd, until
// it is interrupted. Every PC/SC program on this machine then sees a card.
//
//	sudo apt-get install pcscd vsmartcard-vpcd
//	go run ./examples/virtual-card -state card.json
//	opensc-tool -a
//
// The state file holds the keys and the PIN of the card, so that it lives on as a
// real one does. It is made with mode 0600 the first time.
//
// Whoever can reach that reader can use the card: pcscd serves every program that
// its policy admits, and the driver listens on all network interfaces. It is for
// tests and demonstrations, not for keys that matter.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "virtual-card:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("virtual-card", flag.ContinueOnError)
	state := flags.String("state", "", "keep the card in this `file`; without it the card is forgotten at the end")
	address := flags.String("address", vpcd.DefaultAddress, "where the driver of the virtual reader listens")
	trace := flags.Bool("trace", false, "show every command to the card and its answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	var options card.Options
	if *state != "" {
		store, err := card.OpenFileStore(*state, nil)
		if err != nil {
			return err
		}
		options.Store = store
	}
	c := card.New(&options, piv.NewApplication(nil))
	serial, err := identify(ctx, c)
	if err != nil {
		return fmt.Errorf("the card does not work, is %q its state? %w", *state, err)
	}
	fmt.Fprintf(out, "PIV card %s, ATR % X, in the virtual reader at %s\n", serial, c.ATR(), *address)
	fmt.Fprintln(out, "A new card has the PIN 123456 and the management key 0102030405060708 three times (AES-192).")
	fmt.Fprintln(out, "Whoever reaches that reader can use this card. Interrupt (Ctrl-C) to take it out.")
	var inserted vpcd.Card = c
	if *trace {
		inserted = traced{c, piv.Vocabulary().Trace(c, func(line string) { fmt.Fprintln(out, line) })}
	}
	err = vpcd.DialAndServe(ctx, *address, inserted, &vpcd.Options{Redial: true})
	if err == nil {
		fmt.Fprintln(out, "The card was taken out.")
	}
	return err
}

// identify returns the serial number of the card, which proves that it works.
func identify(ctx context.Context, c *card.Card) (string, error) {
	client, err := piv.Open(ctx, iso7816.NewChannel(c, nil), nil)
	if err != nil {
		return "", err
	}
	defer c.Reset()
	return client.Serial(ctx)
}

// traced is a card whose exchanges are told.
type traced struct {
	*card.Card
	tracer *apdu.Tracer
}

func (t traced) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	return t.tracer.Transmit(ctx, dst, command)
}
