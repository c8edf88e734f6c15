package pcsc

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/leak"
)

// Options are settings of [Establish]. The zero value is useful.
type Options struct {
	// Socket is the path of pcscd's socket. When it is empty the environment
	// variable PCSCLITE_CSOCK_NAME is used, read at each Establish, and else
	// /run/pcscd/pcscd.comm. Only the backend in pure Go can be told.
	Socket string
}

// A Context is a connection to the PC/SC service that tells about readers and
// makes connections to cards. It is safe for concurrent use. [Context.Readers] calls run
// one after the other; waiting, and a [Conn], have connections to the service of their
// own.
//
// A Context keeps nothing between calls, so it heals by itself: a call that finds the
// service stopped or restarted connects anew, once, and fails only when there is no
// service. An open Context keeps pcscd from ending when idle.
type Context struct {
	opts   Options
	lock   lock
	done   chan struct{} // closed by Close
	closed atomic.Bool
	waiter waiter

	mu      sync.Mutex
	session session // nil after it was lost
}

// Establish connects to the PC/SC service. opts may be nil. The error is an
// [*Error] that says how to get the service running, or why it refuses: see
// [AccessError].
func Establish(ctx context.Context, opts *Options) (*Context, error) {
	c := &Context{lock: newLock(), done: make(chan struct{})}
	if opts != nil {
		c.opts = *opts
	}
	s, err := openSession(ctx, &c.opts)
	if err != nil {
		return nil, newError("establish", "", err)
	}
	c.session = s
	leak.Opened(c, "PC/SC context")
	return c, nil
}

// Close ends the connection to the service; a call that runs, and every wait and
// [Context.Watch], ends with [apdu.ErrRetired]. Connections made by Connect live on. Close
// is idempotent and returns nil.
func (c *Context) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	close(c.done)
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.close()
	}
	leak.Closed(c)
	return nil
}

// do runs f with the session of c, or with a new one when that turns out to be lost.
func (c *Context) do(ctx context.Context, op string, f func(session) error) error {
	if err := c.lock.acquire(ctx); err != nil {
		return newError(op, "", err)
	}
	defer c.lock.release()
	for {
		if err := ctx.Err(); err != nil {
			return newError(op, "", err)
		}
		s, fresh, err := c.open(ctx)
		if err == nil {
			err = f(s)
		}
		if c.closed.Load() {
			return c.errClosed(op)
		}
		if err == nil {
			return nil
		}
		gone := s != nil && serviceGone(err)
		if gone {
			c.drop(s)
		}
		if !gone || fresh || ctx.Err() != nil {
			return newError(op, "", err)
		}
	}
}

// open returns the session of c, and whether it was made just now.
func (c *Context) open(ctx context.Context) (s session, fresh bool, err error) {
	c.mu.Lock()
	s = c.session
	c.mu.Unlock()
	if s != nil || c.closed.Load() {
		return s, false, c.closedError()
	}
	opts := c.opts // others read it meanwhile
	s, err = openSession(ctx, &opts)
	if err != nil {
		return nil, false, err
	}
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
	if c.closed.Load() {
		s.close() // Close may have come before it was there
	}
	return s, true, c.closedError()
}

func (c *Context) drop(s session) {
	c.mu.Lock()
	c.session = nil
	c.mu.Unlock()
	s.close()
}

func (c *Context) closedError() error {
	if c.closed.Load() {
		return apdu.ErrRetired
	}
	return nil
}

func (c *Context) errClosed(op string) *Error {
	return &Error{Op: op, Kind: apdu.ErrRetired, Remedy: "the context was closed: establish a new one"}
}

// Readers returns the readers that are there, with their cards. No reader is no
// error.
func (c *Context) Readers(ctx context.Context) (readers []Reader, err error) {
	err = c.do(ctx, "list readers", func(s session) (err error) {
		readers, err = s.readers(ctx)
		return err
	})
	return readers, err
}

// A Share says what other programs may do with a card or reader during a connection. The
// values are those of PC/SC.
type Share uint32

// The modes of sharing.
const (
	// ShareExclusive keeps all other programs away for as long as the connection
	// lives. It fails with SCARD_E_SHARING_VIOLATION when there are others.
	ShareExclusive Share = 1
	// ShareShared lets others use the card too, between commands or transactions.
	ShareShared Share = 2
	// ShareDirect is for the reader: [Conn.Control], [Conn.Attribute] and what is made of
	// them. It needs no card, and powers none. pcscd lets others connect all the same.
	ShareDirect Share = 3
)

// ConnectOptions are settings of [Context.Connect] and [Open]. The zero value
// connects shared, with T=0 or T=1, and leaves the card as it is at the end.
type ConnectOptions struct {
	// Share says what other programs may do; the zero value is ShareShared.
	Share Share
	// Protocol is apdu.ProtocolT0 or apdu.ProtocolT1; the zero value lets the
	// service choose between the two. apdu.ProtocolRaw hands commands to the reader's
	// driver as they are; on a shared card it takes the others' protocol away, so it
	// belongs with ShareExclusive.
	Protocol apdu.Protocol
	// Disposition is what happens to the card at Close. A card that is left alone
	// stays selected and verified for every other program.
	Disposition apdu.Disposition
}

// Connect connects to the card in the reader of the given name, which must be
// exact. opts may be nil. It waits while another program holds a transaction.
//
// The error is an [*Error]: SCARD_E_UNKNOWN_READER lists the readers there are;
// SCARD_E_NO_SMARTCARD, SCARD_E_SHARING_VIOLATION and others are as in PC/SC.
func (c *Context) Connect(ctx context.Context, reader string, opts *ConnectOptions) (*Conn, error) {
	if c.closed.Load() {
		return nil, c.errClosed("connect")
	}
	return connectTo(ctx, c.opts, reader, opts)
}

// connectTo is Connect by the service that is given.
func connectTo(ctx context.Context, service Options, reader string, opts *ConnectOptions) (*Conn, error) {
	conn := &Conn{service: service, reader: reader, lock: newLock()}
	if opts != nil {
		conn.opts = *opts
	}
	if err := conn.connect(ctx, "connect"); err != nil {
		return nil, err
	}
	leak.Opened(conn, "PC/SC connection to "+reader)
	return conn, nil
}

// lock is a mutex that can be waited for with a context.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) acquire(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	default:
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &waitError{ctx.Err()}
	}
}

func (l lock) release() { <-l }

// closePatience is how long Close and End wait for the service.
const closePatience = 10 * time.Second

// protocols returns what may be spoken with the card.
func (o *ConnectOptions) protocols() apdu.Protocol {
	if o.Share == ShareDirect {
		return o.Protocol
	}
	return cmp.Or(o.Protocol, apdu.ProtocolT0|apdu.ProtocolT1)
}

func (o *ConnectOptions) share() Share { return cmp.Or(o.Share, ShareShared) }
