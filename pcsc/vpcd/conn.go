package vpcd

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// Sizes in bytes.
const (
	minATR, maxATR = 2, 33 // ISO/IEC 7816-3
	minResponse    = 2     // SW1 and SW2
)

// A Conn is a reader with one card of somebody else in it, which came over the
// network: an [apdu.Transmitter] that also is [apdu.Described]. The card has power.
//
// Its errors are of these kinds: [apdu.ErrRemoved] when the card has gone, by
// closing the connection; [apdu.ErrRetired] when a call was given up or the card
// does not keep to the protocol; both are final. [apdu.ErrNotSent] is there too when
// the command did not reach the card.
//
// When the context of a call ends during the exchange, the connection is closed,
// since the answer could not be told from that to the next command: the card sees
// that its reader is gone, and what it was told is not recalled.
//
// A Conn is used by one goroutine at a time, except for [Conn.Close].
type Conn struct {
	conn        net.Conn
	acknowledge func()
	atr         []byte
	frame       []byte // the last one sent
	header      [2]byte
	closed      atomic.Bool
	end         error // apdu.ErrRemoved or apdu.ErrRetired, once a call has closed it
}

// NewConn makes the other end of conn a card in a reader: it powers the card on and
// asks it for its answer to reset, for as long as ctx allows. The Conn owns conn,
// and has closed it when an error is returned.
func NewConn(ctx context.Context, conn net.Conn) (*Conn, error) {
	c := &Conn{conn: conn, acknowledge: quickACK(conn)}
	if err := c.PowerOn(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// ATR returns the card's last answer to reset. The caller must not modify it.
func (c *Conn) ATR() []byte { return c.atr }

// Limits returns what fits a frame: 65,535 bytes of command or response. Commands of
// all cases are carried whole, as T=1 does.
func (c *Conn) Limits() apdu.Limits {
	return apdu.Limits{Protocol: apdu.ProtocolT1, MaxCommand: maxFrame, MaxResponse: maxFrame}
}

// RemoteAddr returns where the card is.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Transmit sends a command of 4 to 65,535 bytes to the card and appends the response
// to dst; a longer one is an error that wraps [apdu.ErrNotSent] and an
// [*apdu.LengthError]. The copy of the command that is made for sending is cleared.
func (c *Conn) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	const op = "transmit"
	switch n := len(command); {
	case n < apdu.HeaderSize:
		// A single byte would be a control.
		return dst, fmt.Errorf("vpcd: %s: %w: command of %d bytes is shorter than a header", op, apdu.ErrNotSent, n)
	case n > maxFrame:
		return dst, fmt.Errorf("vpcd: %s: %w: %w", op, apdu.ErrNotSent, &apdu.LengthError{Field: "command", Value: n, Max: maxFrame})
	}
	return c.exchange(ctx, op, dst, command, minResponse, maxFrame)
}

// PowerOn powers the card on and reads its answer to reset.
func (c *Conn) PowerOn(ctx context.Context) error { return c.contacts(ctx, "power on", controlPowerOn) }

// Reset resets the card, which keeps its power, and reads its answer to reset.
func (c *Conn) Reset(ctx context.Context) error { return c.contacts(ctx, "reset", controlReset) }

// PowerOff takes the power from the card. Nothing tells when it has done so: it has
// no answer. A command to a card without power is answered as the card likes.
func (c *Conn) PowerOff(ctx context.Context) error {
	_, err := c.exchange(ctx, "power off", nil, []byte{controlPowerOff}, 0, -1)
	return err
}

// Status asks whether the card is still there, which reads its answer to reset; nil
// means that it is.
func (c *Conn) Status(ctx context.Context) error { return c.readATR(ctx, "status") }

func (c *Conn) contacts(ctx context.Context, op string, control byte) error {
	if _, err := c.exchange(ctx, op, nil, []byte{control}, 0, -1); err != nil {
		return err
	}
	return c.readATR(ctx, op)
}

func (c *Conn) readATR(ctx context.Context, op string) error {
	atr, err := c.exchange(ctx, op, nil, []byte{controlATR}, minATR, maxATR)
	if err == nil {
		c.atr = atr
	}
	return err
}

// Close closes the connection, by which the card is taken out of this reader. A call
// that is running ends at once with an error. It may be called by any goroutine, at
// any time and repeatedly.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.conn.Close()
}

