package piv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

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
}

// Instructions of YubiKey's extensions.
const (
	insGetMetadata apdu.Instruction = 0xF7
	insGetSerial   apdu.Instruction = 0xF8
)

// A Client uses a PIV card. It is safe for concurrent use.
type Client struct {
	app  iso7816.Application
	opts Options
	// managed is the epoch of app in which the management key was authenticated; 0:
	// none.
	managed atomic.Uint64
}

// Open selects the PIV application on ch, which may be shared with others. opts
// may be nil. A card that has no PIV application is refused with an error that Is
// [apdu.StatusFileNotFound], or what else the card says.
func Open(ctx context.Context, ch *iso7816.Channel, opts *Options) (*Client, error) {
	c := &Client{app: iso7816.Application{Channel: ch, Select: selectPIV}}
	if opts != nil {
		c.opts = *opts
	}
	hasDiscovery := false
	err := c.exclusive(ctx, func(tx *iso7816.Channel) (err error) {
		hasDiscovery, err = selected(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if hasDiscovery {
		c.app.Prove = selected
	}
	return c, nil
}

// Channel returns the channel that the client works on.
func (c *Client) Channel() *iso7816.Channel { return c.app.Channel }

func selectPIV(ctx context.Context, tx *iso7816.Channel) error {
	apt, err := tx.SelectApplication(ctx, AID)
	if err != nil {
		if s, ok := errors.AsType[apdu.Status](err); ok && s == apdu.StatusFileNotFound {
			return fmt.Errorf("piv: this card has no PIV application: %w", err)
		}
		return fmt.Errorf("piv: select: %w", err)
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

// selected asks whether the PIV application is the selected one, by its discovery
// object, which is read without any condition.
func selected(ctx context.Context, tx *iso7816.Channel) (bool, error) {
	object, err := tx.GetData(ctx, iso7816.CurrentDF, tagDiscovery)
	if err != nil {
		if _, ok := errors.AsType[*iso7816.CommandError](err); ok {
			return false, nil
		}
		return false, fmt.Errorf("piv: discovery object: %w", err)
	}
	aid, err := tlv.Find(object, tagDiscovery, tagAID)
	return err == nil && strings.HasPrefix(string(aid), aidPrefix), nil
}

// exclusive calls f in a transaction in which the PIV application is proven to be
// selected. Where it had to be selected again the security status is lost, so f
// asks the card for it and remembers nothing.
func (c *Client) exclusive(ctx context.Context, f func(tx *iso7816.Channel) error) error {
	return c.app.Exclusive(ctx, f)
}

// Serial returns the serial number of the card, in decimal for a card that knows
// YubiKey's GET SERIAL, else the card's GUID in hexadecimal, from the Card Holder
// Unique Identifier.
func (c *Client) Serial(ctx context.Context) (string, error) {
	var serial string
	err := c.exclusive(ctx, func(tx *iso7816.Channel) error {
		r, err := tx.Exchange(ctx, apdu.Command{Instruction: insGetSerial, Ne: apdu.MaxShortNe})
		if err != nil {
			return fmt.Errorf("piv: serial number: %w", err)
		}
		if r.Status.OK() && len(r.Data) == 4 {
			serial = fmt.Sprint(binary.BigEndian.Uint32(r.Data))
			return nil
		}
		object, err := tx.GetData(ctx, iso7816.CurrentDF, tagCHUID)
		if err != nil {
			return fmt.Errorf("piv: the card has no serial number, and no CHUID: %w", err)
		}
		guid, err := tlv.Find(object, tagData, tagGUID)
		if err != nil || len(guid) != 16 {
			return errors.New("piv: the card has no serial number, and its CHUID no GUID")
		}
		serial = fmt.Sprintf("%X", guid)
		return nil
	})
	return serial, err
}

const tagGUID tlv.Tag = 0x34

// metadata is what YubiKey's GET METADATA tells of a key.
type metadata struct {
	algorithm Algorithm
	policy    PINPolicy
	publicKey []byte // contents of a public key template; nil for a management key
}

// Tags of metadata.
const (
	tagMetadataAlgorithm = tlv.Tag(0x01)
	tagMetadataPolicy    = tlv.Tag(0x02) // PIN policy, touch policy
	tagMetadataOrigin    = tlv.Tag(0x03)
	tagMetadataPublicKey = tlv.Tag(0x04)
)

// readMetadata returns nil when the card has none: it does not know the command,
// or the slot is empty.
func readMetadata(ctx context.Context, tx *iso7816.Channel, reference byte) (*metadata, error) {
	r, err := tx.Exchange(ctx, apdu.Command{Instruction: insGetMetadata, P2: reference, Ne: apdu.MaxShortNe})
	if err != nil {
		return nil, fmt.Errorf("piv: metadata: %w", err)
	}
	if !r.Status.OK() {
		return nil, nil
	}
	m := &metadata{}
	for o, err := range tlv.All(r.Data) {
		switch {
		case err != nil:
			return nil, fmt.Errorf("piv: metadata: %w", err)
		case o.Tag == tagMetadataAlgorithm && len(o.Value) == 1:
			m.algorithm = Algorithm(o.Value[0])
		case o.Tag == tagMetadataPolicy && len(o.Value) == 2:
			m.policy = PINPolicy(o.Value[0])
		case o.Tag == tagMetadataPublicKey:
			m.publicKey = o.Value
		}
	}
	return m, nil
}
