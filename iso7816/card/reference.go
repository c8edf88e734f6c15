package card

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cardoki/cardoki/apdu"
)

// A Reference is reference data with a retry counter (ISO/IEC 7816-4): a PIN, a PUK
// or a password as an application keeps it in its lasting state. It can be encoded
// by encoding/json as part of that state.
type Reference struct {
	Value     Secret `json:"value"`
	Tries     int    `json:"tries"`     // wrong values until it is blocked, 1 to 15
	Remaining int    `json:"remaining"` // tries left, 0 when it is blocked
}

// MaxTries is the highest retry counter that a status 63CX can tell.
const MaxTries = 15

// Valid reports whether the counter makes sense.
func (r *Reference) Valid() bool {
	return r.Tries >= 1 && r.Tries <= MaxTries && r.Remaining >= 0 && r.Remaining <= r.Tries
}

// Status returns what an empty VERIFY is answered with: 63CX with the tries left, or
// 6983 when it is blocked.
func (r *Reference) Status() apdu.Status {
	if r.Remaining == 0 {
		return apdu.StatusAuthenticationMethodBlocked
	}
	return apdu.StatusVerificationFailed | apdu.Status(r.Remaining)
}

// Verify compares candidate with the value, in constant time for one length, and
// returns 9000, 63CX with the tries left, or 6983 when it is or becomes blocked.
//
// The counter goes down, and commit makes that last, before the value is looked at, so
// that pulling the card out saves no try; a right value sets it back to Tries. When
// commit fails the status is 6581 and r is as it was last committed.
func (r *Reference) Verify(candidate []byte, commit func() error) apdu.Status {
	if r.Remaining == 0 {
		return apdu.StatusAuthenticationMethodBlocked
	}
	if !r.change(func() { r.Remaining-- }, commit) {
		return apdu.StatusMemoryFailure
	}
	if subtle.ConstantTimeCompare(candidate, r.Value) != 1 {
		return r.Status()
	}
	if !r.change(func() { r.Remaining = r.Tries }, commit) {
		return apdu.StatusMemoryFailure
	}
	return apdu.StatusOK
}

// Replace sets the value, which is copied, and the counter back to Tries; commit
// makes that last. When it fails the status is 6581 and r is as it was.
func (r *Reference) Replace(value []byte, commit func() error) apdu.Status {
	if !r.change(func() { r.Value, r.Remaining = append(Secret(nil), value...), r.Tries }, commit) {
		return apdu.StatusMemoryFailure
	}
	return apdu.StatusOK
}

// change reports whether what f does to r was committed, and undoes it if not.
func (r *Reference) change(f func(), commit func() error) bool {
	old := *r
	f()
	if commit() != nil {
		*r = old
		return false
	}
	return true
}

// A PIN is a [Reference] that lives in a [Store] under a name of its own, as one
// [Session] sees it: the counter is everybody's, Verified is the session's. It is
// the whole of VERIFY and CHANGE REFERENCE DATA for a simple application; one that
// keeps more state in one piece uses Reference.
type PIN struct {
	// Verified tells whether the right value was presented in this session.
	Verified bool
	// MinLength and MaxLength bound a new value, in bytes. 0 means the length of the
	// old one.
	MinLength, MaxLength int

	store Store
	name  string
}

// OpenPIN returns the PIN under the given name in store. The first time it is there
// it gets the given value, 1 to 255 bytes, and counter, 1 to [MaxTries].
func OpenPIN(store Store, name string, value []byte, tries int) (*PIN, error) {
	if len(value) < 1 || len(value) > apdu.MaxShortNc || tries < 1 || tries > MaxTries {
		return nil, fmt.Errorf("card: PIN %s: %d bytes and %d tries are not in 1..%d and 1..%d", name, len(value), tries, apdu.MaxShortNc, MaxTries)
	}
	p := &PIN{store: store, name: name}
	_, err := p.load()
	if errors.Is(err, fs.ErrNotExist) {
		err = p.commit(&Reference{Value: append(Secret(nil), value...), Tries: tries, Remaining: tries})
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *PIN) load() (*Reference, error) {
	b, err := p.store.Load(p.name)
	if err != nil {
		return nil, fmt.Errorf("card: PIN %s: %w", p.name, err)
	}
	defer clear(b)
	r := &Reference{}
	if err := json.Unmarshal(b, r); err != nil || !r.Valid() {
		return nil, fmt.Errorf("card: PIN %s: what the store holds is no PIN", p.name)
	}
	return r, nil
}

func (p *PIN) commit(r *Reference) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	defer clear(b)
	return p.store.Commit(p.name, b)
}

