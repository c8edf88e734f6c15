package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// allow returns what lets in the keys of an authorized_keys file.
func allow(path string) (func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error), error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	allowed := map[string]bool{}
	for len(bytes.TrimSpace(rest)) > 0 {
		var key ssh.PublicKey
		if key, _, _, rest, err = ssh.ParseAuthorizedKey(rest); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		allowed[string(key.Marshal())] = true
	}
	return func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !allowed[string(key.Marshal())] {
			return nil, errors.New("this key may not log in")
		}
		return nil, nil
	}, nil
}

// patience is how long a client may take for everything.
const patience = 2 * time.Minute

// serve greets clients until ctx ends.
func serve(ctx context.Context, l net.Listener, config *ssh.ServerConfig, out io.Writer) error {
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
			if err := greet(conn, config); err != nil && ctx.Err() == nil {
				fmt.Fprintf(out, "%v: %v\n", conn.RemoteAddr(), err)
			}
		})
	}
}

// greet shakes hands, for which the card signs, and greets in each session.
func greet(c net.Conn, config *ssh.ServerConfig) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return err
	}
	discarded := make(chan struct{})
	go func() { ssh.DiscardRequests(requests); close(discarded) }()
	defer func() { conn.Close(); <-discarded }()
	for newChannel := range channels {
		if newChannel.ChannelType() != "session" {
			newChannel.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		session, requests, err := newChannel.Accept()
		if err != nil {
			return err
		}
		for r := range requests {
			asked := r.Type == "shell" || r.Type == "exec"
			r.Reply(asked || r.Type == "pty-req" || r.Type == "env", nil)
			if asked {
				fmt.Fprintf(session, "Hello, %s. The key of this host is on a card.\r\n", conn.User())
				session.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				session.Close() // the client ends the connection then, when it has read all
			}
		}
	}
	return nil
}
