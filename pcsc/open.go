package pcsc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/cardoki/cardoki/apdu"
)

// Open connects to a card. The reader is given by its exact name or by a part of it
// that no other reader's name has, in any case; when it is empty the only reader
// that holds a card is taken. opts may be nil.
//
// The error is an [*Error] that lists the readers there are: among others
// SCARD_E_NO_READERS_AVAILABLE, SCARD_E_UNKNOWN_READER when none or several fit,
// and SCARD_E_NO_SMARTCARD.
func Open(ctx context.Context, reader string, opts *ConnectOptions) (*Conn, error) {
	c, err := Establish(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	readers, err := c.Readers(ctx)
	if err != nil {
		return nil, err
	}
	name, err := choose(readers, reader)
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(ctx, name, opts)
	var e *Error
	if errors.As(err, &e) && e.Readers == nil {
		e.Readers = names(readers)
		e.Remedy = remedyAfterOpen(e)
	}
	return conn, err
}

// Cards yields the cards in all readers there are, for a program that looks for one by
// what it says, such as piv.Find: each Connect is [Context.Connect] to one reader. Readers
// without a card are left out. An error, when the service can't be reached, comes last.
// opts may be nil.
func Cards(ctx context.Context, opts *ConnectOptions) iter.Seq2[apdu.Connector, error] {
	return func(yield func(apdu.Connector, error) bool) {
		c, err := Establish(ctx, nil)
		if err != nil {
			yield(apdu.Connector{}, err)
			return
		}
		defer c.Close()
		c.Cards(ctx, opts)(yield)
	}
}

// Cards is the function [Cards] with the readers of c.
func (c *Context) Cards(ctx context.Context, opts *ConnectOptions) iter.Seq2[apdu.Connector, error] {
	return func(yield func(apdu.Connector, error) bool) {
		readers, err := c.Readers(ctx)
		if err != nil {
			yield(apdu.Connector{}, err)
			return
		}
		for _, r := range readers {
			if !r.State.Present() {
				continue
			}
			connect := func(ctx context.Context) (apdu.Conn, error) {
				conn, err := connectTo(ctx, c.opts, r.Name, opts)
				if err != nil {
					return nil, err // not a nil *Conn in an interface
				}
				return conn, nil
			}
			if !yield(apdu.Connector{Name: r.Name, Connect: connect}, nil) {
				return
			}
		}
	}
}

// remedyAfterOpen adds the readers to errors that speak of one.
func remedyAfterOpen(e *Error) string {
	if e.Code == SCARD_E_NO_SMARTCARD {
		return remedy(e, nil)
	}
	return e.Remedy
}

// choose picks a reader as [Open] says.
func choose(readers []Reader, want string) (string, error) {
	fail := func(code Code, why string) (string, error) {
		e := &Error{Op: "open", Reader: want, Code: code, Readers: names(readers)}
		if why != "" {
			e.Err = errors.New(why)
		}
		e.Remedy = remedy(e, nil)
		return "", e
	}
	if len(readers) == 0 {
		return fail(SCARD_E_NO_READERS_AVAILABLE, "")
	}
	if want != "" {
		if _, ok := find(readers, want); ok {
			return want, nil
		}
	}
	var fits []string
	for _, r := range readers {
		switch {
		case want == "" && r.State.Present(),
			want != "" && strings.Contains(strings.ToLower(r.Name), strings.ToLower(want)):
			fits = append(fits, r.Name)
		}
	}
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case want == "" && len(fits) == 0:
		return fail(SCARD_E_NO_SMARTCARD, "")
	case want == "":
		return fail(SCARD_E_UNKNOWN_READER, fmt.Sprintf("%d readers hold a card: name one of %q", len(fits), fits))
	case len(fits) == 0:
		return fail(SCARD_E_UNKNOWN_READER, "")
	}
	return fail(SCARD_E_UNKNOWN_READER, fmt.Sprintf("the name fits %q: say more of it", fits))
}