// exchange sends a frame and appends to dst what comes back, at least and at most
// that many bytes; nothing is expected when most is negative.
func (c *Conn) exchange(ctx context.Context, op string, dst, body []byte, least, most int) ([]byte, error) {
	if c.closed.Load() {
		return dst, fmt.Errorf("vpcd: %s: %w: %w: accept another card", op, apdu.ErrNotSent, cmp.Or(c.end, apdu.ErrRetired))
	}
	var stop func() bool
	var cut chan struct{}
	if ctx.Done() != nil {
		if err := ctx.Err(); err != nil {
			return dst, fmt.Errorf("vpcd: %s: %w: %w", op, apdu.ErrNotSent, err)
		}
		cut = make(chan struct{})
		stop = context.AfterFunc(ctx, func() {
			c.conn.SetDeadline(time.Unix(1, 0))
			close(cut)
		})
	}
	out, err := c.roundTrip(dst, body, least, most)
	if stop != nil && !stop() {
		<-cut
		if err == nil {
			c.conn.SetDeadline(time.Time{}) // the answer was there first
		}
	}
	if err != nil {
		return dst, c.retire(ctx, op, err)
	}
	return out, nil
}

// roundTrip is exchange without its context.
func (c *Conn) roundTrip(dst, body []byte, least, most int) ([]byte, error) {
	c.frame = binary.BigEndian.AppendUint16(c.frame[:0], uint16(len(body)))
	c.frame = append(c.frame, body...)
	defer clear(c.frame) // PINs go this way
	if _, err := c.conn.Write(c.frame); err != nil {
		return dst, err
	}
	if most < 0 {
		return dst, nil
	}
	c.acknowledge() // see server.read
	if _, err := io.ReadFull(c.conn, c.header[:]); err != nil {
		return dst, err
	}
	n := int(binary.BigEndian.Uint16(c.header[:]))
	if n < least || n > most {
		return dst, &FrameError{Length: n, Min: least, Max: most}
	}
	c.acknowledge()
	return appendFrom(dst, c.conn, n)
}

// appendFrom appends n bytes from r to dst, which grows with what has come, not with
// what was announced.
func appendFrom(dst []byte, r io.Reader, n int) ([]byte, error) {
	out := dst
	for n > 0 {
		out = slices.Grow(out, min(n, 4096))
		m, err := io.ReadFull(r, out[len(out):min(cap(out), len(out)+n)])
		out, n = out[:len(out)+m], n-m
		if err != nil {
			clear(out[len(dst):])
			return dst, err
		}
	}
	return out, nil
}

// A FrameError reports a card that answers what is no answer.
type FrameError struct {
	Length   int // announced by the card, in bytes
	Min, Max int // what the answer may have
}

// Error returns the length and its bounds.
func (e *FrameError) Error() string {
	return fmt.Sprintf("vpcd: card answers with %d bytes, not %d to %d", e.Length, e.Min, e.Max)
}

// retire closes the connection and says why.
func (c *Conn) retire(ctx context.Context, op string, err error) error {
	kind := apdu.ErrRemoved
	var malformed *FrameError
	switch {
	case c.closed.Load():
		return fmt.Errorf("vpcd: %s: %w: connection was closed during the call", op, apdu.ErrRetired)
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		kind, err = apdu.ErrRetired, ctx.Err()
	case errors.As(err, &malformed):
		kind = apdu.ErrRetired
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = io.EOF
	}
	c.end = kind
	c.Close()
	return fmt.Errorf("vpcd: %s: %w: %w", op, kind, err)
}
