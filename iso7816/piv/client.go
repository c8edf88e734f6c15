package piv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// Options changes how a [Client] works. The zero value, and a nil pointer, are
// ready to use.
type Options struct {
	// PIN is asked for the PIN when a key needs it and the card does not have it
	// already; see [PINRequest]. No lock is held meanwhile. The slice it returns
	// is cleared after use. Nil means that keys which need a PIN work after
	// [Client.VerifyPIN] only, and keys that need it for each use not at all.
	PIN func(ctx context.Context, r PINRequest) ([]byte, error)
	// PINPad has the PIN entered on the keypad of the reader, where a key needs it, and not
	// asked for by PIN. A reader without a keypad gives an error that Is
	// [errors.ErrUnsupported].
	PINPad bool
	// CachePIN is how long a PIN that PIN returned, and the card accepted, is kept in
	// memory and presented again without asking. It is wiped afterwards, when the card
	// refuses it, and by [Client.ForgetPIN]. 0 means that it is not kept.
	CachePIN time.Duration
	// Touch is called, in a goroutine of its own, when the card has not answered for
	// a while and the key in the slot may be waiting for a touch: tell the user. It
	// must return when ctx ends, which it does when the card has answered; the
	// operation waits for it.
	Touch func(ctx context.Context, slot Slot)
}

// A Client uses a PIV card. It is safe for concurrent use.
type Client struct {
	*client
	lastTry bool // the last try may be spent
}

// client is what all views of a Client share.
type client struct {
	app       iso7816.Application
	opts      Options
	conn      apdu.Conn // to close; nil: none
	closed    atomic.Bool
	discovery Discovery // what the card has told; a PIN and no more when it has not
	pin       *pinCache

	// managed is the epoch of app in which the management key was authenticated; 0:
	// none.
	managed atomic.Uint64
}

