// List-readers shows the card readers of this machine and the cards in them.
//
//	go run ./examples/list-readers           once
//	go run ./examples/list-readers -watch    … and what happens to them, until it is
//	                                         interrupted (Ctrl-C)
//
// It looks and touches nothing: no card gets a command, no program is disturbed. What
// it watches goes on when pcscd is stopped and comes back.
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
	"time"

	"github.com/cardoki/cardoki/pcsc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "list-readers:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("list-readers", flag.ContinueOnError)
	watching := flags.Bool("watch", false, "tell what happens to readers and cards, until interrupted")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	pc, err := pcsc.Establish(ctx, nil)
	if err != nil {
		return err
	}
	defer pc.Close()
	if *watching {
		return watch(ctx, pc, out)
	}
	return list(ctx, pc, out)
}

// list shows the readers as they are.
func list(ctx context.Context, pc *pcsc.Context, out io.Writer) error {
	readers, err := pc.Readers(ctx)
	if err != nil {
		return err
	}
	if len(readers) == 0 {
		fmt.Fprintln(out, "No reader. Is it plugged in, and its driver installed (for most: libccid)?")
	}
	for _, r := range readers {
		fmt.Fprintf(out, "%s\n  state  %v\n", printable(r.Name), r.State)
		if r.State.Present() {
			fmt.Fprintf(out, "  card   %s\n", describe(r))
		}
		if len(r.ATR) > 0 {
			fmt.Fprintf(out, "  ATR    % X\n", r.ATR)
		}
	}
	return nil
}

// watch tells what happens, one event a line, until ctx ends.
func watch(ctx context.Context, pc *pcsc.Context, out io.Writer) error {
	for e, err := range pc.Watch(ctx) {
		switch {
		case ctx.Err() != nil:
			return nil // as the user wished
		case err != nil:
			return err
		}
		line := printable(e.String())
		switch e.Kind {
		case pcsc.CardInserted:
			line += fmt.Sprintf(", %s, ATR % X", describe(e.Reader), e.Reader.ATR)
		case pcsc.ServiceLost:
			line += fmt.Sprintf(", waiting for it: %v", e.Err)
		}
		fmt.Fprintf(out, "%s %s\n", time.Now().Format(time.TimeOnly), line)
	}
	return nil
}
