package pcsc

import (
	"cmp"
	"context"
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
// makes connections to cards. It is safe for concurrent use; its calls run one
// after the other, except that a [Conn] has its own connection to the service and
// waits for nobody here.
//
// A Context whose service went away, or whose call was given up, returns
// [apdu.ErrRetired] from then on; establish a new one.
type Context struct {
	opts    Options
	session session
	lock    lock
	closed  atomic.Bool
}

// Establish connects to the PC/SC service. opts may be nil. The error is an
// [*Error] that says how to get the service running, or why it refuses.
func Establish(ctx context.Context, opts *Options) (*Context, error) {
	c := &Context{lock: newLock()}
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

// Close ends the connection to the service; a call that runs ends with
// [apdu.ErrRetired]. Connections made by Connect live on. Close is idempotent and
// returns nil.
func (c *Context) Close() error {
	if !c.closed.Swap(true) {
		c.session.close()
		leak.Closed(c)
	}
	return nil
}

// do runs f with the session of c.
func (c *Context) do(ctx context.Context, op string, f func(session) error) error {
	if err := c.lock.acquire(ctx); err != nil {
		return newError(op, "", err)
	}
	defer c.lock.release()
	if c.closed.Load() {
		return &Error{Op: op, Kind: apdu.ErrRetired, Remedy: "the context was closed: establish a new one"}
	}
	if err := ctx.Err(); err != nil {
		return newError(op, "", err)
	}
	if err := f(c.session); err != nil {
		return newError(op, "", err)
	}
	return nil
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

// WaitForChange waits until the readers differ from known, a result of
// [Context.Readers] or of WaitForChange, and returns them. When ctx ends the error
// wraps ctx.Err(), and c can be used on.
func (c *Context) WaitForChange(ctx context.Context, known []Reader) (readers []Reader, err error) {
	err = c.do(ctx, "wait", func(s session) (err error) {
		readers, err = s.waitForChange(ctx, known)
		return err
	})
	return readers, err
}

// WaitForCard waits until there is a card that answers in the reader of the given
// name, or in any reader when the name is empty, and returns that reader. A reader
// that is not there is waited for too. When ctx ends the error wraps ctx.Err().
func (c *Context) WaitForCard(ctx context.Context, reader string) (Reader, error) {
	readers, err := c.Readers(ctx)
	for err == nil {
		for _, r := range readers {
			if (reader == "" || r.Name == reader) && r.State.Present() && len(r.ATR) > 0 {
				return r, nil
			}
		}
		readers, err = c.WaitForChange(ctx, readers)
	}
	return Reader{}, err
}

// ConnectOptions are settings of [Context.Connect] and [Open]. The zero value
// connects shared, with T=0 or T=1, and leaves the card as it is at the end.
type ConnectOptions struct {
	// Exclusive keeps all other programs away for as long as the connection
	// lives. It fails with SCARD_E_SHARING_VIOLATION when there are others.
	Exclusive bool
	// Protocol is apdu.ProtocolT0 or apdu.ProtocolT1; the zero value lets the
	// service choose between the two.
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
		return nil, &Error{Op: "connect", Reader: reader, Kind: apdu.ErrRetired, Remedy: "the context was closed: establish a new one"}
	}
	conn := &Conn{reader: reader, lock: newLock()}
	if opts != nil {
		conn.opts = *opts
	}
	s, err := openSession(ctx, &c.opts)
	if err != nil {
		return nil, newError("connect", reader, err)
	}
	conn.session = s
	if err := conn.connect(ctx); err != nil {
		s.close()
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

// protocols returns the bits of PC/SC for what may be spoken with the card.
func (o *ConnectOptions) protocols() uint32 {
	return uint32(cmp.Or(o.Protocol, apdu.ProtocolT0|apdu.ProtocolT1))
}

func (o *ConnectOptions) share() uint32 {
	if o.Exclusive {
		return shareExclusive
	}
	return shareShared
}
