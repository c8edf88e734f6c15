package cryptoki

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
)

// A PINRequest says which PIN is wanted, and what the token says about it.
type PINRequest struct {
	Token, Serial      string // label and serial number of the token
	Slot               SlotID
	User               UserType // CKU_USER or CKU_SO
	MinLength          uint     // in bytes; as the token says
	MaxLength          uint
	CountLow, FinalTry bool // a wrong PIN was given before; the next wrong one locks

	allowed *bool
}

// AllowFinalTry says that the PIN may be tried although the next wrong one locks
// the token. Without it the last try is not made.
func (r PINRequest) AllowFinalTry() { *r.allowed = true }

// A PINFunc gives a PIN, by asking a person or a secret store. The slice becomes
// the package's, which wipes it after use. It is called with no lock held, and may
// use the module. When it returns an error, nothing is tried.
type PINFunc func(ctx context.Context, r PINRequest) ([]byte, error)

// FixedPIN returns a PINFunc that gives copies of pin, which stays the caller's and
// must not change. It never allows the final try.
func FixedPIN(pin []byte) PINFunc {
	return func(context.Context, PINRequest) ([]byte, error) { return bytes.Clone(pin), nil }
}

// Login logs the user in, for all sessions that this process has with the token.
// That the user is logged in already is success, as nothing is tried then.
//
// What the token says about the PIN is read first: a locked PIN is not asked for,
// and when one try is left it is made only if pin calls AllowFinalTry. A refused
// PIN, and one that was not tried, is a [*PINError]; it is never tried again here.
func (s *Session) Login(ctx context.Context, user UserType, pin PINFunc) error {
	t, err := s.Slot().Token()
	if err != nil {
		return err
	}
	refuse := func(tried bool, t TokenInfo, err error) error {
		return &PINError{
			Token: t.Label, User: user, Tried: tried,
			CountLow: t.PINCountLow(user), FinalTry: t.PINFinalTry(user), Locked: t.PINLocked(user),
			Err: err,
		}
	}
	switch {
	case t.PINLocked(user):
		return refuse(false, t, nil)
	case user == CKU_USER && !t.PINInitialized():
		return fmt.Errorf("cryptoki: token %q: %w", t.Label, CKR_USER_PIN_NOT_INITIALIZED)
	case t.PINPad():
		return fmt.Errorf("%w: token %q takes its PIN at the reader", ErrUnsupported, t.Label)
	case pin == nil:
		return fmt.Errorf("cryptoki: token %q needs a PIN, and no function that gives one was set", t.Label)
	}
	allowed := false
	value, err := pin(ctx, PINRequest{
		Token: t.Label, Serial: t.Serial, Slot: s.slot, User: user,
		MinLength: t.MinPIN, MaxLength: t.MaxPIN,
		CountLow: t.PINCountLow(user), FinalTry: t.PINFinalTry(user),
		allowed: &allowed,
	})
	defer clear(value)
	if err != nil {
		return fmt.Errorf("cryptoki: no PIN for token %q: %w", t.Label, err)
	}
	// Somebody may have used up tries while the person was asked.
	if t, err = s.Slot().Token(); err != nil {
		return err
	}
	switch {
	case t.PINLocked(user):
		return refuse(false, t, nil)
	case t.PINFinalTry(user) && !allowed:
		return refuse(false, t, errFinalTry)
	}

	if err := s.begin(ctx); err != nil {
		return err
	}
	s.in = append(s.in[:0], value...)
	s.user = uint(user)
	if err := s.run(ctx, (*Session).callLogin); err != nil {
		return err
	}
	rv := s.res.RV
	s.end()
	if rv == ck.RV(CKR_USER_ALREADY_LOGGED_IN) {
		return nil
	}
	err = s.err("C_Login", rv)
	if refused(err) {
		if now, err := s.Slot().Token(); err == nil {
			t = now
		}
		return refuse(true, t, err)
	}
	return err
}

func (s *Session) callLogin() {
	s.res.RV = s.fl.Login(s.handle, s.user, s.in)
	clear(s.in)
}

// refused reports whether the token refused the PIN itself.
func refused(err error) bool {
	for _, rv := range [...]RV{CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED} {
		if errors.Is(err, rv) {
			return true
		}
	}
	return false
}

// Logout logs out, for all sessions that this process has with the token: their
// handles of private objects mean nothing any more.
func (s *Session) Logout(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.run(ctx, (*Session).callLogout); err != nil {
		return err
	}
	rv := s.res.RV
	s.end()
	return s.err("C_Logout", rv)
}

func (s *Session) callLogout() { s.res.RV = s.fl.Logout(s.handle) }
