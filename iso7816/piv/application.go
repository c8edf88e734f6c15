package piv

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// ApplicationOptions says how a PIV application in software leaves the factory, and
// how it behaves. What the card's store holds already wins over PINs, keys and serial
// number. The zero value, and a nil pointer, give a card in the state in which PIV
// tools expect a new YubiKey.
type ApplicationOptions struct {
	// PIN is 6 to 8 bytes. Nil means "123456".
	PIN []byte
	// PINTries is how often a wrong PIN can be given, 1 to 15. 0 means 3.
	PINTries int
	// PUK unblocks the PIN; 6 to 8 bytes. Nil means "12345678".
	PUK []byte
	// PUKTries is how often a wrong PUK can be given, 1 to 15. 0 means 3.
	PUKTries int
	// GlobalPIN is the PIN of the whole card, 6 to 8 bytes, which does for the
	// application too. Nil means that there is none.
	GlobalPIN []byte
	// PreferGlobalPIN tells host programs to ask for the global PIN first.
	PreferGlobalPIN bool
	// ManagementKey has the length of ManagementAlgorithm. Nil means the bytes
	// 01 to 08 three times, and ManagementAlgorithm must then have 24 bytes or be 0.
	ManagementKey []byte
	// ManagementAlgorithm is the algorithm of ManagementKey. 0 means AES-192, or triple
	// DES for a Version before 5.7, as with YubiKeys.
	ManagementAlgorithm Algorithm
	// Serial is the serial number. 0 means a random one.
	Serial uint32
	// Version is what GET VERSION answers. The zero value means 5.7.2.
	Version Version
	// StandardOnly makes a card of SP 800-73-5 and nothing more: no YubiKey
	// extensions, no policies but those of the slots, and on a card whose interface
	// is contactless what the standard lets through there.
	StandardOnly bool
	// Touch is the finger: it is called when a key with a touch policy is used, and
	// returns whether the card was touched. It ends when ctx does, at the latest 15
	// seconds after its call. Nil means a card that is touched at once.
	Touch func(ctx context.Context, slot Slot) bool
}

// A Version is the version of a card's firmware.
type Version struct{ Major, Minor, Patch byte }

// String returns the version as in "5.7.2".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Less reports whether v is older than w.
func (v Version) Less(w Version) bool {
	a, b := [...]byte{v.Major, v.Minor, v.Patch}, [...]byte{w.Major, w.Minor, w.Patch}
	return bytes.Compare(a[:], b[:]) < 0
}

// An Application is the PIV card application in software: the card's side. It
// implements [card.Application] and belongs to one card.Card.
type Application struct {
	opts    ApplicationOptions // without secrets
	fresh   state              // as it leaves the factory, without keys, objects and serial number
	state   *state             // nil before the first selection, and after power off
	touched map[Slot]time.Time // when keys with TouchPolicyCached were touched
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
		o.PIN = []byte(defaultPIN)
	}
	if o.PUK == nil {
		o.PUK = []byte(defaultPUK)
	}
	if o.ManagementKey == nil {
		o.ManagementKey = []byte(defaultManagementKey)
	}
	if o.Version == (Version{}) {
		o.Version = Version{5, 7, 2}
	}
	if o.ManagementAlgorithm == 0 {
		o.ManagementAlgorithm = AlgorithmAES192
		if o.Version.Less(Version{5, 7, 0}) {
			o.ManagementAlgorithm = AlgorithmTDESLegacy
		}
	}
	if err := checkManagementKey(o.ManagementAlgorithm, o.ManagementKey); err != nil {
		panic(err.Error())
	}
	a := &Application{fresh: state{
		Format:     stateFormat,
		PIN:        newReference("PIN", o.PIN, o.PINTries),
		PUK:        newReference("PUK", o.PUK, o.PUKTries),
		Management: managementKey{Algorithm: o.ManagementAlgorithm, Key: append(card.Secret(nil), o.ManagementKey...)},
		Serial:     o.Serial,
	}}
	if o.GlobalPIN != nil {
		g := newReference("global PIN", o.GlobalPIN, o.PINTries)
		a.fresh.GlobalPIN = &g
	}
	o.PIN, o.PUK, o.GlobalPIN, o.ManagementKey = nil, nil, nil, nil
	a.opts = o
	return a
}

// What a new YubiKey has, and PIV tools expect of a new card. The host side never
// uses them.
const (
	defaultPIN           = "123456"
	defaultPUK           = "12345678"
	defaultTries         = 3
	defaultManagementKey = "\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08"
)

// newReference returns a PIN with a full counter. It panics when it can't be one.
func newReference(name string, value []byte, tries int) card.Reference {
	if tries == 0 {
		tries = defaultTries
	}
	if tries < 1 || tries > card.MaxTries {
		panic(fmt.Sprintf("piv: %d tries for the %s are not in 1..%d", tries, name, card.MaxTries))
	}
	padded, err := padPIN(value)
	if err != nil {
		panic(fmt.Sprintf("%v (%s)", err, name))
	}
	return card.Reference{Value: padded, Tries: tries, Remaining: tries}
}

// manufacture returns the state of a new card: with a serial number, the two objects
// that every PIV card has, CHUID and CCC (SP 800-73-5 part 1), and the key that attests
// others. A card that is reset keeps its serial number, and its attestation key as
// long as nobody replaced it.
func (a *Application) manufacture(random io.Reader, now time.Time) (*state, error) {
	s := a.fresh.clone()
	var b [16 + 4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("piv: personalize: %w", err)
	}
	if s.Serial == 0 {
		s.Serial = binary.BigEndian.Uint32(b[16:])>>2 + 1 // positive and short, as people read it aloud
	}
	s.Keys = map[Slot]*key{}
	id := [16]byte(b[:16])
	s.Objects = map[string][]byte{
		ObjectCHUID.String(): newCHUID(id).AppendTo(nil),
		ObjectCCC.String():   newCCC(id).AppendTo(nil),
	}
	if !a.opts.StandardOnly {
		if err := s.makeAttestationKey(random, now); err != nil {
			return nil, err
		}
	}
	return s, nil
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
			if s, err = a.manufacture(env.Rand, env.Now()); err != nil {
				return nil, err
			}
			if err = s.commit(env.Store); err != nil {
				return nil, err
			}
		}
		a.state = s
	}
	return &session{app: a, env: env}, nil
}

// PowerOff implements [card.Powered].
func (a *Application) PowerOff() { a.state, a.touched = nil, nil }

// update changes the lasting state: change works on a copy, which becomes the
// state when it has been committed. After an error the state is the old one.
func (s *session) update(change func(next *state)) error {
	next := s.app.state.clone()
	change(next)
	if err := next.commit(s.env.Store); err != nil {
		return err
	}
	s.app.state = next
	return nil
}
