package card

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// Options describes a card. The zero value, and a nil pointer, are ready to use.
type Options struct {
	// HistoricalBytes stand in the ATR after the card capabilities, as a
	// COMPACT-TLV object of card issuer data; at most 8 bytes. Nil means
	// "cardoki".
	HistoricalBytes []byte
	// ATR replaces the answer to reset that the card makes from its own
	// capabilities, at most 33 bytes. It must not promise what the card can't.
	ATR []byte
	// ShortOnly makes a card without extended length fields.
	ShortOnly bool
	// Channels is the number of logical channels, the basic one included, 1 to
	// 20. 0 means 4.
	Channels int
	// Implicit is the application that is selected on the basic channel after
	// power on and reset, and on a channel that is opened from the basic one. The
	// zero value means none: a program must select first.
	Implicit iso7816.AID
	// Contactless makes a card that is used through its contactless interface: its
	// ATR is the one a reader makes for it, and applications can have other rules.
	Contactless bool
	// Store keeps what must survive power off. Nil means a new memory store.
	Store Store
	// Rand is the card's source of randomness. Nil means crypto/rand.Reader.
	// Another one is for tests that need the same bytes each time.
	Rand io.Reader
	// Now is the card's clock. Nil means time.Now.
	Now func() time.Time
}

// defaultChannels is the number of logical channels of a card whose Options name
// none: what the first interindustry class can address.
const defaultChannels = 4

// ErrNoPower is returned, together with [apdu.ErrRemoved], by Transmit of a card
// that is powered off.
var ErrNoPower = errors.New("card: no power")

// A Card is a card in software. It implements [apdu.Transmitter],
// [apdu.Described] and the power switch that a virtual reader needs. It is safe
// for concurrent use.
type Card struct {
	atr  []byte
	opts Options
	apps []Application

	lock     chan struct{} // holds one token when free; guards what follows
	powered  bool
	channels []channel // by number; the basic one is always open
	retired  []Session // to be closed at the end of the command

	command apdu.Command // the one that is being answered
	chain   chain
	w       ResponseWriter
	rest    remainder
}

var (
	_ apdu.Transmitter = (*Card)(nil)
	_ apdu.Described   = (*Card)(nil)
)

// New returns a card that holds apps, powered on. It panics when two applications
// have the same AID, the options make no ATR, or they name an implicit application
// that is not there or more channels than there can be.
func New(opts *Options, apps ...Application) *Card {
	c := &Card{apps: apps, lock: make(chan struct{}, 1), powered: true}
	c.lock <- struct{}{}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Channels == 0 {
		c.opts.Channels = defaultChannels
	}
	if c.opts.Store == nil {
		c.opts.Store = NewMemoryStore()
	}
	if c.opts.Rand == nil {
		c.opts.Rand = rand.Reader
	}
	if c.opts.Now == nil {
		c.opts.Now = time.Now
	}
	if n := c.opts.Channels; n < 1 || n > apdu.MaxChannel+1 {
		panic(fmt.Sprintf("card: %d logical channels are not in 1..%d", n, apdu.MaxChannel+1))
	}
	names := map[iso7816.AID]bool{}
	for _, a := range apps {
		if names[a.AID()] {
			panic(fmt.Sprintf("card: two applications have the AID %v", a.AID()))
		}
		names[a.AID()] = true
	}
	if c.opts.Implicit != (iso7816.AID{}) && !names[c.opts.Implicit] {
		panic(fmt.Sprintf("card: no application has the AID %v of Options.Implicit", c.opts.Implicit))
	}
	c.channels = make([]channel, c.opts.Channels)
	for i := range c.channels {
		c.channels[i].number = i
	}
	c.channels[0].open = true
	c.atr = makeATR(&c.opts)
	return c
}

// ATR returns the answer to reset. The caller must not modify it.
func (c *Card) ATR() []byte { return c.atr }

// Limits returns what the card takes: whole extended APDUs, unless it was made
// with ShortOnly.
func (c *Card) Limits() apdu.Limits {
	l := apdu.Limits{Protocol: apdu.ProtocolT1, MaxCommand: apdu.MaxCommandSize, MaxResponse: apdu.MaxResponseSize}
	if c.opts.ShortOnly {
		l.MaxCommand, l.MaxResponse = 4+1+255+1, 256+2
	}
	return l
}

// PowerOn gives the card power, if it has none. Nothing is selected but
// Options.Implicit.
func (c *Card) PowerOn() {
	<-c.lock
	c.powered = true
	c.lock <- struct{}{}
}

// PowerOff takes the power away: selections, security status, logical channels
// and unfinished chains are gone. It waits for a command under way.
func (c *Card) PowerOff() {
	<-c.lock
	c.forget()
	c.powered = false
	c.lock <- struct{}{}
}

// Reset resets the card: as PowerOff and PowerOn.
func (c *Card) Reset() {
	<-c.lock
	c.forget()
	c.powered = true
	c.lock <- struct{}{}
}

// forget drops all that is not in the store.
func (c *Card) forget() {
	for i := range c.channels {
		c.retire(c.channels[i].take())
		c.channels[i].open = i == 0
	}
	c.closeRetired()
	c.chain.end()
	c.endResponse()
	for _, a := range c.apps {
		if p, ok := a.(Powered); ok {
			p.PowerOff()
		}
	}
}

// Transmit answers a command APDU. A malformed one is answered with 6700, as by
// a card, unless it is shorter than its header or longer than any command: that is
// an error that Is [apdu.ErrNotSent]. When ctx ends while another command is under
// way the error Is [apdu.ErrNotSent] too; while the command itself is under way,
// only sessions that wait for something end early.
func (c *Card) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if len(command) < apdu.HeaderSize {
		_, err := apdu.ParseCommand(command)
		return dst, fmt.Errorf("card: %w: %w", apdu.ErrNotSent, err)
	}
	if len(command) > apdu.MaxCommandSize {
		return dst, fmt.Errorf("card: %w: %w", apdu.ErrNotSent, &apdu.LengthError{Field: "command", Value: len(command), Max: apdu.MaxCommandSize})
	}
	if err := ctx.Err(); err != nil {
		return dst, fmt.Errorf("card: %w: %w", apdu.ErrNotSent, context.Cause(ctx))
	}
	select {
	case <-c.lock:
	case <-ctx.Done():
		return dst, fmt.Errorf("card: %w: %w", apdu.ErrNotSent, context.Cause(ctx))
	}
	defer func() { c.lock <- struct{}{} }()
	if !c.powered {
		return dst, fmt.Errorf("%w: %w", apdu.ErrRemoved, ErrNoPower)
	}
	data, sw := c.serve(ctx, command)
	c.closeRetired()
	c.command = apdu.Command{} // it aliases what is the caller's
	dst = append(dst, data...)
	dst = append(dst, sw.SW1(), sw.SW2())
	if len(c.rest.data) == 0 {
		c.endResponse()
	}
	return dst, nil
}
