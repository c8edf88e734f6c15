package piv

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// ApplicationOptions says how a PIV application in software leaves the factory.
// What the card's store holds already wins over it. The zero value, and a nil
// pointer, give a card in the state in which PIV tools expect a new one.
type ApplicationOptions struct {
	// PIN is 6 to 8 bytes. Nil means "123456".
	PIN []byte
	// PINTries is how often a wrong PIN can be given, 1 to 15. 0 means 3.
	PINTries int
	// ManagementKey has the length of ManagementAlgorithm. Nil means the bytes
	// 01 to 08 three times, and ManagementAlgorithm must then be 0.
	ManagementKey []byte
	// ManagementAlgorithm is the algorithm of ManagementKey. 0 means AES-192.
	ManagementAlgorithm Algorithm
	// Serial is the serial number. 0 means a random one.
	Serial uint32
}

// An Application is the PIV card application in software: the card's side. It
// implements [card.Application] and belongs to one card.Card.
type Application struct {
	factory func(rand io.Reader) (*state, error)
	state   *state // nil before the first selection, and after power off
}

var _ card.Powered = (*Application)(nil)

// NewApplication returns a PIV application. opts may be nil; its secrets are
// copied. It panics when opts can't be honoured: a PIN, a number of tries or a
// management key of the wrong length.
func NewApplication(opts *ApplicationOptions) *Application {
	var o ApplicationOptions
	if opts != nil {
		o = *opts
	}
	if o.PIN == nil {
		o.PIN = []byte("123456")
	}
	if o.PINTries == 0 {
		o.PINTries = 3
	}
	if o.ManagementKey == nil && o.ManagementAlgorithm == 0 {
		o.ManagementKey = []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08")
	}
	if o.ManagementAlgorithm == 0 {
		o.ManagementAlgorithm = AlgorithmAES192
	}
	if o.PINTries < 1 || o.PINTries > card.MaxTries {
		panic(fmt.Sprintf("piv: %d PIN tries are not in 1..%d", o.PINTries, card.MaxTries))
	}
	pin, err := padPIN(o.PIN)
	if err != nil {
		panic(err.Error())
	}
	if _, err := managementCipher(o.ManagementAlgorithm, o.ManagementKey); err != nil {
		panic(err.Error())
	}
	management := append(card.Secret(nil), o.ManagementKey...)
	return &Application{factory: func(rand io.Reader) (*state, error) {
		s := &state{
			Format:     stateFormat,
			PIN:        card.Reference{Value: pin, Tries: o.PINTries, Remaining: o.PINTries},
			Management: managementKey{Algorithm: o.ManagementAlgorithm, Key: management},
			Keys:       map[Slot]*key{},
			Objects:    map[string][]byte{},
			Serial:     o.Serial,
		}
		if err := s.personalize(rand); err != nil {
			return nil, err
		}
		return s, nil
	}}
}

// personalize gives the card its serial number and the two objects that every
// PIV card has: CHUID and CCC (SP 800-73-5 part 1).
func (s *state) personalize(random io.Reader) error {
	var b [16 + 4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return fmt.Errorf("piv: personalize: %w", err)
	}
	if s.Serial == 0 {
		s.Serial = binary.BigEndian.Uint32(b[16:])>>2 + 1 // positive and short, as people read it aloud
	}
	s.Objects[tagCHUID.String()] = chuid(b[:16])
	s.Objects[tagCCC.String()] = ccc(b[:16])
	return nil
}

// AID implements [card.Application].
func (a *Application) AID() iso7816.AID { return AID }

// Open implements [card.Application]: it loads the state, or makes that of a new
// card and commits it.
func (a *Application) Open(env *card.Env) (card.Session, error) {
	if a.state == nil {
		s, err := loadState(env.Store)
		if err != nil {
			return nil, err
		}
		if s == nil {
			if s, err = a.factory(env.Rand); err != nil {
				return nil, err
			}
			if err = s.commit(env.Store); err != nil {
				return nil, err
			}
		}
		a.state = s
	}
	random := env.Rand
	if random == nil {
		random = rand.Reader
	}
	return &session{app: a, store: env.Store, rand: random}, nil
}

// PowerOff implements [card.Powered].
func (a *Application) PowerOff() { a.state = nil }

// update changes the lasting state: change works on a copy, which becomes the
// state when it has been committed. After an error the state is the old one.
func (s *session) update(change func(next *state)) error {
	next := s.app.state.clone()
	change(next)
	if err := next.commit(s.store); err != nil {
		return err
	}
	s.app.state = next
	return nil
}
