package card

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
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
	// Store keeps what must survive power off. Nil means a new memory store.
	Store Store
	// Rand is the card's source of randomness. Nil means crypto/rand.Reader.
	// Another one is for tests that need the same bytes each time.
	Rand io.Reader
}

// ErrNoPower is returned, together with [apdu.ErrRemoved], by Transmit of a card
// that is powered off.
var ErrNoPower = errors.New("card: no power")

// maxChain is the longest data field that a chain may add up to, in bytes.
const maxChain = apdu.MaxExtendedNc

// A Card is a card in software. It implements [apdu.Transmitter],
// [apdu.Described] and the power switch that a virtual reader needs. It is safe
// for concurrent use.
type Card struct {
	atr  []byte
	opts Options
	apps []Application

	lock    chan struct{} // holds one token when free; guards what follows
	powered bool
	current Application
	session Session

	command   apdu.Command // the one that is being answered
	chain     apdu.Command // the chain so far; Data is chainData
	chainData []byte
	chaining  bool

	w      ResponseWriter
	rest   []byte      // of w.buf, for GET RESPONSE
	restSW apdu.Status // to be given with the last of rest
}

var (
	_ apdu.Transmitter = (*Card)(nil)
	_ apdu.Described   = (*Card)(nil)
)

// New returns a card that holds apps, powered on. It panics when two applications
// have the same AID or the options make no ATR.
func New(opts *Options, apps ...Application) *Card {
	c := &Card{apps: apps, lock: make(chan struct{}, 1), powered: true}
	c.lock <- struct{}{}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Store == nil {
		c.opts.Store = NewMemoryStore()
	}
	if c.opts.Rand == nil {
		c.opts.Rand = rand.Reader
	}
	names := map[iso7816.AID]bool{}
	for _, a := range apps {
		if names[a.AID()] {
			panic(fmt.Sprintf("card: two applications have the AID %v", a.AID()))
		}
		names[a.AID()] = true
	}
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

// PowerOn gives the card power, if it has none. Nothing is selected.
func (c *Card) PowerOn() {
	<-c.lock
	c.powered = true
	c.lock <- struct{}{}
}

// PowerOff takes the power away: selections, security status and unfinished
// chains are gone. It waits for a command under way.
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

func (c *Card) forget() {
	if c.session != nil {
		c.session.Close()
	}
	c.current, c.session = nil, nil
	c.endChain()
	c.endResponse()
}

func (c *Card) endChain() {
	clear(c.chainData)
	c.chain, c.chainData, c.chaining = apdu.Command{}, c.chainData[:0], false
}

func (c *Card) endResponse() {
	clear(c.w.buf)
	c.w = ResponseWriter{buf: c.w.buf[:0]}
	c.rest = nil
}

// Transmit answers a command APDU. A malformed one is answered with 6700, as by
// a card, unless it is shorter than its header or longer than any command: that is
// an error that Is [apdu.ErrNotSent]. When ctx ends while another command is under way the error
// Is [apdu.ErrNotSent] too; while the command itself is under way, only sessions
// that wait for something end early.
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
	c.command = apdu.Command{} // it aliases what is the caller's
	dst = append(dst, data...)
	dst = append(dst, sw.SW1(), sw.SW2())
	if len(c.rest) == 0 {
		c.endResponse()
	}
	return dst, nil
}

// serve answers one command APDU. The data is valid until the next.
func (c *Card) serve(ctx context.Context, b []byte) ([]byte, apdu.Status) {
	var err error
	c.command, err = apdu.ParseCommand(b)
	cmd := &c.command
	if err != nil || cmd.Extended && c.opts.ShortOnly {
		c.endChain()
		return nil, apdu.StatusWrongLength
	}
	switch {
	case cmd.Class == 0xFF, !cmd.Class.Interindustry() && !cmd.Class.Proprietary():
		return nil, apdu.StatusClassNotSupported
	case cmd.Class.Channel() != 0:
		return nil, apdu.StatusChannelNotSupported
	}
	if cmd.Instruction == apdu.InsGetResponse && cmd.Class.Interindustry() {
		c.endChain()
		return c.getResponse(cmd)
	}
	c.endResponse()
	whole, sw := c.join(cmd)
	if whole == nil {
		return nil, sw
	}
	sw = c.logical(ctx, whole)
	c.endChain()
	if c.w.overflow {
		return nil, apdu.StatusNoPreciseDiagnosis
	}
	return c.respond(c.w.buf, cmd.Ne, sw)
}

// join adds a command to its chain and returns the whole command when it is the
// last (ISO/IEC 7816-4:2013), else nil and the status for the link.
func (c *Card) join(cmd *apdu.Command) (*apdu.Command, apdu.Status) {
	same := c.chaining && cmd.Class.WithChained(false) == c.chain.Class &&
		cmd.Instruction == c.chain.Instruction && cmd.P1 == c.chain.P1 && cmd.P2 == c.chain.P2
	if c.chaining && !same {
		c.endChain() // another command ends a chain; what came of it is dropped
	}
	if !cmd.Class.Chained() && !c.chaining {
		return cmd, 0
	}
	if len(c.chainData)+len(cmd.Data) > maxChain {
		c.endChain()
		return nil, apdu.StatusWrongLength
	}
	c.chainData = append(c.chainData, cmd.Data...)
	c.chain, c.chaining = *cmd, true
	c.chain.Class = cmd.Class.WithChained(false)
	c.chain.Data = c.chainData
	if cmd.Class.Chained() {
		return nil, apdu.StatusOK
	}
	return &c.chain, 0
}

