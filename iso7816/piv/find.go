package piv

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// A Match says which card [Find] looks for: one that fits all the fields that are set.
// The zero value fits every PIV card.
type Match struct {
	Serial      string            // as Client.Serial returns it
	GUID        [16]byte          // of the CHUID
	PublicKey   crypto.PublicKey  // of a key in any slot
	Certificate *x509.Certificate // in any slot
}

// A Found is a card that [Find] has looked at.
type Found struct {
	Name   string // of the reader
	Serial string // as Client.Serial returns it; empty when the card is none, or has none
	Reason error  // why it is not the one; nil when it fits
}

// A FindError reports that no card fits, or more than one does.
type FindError struct {
	Cards   []Found // all cards that were looked at, in their order
	Fitting int     // how many of them fit
}

// Error lists the cards.
func (e *FindError) Error() string {
	var b strings.Builder
	switch {
	case len(e.Cards) == 0:
		return "piv: no card in any reader; insert one"
	case e.Fitting == 0:
		b.WriteString("piv: no card fits")
	default:
		fmt.Fprintf(&b, "piv: %d cards fit; take out all but one, or name one by its serial number", e.Fitting)
	}
	sep := ": "
	for _, f := range e.Cards {
		if e.Fitting > 0 && f.Reason != nil {
			continue
		}
		fmt.Fprintf(&b, "%s%s", sep, f.Name)
		if f.Serial != "" {
			fmt.Fprintf(&b, " (serial number %s)", f.Serial)
		}
		if f.Reason != nil {
			fmt.Fprintf(&b, ": %v", f.Reason)
		}
		sep = "; "
	}
	return b.String()
}

// Unwrap returns why the cards do not fit.
func (e *FindError) Unwrap() []error {
	var errs []error
	for _, f := range e.Cards {
		if f.Reason != nil {
			errs = append(errs, f.Reason)
		}
	}
	return errs
}

// errNoFit is why a PIV card is not the one that a Match is for.
var errNoFit = errors.New("it is another card")

// Find opens the one PIV card among cards, such as pcsc.Cards lists, that fits match.
// Readers whose card is no PIV card, or can't be reached, are skipped. When none fits, or
// more than one, the error is a [*FindError] that lists what was there. It decides by
// what the cards say, never by the names of readers. opts may be nil.
//
// The client owns the connection: close it with [Client.Close].
func Find(ctx context.Context, cards iter.Seq2[apdu.Connector, error], match Match, opts *Options) (*Client, error) {
	var found *Client
	e := &FindError{}
	defer func() {
		if found != nil {
			found.Close()
		}
	}()
	for connector, err := range cards {
		if err != nil {
			return nil, fmt.Errorf("piv: find a card: %w", err)
		}
		c, serial, err := look(ctx, connector, match, opts)
		if ctx.Err() != nil {
			if c != nil {
				c.Close()
			}
			return nil, fmt.Errorf("piv: find a card: %w", context.Cause(ctx))
		}
		e.Cards = append(e.Cards, Found{connector.Name, serial, err})
		switch {
		case c == nil:
		case found == nil:
			found = c
			e.Fitting++
		default:
			c.Close()
			e.Fitting++
		}
	}
	if e.Fitting != 1 {
		return nil, e
	}
	c := found
	found = nil
	return c, nil
}

// look returns a client of the card when it fits, else why it does not.
func look(ctx context.Context, connector apdu.Connector, match Match, opts *Options) (*Client, string, error) {
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, "", err
	}
	c, err := Open(ctx, iso7816.NewChannel(conn, nil), opts)
	if err != nil {
		conn.Close()
		return nil, "", err
	}
	c.conn = conn
	serial, err := c.Serial(ctx)
	if err == nil || match.Serial == "" {
		err = match.check(ctx, c, serial)
	}
	if err != nil {
		c.Close()
		return nil, serial, err
	}
	return c, serial, nil
}

// check returns nil when the card fits.
func (m *Match) check(ctx context.Context, c *Client, serial string) error {
	if m.Serial != "" && m.Serial != serial {
		return errNoFit
	}
	if m.GUID != ([16]byte{}) {
		chuid, err := c.CHUID(ctx)
		if err != nil {
			return err
		}
		if chuid.GUID != m.GUID {
			return errNoFit
		}
	}
	if m.Certificate != nil {
		if _, err := c.slotOf(ctx, func(_ crypto.PublicKey, cert *x509.Certificate) bool {
			return cert != nil && cert.Equal(m.Certificate)
		}); err != nil {
			return err
		}
	}
	if m.PublicKey != nil {
		if _, err := c.FindKey(ctx, m.PublicKey); err != nil {
			return err
		}
	}
	return nil
}

// slots are those of the standard, the usual ones first.
func slots(yield func(Slot) bool) {
	for _, s := range []Slot{SlotAuthentication, SlotSignature, SlotKeyManagement, SlotCardAuthentication} {
		if !yield(s) {
			return
		}
	}
	for s := SlotRetired1; s <= SlotRetired20; s++ {
		if !yield(s) {
			return
		}
	}
}

// FindKey returns the key whose public key is given, from whatever slot it is in. Where
// the card has none the error Is [ErrNoKey].
func (c *Client) FindKey(ctx context.Context, public crypto.PublicKey) (*Key, error) {
	want, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, fmt.Errorf("piv: find a key: a public key of type %T: %w", public, errors.ErrUnsupported)
	}
	slot, err := c.slotOf(ctx, func(pub crypto.PublicKey, _ *x509.Certificate) bool { return want.Equal(pub) })
	if err != nil {
		return nil, err
	}
	return c.Key(ctx, slot)
}

// ErrNoKey reports a card that does not have the key or certificate looked for.
var ErrNoKey = errors.New("piv: the card does not have this key or certificate")

// slotOf returns the first slot for which fits returns true. The public key comes from
// the metadata or the certificate, which may be nil.
func (c *Client) slotOf(ctx context.Context, fits func(crypto.PublicKey, *x509.Certificate) bool) (found Slot, err error) {
	err = c.exclusive(ctx, func(tx *iso7816.Channel) error {
		for slot := range slots {
			m, err := readMetadata(ctx, tx, byte(slot))
			if err != nil && !stranger(err) {
				return err
			}
			cert, err := readCertificate(ctx, tx, slot)
			if err != nil && !stranger(err) {
				return err
			}
			if m != nil && m.Public != nil && fits(m.Public, cert) || cert != nil && fits(cert.PublicKey, cert) {
				found = slot
				return nil
			}
		}
		return ErrNoKey
	})
	return found, err
}

// stranger reports whether err is about what is in one slot, which must not hide what is
// in others: not one of the transport or of a context.
func stranger(err error) bool {
	if errors.Is(err, apdu.ErrRemoved) || errors.Is(err, apdu.ErrReset) || errors.Is(err, apdu.ErrRetired) || errors.Is(err, apdu.ErrNotSent) {
		return false
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// Close gives back the connection that [Find] made; a client from [Open] has none, and
// its caller closes what is below the channel. A PIN that was kept is wiped. Close is
// idempotent.
func (c *client) Close() error {
	c.ForgetPIN()
	if c.conn == nil || c.closed.Swap(true) {
		return nil
	}
	return c.conn.Close()
}
