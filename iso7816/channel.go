package iso7816

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cardoki/cardoki/apdu"
)

// A LengthForm says which length fields a [Channel] may use.
type LengthForm int

// The length forms.
const (
	// LengthAuto uses extended length fields where the data needs them and the
	// card announces them in its ATR or EF.ATR/INFO and the protocol has them, else short
	// commands, linked by command chaining.
	LengthAuto LengthForm = iota
	// LengthShort uses short commands, linked by command chaining.
	LengthShort
	// LengthExtended uses extended length fields where the data needs them,
	// whatever the ATR says.
	LengthExtended
)

// Options changes how a [Channel] works. The zero value, and a nil pointer, are
// ready to use.
type Options struct {
	// Length says which length fields may be used.
	Length LengthForm
	// Limits replaces, in each field that is not zero, what the transport tells of
	// itself and [Channel.ReadATRInfo] finds out of the card. Longer commands are
	// chained, longer responses fetched in parts. ProtocolT0 rules extended length
	// fields out.
	Limits apdu.Limits
	// MaxResponse is the longest response data, in bytes, that is collected for
	// one command. 0 means 65,536.
	MaxResponse int
	// MaxGetResponse is how many GET RESPONSE commands are sent for one command.
	// 0 means 1,024.
	MaxGetResponse int
	// OwnedChannel says that the transport has a logical channel to itself and puts
	// its number into CLA, as the operating systems of telephones do. Commands are
	// then passed on as they are.
	OwnedChannel bool
	// Profile is what the application does differently from the standard; see
	// [Channel.SetProfile].
	Profile *Profile
	// End is what happens to the card at the end of [Channel.Exclusive]. The zero
	// value leaves it as it is: a verified PIN then stays verified for every
	// program that can reach the card.
	End apdu.Disposition
}

// The defaults of Options.
const (
	defaultMaxResponse    = 65536
	defaultMaxGetResponse = 1024
)

// A Channel is a logical channel to a card (ISO/IEC 7816-4:2013, 5.4.1). It is
// safe for concurrent use: commands wait for each other.
type Channel struct {
	*shared
	number     int
	generation uint64 // that of shared when the channel was opened
	closed     atomic.Bool
	held       bool // the card's lock is ours: a Channel given to Exclusive's function

	// Under the card's lock:
	profile *Profile
	sm      SecureMessaging // nil: none
	smOver  error           // why the session ended; wraps ErrSecureMessaging
}

// shared is what all Channels of a card have in common. Its lock orders all
// commands of the card; everything below it is used only while it is held.
type shared struct {
	lock       chan struct{} // holds one token when free
	t          apdu.Transmitter
	opts       Options
	generation atomic.Uint64 // counts resets that were accepted

	extended bool
	limits   apdu.Limits

	// openChain is the class of a chain that a failure of the transport cut, without
	// its flags: the card may still wait for its last command.
	openChain apdu.Class
	chainCut  bool

	command []byte // encoded command
	plain   []byte // responses to links, and response data before unwrapping
}

// NewChannel returns the basic logical channel, number 0, of the card behind t.
// From then on nothing else may use t. opts may be nil; it is copied.
func NewChannel(t apdu.Transmitter, opts *Options) *Channel {
	s := &shared{lock: make(chan struct{}, 1), t: t}
	s.lock <- struct{}{}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.MaxResponse <= 0 {
		s.opts.MaxResponse = defaultMaxResponse
	}
	if s.opts.MaxGetResponse <= 0 {
		s.opts.MaxGetResponse = defaultMaxGetResponse
	}
	s.describe()
	return &Channel{shared: s, profile: s.opts.Profile}
}

// describe reads what the transport knows of the card and itself.
func (s *shared) describe() {
	d, ok := s.t.(apdu.Described)
	if ok {
		s.limits = d.Limits()
	}
	switch {
	case s.limits.Protocol == apdu.ProtocolT0 || s.opts.Length == LengthShort:
		s.extended = false
	case s.opts.Length == LengthExtended:
		s.extended = true
	default:
		s.extended = ok && announcesExtended(d.ATR())
	}
}

