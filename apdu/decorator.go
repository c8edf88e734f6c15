package apdu

import (
	"context"
	"errors"
	"fmt"
)

// A Decorator passes everything through to a [Transmitter], its optional
// companions too. Types that watch or change exchanges embed it and write their
// own Transmit.
//
// Where the Transmitter has no [Transactor], Begin and End do nothing; where it
// is not [Described], ATR and Limits return zero values; where it has no
// [Reconnecter], Reconnect returns an error that Is [errors.ErrUnsupported], and so do
// VerifyPIN and ModifyPIN where it has no [PINPad].
//
// It is used by one goroutine at a time, as the Transmitter is.
type Decorator struct {
	Transmitter
}

var (
	_ Transactor  = Decorator{}
	_ Described   = Decorator{}
	_ Reconnecter = Decorator{}
	_ PINPad      = Decorator{}
)

// Begin begins a transaction, see [Transactor].
func (d Decorator) Begin(ctx context.Context) error {
	if t, ok := d.Transmitter.(Transactor); ok {
		return t.Begin(ctx)
	}
	return nil
}

// End ends a transaction, see [Transactor].
func (d Decorator) End(disposition Disposition) error {
	if t, ok := d.Transmitter.(Transactor); ok {
		return t.End(disposition)
	}
	return nil
}

// ATR returns the answer to reset, see [Described].
func (d Decorator) ATR() []byte {
	if t, ok := d.Transmitter.(Described); ok {
		return t.ATR()
	}
	return nil
}

// Limits returns what can be carried, see [Described].
func (d Decorator) Limits() Limits {
	if t, ok := d.Transmitter.(Described); ok {
		return t.Limits()
	}
	return Limits{}
}

// Reconnect accepts a reset, see [Reconnecter].
func (d Decorator) Reconnect(ctx context.Context) error {
	if t, ok := d.Transmitter.(Reconnecter); ok {
		return t.Reconnect(ctx)
	}
	return fmt.Errorf("apdu: this transport cannot be connected again, open a new one: %w", errors.ErrUnsupported)
}

// errNoPINPad is what a transport without a keypad answers.
var errNoPINPad = fmt.Errorf("apdu: this reader has no keypad: %w: %w", errors.ErrUnsupported, ErrNotSent)

// VerifyPIN has the user enter a PIN on the reader, see [PINPad].
func (d Decorator) VerifyPIN(ctx context.Context, v *PINVerify) (Response, error) {
	if p, ok := d.Transmitter.(PINPad); ok {
		return p.VerifyPIN(ctx, v)
	}
	return Response{}, errNoPINPad
}

// ModifyPIN has the user enter a new PIN on the reader, see [PINPad].
func (d Decorator) ModifyPIN(ctx context.Context, m *PINModify) (Response, error) {
	if p, ok := d.Transmitter.(PINPad); ok {
		return p.ModifyPIN(ctx, m)
	}
	return Response{}, errNoPINPad
}

// A Tracer is a [Transmitter] that tells every exchange in words, as [Explain]
// puts it, without secrets. Errors of the transport are told too.
type Tracer struct {
	Decorator
	line  func(string)
	words *Vocabulary
}

// Trace returns a Tracer around t. line is called after each exchange, with one
// line without an end of line, by the goroutine that made the exchange.
func Trace(t Transmitter, line func(string)) *Tracer {
	return (*Vocabulary)(nil).Trace(t, line)
}

// Trace is the function [Trace] with the words of v.
func (v *Vocabulary) Trace(t Transmitter, line func(string)) *Tracer {
	return &Tracer{Decorator: Decorator{t}, line: line, words: v}
}

// Transmit passes command on and tells what came of it.
func (t *Tracer) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	n := len(dst)
	out, err := t.Decorator.Transmit(ctx, dst, command)
	switch {
	case err != nil:
		t.line(t.words.Explain(command, nil) + " → " + err.Error())
	case len(out) <= n:
		t.line(t.words.Explain(command, nil) + " → nothing")
	default:
		t.line(t.words.Explain(command, out[n:len(out):len(out)]))
	}
	return out, err
}

// Reconnect passes on and tells what came of it.
func (t *Tracer) Reconnect(ctx context.Context) error {
	err := t.Decorator.Reconnect(ctx)
	if err != nil {
		t.line("connect again → " + err.Error())
	} else {
		t.line("connected again")
	}
	return err
}
