package pcsclite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// DefaultSocket is where pcscd listens when nothing else is said.
const DefaultSocket = "/run/pcscd/pcscd.comm"

// SocketName returns the path of pcscd's socket: that in the environment variable
// PCSCLITE_CSOCK_NAME, else [DefaultSocket].
func SocketName() string { return cmp.Or(os.Getenv("PCSCLITE_CSOCK_NAME"), DefaultSocket) }

// A Client is one client context of the daemon on a socket of its own. It is used
// by one goroutine at a time, except for [Client.Close].
type Client struct {
	conn    net.Conn
	context uint32
	closed  atomic.Bool

	request []byte                        // header and body, grown to the longest command sent
	answer  [maxReaders * readerSize]byte // the fixed part of an answer
}

// Dial connects to the daemon at the unix socket path, agrees on a version of the
// protocol and establishes a client context. ctx bounds all of it.
//
// Errors are those of package net for a socket that is not there or not ours to
// use, [ErrRefused], a [*VersionError], an [RV] or a [*BrokenError].
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return NewClient(ctx, conn)
		}
		// The queue of the listening socket is full: the daemon lives but has not
		// come to us yet.
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return nil, fmt.Errorf("pcsclite: pcscd does not answer at %s: %w", path, err)
		}
	}
}

// NewClient is [Dial] on a connection that is already there. The client owns
// conn, and has closed it when an error is returned.
func NewClient(ctx context.Context, conn net.Conn) (*Client, error) {
	c := &Client{conn: conn, request: make([]byte, 0, 512)}
	err := c.version(ctx)
	if err == nil {
		err = c.establish(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// version agrees on the version of the protocol. A daemon that refuses the one
// offered names its own and goes on listening.
func (c *Client) version(ctx context.Context) error {
	for minor := int32(versionMinor); ; {
		ans, err := c.call(ctx, cmdVersion, versionMajor, uint32(minor), 0)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
				return ErrRefused
			}
			return err
		}
		major, theirs, rv := int32(le.Uint32(ans)), int32(le.Uint32(ans[4:])), RV(le.Uint32(ans[8:]))
		switch {
		case rv == rvSuccess && major == versionMajor:
			return nil
		case rv == rvServiceStopped && major == versionMajor && theirs > minor && theirs <= versionMinorMax:
			minor = theirs
		case rv == rvSuccess || rv == rvServiceStopped:
			return &VersionError{Major: major, Minor: theirs, RV: rv}
		default:
			return rv
		}
	}
}

func (c *Client) establish(ctx context.Context) error {
	const scopeSystem = 2
	ans, err := c.call(ctx, cmdEstablishContext, scopeSystem, 0, 0)
	if err != nil {
		return err
	}
	c.context = le.Uint32(ans[4:])
	return result(ans)
}

// Release gives the context back to the daemon, which disconnects the cards that
// are still connected, and closes the client.
func (c *Client) Release(ctx context.Context) error {
	ans, err := c.call(ctx, cmdReleaseContext, c.context, 0)
	if err == nil {
		err = result(ans)
	}
	c.Close()
	return err
}

// Close closes the socket. A call that is running ends at once with a
// [*BrokenError]. It may be called by any goroutine, at any time and repeatedly.
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.conn.Close()
}

// Closed reports whether the client was closed, by Close or by a broken call.
func (c *Client) Closed() bool { return c.closed.Load() }

// call sends a request whose body is made of 32-bit numbers and returns the
// answer, which is as long as the body and valid until the next call.
func (c *Client) call(ctx context.Context, command uint32, body ...uint32) ([]byte, error) {
	req := c.start(command, 4*len(body))
	for _, v := range body {
		req = le.AppendUint32(req, v)
	}
	ans := c.answer[:4*len(body)]
	return ans, c.exchange(ctx, req, ans)
}

// start begins a request in the buffer of the client.
func (c *Client) start(command uint32, bodySize int) []byte {
	req := le.AppendUint32(c.request[:0], uint32(bodySize))
	return le.AppendUint32(req, command)
}

// result returns the return value, which is the last number of an answer, as an
// error.
func result(ans []byte) error {
	if rv := RV(le.Uint32(ans[len(ans)-4:])); rv != rvSuccess {
		return rv
	}
	return nil
}

// exchange sends req and fills ans. Any error closes the client.
func (c *Client) exchange(ctx context.Context, req, ans []byte) error {
	w, err := c.watch(ctx)
	if err != nil {
		return err
	}
	_, err = c.conn.Write(req)
	if err == nil {
		_, err = io.ReadFull(c.conn, ans)
	}
	return c.settle(ctx, w, err)
}

// A watch interrupts reading and writing when a context ends. The zero watch
// watches nothing.
type watch struct {
	stop func() bool
	done chan struct{}
}

// watch begins a call. It costs nothing when ctx cannot end.
func (c *Client) watch(ctx context.Context) (watch, error) {
	if c.closed.Load() {
		return watch{}, ErrClosed
	}
	if ctx.Done() == nil {
		return watch{}, nil
	}
	if err := ctx.Err(); err != nil {
		return watch{}, err
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.conn.SetDeadline(time.Unix(1, 0))
		close(done)
	})
	return watch{stop, done}, nil
}

// settle ends a call that had the given result. A call that was completed stays
// completed, even when its context ended meanwhile; any other closes the client.
func (c *Client) settle(ctx context.Context, w watch, err error) error {
	if w.stop != nil && !w.stop() {
		<-w.done
		if err == nil {
			c.conn.SetDeadline(time.Time{})
		}
	}
	if err == nil {
		return nil
	}
	return c.broken(ctx, err)
}

// broken closes the client and says why.
func (c *Client) broken(ctx context.Context, err error) error {
	if c.Closed() {
		err = ErrClosed // by another goroutine, during the call
	} else if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = ctx.Err()
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	c.Close()
	return &BrokenError{Cause: err}
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
