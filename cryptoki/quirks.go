package cryptoki

import (
	"path/filepath"
	"strings"

	"github.com/cardoki/cardoki/internal/ck"
)

// Quirks are peculiarities of modules that make a difference here. Those of known modules
// are known by what the module says of itself; [Options].Quirks changes them for
// one that is not, or that is known wrongly.
type Quirks struct {
	// OneByOne: the module refuses a question for several attributes when one of them is
	// not there. It is also found out by trying.
	OneByOne bool
	// IgnoresLabel: the module takes a label for RSA-OAEP and ignores it. Ciphertexts
	// with one are then decrypted by raw RSA.
	IgnoresLabel bool
	// PasswordPointer: the parameter of CKM_PKCS5_PBKD2 has a pointer to the length of the
	// password, as in the first edition of PKCS#11 2.40, where others have the length. A
	// module crashes when it gets the other.
	PasswordPointer bool
	// FewSessions: opening a session is dear. The pool then does without the sessions that it
	// opens and closes in the beginning for the sake of other handle numbers, see [Pool].
	FewSessions bool
	// OneCall: two calls must not be in the module at the same time, even in two sessions. A
	// caller whose context ends waits no longer for the other.
	OneCall bool
}

// knownQuirks has a row for each module whose quirks were seen. The first that fits
// counts.
var knownQuirks = []struct {
	manufacturer string // prefix of Info.Manufacturer
	file         string // part of the library's name
	description  string // prefix of Info.Description
	list         ck.Version
	quirks       Quirks
}{
	// p11-kit 0.24.1: when the connection breaks, of the threads that wait for an answer only one gets
	// an error, and the others hang for ever. The server answers one after the other anyway.
	{file: "p11-kit-client", quirks: Quirks{OneCall: true, IgnoresLabel: true}},
	{manufacturer: "SoftHSM", quirks: Quirks{IgnoresLabel: true}},                                                     // 2.6.1
	{manufacturer: "Mozilla Foundation", list: ck.Version{Major: 3, Minor: 0}, quirks: Quirks{PasswordPointer: true}}, // NSS 3.87
	{manufacturer: "OpenSC", quirks: Quirks{FewSessions: true}},                                                       // a session is a connection to a card
}

// findQuirks looks up the quirks of the module, and lets change change them.
func (m *Module) findQuirks(change func(*Quirks)) {
	if i, rv := m.in.GetInfo(); rv == ck.RV(CKR_OK) {
		for _, k := range knownQuirks {
			if strings.Contains(filepath.Base(m.path), k.file) && strings.HasPrefix(i.Manufacturer, k.manufacturer) && strings.HasPrefix(i.Description, k.description) &&
				(k.list == ck.Version{} || k.list == m.in.ListVersion()) {
				m.quirks = k.quirks
				break
			}
		}
	}
	if change != nil {
		change(&m.quirks)
	}
	m.oneByOne.Store(m.quirks.OneByOne)
	if m.quirks.OneCall {
		m.turn = m.process.turns()
	}
}

// Quirks returns the peculiarities of the module that are taken into account.
func (m *Module) Quirks() Quirks {
	q := m.quirks
	q.OneByOne = m.oneByOne.Load()
	return q
}