// Serve answers VERIFY and CHANGE REFERENCE DATA (ISO/IEC 7816-4), whose P2 the
// caller has found to be this PIN's; any other instruction is answered with 6D00.
//
// VERIFY without data asks: 9000 when Verified, else 63CX or 6983. With P1 FF it
// takes the verification back. CHANGE REFERENCE DATA with P1 00 has the old value
// and then the new one; with P1 01, the new one alone, it needs Verified.
func (p *PIN) Serve(c *apdu.Command) apdu.Status {
	r, err := p.load()
	if err != nil {
		return apdu.StatusMemoryFailure
	}
	defer wipe(r, r.Value)
	commit := func() error { return p.commit(r) }
	switch c.Instruction {
	case apdu.InsVerify:
		return p.verify(c, r, commit)
	case apdu.InsChangeReferenceData:
		return p.change(c, r, commit)
	}
	return apdu.StatusInstructionNotSupported
}

func (p *PIN) verify(c *apdu.Command, r *Reference, commit func() error) apdu.Status {
	switch {
	case c.P1 == 0xFF && len(c.Data) == 0:
		p.Verified = false
		return apdu.StatusOK
	case c.P1 != 0:
		return apdu.StatusIncorrectP1P2
	case len(c.Data) == 0 && p.Verified:
		return apdu.StatusOK
	case len(c.Data) == 0:
		return r.Status()
	}
	p.Verified = false
	sw := r.Verify(c.Data, commit)
	p.Verified = sw.OK()
	return sw
}

func (p *PIN) change(c *apdu.Command, r *Reference, commit func() error) apdu.Status {
	next := c.Data
	switch c.P1 {
	case 0x00:
		old := len(r.Value)
		if len(next) < old {
			return apdu.StatusWrongLength
		}
		next = next[old:]
		if !p.fits(next, r) {
			return apdu.StatusWrongLength
		}
		p.Verified = false
		if sw := r.Verify(c.Data[:old], commit); !sw.OK() {
			return sw
		}
		p.Verified = true
	case 0x01:
		if !p.fits(next, r) {
			return apdu.StatusWrongLength
		}
		if !p.Verified {
			return apdu.StatusSecurityStatusNotSatisfied
		}
	default:
		return apdu.StatusIncorrectP1P2
	}
	return r.Replace(next, commit)
}

// fits reports whether value has a length that the PIN may get.
func (p *PIN) fits(value []byte, r *Reference) bool {
	low, high := p.MinLength, p.MaxLength
	if low == 0 {
		low = len(r.Value)
	}
	if high == 0 {
		high = len(r.Value)
	}
	return len(value) >= max(low, 1) && len(value) <= high
}

// Set gives the PIN a new value, 1 to 255 bytes, and its full counter: what RESET
// RETRY COUNTER does when the application has found it allowed.
func (p *PIN) Set(value []byte) apdu.Status {
	if len(value) < 1 || len(value) > apdu.MaxShortNc {
		return apdu.StatusWrongLength
	}
	r, err := p.load()
	if err != nil {
		return apdu.StatusMemoryFailure
	}
	defer wipe(r, r.Value)
	return r.Replace(value, func() error { return p.commit(r) })
}

// wipe clears a value that was loaded, and the one that took its place.
func wipe(r *Reference, loaded Secret) {
	clear(loaded)
	clear(r.Value)
}
