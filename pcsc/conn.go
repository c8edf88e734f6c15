package pcsc

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/leak"
)

// A Conn is a connection to the card in a reader, or to the reader alone. It is an
// [apdu.Transmitter], [apdu.Transactor], [apdu.Described] and [apdu.Reconnecter].
//
// Its calls may come from several goroutines and run one after the other; what a
// card keeps between commands makes that useful to whoever owns the whole
// conversation only. Close may be called at any time.
type Conn struct {
	service Options
	reader  string
	lock    lock
	closed  atomic.Bool

	// Under lock; session is written under mu too, so that Close can reach it.
	session session
	opts    ConnectOptions
	active  apdu.Protocol
	begun   bool // a transaction was begun and not ended
	lost    bool // the session cannot be used again; only Reconnect helps
	gone    Code // SCARD_W_REMOVED_CARD, SCARD_W_RESET_CARD, …: the card, or its state; only Reconnect helps
	short   [apdu.HeaderSize + 1]byte

	mu   sync.Mutex
	card atomic.Pointer[cardInfo]
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
	apdu.PINPad
} = (*Conn)(nil)

// connect makes the first connection, or one in place of one that was lost.
func (c *Conn) connect(ctx context.Context, op string) error {
	if len(c.reader) >= maxReaderName || strings.IndexByte(c.reader, 0) >= 0 {
		// No name is like that. The list of readers needs a session all the same.
		s, err := openSession(ctx, &c.service)
		if err != nil {
			return newError(op, c.reader, err)
		}
		defer s.close()
		return unknownReader(ctx, s, newError(op, c.reader, SCARD_E_UNKNOWN_READER))
	}
	s, active, err := connectAnew(ctx, &c.service, c.reader, &c.opts)
	if err != nil {
		e := newError(op, c.reader, err)
		if s != nil {
			unknownReader(ctx, s, e)
			s.close()
		}
		return e
	}
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
	if c.closed.Load() {
		s.close() // Close may have come before it was there
		return c.errClosed(op)
	}
	c.active, c.begun, c.lost, c.gone = active, false, false, 0
	if err := c.describe(ctx, op); err != nil {
		c.lost = true
		s.close()
		return err
	}
	return nil
}

// unknownReader adds the readers to an error that says that one is not there.
func unknownReader(ctx context.Context, s session, e *Error) *Error {
	if e.Code != SCARD_E_UNKNOWN_READER {
		return e
	}
	if readers, err := s.readers(ctx); err == nil {
		e.Readers = names(readers)
		if len(readers) == 0 {
			e.Code = SCARD_E_NO_READERS_AVAILABLE
		}
		e.Remedy = remedy(e, nil)
	}
	return e
}

