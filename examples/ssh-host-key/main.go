// Ssh-host-key is an SSH server whose host key never leaves a card or token. It greets
// whoever logs in, and says good-bye.
//
//	go run ./examples/ssh-host-key                       the only PIV card in a reader, slot 9E
//	go run ./examples/ssh-host-key -module PATH -token LABEL -key LABEL
//	go run ./examples/ssh-host-key -emulate              a card in software: needs no hardware
//	ssh -p 2222 localhost
//
// It prints the line that belongs into the clients' known_hosts. With -authorized it lets
// in only those whose key is in that file.
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
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "ssh-host-key:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ssh-host-key", flag.ContinueOnError)
	listen := flags.String("listen", "localhost:2222", "listen at this `address`")
	authorized := flags.String("authorized", "", "let in only those whose key is in this `file`, as in authorized_keys")
	emulated := flags.Bool("emulate", false, "a card in software, with a new key")
	var where place.Flags
	where.Add(flags, "9E") // card authentication, which asks for no PIN
	if err := flags.Parse(args); err != nil {
		return err
	}
	open := where.Key
	if *emulated {
		open = emulate
	}
	key, done, err := open(ctx)
	if err != nil {
		return err
	}
	defer done()
	host, err := ssh.NewSignerFromSigner(signer.New(key, &signer.Options{Context: ctx}))
	if err != nil {
		return err
	}
	config := &ssh.ServerConfig{NoClientAuth: *authorized == ""}
	config.AddHostKey(host)
	if *authorized != "" {
		if config.PublicKeyCallback, err = allow(*authorized); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "For known_hosts: %s\n", strings.TrimSpace(knownhosts.Line([]string{l.Addr().String()}, host.PublicKey())))
	return serve(ctx, l, config, out)
}

// emulate makes a card in software.
func emulate(ctx context.Context) (signer.Key, func(), error) {
	client, err := place.NewCard(ctx)
	if err != nil {
		return nil, nil, err
	}
	if _, err := client.GenerateKey(ctx, piv.SlotCardAuthentication, piv.AlgorithmP256, nil); err != nil {
		return nil, nil, err
	}
	key, err := client.Key(ctx, piv.SlotCardAuthentication)
	return key, func() { client.Close() }, err
}