// ATR returns the card's answer to reset, or nil when the transport does not
// know it. The caller must not modify it.
func (ch *Channel) ATR() []byte {
	if d, ok := ch.t.(apdu.Described); ok {
		return d.ATR()
	}
	return nil
}

// SetSecureMessaging protects all later commands of ch by sm, or none when sm is
// nil. It must not be called while a command of ch is under way.
func (ch *Channel) SetSecureMessaging(sm SecureMessaging) { ch.sm, ch.smOver = sm, nil }

// SetProfile says what the application that is selected now does differently from
// the standard; nil means nothing. It must not be called while a command of ch is
// under way.
func (ch *Channel) SetProfile(p *Profile) { ch.profile = p }

func (ch *Channel) acquire(ctx context.Context) error {
	if ch.held {
		return nil
	}
	select {
	case <-ch.lock:
		return nil
	default:
	}
	select {
	case <-ch.lock:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("iso7816: waiting for another command of this program: %w", errors.Join(apdu.ErrNotSent, context.Cause(ctx)))
	}
}

func (ch *Channel) release() {
	if !ch.held {
		ch.lock <- struct{}{}
	}
}

// Exclusive calls f with a Channel whose commands nobody interrupts: no other
// goroutine of this program and, where the transport can keep them away (see
// [apdu.Transactor]), no other program. f uses tx, in one goroutine
// at a time, and never ch, which would wait for f for ever. Inside f, tx.Exclusive calls its function at once.
//
// At the end, also when f panics, the card is left as [Options] says. When that
// fails, and f did not, its error is returned: the commands of f were done.
//
// An error that Is [apdu.ErrReset] means that another program reset the card: f
// was not called, or stopped half-way; see [Channel.Reconnect].
func (ch *Channel) Exclusive(ctx context.Context, f func(tx *Channel) error) (err error) {
	if ch.held {
		return f(ch)
	}
	if err := ch.acquire(ctx); err != nil {
		return err
	}
	defer ch.release()
	if t, ok := ch.t.(apdu.Transactor); ok {
		if err := t.Begin(ctx); err != nil {
			return fmt.Errorf("iso7816: begin transaction: %w", err)
		}
		defer func() {
			if e := t.End(ch.opts.End); e != nil && err == nil {
				err = fmt.Errorf("iso7816: end transaction: %w", e)
			}
		}()
	}
	tx := &Channel{shared: ch.shared, number: ch.number, generation: ch.generation, held: true, profile: ch.profile, sm: ch.sm, smOver: ch.smOver}
	tx.closed.Store(ch.closed.Load())
	defer func() {
		tx.held = false
		ch.profile, ch.sm, ch.smOver = tx.profile, tx.sm, tx.smOver
		ch.closed.Store(tx.closed.Load())
	}()
	return f(tx)
}

// Reconnect accepts a reset of the card that another program caused, after an
// error that Is [apdu.ErrReset]. The selected application and every security
// status are gone, and secure messaging with them. It returns an error that Is
// [errors.ErrUnsupported] when the transport can't.
func (ch *Channel) Reconnect(ctx context.Context) error {
	r, ok := ch.t.(apdu.Reconnecter)
	if !ok {
		return fmt.Errorf("iso7816: reconnect: %w by this transport; open a new connection", errors.ErrUnsupported)
	}
	if err := ch.acquire(ctx); err != nil {
		return err
	}
	defer ch.release()
	if err := r.Reconnect(ctx); err != nil {
		return fmt.Errorf("iso7816: reconnect: %w", err)
	}
	ch.shared.generation.Add(1)
	ch.chainCut = false
	ch.sm, ch.smOver = nil, nil
	ch.describe()
	return nil
}
