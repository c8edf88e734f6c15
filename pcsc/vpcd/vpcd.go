package vpcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// DefaultAddress is where the driver listens as its packages configure it.
const DefaultAddress = "127.0.0.1:35963"

// maxFrame is the longest body of a frame, in bytes.
const maxFrame = 0xFFFF

// A Card is what a reader needs of a card: contacts for power and reset, and an
// exchange of commands and responses. PowerOn and Reset are followed by an answer
// to reset; a card without power gets no command.
type Card interface {
	apdu.Transmitter
	ATR() []byte // 2 to 33 bytes
	PowerOn()
	PowerOff()
	Reset()
}

// ErrReaderGone reports that the reader closed the connection: pcscd was stopped,
// the driver has a card already, or it ejected this one. It wraps io.EOF.
var ErrReaderGone = fmt.Errorf("vpcd: reader closed the connection: %w", io.EOF)

// Options are settings of [DialAndServe]. The zero value is useful.
type Options struct {
	// Redial makes it dial again, after a short while, when nobody listens and
	// when the reader has closed the connection.
	Redial bool
}

// Delays before the driver is dialled again.
const (
	// redialDelay is for one that was not there.
	redialDelay = 50 * time.Millisecond
	// noticeDelay is for one that had the card: pcscd looks every 0.4 s, and a card that
	// is back before it looked was never away to it and to its programs, which would go on
	// as if a PIN were still verified.
	noticeDelay = 600 * time.Millisecond
)

// DialAndServe connects card to the driver that listens at address, such as
// [DefaultAddress], and serves it as [Serve] does. opts may be nil.
//
// It returns nil when ctx ended, the error of dialling, or that of Serve; with
// Options.Redial it returns only when ctx ended or the card itself failed.
func DialAndServe(ctx context.Context, address string, card Card, opts *Options) error {
	redial := opts != nil && opts.Redial
	for {
		served, err := dialAndServe(ctx, address, card)
		var fromCard *CardError
		switch {
		case ctx.Err() != nil:
			return nil
		case !redial, errors.As(err, &fromCard):
			return err
		}
		delay := redialDelay
		if served {
			delay = noticeDelay
		}
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// dialAndServe reports whether the reader had the card.
func dialAndServe(ctx context.Context, address string, card Card) (served bool, err error) {
	conn, err := dial(ctx, address)
	if err != nil {
		return false, err
	}
	return true, Serve(ctx, conn, card)
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("vpcd: no virtual reader (is pcscd running, with the driver vpcd?): %w", err)
	}
	return conn, nil
}

// A CardError reports that the card gave no response to a command. The card has
// then been taken out of the reader, which is all that a reader sees of a card that
// fails.
type CardError struct {
	Err error // what Transmit returned
}

// Error returns the reason.
func (e *CardError) Error() string { return "vpcd: card gave no response: " + e.Err.Error() }

// Unwrap returns what Transmit returned.
func (e *CardError) Unwrap() error { return e.Err }

// Serve is the card on conn, a connection to the driver, until ctx ends or the
// connection does. It always closes conn, and takes the power from the card at the
// end.
//
// It returns nil when ctx ended, as the caller wished; [ErrReaderGone] when the
// reader closed the connection; a [*CardError] when the card failed; and else an
// error of package net. The context given to the card is ctx.
func Serve(ctx context.Context, conn net.Conn, card Card) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer conn.Close()
	defer stop()
	defer card.PowerOff()
	err := (&server{conn: conn, card: card, acknowledge: quickACK(conn)}).serve(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// A server is one connection.
type server struct {
	conn        net.Conn
	card        Card
	acknowledge func() // makes the kernel acknowledge what it receives next at once
	header      [2]byte
	body        []byte
	answer      []byte
}

func (s *server) serve(ctx context.Context) error {
	defer func() { clear(s.body[:cap(s.body)]) }() // PINs come this way
	for {
		body, err := s.read()
		if err != nil {
			return err
		}
		answer, err := s.process(ctx, body)
		if err != nil {
			return err
		}
		if answer != nil {
			binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
			_, err = s.conn.Write(answer)
			clear(answer)
			if err != nil {
				return err
			}
		}
		clear(body)
	}
}

// read returns the body of the next frame.
func (s *server) read() ([]byte, error) {
	// The driver sends length and body in two packets and waits, by Nagle's
	// algorithm, for the first to be acknowledged: that takes 40 ms unless the
	// kernel is told otherwise, before each of them.
	s.acknowledge()
	if _, err := io.ReadFull(s.conn, s.header[:]); err != nil {
		if err == io.EOF {
			return nil, ErrReaderGone
		}
		return nil, fmt.Errorf("vpcd: reading a frame: %w", err)
	}
	n := int(binary.BigEndian.Uint16(s.header[:]))
	if n > cap(s.body) {
		s.body = make([]byte, n)
	}
	s.acknowledge()
	if _, err := io.ReadFull(s.conn, s.body[:n]); err != nil {
		return nil, fmt.Errorf("vpcd: reading a frame of %d bytes: %w", n, err)
	}
	return s.body[:n], nil
}

// Controls of the driver.
const (
	controlPowerOff = 0
	controlPowerOn  = 1
	controlReset    = 2
	controlATR      = 4
)

// process does what a frame asks for and returns the frame to answer with, its
// length not yet filled in, or nil.
func (s *server) process(ctx context.Context, body []byte) ([]byte, error) {
	answer := append(s.answer[:0], 0, 0)
	switch {
	case len(body) == 0:
		return nil, nil
	case len(body) > 1:
		var err error
		answer, err = s.card.Transmit(ctx, answer, body)
		switch {
		case errors.Is(err, apdu.ErrNotSent) && ctx.Err() == nil:
			// Two or three bytes, say: no program at the reader can take the card
			// out by sending what is no command.
			answer = append(answer, apdu.StatusWrongLength.SW1(), apdu.StatusWrongLength.SW2())
		case err != nil:
			return nil, &CardError{err}
		}
	case body[0] == controlATR:
		answer = append(answer, s.card.ATR()...)
	case body[0] == controlPowerOff:
		s.card.PowerOff()
		return nil, nil
	case body[0] == controlPowerOn:
		s.card.PowerOn()
		return nil, nil
	case body[0] == controlReset:
		s.card.Reset()
		return nil, nil
	default:
		return nil, fmt.Errorf("vpcd: unknown control %d", body[0])
	}
	s.answer = answer[:0]
	if n := len(answer) - 2; n > maxFrame {
		return nil, &CardError{&apdu.LengthError{Field: "response", Value: n, Max: maxFrame}}
	}
	return answer, nil
}
