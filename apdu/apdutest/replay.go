package apdutest

import (
	"context"
	"fmt"
	"io"

	"github.com/cardoki/cardoki/apdu"
)

// A Player is an [apdu.Transmitter] that answers as a transcript says. It has
// all the optional companions.
type Player struct {
	t    *transcript
	next int
}

var (
	_ apdu.Transmitter = (*Player)(nil)
	_ apdu.Transactor  = (*Player)(nil)
	_ apdu.Described   = (*Player)(nil)
	_ apdu.Reconnecter = (*Player)(nil)
)

// Replay reads a transcript to its end and returns a Player of it. The error is
// a [*TranscriptError], or that of r.
func Replay(r io.Reader) (*Player, error) {
	t, err := parseTranscript(r)
	if err != nil {
		return nil, err
	}
	return &Player{t: t}, nil
}

// A MismatchError reports something else than what the transcript has next. It
// shows the headers of commands, and no byte after them.
type MismatchError struct {
	Line      int    // of the transcript, counted from 1; 0 when it has ended
	Want, Got string // the event, or the header and the length of the command
	Offset    int    // where the commands begin to differ, -1 if that is not it
}

// Error says what was expected, what came and where they differ.
func (e *MismatchError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("apdutest: the transcript has ended, got %s; record it again if that is meant to be", e.Got)
	}
	s := fmt.Sprintf("apdutest: transcript line %d: want %s, got %s", e.Line, e.Want, e.Got)
	if e.Offset >= 0 {
		s += fmt.Sprintf(", they differ from offset %d on", e.Offset)
	}
	return s
}

// describe returns the header of a command and its length.
func describe(command []byte) string {
	return fmt.Sprintf("the command % X of %d bytes", command[:min(len(command), apdu.HeaderSize)], len(command))
}

func (e *event) describe() string {
	if e.what != "" {
		return e.what
	}
	return describe(e.command)
}

// peek returns the next event, or nil at the end.
func (p *Player) peek() *event {
	if p.next == len(p.t.events) {
		return nil
	}
	return &p.t.events[p.next]
}

// Transmit compares command with the next of the transcript and appends its
// response to dst, or returns its error. Anything else gives a [*MismatchError]
// and leaves the Player where it was.
func (p *Player) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return dst, fmt.Errorf("apdutest: not sent: %w", err)
	}
	if err := checkCommand(command); err != nil {
		return dst, err
	}
	e := p.peek()
	switch {
	case e == nil:
		return dst, &MismatchError{Got: describe(command), Offset: -1}
	case e.what != "":
		return dst, &MismatchError{Line: e.line, Want: e.describe(), Got: describe(command), Offset: -1}
	case string(e.command) != string(command):
		i := 0
		for i < len(command) && i < len(e.command) && command[i] == e.command[i] {
			i++
		}
		return dst, &MismatchError{Line: e.line, Want: e.describe(), Got: describe(command), Offset: i}
	}
	p.next++
	if e.err != nil {
		return dst, e.err
	}
	return append(dst, e.response...), nil
}

// checkCommand refuses what no Transmitter carries.
func checkCommand(command []byte) error {
	if len(command) == 0 || len(command) > apdu.MaxCommandSize {
		return &apdu.LengthError{Field: "command", Value: len(command), Max: apdu.MaxCommandSize}
	}
	return nil
}

// Begin succeeds, unless the transcript has a failure of it next.
func (p *Player) Begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("apdutest: no transaction: %w", err)
	}
	return p.optional(eventBegin)
}

// End succeeds, unless the transcript has a failure of it next.
func (p *Player) End(apdu.Disposition) error { return p.optional(eventEnd) }

func (p *Player) optional(what string) error {
	if e := p.peek(); e != nil && e.what == what {
		p.next++
		return e.err
	}
	return nil
}

// Reconnect returns what the transcript has next, which must be a reconnect.
func (p *Player) Reconnect(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("apdutest: not connected again: %w", err)
	}
	e := p.peek()
	if e == nil {
		return &MismatchError{Got: eventReconnect, Offset: -1}
	}
	if e.what != eventReconnect {
		return &MismatchError{Line: e.line, Want: e.describe(), Got: eventReconnect, Offset: -1}
	}
	p.next++
	return e.err
}

// ATR returns the ATR of the transcript, or nil.
func (p *Player) ATR() []byte { return p.t.atr }

// Limits returns the protocol and the limits of the transcript.
func (p *Player) Limits() apdu.Limits { return p.t.limits }

// Done returns an error unless the whole transcript was played.
func (p *Player) Done() error {
	if e := p.peek(); e != nil {
		return fmt.Errorf("apdutest: transcript line %d: %s was not played, nor %d after it", e.line, e.describe(), len(p.t.events)-p.next-1)
	}
	return nil
}
