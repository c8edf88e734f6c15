package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/crypto/ssh"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

// emulate makes a card in software.
func emulate(ctx context.Context) (signer.Key, func(), error) {
	client, err := place.NewCard(ctx)
	if err != nil {
		return nil, nil, err
	}
	if _, err := client.GenerateKey(ctx, piv.SlotAuthentication, piv.AlgorithmP256, nil); err != nil {
		return nil, nil, err
	}
	key, err := client.Key(ctx, piv.SlotAuthentication)
	return key, func() { client.Close() }, err
}

// emulateServer logs in to a server in this program, which lets in only the holder of the
// card.
func emulateServer(ctx context.Context, config *ssh.ClientConfig, holder ssh.PublicKey, out io.Writer) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	host, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return err
	}
	server := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(holder.Marshal()) {
			return nil, errors.New("this key may not log in")
		}
		return nil, nil
	}}
	server.AddHostKey(host)
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- serve(l, server) }()
	config.User, config.HostKeyCallback = "somebody", ssh.FixedHostKey(host.PublicKey())
	err = command(ctx, l.Addr().String(), config, "greet", out)
	l.Close()
	return errors.Join(err, <-served)
}

// serve greets one client, whatever command it gives.
func serve(l net.Listener, config *ssh.ServerConfig) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(requests) // until the connection ends
	for newChannel := range channels {
		session, requests, err := newChannel.Accept()
		if err != nil {
			return err
		}
		for r := range requests {
			r.Reply(r.Type == "exec", nil)
			if r.Type == "exec" {
				fmt.Fprintf(session, "Hello, %s. Your key is on a card.\n", conn.User())
				session.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				session.Close()
			}
		}
	}
	return nil
}
