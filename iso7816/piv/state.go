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
)

// state is what the application keeps when power goes.
type state struct {
	Format     string            `json:"format"`
	Serial     uint32            `json:"serial"`
	PIN        card.Reference    `json:"pin"`
	PUK        card.Reference    `json:"puk"`
	GlobalPIN  *card.Reference   `json:"globalPIN,omitempty"` // nil: the card has none
	Management managementKey     `json:"management"`
	Keys       map[Slot]*key     `json:"keys"`
	Objects    map[string][]byte `json:"objects"` // by tag in hexadecimal; values with their tag 53
}

type managementKey struct {
	Algorithm Algorithm   `json:"algorithm"`
	Touch     TouchPolicy `json:"touch,omitempty"`
	Key       card.Secret `json:"key"`
}

// A key is a private key. It is never modified once it is in a state.
type key struct {
	Algorithm   Algorithm   `json:"algorithm"`
	PINPolicy   PINPolicy   `json:"pinPolicy"`
	TouchPolicy TouchPolicy `json:"touchPolicy,omitempty"`
	Imported    bool        `json:"imported,omitempty"` // not generated on the card
	PKCS8       card.Secret `json:"pkcs8"`

	private privateKey // parsed PKCS8
}

// A privateKey is an *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey or
// *ecdh.PrivateKey.
type privateKey interface{ Public() crypto.PublicKey }

// newKey returns the key that holds private.
func newKey(a Algorithm, private privateKey) (*key, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return &key{Algorithm: a, PKCS8: pkcs8, private: private}, nil
}

// parse sets private from PKCS8 and checks it.
func (k *key) parse() error {
	parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
	private, ok := parsed.(privateKey)
	if err != nil || !ok {
		return errors.New("it has the wrong form")
	}
	if a, err := algorithmOf(private.Public()); err != nil || a != k.Algorithm {
		return fmt.Errorf("it is not one of %v", k.Algorithm)
	}
	k.private = private
	return nil
}

// stateFormat names what the store holds.
const stateFormat = "cardoki PIV 2"

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
	for name, r := range map[string]*card.Reference{"PIN": &s.PIN, "PUK": &s.PUK, "global PIN": s.GlobalPIN} {
		if r != nil && (len(r.Value) != pinSize || !r.Valid()) {
			return nil, fmt.Errorf("piv: load state: %s or its counter has the wrong form", name)
		}
	}
	if err := checkManagementKey(s.Management.Algorithm, s.Management.Key); err != nil {
		return nil, fmt.Errorf("piv: load state: %w", err)
	}
	for slot, k := range s.Keys {
		if !slot.Valid() || k == nil || !k.Algorithm.asymmetric() {
			return nil, fmt.Errorf("piv: load state: key in slot %v has the wrong form", slot)
		}
		if err := k.parse(); err != nil {
			return nil, fmt.Errorf("piv: load state: key in slot %v: %w", slot, err)
		}
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
	if s.GlobalPIN != nil {
		g := *s.GlobalPIN
		c.GlobalPIN = &g
	}
	return &c
}
