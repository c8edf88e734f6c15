package piv

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// Metadata is what YubiKey's GET METADATA tells of a key.
type Metadata struct {
	Algorithm   Algorithm
	PINPolicy   PINPolicy
	TouchPolicy TouchPolicy
	Generated   bool             // on the card, not imported
	Public      crypto.PublicKey // nil for the management key
	Default     bool             // the management key is the one that everybody knows
}

// Tags of metadata.
const (
	tagMetadataAlgorithm = tlv.Tag(0x01)
	tagMetadataPolicy    = tlv.Tag(0x02) // PIN policy, touch policy
	tagMetadataOrigin    = tlv.Tag(0x03)
	tagMetadataPublicKey = tlv.Tag(0x04)
	tagMetadataDefault   = tlv.Tag(0x05) // PIN, PUK and management key: as everybody knows them
	tagMetadataTries     = tlv.Tag(0x06) // PIN and PUK: all tries, tries left
)

// ErrNoMetadata reports a card that tells nothing of its keys, or a slot without a key.
// It wraps [errors.ErrUnsupported].
var ErrNoMetadata = fmt.Errorf("piv: the card has no metadata, or no key in this slot: %w", errors.ErrUnsupported)

// Metadata returns what the card tells of the key in a slot. Where it does not, the
// error Is [ErrNoMetadata].
func (c *Client) Metadata(ctx context.Context, slot Slot) (*Metadata, error) {
	if !slot.Valid() {
		_, err := slot.object()
		return nil, err
	}
	return c.metadata(ctx, byte(slot))
}

// ManagementKeyMetadata returns what the card tells of its management key: algorithm,
// touch policy, and whether it is the one that everybody knows. Where it does not, the
// error Is [ErrNoMetadata].
func (c *Client) ManagementKeyMetadata(ctx context.Context) (*Metadata, error) {
	return c.metadata(ctx, referenceManagement)
}

func (c *Client) metadata(ctx context.Context, reference byte) (m *Metadata, err error) {
	err = c.exclusive(ctx, func(tx *iso7816.Channel) error {
		m, err = readMetadata(ctx, tx, reference)
		return err
	})
	if err == nil && m == nil {
		err = ErrNoMetadata
	}
	return m, err
}

// rawMetadata returns the objects of GET METADATA, or nil when the card has none: it
// does not know the command, or the slot is empty.
func rawMetadata(ctx context.Context, tx *iso7816.Channel, reference byte) ([]byte, error) {
	r, err := tx.Exchange(ctx, apdu.Command{Instruction: insGetMetadata, P2: reference, Ne: apdu.MaxShortNe})
	if err != nil {
		return nil, fmt.Errorf("piv: metadata: %w", err)
	}
	if !r.Status.OK() {
		return nil, nil
	}
	return r.Data, nil
}

// readMetadata returns nil when the card has none. What is none by its form is of a card
// whose instruction F7 is something else. A public key that is not understood is nil.
func readMetadata(ctx context.Context, tx *iso7816.Channel, reference byte) (*Metadata, error) {
	data, err := rawMetadata(ctx, tx, reference)
	if data == nil || err != nil {
		return nil, err
	}
	m := &Metadata{}
	var public []byte
	for o, err := range tlv.All(data) {
		switch {
		case err != nil:
			return nil, nil
		case o.Tag == tagMetadataAlgorithm && len(o.Value) == 1:
			m.Algorithm = Algorithm(o.Value[0])
		case o.Tag == tagMetadataPolicy && len(o.Value) == 2:
			m.PINPolicy, m.TouchPolicy = PINPolicy(o.Value[0]), TouchPolicy(o.Value[1])
		case o.Tag == tagMetadataOrigin && len(o.Value) == 1:
			m.Generated = o.Value[0] == originGenerated
		case o.Tag == tagMetadataPublicKey:
			public = o.Value
		case o.Tag == tagMetadataDefault && len(o.Value) == 1:
			m.Default = o.Value[0] == 1
		}
	}
	if public != nil {
		m.Public, _ = parsePublicKey(m.Algorithm, public)
	}
	if m.Algorithm == 0 {
		return nil, nil
	}
	return m, nil
}

// readTries returns the tries left of a PIN or PUK by its metadata, or -1.
func readTries(ctx context.Context, tx *iso7816.Channel, reference byte) (int, error) {
	data, err := rawMetadata(ctx, tx, reference)
	if err != nil {
		return -1, err
	}
	tries, err := tlv.Find(data, tagMetadataTries)
	if err != nil || len(tries) != 2 {
		return -1, nil
	}
	return int(tries[1]), nil
}
