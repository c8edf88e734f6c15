package cryptoki

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cardoki/cardoki/internal/ck"
)

// A Slot is a place for a token. It is safe for concurrent use. Its methods cannot
// be interrupted, unless they take a context.
type Slot struct {
	m  *Module
	id SlotID
}

// ID returns the number of the slot.
func (s *Slot) ID() SlotID { return s.id }

// SlotInfo is what a module says about a slot, CK_SLOT_INFO.
type SlotInfo struct {
	Description        string
	Manufacturer       string
	Flags              Flags // CKF_TOKEN_PRESENT, CKF_REMOVABLE_DEVICE, CKF_HW_SLOT
	Hardware, Firmware Version
}

// Info returns what the module says about the slot.
func (s *Slot) Info() (SlotInfo, error) {
	fl, done, err := s.m.use()
	if err != nil {
		return SlotInfo{}, err
	}
	defer done()
	i, rv := fl.GetSlotInfo(uint(s.id))
	return SlotInfo{
		Description: i.Description, Manufacturer: i.Manufacturer,
		Flags: Flags(i.Flags), Hardware: i.Hardware, Firmware: i.Firmware,
	}, slotError("C_GetSlotInfo", rv, s.id)
}

// TokenInfo is what a module says about a token, CK_TOKEN_INFO. Texts come without
// their padding.
type TokenInfo struct {
	Label, Manufacturer, Model, Serial string
	Flags                              Flags
	MaxSessions, MaxRWSessions         uint // 0: no limit; all ones: not told
	MinPIN, MaxPIN                     uint // lengths in bytes
	Hardware, Firmware                 Version
}

// has reports whether all of the flags f are set.
func (t *TokenInfo) has(f Flags) bool { return t.Flags&f == f }

// Initialized reports whether the token was initialised.
func (t *TokenInfo) Initialized() bool { return t.has(CKF_TOKEN_INITIALIZED) }

// LoginRequired reports whether private objects need a login.
func (t *TokenInfo) LoginRequired() bool { return t.has(CKF_LOGIN_REQUIRED) }

// PINInitialized reports whether the user has a PIN.
func (t *TokenInfo) PINInitialized() bool { return t.has(CKF_USER_PIN_INITIALIZED) }

// PINPad reports whether the PIN is entered at the token or its reader, and not
// given by the program.
func (t *TokenInfo) PINPad() bool { return t.has(CKF_PROTECTED_AUTHENTICATION_PATH) }

// WriteProtected reports whether nothing can be written.
func (t *TokenInfo) WriteProtected() bool { return t.has(CKF_WRITE_PROTECTED) }

// PINCountLow reports whether a wrong PIN was given since the last good one.
func (t *TokenInfo) PINCountLow(u UserType) bool {
	return t.has(pinFlag(u, CKF_USER_PIN_COUNT_LOW, CKF_SO_PIN_COUNT_LOW))
}

// PINFinalTry reports whether the next wrong PIN locks.
func (t *TokenInfo) PINFinalTry(u UserType) bool {
	return t.has(pinFlag(u, CKF_USER_PIN_FINAL_TRY, CKF_SO_PIN_FINAL_TRY))
}

// PINLocked reports whether the PIN is locked.
func (t *TokenInfo) PINLocked(u UserType) bool {
	return t.has(pinFlag(u, CKF_USER_PIN_LOCKED, CKF_SO_PIN_LOCKED))
}

func pinFlag(u UserType, user, so Flags) Flags {
	if u == CKU_SO {
		return so
	}
	return user
}

// Token returns what the module says about the token in the slot, now.
func (s *Slot) Token() (TokenInfo, error) {
	fl, done, err := s.m.use()
	if err != nil {
		return TokenInfo{}, err
	}
	defer done()
	i, rv := fl.GetTokenInfo(uint(s.id))
	return tokenInfo(i), slotError("C_GetTokenInfo", rv, s.id)
}

func tokenInfo(i ck.TokenInfo) TokenInfo {
	return TokenInfo{
		Label: i.Label, Manufacturer: i.Manufacturer, Model: i.Model, Serial: i.Serial,
		Flags: Flags(i.Flags), MaxSessions: i.MaxSessions, MaxRWSessions: i.MaxRWSessions,
		MinPIN: i.MinPIN, MaxPIN: i.MaxPIN, Hardware: i.Hardware, Firmware: i.Firmware,
	}
}

// Mechanisms returns the mechanisms that the token says it has, sorted by number.
func (s *Slot) Mechanisms() ([]MechanismType, error) {
	fl, done, err := s.m.use()
	if err != nil {
		return nil, err
	}
	defer done()
	list, rv := fl.GetMechanismList(uint(s.id))
	if err := slotError("C_GetMechanismList", rv, s.id); err != nil {
		return nil, err
	}
	types := make([]MechanismType, len(list))
	for i, t := range list {
		types[i] = MechanismType(t)
	}
	slices.Sort(types)
	return types, nil
}

// MechanismInfo is what a token says about a mechanism, CK_MECHANISM_INFO. The unit
// of the sizes depends on the mechanism.
type MechanismInfo struct {
	MinKeySize, MaxKeySize uint
	Flags                  Flags
}

// Mechanism returns what the token says about a mechanism.
func (s *Slot) Mechanism(t MechanismType) (MechanismInfo, error) {
	fl, done, err := s.m.use()
	if err != nil {
		return MechanismInfo{}, err
	}
	defer done()
	i, rv := fl.GetMechanismInfo(uint(s.id), uint(t))
	return MechanismInfo{MinKeySize: i.MinKeySize, MaxKeySize: i.MaxKeySize, Flags: Flags(i.Flags)},
		slotError("C_GetMechanismInfo", rv, s.id)
}

// FindToken returns the slot whose token has the given label. If there is none, the
// error wraps [ErrNotFound] and lists the labels that there are; if there are two,
// it wraps [ErrAmbiguous] and lists their slots. It cannot be interrupted.
func (m *Module) FindToken(label string) (*Slot, error) {
	slots, err := m.Slots(true)
	if err != nil {
		return nil, err
	}
	var found []*Slot
	var labels, matches []string
	for _, s := range slots {
		t, err := s.Token()
		switch {
		case err != nil: // One strange token does not hide the others.
			labels = append(labels, fmt.Sprintf("slot %d: %v", s.id, err))
		case !t.Initialized():
		case t.Label == label:
			found = append(found, s)
			matches = append(matches, fmt.Sprintf("slot %d, serial %s", s.id, t.Serial))
		default:
			labels = append(labels, fmt.Sprintf("%q", t.Label))
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("cryptoki: token %q: %w: %s", label, ErrAmbiguous, strings.Join(matches, "; "))
	case len(labels) == 0:
		return nil, fmt.Errorf("cryptoki: token %q: %w: module %q has no initialised token", label, ErrNotFound, m.path)
	}
	return nil, fmt.Errorf("cryptoki: token %q: %w; there are: %s", label, ErrNotFound, strings.Join(labels, ", "))
}