// logical answers a whole command by writing to c.w. It takes secure messaging
// off the command and puts it on the response.
func (c *Card) logical(ctx context.Context, cmd *apdu.Command) apdu.Status {
	if cmd.Class.SecureMessaging() == apdu.SMNone {
		return c.dispatch(ctx, cmd)
	}
	p, ok := c.session.(Protected)
	var sm iso7816.CardSecureMessaging
	if ok {
		sm = p.SecureMessaging()
	}
	if sm == nil {
		return apdu.StatusSecureMessagingNotSupported
	}
	plain, sw := sm.UnwrapCommand(nil, *cmd)
	if !sw.OK() {
		return sw
	}
	plain.Class = plain.Class.WithSecureMessaging(apdu.SMNone)
	sw = c.dispatch(ctx, &plain)
	r, err := sm.WrapResponse(nil, apdu.Response{Data: c.w.buf, Status: sw})
	if err != nil {
		c.endResponse()
		return apdu.StatusNoPreciseDiagnosis
	}
	plainData := c.w.buf
	c.w = ResponseWriter{}
	c.w.Write(r.Data)
	clear(plainData)
	return r.Status
}

func (c *Card) dispatch(ctx context.Context, cmd *apdu.Command) apdu.Status {
	if cmd.Class.Interindustry() {
		switch {
		case cmd.Instruction == apdu.InsSelect && cmd.P1 == 0x04:
			return c.selectApplication(cmd)
		case cmd.Instruction == apdu.InsManageChannel:
			return apdu.StatusFunctionNotSupported
		}
	}
	if c.session == nil {
		if cmd.Instruction == apdu.InsSelect {
			return apdu.StatusFileNotFound
		}
		return apdu.StatusConditionsNotSatisfied
	}
	return c.session.ServeAPDU(ctx, &c.w, cmd)
}

// selectApplication answers SELECT by DF name. A failed SELECT leaves the
// selected application as it was.
func (c *Card) selectApplication(cmd *apdu.Command) apdu.Status {
	if cmd.P2&0xF3 != 0 {
		// Occurrences other than the first are not kept apart here.
		return apdu.StatusFunctionNotSupported
	}
	app := c.find(cmd.Data)
	if app == nil {
		return apdu.StatusFileNotFound
	}
	if r, ok := c.session.(Reselecter); ok && app == c.current {
		return r.Reselect(&c.w)
	}
	s, err := app.Open(&Env{Channel: 0, Store: prefixed(c.opts.Store, app.AID().String()), Rand: c.opts.Rand})
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	sw := s.Select(&c.w)
	if !sw.OK() && !sw.Warning() {
		s.Close()
		return sw
	}
	if c.session != nil {
		c.session.Close()
	}
	c.current, c.session = app, s
	return sw
}

// minPartialAID is the shortest name that selects an application: a registered
// application provider identifier.
const minPartialAID = 5

func (c *Card) find(name []byte) Application {
	if len(name) < minPartialAID {
		return nil
	}
	for _, a := range c.apps {
		if a.AID().HasPrefix(name) {
			return a
		}
	}
	return nil
}

// respond gives the first ne bytes of data, and keeps the rest for GET RESPONSE
// with the status that belongs to the whole.
func (c *Card) respond(data []byte, ne int, sw apdu.Status) ([]byte, apdu.Status) {
	if len(data) <= ne {
		c.rest = nil
		return data, sw
	}
	c.rest, c.restSW = data[ne:], sw
	return data[:ne], apdu.StatusMoreAvailable | apdu.Status(min(len(c.rest), 256)&0xFF)
}

func (c *Card) getResponse(cmd *apdu.Command) ([]byte, apdu.Status) {
	switch {
	case len(c.rest) == 0:
		return nil, apdu.StatusConditionsNotSatisfied
	case cmd.P1 != 0 || cmd.P2 != 0:
		return nil, apdu.StatusIncorrectP1P2
	case len(cmd.Data) != 0 || cmd.Ne == 0:
		return nil, apdu.StatusWrongLength
	}
	return c.respond(c.rest, cmd.Ne, c.restSW)
}

// makeATR returns an ATR for T=1 with the card's capabilities in the historical
// bytes (ISO/IEC 7816-4:2013, 12.1.1).
func makeATR(o *Options) []byte {
	if o.ATR != nil {
		if len(o.ATR) < 2 || len(o.ATR) > iso7816.MaxATR {
			panic(fmt.Sprintf("card: an ATR of %d bytes is not in 2..%d", len(o.ATR), iso7816.MaxATR))
		}
		return bytes.Clone(o.ATR)
	}
	issuer := o.HistoricalBytes
	if issuer == nil {
		issuer = []byte("cardoki")
	}
	if len(issuer) > 8 {
		panic(fmt.Sprintf("card: %d historical bytes do not fit an ATR beside the card capabilities, at most 8 do", len(issuer)))
	}
	const (
		categoryIndicator = 0x80 // COMPACT-TLV objects and nothing else
		capabilities      = 7    // their tags
		issuerData        = 5
	)
	can := iso7816.CardCapabilities{
		Tables:     3,
		Selection:  iso7816.DFByFullName | iso7816.DFByPartialName,
		DataCoding: 0x01, // data units of one byte
		Functions:  iso7816.CommandChaining,
	}
	if !o.ShortOnly {
		can.Functions |= iso7816.ExtendedLengths
	}
	h := tlv.AppendCompact([]byte{categoryIndicator}, capabilities, can.AppendTo(nil))
	if len(issuer) > 0 {
		h = tlv.AppendCompact(h, issuerData, issuer)
	}
	atr, err := iso7816.NewATR(iso7816.DirectConvention, []iso7816.InterfaceBytes{{}, {Protocol: 1}}, h)
	if err != nil {
		panic(err.Error()) // 8 issuer bytes fit
	}
	b, _ := atr.AppendBinary(nil) // never an error
	return b
}
