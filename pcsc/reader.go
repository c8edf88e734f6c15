package pcsc

import (
	"bytes"
	"strings"

	"github.com/cardoki/cardoki/apdu"
)

// A Reader is a card reader as it was at some moment.
type Reader struct {
	Name  string
	State State
	ATR   []byte // answer to reset of the card; nil without a card
	// Protocol is what is spoken with the card. It is 0 when none was chosen yet, as
	// after a reset, and where the service does not tell: only the backend in pure Go
	// knows it.
	Protocol apdu.Protocol
}

// equal reports whether nothing happened between r and s.
func (r Reader) equal(s Reader) bool {
	return r.Name == s.Name && r.State == s.State && r.Protocol == s.Protocol && bytes.Equal(r.ATR, s.ATR)
}

// A State is the state of a reader: the SCARD_STATE bits of PC/SC. The upper 16
// bits count insertions and removals, where the service counts them.
type State uint32

// Bits of a State, by their names in PC/SC.
const (
	stateUnavailable State = 0x0008
	stateEmpty       State = 0x0010
	statePresent     State = 0x0020
	stateExclusive   State = 0x0080
	stateInUse       State = 0x0100
	stateMute        State = 0x0200
)

// Present reports whether there is a card in the reader.
func (s State) Present() bool { return s&statePresent != 0 }

// Exclusive reports whether a program has the card for itself.
func (s State) Exclusive() bool { return s&stateExclusive != 0 }

// InUse reports whether programs are connected to the card.
func (s State) InUse() bool { return s&stateInUse != 0 }

// Mute reports whether there is a card that does not answer to reset.
func (s State) Mute() bool { return s&stateMute != 0 }

// Unavailable reports whether the reader does not work.
func (s State) Unavailable() bool { return s&stateUnavailable != 0 }

// Events returns how many insertions and removals the service has counted, modulo
// 65,536. It stays 0 with services that do not count.
func (s State) Events() int { return int(s >> 16) }

// String returns the state in words, such as "card present, in use".
func (s State) String() string {
	words := []string{"no card"}
	if s.Present() {
		words[0] = "card present"
	}
	if s.Unavailable() {
		words[0] = "unavailable"
	}
	for _, b := range []struct {
		set  bool
		word string
	}{{s.Mute(), "mute"}, {s.InUse(), "in use"}, {s.Exclusive(), "exclusive"}} {
		if b.set {
			words = append(words, b.word)
		}
	}
	return strings.Join(words, ", ")
}

// names returns the names of readers.
func names(readers []Reader) []string {
	var n []string
	for _, r := range readers {
		n = append(n, r.Name)
	}
	return n
}

// find returns the reader with the given name.
func find(readers []Reader, name string) (Reader, bool) {
	for _, r := range readers {
		if r.Name == name {
			return r, true
		}
	}
	return Reader{}, false
}