// describe notes the answer to reset and what can be carried.
func (c *Conn) describe(ctx context.Context, op string) error {
	readers, err := c.session.readers(ctx)
	if err != nil {
		return c.fail(op, err)
	}
	info := &cardInfo{limits: apdu.Limits{Protocol: c.active}}
	if r, ok := find(readers, c.reader); ok {
		info.atr = r.ATR
	}
	switch info.limits.Protocol {
	case apdu.ProtocolT0:
		info.limits.MaxCommand = apdu.HeaderSize + 1 + apdu.MaxShortNc + 1
		info.limits.MaxResponse = apdu.MaxShortNe + 2
	case apdu.ProtocolT1, apdu.ProtocolRaw:
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

// Transmit implements [apdu.Transmitter]. While another program holds a transaction it
// waits; when ctx ends meanwhile the error is an [apdu.ErrNotSent] and c is as it was,
// except through ebfe/scard, where c is lost.
//
// With T=0 the command is mapped as the protocol demands: case 1 is sent with P3 =
// 00, case 4 without its Le, so that the card answers 61XX; extended length is
// refused with an [*apdu.LengthError]. 61XX and 6CXX are returned as they come. With
// [apdu.ProtocolRaw] the bytes go to the driver as they are. A direct connection carries
// commands only where a card was powered and its protocol chosen before it was made.
//
// After an error that Is [apdu.ErrReset], [apdu.ErrRemoved] or [apdu.ErrRetired] every
// call gives it again until [Conn.Reconnect]: what was selected and verified is gone,
// and nothing is sent to a card that does not know it.
//
// When ctx ends during the exchange the connection to the service is closed and c
// is lost: the error is an [apdu.ErrRetired] too, and the command may have run.
// With a context that cannot end nothing is allocated, provided that dst has room.
func (c *Conn) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if err := c.start(ctx, "transmit"); err != nil {
		return dst, err
	}
	defer c.lock.release()
	if c.gone != 0 {
		return dst, c.errGone("transmit")
	}
	if c.active == apdu.ProtocolUnknown {
		return dst, &Error{Op: "transmit", Reader: c.reader, Code: SCARD_E_PROTO_MISMATCH, Kind: apdu.ErrNotSent, Remedy: "a direct connection without a card carries no commands: use Change to connect shared or exclusively"}
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
		c.gone = SCARD_W_REMOVED_CARD
		return dst, c.errGone("transmit")
	}
	return out, nil
}

// mapped returns what is sent for a command with the active protocol.
func (c *Conn) mapped(command []byte) ([]byte, error) {
	if len(command) < apdu.HeaderSize {
		_, err := apdu.ParseCommand(command)
		return nil, err
	}
	if c.active != apdu.ProtocolT0 {
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
// s. When ctx ends meanwhile Begin returns up to 0.1 s late, with an [apdu.ErrNotSent],
// and c is as it was; through ebfe/scard it returns at once, and c is lost.
func (c *Conn) Begin(ctx context.Context) error {
	if err := c.start(ctx, "begin"); err != nil {
		return err
	}
	defer c.lock.release()
	if c.gone != 0 {
		return c.errGone("begin")
	}
	if err := c.session.begin(ctx); err != nil {
		return c.fail("begin", err)
	}
	c.begun = true
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
	return c.end(ctx, "end", disposition)
}

// end ends a transaction under the lock.
func (c *Conn) end(ctx context.Context, op string, disposition apdu.Disposition) error {
	err := c.session.end(ctx, disposition)
	if err == nil {
		c.begun = false
		return nil
	}
	e := c.fail(op, err)
	if c.begun && !c.lost && e.Code != SCARD_E_NOT_TRANSACTED {
		// The service may keep the transaction, as pcscd does when it knows of a reset,
		// and with it all others out: give the connection back.
		_ = c.session.disconnect(ctx, apdu.LeaveCard) // there is no card to tell about
		c.session.close()
		c.lost = true
	}
	c.begun = false
	return e
}

// Status returns nil when the service thinks that the card is there and was not
// reset, else the error that Transmit would return. The service learns of a
// removal up to half a second late.
func (c *Conn) Status(ctx context.Context) error {
	if err := c.start(ctx, "status"); err != nil {
		return err
	}
	defer c.lock.release()
	if c.gone != 0 {
		return c.errGone("status")
	}
	if err := c.session.status(ctx); err != nil {
		return c.fail("status", err)
	}
	return nil
}

// Transaction calls f between Begin and End, which always comes, whether f returns an
// error or panics. disposition says what happens to the card at the end.
//
// It returns the error of f, else that of Begin or End. When the card was reset or
// removed during f, or the service lost, there is no transaction left to end, and the
// error of f is the one that tells.
func (c *Conn) Transaction(ctx context.Context, disposition apdu.Disposition, f func() error) (err error) {
	if err := c.Begin(ctx); err != nil {
		return err
	}
	defer func() {
		if endErr := c.End(disposition); err == nil {
			err = endErr
		}
	}()
	return f()
}

// Reconnect implements [apdu.Reconnecter]. It brings back a connection after
// [apdu.ErrReset], [apdu.ErrRemoved] and [apdu.ErrRetired], but for Close. What was
// selected and verified is gone, and so is a transaction; the card may be another one:
// compare [Conn.ATR], select and verify again.
//
// After a reset it takes the card as it is; after a removal it resets the card that is
// there now, for which the service must have noticed that the other is out: within half a
// second. Where the connection to the service was lost (the service was stopped or
// restarted, a call was given up) or the reader was plugged in again, a new one is made,
// to the reader of the same name. Without a card, or without the reader, the error is an
// [apdu.ErrRemoved]; without the service an [apdu.ErrRetired]. Then c is as it was, and
// Reconnect can be tried again.
func (c *Conn) Reconnect(ctx context.Context) error {
	if err := c.startAgain(ctx, "reconnect"); err != nil {
		return err
	}
	defer c.lock.release()
	if c.gone == SCARD_W_REMOVED_CARD {
		return c.reconnectRemoved(ctx)
	}
	return c.reconnect(ctx, "reconnect", c.opts, apdu.LeaveCard)
}

// noticeDelay is how long pcscd may take to see that a card is out: it looks every 0.4 s.
const noticeDelay = 500 * time.Millisecond

// reconnectRemoved resets the card that is there now, once the service has seen the
// other one go and this one come. A reset before that confuses pcscd 1.9.9: a card that
// is put in then is not there to it, or one that is taken out then is there, for as long
// as nobody resets it; and one that it sees come later loses its state in silence.
func (c *Conn) reconnectRemoved(ctx context.Context) error {
	const op = "reconnect"
	if !c.lost {
		if err := c.untilNoticed(ctx); err != nil {
			return newError(op, c.reader, err)
		}
		readers, err := c.session.readers(ctx)
		if r, ok := find(readers, c.reader); err == nil && ok && !r.State.Present() {
			return c.fail(op, SCARD_E_NO_SMARTCARD)
		}
	}
	return c.reconnect(ctx, op, c.opts, apdu.ResetCard)
}

// untilNoticed waits until the service says that the card is gone, but no longer than it
// may take to see that: a card that was put in again so quickly was never away to it.
func (c *Conn) untilNoticed(ctx context.Context) error {
	for deadline := time.Now().Add(noticeDelay); time.Now().Before(deadline); {
		if err := c.session.status(ctx); err != nil {
			return nil // that, or what reconnecting says too
		}
		if err := pause(ctx, 5); err != nil {
			return err
		}
	}
	return nil
}

// Reset resets the card: apdu.ResetCard is a warm reset, apdu.UnpowerCard a cold one.
// Other programs notice, as [apdu.ErrReset]; this connection goes on, with nothing
// selected or verified. It waits while another program holds a transaction.
func (c *Conn) Reset(ctx context.Context, how apdu.Disposition) error {
	if how != apdu.ResetCard && how != apdu.UnpowerCard {
		return &Error{Op: "reset", Reader: c.reader, Code: SCARD_E_INVALID_VALUE, Kind: apdu.ErrNotSent, Remedy: "use ResetCard or UnpowerCard"}
	}
	if err := c.startAgain(ctx, "reset"); err != nil {
		return err
	}
	defer c.lock.release()
	return c.reconnect(ctx, "reset", c.opts, how)
}

// Change reconnects with other options, which are those of [Context.Connect]; opts may
// be nil. initialization says what happens to the card: a protocol can be exchanged for
// another only with ResetCard or UnpowerCard, otherwise LeaveCard keeps what is selected
// and verified. When it fails the options stay as they were.
func (c *Conn) Change(ctx context.Context, opts *ConnectOptions, initialization apdu.Disposition) error {
	if opts == nil {
		opts = &ConnectOptions{}
	}
	if initialization > apdu.UnpowerCard {
		return &Error{Op: "change", Reader: c.reader, Code: SCARD_E_INVALID_VALUE, Kind: apdu.ErrNotSent, Remedy: "use LeaveCard, ResetCard or UnpowerCard"}
	}
	if err := c.startAgain(ctx, "change"); err != nil {
		return err
	}
	defer c.lock.release()
	return c.reconnect(ctx, "change", *opts, initialization)
}

// Eject has the reader eject the card, where it can: few do. The card is then gone.
func (c *Conn) Eject(ctx context.Context) error {
	if err := c.start(ctx, "eject"); err != nil {
		return err
	}
	defer c.lock.release()
	if c.gone != 0 {
		return c.errGone("eject")
	}
	if err := c.session.begin(ctx); err != nil {
		return c.fail("eject", err)
	}
	c.begun = true
	err := c.end(ctx, "eject", apdu.EjectCard)
	if errors.Is(err, SCARD_E_NOT_TRANSACTED) {
		// Said of a reader that cannot, and of one that was so quick that the
		// transaction ended with the card.
		if readers, listErr := c.session.readers(ctx); listErr == nil {
			if r, ok := find(readers, c.reader); ok && !r.State.Present() {
				err = nil
			}
		}
	}
	if err == nil {
		c.gone = SCARD_W_REMOVED_CARD
	}
	return err
}

// reconnect does it under the lock.
func (c *Conn) reconnect(ctx context.Context, op string, opts ConnectOptions, initialization apdu.Disposition) error {
	if !c.lost {
		err := c.takeOver(ctx, op, opts, initialization)
		var e *Error
		if err == nil || !errors.As(err, &e) {
			return err
		}
		switch e.Code {
		case SCARD_E_READER_UNAVAILABLE, SCARD_E_UNKNOWN_READER, SCARD_E_INVALID_HANDLE, SCARD_E_INVALID_VALUE,
			SCARD_F_COMM_ERROR, SCARD_E_NO_SERVICE, SCARD_E_SERVICE_STOPPED:
			// The handle is of no use any more: a reader that was plugged in again, or
			// a service that was restarted, has another one for us.
		default:
			return err
		}
		c.lost = true
		c.session.close()
	}
	before := c.opts
	c.opts = opts
	err := c.connect(ctx, op)
	if err == nil && op != "reconnect" && initialization != apdu.LeaveCard {
		err = c.takeOver(ctx, op, opts, initialization)
	}
	if err != nil {
		c.opts = before
	}
	return err
}

// takeOver reconnects with the handle there is.
func (c *Conn) takeOver(ctx context.Context, op string, opts ConnectOptions, initialization apdu.Disposition) error {
	active, err := c.session.reconnect(ctx, opts.share(), opts.protocols(), initialization)
	if err != nil {
		return c.fail(op, err)
	}
	if c.opts.Share == ShareExclusive && opts.Share != ShareExclusive {
		// pcscd goes on to keep others out, as in a transaction, until that is ended.
		if err := c.session.end(ctx, apdu.LeaveCard); err != nil && serviceGone(err) {
			return c.fail(op, err)
		}
	}
	c.opts, c.active, c.gone = opts, active, 0
	return c.describe(ctx, op)
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
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	defer s.close()
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
	err := s.disconnect(ctx, c.opts.Disposition)
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
	err := c.startAgain(ctx, op)
	switch {
	case err != nil:
		return err
	case c.lost && c.gone != 0:
		err = c.errGone(op)
	case c.lost:
		err = &Error{Op: op, Reader: c.reader, Kind: apdu.ErrRetired, Err: apdu.ErrNotSent, Remedy: whatIsLost}
	default:
		return nil
	}
	c.lock.release()
	return err
}

// startAgain is start for what can be done with a lost connection.
func (c *Conn) startAgain(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return newError(op, c.reader, &waitError{err})
	}
	if err := c.lock.acquire(ctx); err != nil {
		return newError(op, c.reader, err)
	}
	if c.closed.Load() {
		c.lock.release()
		return c.errClosed(op)
	}
	return nil
}

// fail makes the error of a call and notes what it says about c.
func (c *Conn) fail(op string, err error) *Error {
	e := newError(op, c.reader, err)
	switch {
	case errors.Is(e.Kind, apdu.ErrRetired):
		c.lost = true
		c.session.close()
	case errors.Is(e.Kind, apdu.ErrRemoved):
		c.gone = SCARD_W_REMOVED_CARD
	case errors.Is(e.Kind, apdu.ErrReset):
		c.gone = e.Code
	}
	return e
}

func (c *Conn) errClosed(op string) error {
	return &Error{Op: op, Reader: c.reader, Kind: apdu.ErrRetired, Err: apdu.ErrNotSent, Remedy: "the connection was closed: open a new one"}
}

// errGone is the error of a call that is not made because the card, or what it knew, is
// gone.
func (c *Conn) errGone(op string) error {
	e := &Error{Op: op, Reader: c.reader, Code: c.gone, Kind: kind(op, c.gone)}
	e.Remedy = remedy(e, nil)
	return e
}
