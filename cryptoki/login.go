package cryptoki

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/cardoki/cardoki/internal/ck"
)

// A PINRequest says which PIN is wanted, and what the token says about it.
type PINRequest struct {
	Token, Serial      string // label and serial number of the token
	Slot               SlotID
	User               UserType // CKU_USER, CKU_SO, or CKU_CONTEXT_SPECIFIC: the user's PIN, for one use of a key
	Key                string   // with CKU_CONTEXT_SPECIFIC: the label of that key
	MinLength          uint     // in bytes; as the token says
	MaxLength          uint
	CountLow, FinalTry bool // a wrong PIN was given before; the next wrong one locks
	// New asks for the PIN that is to be set.
	New bool
	// PINPad says that the PIN is entered at the token or its reader: it is the time to
	// tell that to the person. What the PINFunc gives is not used, but for its error.
	PINPad bool

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

// tokenInfo is Slot.Token, but for the wait, which ctx ends.
func (s *Session) tokenInfo(ctx context.Context) (TokenInfo, error) {
	if err := s.begin(ctx); err != nil {
		return TokenInfo{}, err
	}
	if err := s.run(ctx, (*Session).callTokenInfo); err != nil {
		return TokenInfo{}, err
	}
	i, rv := s.info, s.res.RV
	s.end()
	return tokenInfo(i), s.err("C_GetTokenInfo", rv)
}

func (s *Session) callTokenInfo() {
	i, rv := s.fl.GetTokenInfo(uint(s.slot))
	s.info = i
	s.step(rv, ck.GetTokenInfo)
}

// stateInfo returns the state of the session.
func (s *Session) stateInfo(ctx context.Context) (SessionState, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	if err := s.run(ctx, (*Session).callSessionInfo); err != nil {
		return 0, err
	}
	state, rv := s.about.State, s.res.RV
	s.end()
	return SessionState(state), s.err("C_GetSessionInfo", rv)
}

func (s *Session) callSessionInfo() {
	i, rv := s.fl.GetSessionInfo(s.handle)
	s.about = i
	s.step(rv, ck.GetSessionInfo)
}

// State returns the state of the session: read-only or read-write, and who is logged in.
func (s *Session) State(ctx context.Context) (SessionState, error) { return s.stateInfo(ctx) }

// whose is the user whose PIN counts in a state: changing it changes that PIN.
func whose(state SessionState) UserType {
	if state == CKS_RW_SO_FUNCTIONS {
		return CKU_SO
	}
	return CKU_USER
}

// pinError returns the error of a PIN that was refused, or not tried because of t.
func pinError(t TokenInfo, user UserType, tried bool, err error) error {
	return &PINError{
		Token: t.Label, User: user, Tried: tried,
		CountLow: t.PINCountLow(user), FinalTry: t.PINFinalTry(user), Locked: t.PINLocked(user),
		Err: err,
	}
}

// askPIN gets the PIN of a user from pin, after what the token says about it: a locked one
// is not asked for, and a last try is allowed or not made. Where the PIN is entered at the
// token it is nil. The caller clears it.
func (s *Session) askPIN(ctx context.Context, pin PINFunc, r PINRequest) ([]byte, error) {
	t, err := s.tokenInfo(ctx)
	if err != nil {
		return nil, err
	}
	return askPIN(ctx, t, s.slot, pin, r, s.tokenInfo)
}

// askPIN is Session.askPIN without a session; again tells what the token says after the
// person was asked.
func askPIN(ctx context.Context, t TokenInfo, slot SlotID, pin PINFunc, r PINRequest, again func(context.Context) (TokenInfo, error)) ([]byte, error) {
	switch {
	case r.New:
	case t.PINLocked(r.User):
		return nil, pinError(t, r.User, false, nil)
	case r.User == CKU_USER && !t.PINInitialized():
		return nil, fmt.Errorf("cryptoki: token %q: %w", t.Label, CKR_USER_PIN_NOT_INITIALIZED)
	}
	if pin == nil && !t.PINPad() {
		return nil, fmt.Errorf("cryptoki: token %q needs a PIN, and no function that gives one was set", t.Label)
	}
	allowed := false
	r.Token, r.Serial, r.Slot, r.MinLength, r.MaxLength = t.Label, t.Serial, slot, t.MinPIN, t.MaxPIN
	r.PINPad, r.allowed = t.PINPad(), &allowed
	if !r.New {
		r.CountLow, r.FinalTry = t.PINCountLow(r.User), t.PINFinalTry(r.User)
	}
	var value []byte
	if pin != nil {
		var err error
		if value, err = pin(ctx, r); err != nil {
			clear(value)
			return nil, fmt.Errorf("cryptoki: no PIN for token %q: %w", t.Label, err)
		}
	}
	if r.PINPad {
		clear(value)
		value = nil
	}
	if r.New {
		return value, nil
	}
	// Somebody may have used up tries while the person was asked.
	t, err := again(ctx)
	switch {
	case err != nil:
	case t.PINLocked(r.User):
		err = pinError(t, r.User, false, nil)
	case t.PINFinalTry(r.User) && !allowed:
		err = pinError(t, r.User, false, errFinalTry)
	default:
		return value, nil
	}
	clear(value)
	return nil, err
}

// refusal returns err, or the error of a PIN if it says that the PIN was refused.
func (s *Session) refusal(ctx context.Context, user UserType, err error) error {
	if !refused(err) {
		return err
	}
	t, info := s.tokenInfo(ctx)
	if info != nil {
		t = TokenInfo{}
	}
	return pinError(t, user, true, err)
}

// Login logs the user in, for all sessions that this process has with the token.
// That the user is logged in already is success, as nothing is tried then.
//
// What the token says about the PIN is read first: a locked PIN is not asked for,
// and when one try is left it is made only if pin calls AllowFinalTry. A refused
// PIN, and one that was not tried, is a [*PINError]; it is never tried again here.
//
// A token that takes its PIN at a PIN pad is told to do so, and ctx should allow for the
// person's time; pin may be nil then, unless it is to allow the last try.
func (s *Session) Login(ctx context.Context, user UserType, pin PINFunc) error {
	value, err := s.askPIN(ctx, pin, PINRequest{User: user})
	defer clear(value)
	if err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.setPIN(value)
	s.user = uint(user)
	if err := s.run(ctx, (*Session).callLogin); err != nil {
		return err
	}
	rv := s.res.RV
	s.end()
	if rv == ck.RV(CKR_USER_ALREADY_LOGGED_IN) {
		return nil
	}
	return s.refusal(ctx, user, s.err("C_Login", rv))
}

// setPIN makes a copy of a PIN the input of the next call; a nil one stays nil.
func (s *Session) setPIN(pin []byte) {
	s.pad = pin == nil
	s.in = append(s.in[:0], pin...)
}

// pin returns what setPIN has set.
func (s *Session) pin() []byte {
	if s.pad {
		return nil
	}
	return s.in
}

func (s *Session) callLogin() {
	s.step(s.fl.Login(s.handle, s.user, s.pin()), ck.Login)
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

func (s *Session) callLogout() { s.step(s.fl.Logout(s.handle), ck.Logout) }

// InitPIN sets the PIN of the user, whatever it was. The security officer must be logged in,
// in a read-write session.
func (s *Session) InitPIN(ctx context.Context, pin PINFunc) error {
	value, err := s.askPIN(ctx, pin, PINRequest{User: CKU_USER, New: true})
	defer clear(value)
	if err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.setPIN(value)
	if err := s.run(ctx, (*Session).callInitPIN); err != nil {
		return err
	}
	rv := s.res.RV
	s.end()
	return s.err("C_InitPIN", rv)
}

func (s *Session) callInitPIN() {
	s.step(s.fl.InitPIN(s.handle, s.pin()), ck.InitPIN)
	clear(s.in)
}

// SetPIN changes the PIN of who is logged in, or of the user if nobody is. A wrong old
// PIN costs a try: it is treated as by [Session.Login]. pin is asked for the old PIN, then
// for the new one (PINRequest.New).
func (s *Session) SetPIN(ctx context.Context, pin PINFunc) error {
	state, err := s.stateInfo(ctx)
	if err != nil {
		return err
	}
	user := whose(state)
	old, err := s.askPIN(ctx, pin, PINRequest{User: user})
	defer clear(old)
	if err != nil {
		return err
	}
	value, err := s.askPIN(ctx, pin, PINRequest{User: user, New: true})
	defer clear(value)
	if err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.setPIN(old)
	s.out = append(s.out[:0], value...)
	if err := s.run(ctx, (*Session).callSetPIN); err != nil {
		return err
	}
	rv := s.res.RV
	s.end()
	return s.refusal(ctx, user, s.err("C_SetPIN", rv))
}

func (s *Session) callSetPIN() {
	value := s.out
	if s.pad {
		value = nil
	}
	s.step(s.fl.SetPIN(s.handle, s.pin(), value), ck.SetPIN)
	clear(s.in)
	clear(s.out)
}

// InitToken makes the token in the slot new, with a label of at most 32 bytes: all its
// objects and the user's PIN are destroyed. pin gives the security officer's PIN: the
// present one, which costs a try when it is wrong and is treated as by [Session.Login], or
// for a token that was never initialised the one that is to be set (PINRequest.New). No
// session may be open with the token. ctx ends the wait for the module.
func (s *Slot) InitToken(ctx context.Context, label string, pin PINFunc) error {
	if len(label) > 32 {
		return fmt.Errorf("cryptoki: the label %q has %d bytes; a token's has at most 32", label, len(label))
	}
	c, err := s.m.newSession(s.id, false, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := c.tokenInfo(ctx)
	if err != nil {
		return err
	}
	value, err := askPIN(ctx, t, s.id, pin, PINRequest{User: CKU_SO, New: !t.Initialized()}, c.tokenInfo)
	defer clear(value)
	if err != nil {
		return err
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	c.setPIN(value)
	c.label = label
	if err := c.run(ctx, (*Session).callInitToken); err != nil {
		return err
	}
	rv := c.res.RV
	c.end()
	return c.refusal(ctx, CKU_SO, c.err("C_InitToken", rv))
}

func (s *Session) callInitToken() {
	s.step(s.fl.InitToken(uint(s.slot), s.pin(), s.label), ck.InitToken)
	clear(s.in)
}

// authorize makes the operations that follow log in for themselves, with pin, which is
// copied, or at the token if it is nil.
func (s *Session) authorize(pin []byte) {
	s.always, s.alwaysPIN = true, nil
	if pin != nil {
		s.alwaysPIN = bytes.Clone(pin)
	}
}

// authorized ends authorize. A call that was given up still has the PIN, and clears it.
func (s *Session) authorized() {
	if !s.closed() {
		clear(s.alwaysPIN)
		s.always, s.alwaysPIN = false, nil
	}
}

// tokenInfo asks for the token's flags by some session.
func (p *Pool) tokenInfo(ctx context.Context) (TokenInfo, error) {
	s, err := p.get(ctx)
	if err != nil {
		return TokenInfo{}, err
	}
	defer p.put(s)
	return s.tokenInfo(ctx)
}

// contextPIN gets the user's PIN for one use of a key. No session is held meanwhile.
func (p *Pool) contextPIN(ctx context.Context, key string) ([]byte, error) {
	t, err := p.tokenInfo(ctx)
	if err != nil {
		return nil, err
	}
	pin, err := askPIN(ctx, t, p.Slot().id, p.opts.PIN, PINRequest{User: CKU_CONTEXT_SPECIFIC, Key: key}, p.tokenInfo)
	if err != nil {
		return nil, err
	}
	if p.wasRefused(pin) {
		clear(pin)
		return nil, pinError(t, CKU_CONTEXT_SPECIFIC, false, errRefusedBefore)
	}
	return pin, nil
}

var errRefusedBefore = errors.New("the token has refused the same PIN before; it is not tried again")

// contextRefusal returns err, or the error of a PIN if the login for one use was refused.
func (p *Pool) contextRefusal(ctx context.Context, s *Session, pin []byte, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Function != "C_Login" || !refused(err) {
		return err
	}
	p.refuse(pin)
	t, info := p.tokenInfo(ctx)
	if info != nil {
		t = TokenInfo{}
	}
	return pinError(t, CKU_CONTEXT_SPECIFIC, true, err)
}

// refuse remembers that a PIN was refused, in a form that tells the PIN to nobody who does
// not try them all.
func (p *Pool) refuse(pin []byte) {
	if pin == nil {
		return // entered at the token
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	sum := saltedSum(salt, pin)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrongSalt, p.wrongPIN = salt, sum
}

// saltedSum is SHA-256 over salt and PIN, which is left nowhere.
func saltedSum(salt, pin []byte) [sha256.Size]byte {
	b := slices.Concat(salt, pin)
	defer clear(b)
	return sha256.Sum256(b)
}

func (p *Pool) wasRefused(pin []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pin == nil || p.wrongSalt == nil {
		return false
	}
	sum := saltedSum(p.wrongSalt, pin)
	return subtle.ConstantTimeCompare(sum[:], p.wrongPIN[:]) == 1
}
