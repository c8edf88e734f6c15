package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// patience is how long a server may take to be reached.
const patience = 30 * time.Second

// command logs in, for which the card signs, and runs a command.
func command(ctx context.Context, address string, config *ssh.ClientConfig, line string, out io.Writer) error {
	dialer := net.Dialer{Timeout: config.Timeout}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	config.HostKeyAlgorithms = knownAlgorithms(config.HostKeyCallback, address, c.RemoteAddr())
	conn, channels, requests, err := ssh.NewClientConn(c, address, config)
	if unknown, ok := errors.AsType[*knownhosts.KeyError](err); ok && len(unknown.Want) == 0 {
		return fmt.Errorf("%w: log in with OpenSSH once, or name the file that has it with -known", err)
	}
	if err != nil {
		return err
	}
	client := ssh.NewClient(conn, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	session.Stdout, session.Stderr = out, os.Stderr
	return session.Run(line)
}

// knownAlgorithms returns the algorithms of the keys that are known of a server, so that
// it proves itself with one of these keys. It knows them by what a wrong key is told.
func knownAlgorithms(known ssh.HostKeyCallback, address string, remote net.Addr) (algorithms []string) {
	wrong, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	mismatch, ok := errors.AsType[*knownhosts.KeyError](known(address, remote, wrong))
	if !ok {
		return nil
	}
	for _, k := range mismatch.Want {
		names := []string{k.Key.Type()}
		if k.Key.Type() == ssh.KeyAlgoRSA {
			names = []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
		}
		for _, name := range names {
			if !slices.Contains(algorithms, name) {
				algorithms = append(algorithms, name)
			}
		}
	}
	return algorithms
}
