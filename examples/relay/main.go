// Relay makes the card in a reader of this machine appear in a virtual reader, of this
// machine or, over a tunnel, of another. When the card leaves the real reader it leaves
// the virtual one, and when it comes back it is there again.
//
//	sudo apt-get install pcscd vsmartcard-vpcd      where the card is to appear
//	go run ./examples/relay -reader NAME -address 127.0.0.1:35963
//
// Whoever reaches the virtual reader can use the card, and a PIN entered there passes
// through here. The connection is neither encrypted nor authenticated: to another
// machine it belongs into a tunnel, such as ssh -L 35963:127.0.0.1:35963 HOST.
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
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "relay:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	reader := flags.String("reader", "", "the reader whose card is to be relayed: its `name`, or a part of it; may be left out when there is only one")
	address := flags.String("address", vpcd.DefaultAddress, "where the driver of the virtual reader listens")
	share := flags.Bool("share", false, "let other programs of this machine use the card too; what they do shows in the virtual reader")
	remote := flags.Bool("insecure-remote", false, "allow an address outside this machine, though everybody on the way can read PINs and use the card")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	case !loopback(*address) && !*remote:
		return fmt.Errorf("%s is no address of this machine (127.0.0.1:PORT); PINs would travel there in the clear: use a tunnel, or -insecure-remote", *address)
	}
	pc, err := pcsc.Establish(ctx, nil)
	if err != nil {
		return err
	}
	defer pc.Close()
	readers, err := pc.Readers(ctx)
	if err != nil {
		return err
	}
	name, err := choose(readers, *reader)
	if err != nil {
		return err
	}
	r := &relay{pc: pc, reader: name, address: *address, options: pcsc.ConnectOptions{Share: pcsc.ShareExclusive, Disposition: apdu.UnpowerCard}, out: out}
	if *share {
		r.options.Share = pcsc.ShareShared
	}
	r.say("from %q to the virtual reader at %s", name, *address)
	r.say("Warning: whoever reaches that virtual reader can use the card. Interrupt (Ctrl-C) to take it out.")
	return r.run(ctx)
}
