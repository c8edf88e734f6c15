package pcsc

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/leak"
)

// A Conn is a connection to the card in a reader. It is an [apdu.Transmitter],
// [apdu.Transactor], [apdu.Described] and [apdu.Reconnecter].
//
// Its calls may come from several goroutines and run one after the other; what a
// card keeps between commands makes that useful to whoever owns the whole
// conversation only. Close may be called at any time.
type Conn struct {
	session session
	reader  string
	opts    ConnectOptions
	lock    lock
	closed  atomic.Bool

	// Under lock:
	active  uint32 // protocol
	lost    bool   // the session cannot be used again
	removed bool   // the card was seen to go; only Reconnect helps
	short   [apdu.HeaderSize + 1]byte
	card    atomic.Pointer[cardInfo]
}

// cardInfo is what Described tells.
type cardInfo struct {
	atr    []byte
	limits apdu.Limits
}

var _ interface {
	apdu.Transmitter
	apdu.Transactor
	apdu.Described
	apdu.Reconnecter
} = (*Conn)(nil)

func (c *Conn) connect(ctx context.Context) error {
	var active uint32
	var err error
	if len(c.reader) >= maxReaderName || strings.IndexByte(c.reader, 0) >= 0 {
		err = SCARD_E_UNKNOWN_READER // no name is like that
	} else {
		active, err = c.session.connect(ctx, c.reader, c.opts.share(), c.opts.protocols())
	}
	if err != nil {
		e := newError("connect", c.reader, err)
		if e.Code == SCARD_E_UNKNOWN_READER {
			if readers, err := c.session.readers(ctx); err == nil {
				e.Readers = names(readers)
				if len(readers) == 0 {
					e.Code = SCARD_E_NO_READERS_AVAILABLE
				}
				e.Remedy = remedy(e, nil)
			}
		}
		return e
	}
	c.active = active
	return c.describe(ctx, "connect")
}

// describe notes the answer to reset and what can be carried.
func (c *Conn) describe(ctx context.Context, op string) error {
	readers, err := c.session.readers(ctx)
	if err != nil {
		return newError(op, c.reader, err)
	}
	info := &cardInfo{limits: apdu.Limits{Protocol: apdu.Protocol(c.active)}}
	if r, ok := find(readers, c.reader); ok {
		info.atr = r.ATR
	}
	switch info.limits.Protocol {
	case apdu.ProtocolT0:
		info.limits.MaxCommand = apdu.HeaderSize + 1 + apdu.MaxShortNc + 1
		info.limits.MaxResponse = apdu.MaxShortNe + 2
	default:
		info.limits.MaxCommand, info.limits.MaxResponse = apdu.MaxCommandSize, apdu.MaxResponseSize
	}
	c.card.Store(info)
	return nil
}

// Reader returns the name of the reader.
func (c *Conn) Reader() string { return c.reader }

// ATR returns the answer to reset of the card, 2 to 33 bytes, as it was at the
// last connect or reconnect. The caller must not modify it.
func (c *Conn) ATR() []byte { return c.card.Load().atr }

// Limits returns the active protocol and what the service can carry with it. With
// T=1 the reader, its driver or the card may carry less than is said here.
func (c *Conn) Limits() apdu.Limits { return c.card.Load().limits }

// Transmit implements [apdu.Transmitter]. While another program holds a
// transaction it waits.
//
// With T=0 the command is mapped as the protocol demands: case 1 is sent with P3 =
// 00, case 4 without its Le, so that the card answers 61XX; extended length is
// refused with an [*apdu.LengthError]. 61XX and 6CXX are returned as they come.
//
// When ctx ends during the exchange the connection to the service is closed and c
// is spent: the error is an [apdu.ErrRetired] too, and the command may have run.
// With a context that cannot end nothing is allocated, provided that dst has room.
func (c *Conn) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if err := c.start(ctx, "transmit"); err != nil {
		return dst, err
	}
	defer c.lock.release()
	if c.removed {
		return dst, c.errRemoved("transmit")
	}
	command, err := c.mapped(command)
	if err != nil {
		return dst, &Error{Op: "transmit", Reader: c.reader, Kind: apdu.ErrNotSent, Err: err}
	}
	out, err := c.session.transmit(ctx, c.active, dst, command)
	if err != nil {
		return dst, c.fail("transmit", err)
	}
	if len(out)-len(dst) < 2 {
		// pcscd reports success with no byte, sometimes one, when the card is
		// torn out while it answers.
		c.removed = true
		return dst, c.errRemoved("transmit")
	}
	return out, nil
}

// mapped returns what is sent for a command with the active protocol.
func (c *Conn) mapped(command []byte) ([]byte, error) {
	if len(command) < apdu.HeaderSize {
		_, err := apdu.ParseCommand(command)
		return nil, err
	}
	if c.active != uint32(apdu.ProtocolT0) {
		if len(command) > apdu.MaxCommandSize {
			return nil, &apdu.LengthError{Field: "command", Value: len(command), Max: apdu.MaxCommandSize}
		}
		return command, nil
	}
	return c.mapT0(command)
}

