// Ssh-agent serves the keys of a PIV card to OpenSSH: the private keys stay on the card,
// and the PIN is asked for when ssh uses one.
//
//	go run ./examples/ssh-agent -socket /tmp/piv.sock &      the only PIV card in a reader
//	SSH_AUTH_SOCK=/tmp/piv.sock ssh-add -L                   its public keys, for authorized_keys
//	SSH_AUTH_SOCK=/tmp/piv.sock ssh HOST
//
// With -emulate it serves a card in software. -askpass asks by ssh-askpass, which a
// program in the background needs, in place of the terminal.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh/agent"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/signer/prompt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "ssh-agent:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ssh-agent", flag.ContinueOnError)
	socket := flags.String("socket", "", "listen at this `path`, where nothing is yet")
	serial := flags.String("serial", "", "the card with this serial `number`")
	askpass := flags.Bool("askpass", false, "ask for the PIN by the program in SSH_ASKPASS")
	emulate := flags.Bool("emulate", false, "a card in software, with a new key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *socket == "" {
		return errors.New("name a path with -socket; see -help")
	}
	var asker piv.Asker = prompt.Terminal{}
	if *askpass {
		asker = prompt.Askpass{}
	}
	opts := &piv.Options{
		PIN:   piv.AskPIN(asker),
		Touch: func(ctx context.Context, _ piv.Slot) { fmt.Fprintln(out, "Touch the card …"); <-ctx.Done() },
	}
	var client *piv.Client
	var err error
	if *emulate {
		client, err = newCard(ctx)
	} else {
		client, err = piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: *serial}, opts)
	}
	if err != nil {
		return err
	}
	defer client.Close()
	keys, err := newKeyring(ctx, client)
	if err != nil {
		return err
	}
	old := syscall.Umask(0o077) // nobody else may use the keys
	l, err := net.Listen("unix", *socket)
	syscall.Umask(old)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d keys. Now: export SSH_AUTH_SOCK=%s\n", len(keys.keys), *socket)
	return serve(ctx, l, keys)
}

// serve answers agents' clients until ctx ends.
func serve(ctx context.Context, l net.Listener, keys agent.Agent) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		clients.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			agent.ServeAgent(keys, conn) // ends with the connection
		})
	}
}

// newCard makes a card in software with a key for logging in.
func newCard(ctx context.Context) (*piv.Client, error) {
	client, err := place.NewCard(ctx)
	if err != nil {
		return nil, err
	}
	_, err = client.GenerateKey(ctx, piv.SlotAuthentication, piv.AlgorithmP256, nil)
	return client, err
}
