// Ssh-client runs a command on an SSH server, where it logs in with a key that never
// leaves a card or token.
//
//	go run ./examples/ssh-client -public                 the line for authorized_keys on the server
//	go run ./examples/ssh-client me@HOST uptime          with the only PIV card in a reader, slot 9A
//	go run ./examples/ssh-client -module PATH -token LABEL -key LABEL me@HOST uptime
//	go run ./examples/ssh-client -emulate                a card in software, and a server that wants it
//
// The server's key must be in known_hosts.
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
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/signer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "ssh-client:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ssh-client", flag.ContinueOnError)
	known := flags.String("known", "", "the keys of servers, a `file` as OpenSSH has it; its own by default")
	port := flags.String("p", "22", "the `port` of the server")
	public := flags.Bool("public", false, "print the public key, and do nothing else")
	emulated := flags.Bool("emulate", false, "a card in software, and a server that wants it")
	var where place.Flags
	where.Add(flags, "9A")
	if err := flags.Parse(args); err != nil {
		return err
	}
	user, host, ok := strings.Cut(flags.Arg(0), "@")
	if !*public && !*emulated && (!ok || flags.NArg() < 2) {
		return errors.New("name USER@HOST and a command; see -help")
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
	own, err := ssh.NewSignerFromSigner(signer.New(key, &signer.Options{Context: ctx}))
	if err != nil {
		return err
	}
	config := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(own)}, Timeout: patience}
	switch {
	case *public:
		_, err := out.Write(ssh.MarshalAuthorizedKey(own.PublicKey()))
		return err
	case *emulated:
		return emulateServer(ctx, config, own.PublicKey(), out)
	}
	if config.HostKeyCallback, err = knownServers(*known); err != nil {
		return err
	}
	return command(ctx, net.JoinHostPort(host, *port), config, strings.Join(flags.Args()[1:], " "), out)
}

// knownServers reads a known_hosts file.
func knownServers(file string) (ssh.HostKeyCallback, error) {
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		file = filepath.Join(home, ".ssh", "known_hosts")
	}
	return knownhosts.New(file)
}