// Open selects the PIV application on ch, which may be shared with others. opts
// may be nil. A card that has no PIV application is refused with an error that Is
// [apdu.StatusFileNotFound], or what else the card says.
func Open(ctx context.Context, ch *iso7816.Channel, opts *Options) (*Client, error) {
	c := &Client{client: &client{
		app:       iso7816.Application{Channel: ch, Select: selectPIV},
		discovery: Discovery{AID: AID, PIN: true},
		pin:       &pinCache{},
	}}
	if opts != nil {
		c.opts = *opts
	}
	var discovery *Discovery
	err := c.exclusive(ctx, func(tx *iso7816.Channel) (err error) {
		discovery, err = readDiscovery(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if discovery != nil {
		c.discovery = *discovery
		c.app.Prove = selected
	}
	return c, nil
}

// AllowLastTry returns a client that does the same as c, and may spend the last try of
// a PIN or PUK that its caller gives: a wrong one then blocks it. It does not change
// what [Options].PIN must allow by itself.
func (c *Client) AllowLastTry() *Client { return &Client{client: c.client, lastTry: true} }

// Channel returns the channel that the client works on.
func (c *Client) Channel() *iso7816.Channel { return c.app.Channel }

func selectPIV(ctx context.Context, tx *iso7816.Channel) error {
	apt, err := tx.SelectApplication(ctx, AID)
	if errors.Is(err, apdu.StatusFileNotFound) {
		// A card of another version, which the name without a version selects too.
		if other, again := tx.SelectApplication(ctx, unversioned); again == nil || !errors.Is(again, apdu.StatusFileNotFound) {
			apt, err = other, again
		}
	}
	if err != nil {
		if errors.Is(err, apdu.StatusFileNotFound) {
			return fmt.Errorf("piv: this card has no PIV application: %w", err)
		}
		return fmt.Errorf("piv: select: %w", err)
	}
	if len(apt) == 0 {
		return nil // it says nothing, but it has selected what was named
	}
	// The application property template holds the identifier, from the RID on or
	// the extension alone (SP 800-73-5 part 2).
	aid, err := tlv.Find(apt, 0x61, tagAID)
	if err != nil {
		return fmt.Errorf("piv: select: answer: %w", err)
	}
	if !strings.HasPrefix(string(aid), aidPrefix) && !strings.HasPrefix(string(aid), aidPrefix[5:]) {
		return errors.New("piv: select: the card selected another application")
	}
	return nil
}

// unversioned is AID without its version.
var unversioned = iso7816.MustParseAID("A00000030800001000")

// readDiscovery returns the discovery object, which is read without any condition, or
// nil when the card has none that makes sense.
func readDiscovery(ctx context.Context, tx *iso7816.Channel) (*Discovery, error) {
	object, err := tx.GetData(ctx, iso7816.CurrentDF, ObjectDiscovery)
	if err != nil {
		if _, ok := errors.AsType[*iso7816.CommandError](err); ok {
			return nil, nil
		}
		return nil, fmt.Errorf("piv: discovery object: %w", err)
	}
	d, err := ParseDiscovery(object)
	if err != nil || !d.AID.HasPrefix([]byte(aidPrefix)) {
		return nil, nil
	}
	return d, nil
}

// selected asks whether the PIV application is the selected one, by its discovery
// object.
func selected(ctx context.Context, tx *iso7816.Channel) (bool, error) {
	d, err := readDiscovery(ctx, tx)
	return d != nil, err
}

// exclusive calls f in a transaction in which the PIV application is proven to be
// selected. Where it had to be selected again the security status is lost, so f
// asks the card for it and remembers nothing.
func (c *client) exclusive(ctx context.Context, f func(tx *iso7816.Channel) error) error {
	return c.app.Exclusive(ctx, f)
}

// Serial returns the serial number of the card, in decimal for a card that knows
// YubiKey's GET SERIAL, else the card's GUID in hexadecimal, from the Card Holder
// Unique Identifier, or its FASC-N where the GUID is zero.
func (c *Client) Serial(ctx context.Context) (serial string, err error) {
	err = c.exclusive(ctx, func(tx *iso7816.Channel) error {
		serial, err = readSerial(ctx, tx)
		return err
	})
	return serial, err
}

func readSerial(ctx context.Context, tx *iso7816.Channel) (string, error) {
	r, err := tx.Exchange(ctx, apdu.Command{Instruction: insGetSerial, Ne: apdu.MaxShortNe})
	if err != nil {
		return "", fmt.Errorf("piv: serial number: %w", err)
	}
	if r.Status.OK() && len(r.Data) == 4 {
		return fmt.Sprint(binary.BigEndian.Uint32(r.Data)), nil
	}
	object, err := tx.GetData(ctx, iso7816.CurrentDF, ObjectCHUID)
	if err != nil {
		return "", fmt.Errorf("piv: the card has no serial number, and no CHUID: %w", err)
	}
	chuid, err := ParseCHUID(object)
	switch {
	case err != nil:
		return "", err
	case chuid.GUID == [16]byte{}: // an old card of a federal agency
		return chuid.FASCN.String(), nil
	}
	return fmt.Sprintf("%X", chuid.GUID), nil
}

const tagGUID tlv.Tag = 0x34

// Version returns the version of the card's firmware, on cards that have YubiKey's
// command; others give an error that Is [errors.ErrUnsupported].
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	err = c.exclusive(ctx, func(tx *iso7816.Channel) error {
		v, err = readVersion(ctx, tx)
		return err
	})
	return v, err
}

func readVersion(ctx context.Context, tx *iso7816.Channel) (Version, error) {
	r, err := tx.Exchange(ctx, apdu.Command{Instruction: insGetVersion, Ne: apdu.MaxShortNe})
	if err != nil {
		return Version{}, fmt.Errorf("piv: version: %w", err)
	}
	if !r.Status.OK() || len(r.Data) != 3 {
		return Version{}, fmt.Errorf("piv: version: %w by this card (%v)", errors.ErrUnsupported, r.Status)
	}
	return Version{r.Data[0], r.Data[1], r.Data[2]}, nil
}