// mapT0 turns a command APDU into the one command TPDU of T=0 that begins it.
func (c *Conn) mapT0(command []byte) ([]byte, error) {
	cmd, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, err
	}
	switch cmd.Case() {
	case "1":
		copy(c.short[:], command)
		c.short[apdu.HeaderSize] = 0
		return c.short[:], nil
	case "4S":
		return command[:len(command)-1], nil
	case "2E":
		return nil, &apdu.LengthError{Field: "Le", Value: 3, Max: 1}
	case "3E", "4E":
		return nil, &apdu.LengthError{Field: "Lc", Value: 3, Max: 1}
	}
	return command, nil
}

// Begin implements [apdu.Transactor]: from here to End no other program reaches
// the card. It waits while another program does the same; pcscd is asked every 0.1
// s. When ctx ends meanwhile, c is spent if pcscd was just being asked.
func (c *Conn) Begin(ctx context.Context) error {
	if err := c.start(ctx, "begin"); err != nil {
		return err
	}
	defer c.lock.release()
	if c.removed {
		return c.errRemoved("begin")
	}
	if err := c.session.begin(ctx); err != nil {
		return c.fail("begin", err)
	}
	return nil
}

// End implements [apdu.Transactor]. It waits for the service 10 s at most.
func (c *Conn) End(disposition apdu.Disposition) error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	if err := c.start(ctx, "end"); err != nil {
		return err
	}
	defer c.lock.release()
	if err := c.session.end(ctx, disposition); err != nil {
		return c.fail("end", err)
	}
	return nil
}

// Status returns nil when the service thinks that the card is there and was not
// reset, else the error that Transmit would return. The service learns of a
// removal up to half a second late.
func (c *Conn) Status(ctx context.Context) error {
	if err := c.start(ctx, "status"); err != nil {
		return err
	}
	defer c.lock.release()
	if c.removed {
		return c.errRemoved("status")
	}
	if err := c.session.status(ctx); err != nil {
		return c.fail("status", err)
	}
	return nil
}

// Reconnect implements [apdu.Reconnecter]. After [apdu.ErrReset] it takes the card
// as it is; after [apdu.ErrRemoved] it resets the card that is there now, which may
// be another one: compare [Conn.ATR], select and verify again. Without a card the
// error is an [apdu.ErrRemoved] again.
func (c *Conn) Reconnect(ctx context.Context) error {
	if err := c.start(ctx, "reconnect"); err != nil {
		return err
	}
	defer c.lock.release()
	initialization := apdu.LeaveCard
	if c.removed {
		initialization = apdu.ResetCard
	}
	active, err := c.session.reconnect(ctx, c.opts.share(), c.opts.protocols(), initialization)
	if err != nil {
		return c.fail("reconnect", err)
	}
	c.active, c.removed = active, false
	return c.describe(ctx, "reconnect")
}

// Close disconnects; the card is treated as [ConnectOptions] said. A transaction
// ends. A call that runs in another goroutine is interrupted where the service
// allows it (pcscd does), and ends with [apdu.ErrRetired]; the card is then left to
// the service. Close waits 10 s at most and is idempotent: later calls return nil.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	defer leak.Closed(c)
	defer c.session.close()
	select {
	case c.lock <- struct{}{}:
		defer c.lock.release()
	default:
		return nil // busy
	}
	if c.lost {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	err := c.session.disconnect(ctx, c.opts.Disposition)
	if err == nil || c.opts.Disposition == apdu.LeaveCard {
		return nil // a handle that is gone was what we wanted
	}
	if e := newError("close", c.reader, err); e.Kind != apdu.ErrRemoved {
		return e
	}
	return nil
}

// start takes the lock for a call, unless there is a reason not to begin it.
func (c *Conn) start(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return newError(op, c.reader, &waitError{err})
	}
	if err := c.lock.acquire(ctx); err != nil {
		return newError(op, c.reader, err)
	}
	if c.closed.Load() || c.lost {
		c.lock.release()
		return &Error{Op: op, Reader: c.reader, Kind: apdu.ErrRetired, Err: apdu.ErrNotSent, Remedy: "the connection was closed: open a new one"}
	}
	return nil
}

// fail makes the error of a call and notes what it says about c.
func (c *Conn) fail(op string, err error) error {
	e := newError(op, c.reader, err)
	switch {
	case errors.Is(e.Kind, apdu.ErrRetired):
		c.lost = true
		c.session.close()
	case errors.Is(e.Kind, apdu.ErrRemoved):
		c.removed = true
	}
	return e
}

func (c *Conn) errRemoved(op string) error {
	e := &Error{Op: op, Reader: c.reader, Code: SCARD_W_REMOVED_CARD, Kind: apdu.ErrRemoved}
	e.Remedy = remedy(e, nil)
	return e
}
