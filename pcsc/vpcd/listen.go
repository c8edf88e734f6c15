package vpcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// A Listener is a virtual reader that waits for cards to come, as the driver in
// pcscd does.
type Listener struct {
	l *net.TCPListener
}

// greeting is how long somebody who connects may take to prove a card.
const greeting = 5 * time.Second

// Listen listens for cards at a TCP address, such as "127.0.0.1:35963"; at
// [DefaultAddress] when it is empty, and on the loopback interface when it names a
// port only. With port 0 the system chooses one: see [Listener.Addr].
//
// Whoever can reach the address can be the card. The connection is neither encrypted
// nor authenticated, so another interface must be asked for by its address.
func Listen(address string) (*Listener, error) {
	host, port, err := net.SplitHostPort(cmp.Or(address, DefaultAddress))
	if err != nil {
		return nil, fmt.Errorf("vpcd: %w", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
	if err != nil {
		return nil, fmt.Errorf("vpcd: %w", err)
	}
	return &Listener{l.(*net.TCPListener)}, nil
}

// Addr returns the address for cards to connect to.
func (l *Listener) Addr() net.Addr { return l.l.Addr() }

// Accept waits for a card, powers it on and returns it with its answer to reset.
// Who connects and does not answer as a card within 5 s is dropped, and the waiting
// goes on; the reason is part of the error when ctx ends then.
//
// Any number of cards can be accepted. Accept is called by one goroutine at a time.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	var last error
	for {
		conn, err := l.accept(ctx)
		if err != nil {
			return nil, fmt.Errorf("vpcd: no card: %w", errors.Join(err, last))
		}
		short, cancel := context.WithTimeout(ctx, greeting)
		c, err := NewConn(short, conn)
		cancel()
		if err == nil {
			return c, nil
		}
		last = err
	}
}

func (l *Listener) accept(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.l.SetDeadline(time.Unix(1, 0))
		close(cut)
	})
	conn, err := l.l.Accept()
	if !stop() {
		<-cut
		l.l.SetDeadline(time.Time{})
		if err != nil && !errors.Is(err, net.ErrClosed) {
			err = ctx.Err()
		}
	}
	return conn, err
}

// Close stops listening; a call of Accept that is running ends with an error. Cards
// that were accepted stay.
func (l *Listener) Close() error { return l.l.Close() }
