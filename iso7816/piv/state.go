package piv

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// state is what the application keeps when power goes.
type state struct {
	Format     string            `json:"format"`
	Serial     uint32            `json:"serial"`
	PIN        card.Reference    `json:"pin"`
	Management managementKey     `json:"management"`
	Keys       map[Slot]*key     `json:"keys"`
	Objects    map[string][]byte `json:"objects"` // by tag in hexadecimal; values with their tag 53
}

type managementKey struct {
	Algorithm Algorithm   `json:"algorithm"`
	Key       card.Secret `json:"key"`
}

// A key is a private key. It is never modified once it is in a state.
type key struct {
	Algorithm Algorithm   `json:"algorithm"`
	PINPolicy PINPolicy   `json:"pinPolicy"`
	PKCS8     card.Secret `json:"pkcs8"`

	private crypto.Signer // parsed PKCS8
}

// stateFormat names what the store holds.
const stateFormat = "cardoki PIV 1"

// stateName is the name of the state in the store.
const stateName = "state"

// loadState returns nil when the store holds no state.
func loadState(store card.Store) (*state, error) {
	b, err := store.Load(stateName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("piv: load state: %w", err)
	}
	defer clear(b)
	s := &state{}
	if err := json.Unmarshal(b, s); err != nil || s.Format != stateFormat {
		return nil, fmt.Errorf("piv: load state: not of format %q", stateFormat)
	}
	if len(s.PIN.Value) != pinSize || !s.PIN.Valid() {
		return nil, errors.New("piv: load state: PIN or its counter has the wrong form")
	}
	if _, err := managementCipher(s.Management.Algorithm, s.Management.Key); err != nil {
		return nil, fmt.Errorf("piv: load state: %w", err)
	}
	for slot, k := range s.Keys {
		if !slot.Valid() || k == nil || !k.Algorithm.asymmetric() {
			return nil, fmt.Errorf("piv: load state: key in slot %v has the wrong form", slot)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
		private, ok := parsed.(crypto.Signer)
		if err != nil || !ok {
			return nil, fmt.Errorf("piv: load state: key in slot %v has the wrong form", slot)
		}
		if a, err := algorithmOf(private.Public()); err != nil || a != k.Algorithm {
			return nil, fmt.Errorf("piv: load state: key in slot %v is not one of %v", slot, k.Algorithm)
		}
		k.private = private
	}
	if s.Keys == nil {
		s.Keys = map[Slot]*key{}
	}
	if s.Objects == nil {
		s.Objects = map[string][]byte{}
	}
	return s, nil
}

func (s *state) commit(store card.Store) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("piv: commit state: %w", err)
	}
	defer clear(b)
	return store.Commit(stateName, b)
}

// clone returns a copy that can be changed by assigning to its fields and maps.
func (s *state) clone() *state {
	c := *s
	c.Keys = maps.Clone(s.Keys)
	c.Objects = maps.Clone(s.Objects)
	return &c
}

// chuid returns a Card Holder Unique Identifier with the given GUID. The FASC-N is
// the one for cards that no federal agency issued: agency code 9999 and so on
// (SP 800-73-5 part 1).
func chuid(guid []byte) []byte {
	return tlv.AppendFunc(nil, tagData, func(b []byte) []byte {
		b = tlv.Append(b, 0x30, nonFederalFASCN)
		b = tlv.Append(b, tagGUID, guid)
		b = tlv.Append(b, 0x35, []byte("20991231")) // expiration date
		b = tlv.Append(b, 0x3E, nil)                // issuer's signature
		return tlv.Append(b, tagErrorDetection, nil)
	})
}

// nonFederalFASCN is 9999-9999-999999-0-1-0000000000300001, as cards from no agency
// carry it.
var nonFederalFASCN = []byte{
	0xD4, 0xE7, 0x39, 0xDA, 0x73, 0x9C, 0xED, 0x39, 0xCE, 0x73, 0x9D, 0x83, 0x68,
	0x58, 0x21, 0x08, 0x42, 0x10, 0x84, 0x21, 0xC8, 0x42, 0x10, 0xC3, 0xEB,
}

// ccc returns a Card Capability Container that promises nothing beyond PIV.
func ccc(id []byte) []byte {
	identifier := append([]byte{0xA0, 0x00, 0x00, 0x01, 0x16, 0xFF, 0x02}, id[:14]...)
	return tlv.AppendFunc(nil, tagData, func(b []byte) []byte {
		b = tlv.Append(b, 0xF0, identifier)
		b = tlv.Append(b, 0xF1, []byte{0x21})
		b = tlv.Append(b, 0xF2, []byte{0x21})
		b = tlv.Append(b, 0xF3, nil)
		b = tlv.Append(b, 0xF4, []byte{0x00})
		b = tlv.Append(b, 0xF5, []byte{0x10})
		for tag := tlv.Tag(0xF6); tag <= 0xFD; tag++ {
			b = tlv.Append(b, tag, nil)
		}
		return tlv.Append(b, tagErrorDetection, nil)
	})
}
