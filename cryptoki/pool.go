package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/signer"
)

// PoolOptions changes what [Slot.NewPool] makes. The zero value, and a nil pointer,
// are ready to use.
type PoolOptions struct {
	// PIN gives the user's PIN, when the first session is needed and whenever the
	// token has logged the user out. Nil means that nobody is logged in: only
	// public objects are seen, unless the token takes its PIN at a PIN pad. It must not
	// use the Pool.
	PIN PINFunc
	// Size bounds the sessions that are in use at the same time; 0 means
	// runtime.GOMAXPROCS, which is right for tokens in software: an HSM in the network
	// does more at the same time. One more session is kept open, so that the login
	// lasts. A token that has fewer sessions lowers the bound.
	Size int
	// ReadWrite asks for read-write sessions, which can write to the token.
	ReadWrite bool
	// Patience is how long a caller waits for a token that was lost to come back; 0 means
	// 10 s, and a negative one not at all. Contexts end the wait sooner.
	Patience time.Duration
	// Verify says which signatures of keys of the pool are verified before they are
	// returned. By default that is every RSA signature, and of other keys the first after the
	// key was found or found again. One that is wrong is thrown away; the key is looked for
	// again, and used once more if it is still there.
	Verify signer.VerifyPolicy
}

// A Pool is a set of sessions with one token that share one login. Sessions are
// opened as they are needed, and the last used is used first. Callers who wait for one get
// it in the order in which they came. It is safe for concurrent use.
//
// # Recovery
//
// The Pool learns from what calls return that sessions were closed, that the user was
// logged out, or that the token or the module behind it is gone. The next caller makes
// all new, in this order: session, login, and the module itself; the others wait for
// that. The token is recognised by its label and serial number, in whatever slot it
// is then; another token never gets the PIN, and a PIN that was refused is not
// tried again. Keys of the Pool ([Pool.Key]) are looked for again, and compared.
//
// What a Key or another value of the Pool does is then done again, if nothing can have
// come of it. [Pool.Do] never calls its function twice: who met the dead session gets the
// error.
//
// The module is restarted (C_Finalize, C_Initialize) as the last step, when sessions can't
// be opened or logged in without: where cardoki has initialised it, and once every Pool of
// the process has given in its sessions. While sessions of [Slot.OpenSession] are open it
// is not: [ErrShared].
//
// Handles are numbers, and numbers are given again after a module was finalised, by this
// package or by other code of the process. So a Pool takes handles from higher up: it
// opens and closes up to 1,500 sessions in the beginning, for 50 ms at most. Then what is
// left of it after somebody else's C_Finalize names nothing. Where that can't be relied
// on, PoolOptions.Verify makes sure of signatures; that a decryption was made with the key
// that was meant can't be made sure of.
//
// # Devices that hang
//
// A call can't be called back. What was given up by its context goes on and holds its
// session, so that a device that hangs costs no more than the bound in threads. When all
// sessions hang, callers get [ErrUnresponsive] at once.
type Pool struct {
	opts PoolOptions
	m    *Module
	owns bool // the module is closed with the pool

	preparing chan struct{} // a lock whose waiters have a context: held to make all new
	done      chan struct{} // closed by Close

	mu       sync.Mutex // never held during a call into the module
	closed   bool
	ready    bool // sessions of this life can be had, and the user is logged in
	slot     SlotID
	identity *identity // of the token, once it was seen
	anchor   *Session  // keeps the login alive, and does nothing else
	lent     bool      // the anchor is lent, as the token has no second session
	stuck    bool      // who has the lock preparing waits for a call that was given up
	refused  error     // the PIN was refused: it is not tried again
	login    bool      // the user is to be logged in
	barren   int       // restarts for want of objects since a key was found last
	outage   outage
	stamp    stamp
	idle     []*Session
	suspects []*Session // of those that were idle when one was found dead
	// lostBefore is the last epoch whose sessions the module does not have any more.
	lostBefore uint64
	sessions   map[*Session]struct{} // all but the anchor
	bound      int
	lowered    time.Time // when the bound was lowered
	inUse      int       // with those that are being opened
	opening    int       // of inUse
	hanging    int       // of inUse
	waiters    waiters
	counts     PoolStats

	mechanisms []MechanismType

	wrongSalt []byte // of a PIN for one use that was refused
	wrongPIN  [32]byte
}

// An identity is how a token is recognised.
type identity struct{ label, serial string }

// An outage is what is known of the time since the pool broke down.
type outage struct {
	since     time.Time // zero: there is none
	last      time.Time // when it was last tried to end it
	restarted time.Time // when the module was restarted for that
	attempts  int
	restarts  int
	hollow    bool  // the token shows no objects
	err       error // of the last
}

// Where a pool has a session, Session.place.
const (
	placeNone    int32 = iota // it counts as nothing
	placeInUse                // it counts in inUse
	placeOpening              // and in opening
	placeHangs                // or in hanging
	placeAnchor               // who uses it has the lock preparing
	placeStuck                // and it hangs
)

// ErrUnresponsive is returned when each session that a pool may have waits for a call that
// does not return.
var ErrUnresponsive = errors.New("cryptoki: the token does not answer: all calls that may be made at the same time hang")

// NewPool returns a pool of sessions with the token in the slot. Nothing is opened
// before the first use. opts may be nil.
func (s *Slot) NewPool(opts *PoolOptions) *Pool {
	p := &Pool{m: s.m, slot: s.id, preparing: make(chan struct{}, 1), done: make(chan struct{}), sessions: map[*Session]struct{}{}}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Size <= 0 {
		p.opts.Size = runtime.GOMAXPROCS(0)
	}
	switch {
	case p.opts.Patience == 0:
		p.opts.Patience = 10 * time.Second
	case p.opts.Patience < 0:
		p.opts.Patience = 0
	}
	p.bound = p.opts.Size
	s.m.mu.Lock()
	s.m.pools[p] = struct{}{}
	s.m.mu.Unlock()
	return p
}

// Slot returns the slot of the pool: that in which its token was seen last.
func (p *Pool) Slot() *Slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &Slot{m: p.m, id: p.slot}
}

// Do calls f once with a session that is f's alone until it returns. ctx ends the
// wait for a session, and for the module while a session is opened or logged in. f
// passes ctx, or another context, to the methods of the session. Do returns the error of
// f as it is.
//
// The PIN is asked for as [Session.Login] says. Once it was refused, Do returns
// that [*PINError] and does not try again: make a new Pool with the right PIN.
func (p *Pool) Do(ctx context.Context, f func(*Session) error) error {
	s, err := p.get(ctx)
	if err != nil {
		return err
	}
	defer p.put(s)
	return f(s)
}

// safely is Do for an f that can be called again where nothing came of it: in another session or
// after a recovery.
func (p *Pool) safely(ctx context.Context, f func(*Session) error) error {
	for tries := 1; ; tries++ {
		s, err := p.get(ctx)
		if err != nil {
			return err
		}
		err = f(s)
		again := p.again(ctx, s, err)
		p.put(s)
		if !again || tries == mostTries {
			return err
		}
	}
}

// mostTries is how often what can be done again is tried at most: a token that goes away can
// look as if it came back in between.
const mostTries = 4

// get takes a session out of the pool; put gives it back.
func (p *Pool) get(ctx context.Context) (*Session, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 && p.ready && p.inUse < p.bound && p.waiters.none() {
		s := p.idle[n-1] // the last used first
		p.idle = p.idle[:n-1]
		p.inUse++
		p.counts.Uses++
		s.place.Store(placeInUse)
		p.mu.Unlock()
		if !s.closed() {
			return s, nil
		}
		p.drop(s)
	} else {
		p.mu.Unlock()
	}
	if err := p.admit(ctx); err != nil {
		return nil, err
	}
	return p.take(ctx)
}

// admit waits until one more session may be used.
func (p *Pool) admit(ctx context.Context) error {
	p.mu.Lock()
	if p.bound < p.opts.Size && time.Since(p.lowered) > raiseAfter {
		p.bound, p.lowered = p.bound+1, time.Now() // perhaps there is room for one more now
	}
	switch {
	case p.closed:
		p.mu.Unlock()
		return ErrClosed
	case ctx.Err() != nil:
		p.mu.Unlock()
		return ctx.Err()
	case p.inUse < p.bound && p.waiters.none():
		p.inUse++
		p.mu.Unlock()
		return nil
	case p.hanging >= p.bound:
		p.mu.Unlock()
		return ErrUnresponsive
	}
	w := p.waiters.add()
	p.mu.Unlock()
	select {
	case err := <-w.admitted:
		return err
	case <-ctx.Done():
	case <-p.done:
	}
	p.mu.Lock()
	if !p.waiters.remove(w) { // admitted in the same moment
		if err := <-w.admitted; err == nil {
			p.inUse--
			p.admitNext()
		}
	}
	p.mu.Unlock()
	if ctx.Err() != nil {
		return fmt.Errorf("cryptoki: all %d sessions of the pool are in use: %w", p.opts.Size, ctx.Err())
	}
	return ErrClosed
}

// raiseAfter is how long a bound that was lowered stays so.
const raiseAfter = 30 * time.Second

// admitNext lets those in who waited longest, as many as there is room for. p.mu is held.
func (p *Pool) admitNext() {
	for p.inUse < p.bound {
		w := p.waiters.next()
		if w == nil {
			return
		}
		p.inUse++
		w.admitted <- nil
	}
	if p.hanging >= p.bound {
		for w := p.waiters.next(); w != nil; w = p.waiters.next() {
			w.admitted <- ErrUnresponsive
		}
	}
}

// take returns an idle or a new session to a caller that was admitted, or takes the
// admission back.
func (p *Pool) take(ctx context.Context) (*Session, error) {
	until := time.Now().Add(p.opts.Patience)
	p.mu.Lock()
	p.counts.Uses++
	p.mu.Unlock()
	for {
		p.mu.Lock()
		if p.closed || !p.ready {
			p.mu.Unlock()
			if err := p.prepare(ctx, until); err != nil {
				p.giveBack()
				return nil, err
			}
			continue
		}
		if n := len(p.idle); n > 0 {
			s := p.idle[n-1]
			p.idle = p.idle[:n-1]
			s.place.Store(placeInUse)
			p.mu.Unlock()
			if !s.closed() {
				return s, nil
			}
			if s.place.CompareAndSwap(placeInUse, placeNone) {
				continue // with the admission
			}
			if err := p.admit(ctx); err != nil { // gone took it back
				return nil, err
			}
			continue
		}
		st, slot := p.stamp, p.slot
		p.mu.Unlock()
		s, err := p.open(ctx, slot, st)
		switch {
		case err == nil:
			return s, nil
		case errors.Is(err, CKR_SESSION_COUNT):
			s, wait := p.lower()
			if s != nil {
				return s, nil
			}
			if !wait {
				return nil, err
			}
			if err := p.admit(ctx); err != nil {
				return nil, err
			}
		case troubleOf(err) != 0 && !time.Now().After(until) && ctx.Err() == nil:
			if err := p.admit(ctx); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// giveBack takes back an admission that is not a session's.
func (p *Pool) giveBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse--
	p.admitNext()
}

// open opens a session that has the caller's admission from the start: a device that
// hangs in C_OpenSession counts against the bound too. With an error, it is taken back.
func (p *Pool) open(ctx context.Context, slot SlotID, st stamp) (*Session, error) {
	s, err := p.m.newSession(slot, p.opts.ReadWrite, p)
	if err != nil {
		p.giveBack()
		return nil, err
	}
	stale := s.stamp.generation != st.generation
	s.stamp = st
	s.place.Store(placeOpening)
	p.mu.Lock()
	p.sessions[s] = struct{}{}
	p.opening++
	closed := p.closed
	p.mu.Unlock()
	if stale {
		s.forget()
		p.note(sessionDead, st)
		return nil, slotError("C_OpenSession", ck.RV(CKR_SESSION_CLOSED), slot)
	}
	if closed { // and Close did not see this session
		s.Close()
		return nil, ErrClosed
	}
	if err := s.open(ctx); err != nil {
		if troubleOf(err) != 0 {
			p.note(sessionDead, st)
		}
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Opened++
	if !s.place.CompareAndSwap(placeOpening, placeInUse) {
		return nil, ErrClosed // it is gone already
	}
	p.opening--
	return s, nil
}

// lower lowers the bound after the token had no session left. It returns a session that
// can be had all the same, or whether waiting for one makes sense.
func (p *Pool) lower() (s *Session, wait bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0 // sessions that come back; who was admitted may be without one yet
	for s := range p.sessions {
		if place := s.place.Load(); place == placeInUse || place == placeHangs {
			n++
		}
	}
	if p.lent {
		n++
	}
	if n > 0 {
		p.bound, p.lowered = n, time.Now()
		return nil, true
	}
	if p.anchor == nil || p.anchor.closed() || p.lent || !p.ready {
		return nil, false
	}
	// The token has but one session.
	p.bound, p.lowered, p.lent = 1, time.Now(), true
	p.inUse++
	p.anchor.place.Store(placeInUse)
	return p.anchor, true
}

// drop takes back a session that is closed, or is closed here.
func (p *Pool) drop(s *Session) {
	p.dismiss([]*Session{s})
	if s.place.CompareAndSwap(placeInUse, placeNone) {
		p.giveBack()
	}
}

func (p *Pool) put(s *Session) {
	if s.worst.Load() == 0 {
		p.mu.Lock()
		if !p.closed && p.ready && s.stamp == p.stamp && !s.closed() && s.place.CompareAndSwap(placeInUse, placeNone) {
			if s == p.anchor {
				p.lent = false
				s.place.Store(placeNone)
			} else {
				p.idle = append(p.idle, s)
			}
			p.inUse--
			if !p.waiters.none() {
				p.admitNext()
			}
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
	p.putBack(s)
}

// putBack is put for a session that met trouble, or is of no more use.
func (p *Pool) putBack(s *Session) {
	p.judge(s)
	t := s.trouble()
	p.note(t, s.stamp)
	p.mu.Lock()
	keep := !p.closed && t != sessionDead && s.stamp == p.stamp && !s.closed() && s.place.CompareAndSwap(placeInUse, placeNone)
	if keep {
		if s == p.anchor {
			p.lent = false
		} else {
			p.idle = append(p.idle, s)
		}
		p.inUse--
		p.admitNext()
	}
	p.mu.Unlock()
	if !keep {
		p.drop(s)
	}
}

// abandoned implements owner.
func (p *Pool) abandoned(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Abandoned++
	switch {
	case s.place.CompareAndSwap(placeInUse, placeHangs):
		p.hanging++
		p.admitNext()
	case s.place.CompareAndSwap(placeOpening, placeHangs):
		p.opening--
		p.hanging++
		p.admitNext()
	case s.place.CompareAndSwap(placeAnchor, placeStuck):
		p.stuck = true
	}
}

// gone implements owner. A session whose caller gave up waiting keeps its admission, or the
// lock, until its call has returned.
func (p *Pool) gone(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s)
	isIt := func(other *Session) bool { return other == s }
	p.idle, p.suspects = slices.DeleteFunc(p.idle, isIt), slices.DeleteFunc(p.suspects, isIt)
	if s == p.anchor {
		p.anchor, p.ready, p.lent = nil, false, false
	}
	switch s.place.Swap(placeNone) {
	case placeHangs:
		p.hanging--
		p.inUse--
		p.admitNext()
	case placeOpening:
		p.opening--
		p.inUse--
		p.admitNext()
	case placeInUse:
		p.inUse--
		p.admitNext()
	case placeStuck:
		p.stuck = false
		fallthrough
	case placeAnchor:
		<-p.preparing
	}
}

// note draws the consequences of what a session of the life st met.
func (p *Pool) note(t trouble, st stamp) {
	if t < loggedOut {
		return
	}
	p.mu.Lock()
	if st != p.stamp || p.closed { // known already
		p.mu.Unlock()
		return
	}
	p.ready = false
	if p.outage.since.IsZero() {
		p.outage.since = time.Now()
	}
	if t == sessionDead { // the others may be so too, and cost little
		p.suspects, p.idle = append(p.suspects, p.idle...), nil
	}
	p.mu.Unlock()
}

// judge finds out what a general error of a session means: modules tell of a logout or of
// a session that is gone in that way too.
func (p *Pool) judge(s *Session) {
	if trouble(s.worst.Load()) != doubtful {
		return
	}
	s.worst.Store(0)
	if s.closed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), judgeLimit)
	defer cancel()
	state, err := s.stateInfo(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		s.worst.Store(int32(sessionDead))
	case err == nil && public(state) && p.expectsLogin():
		s.worst.Store(int32(loggedOut))
	}
}

// again reports whether what failed with err in s, and changed nothing, is to be done once
// more: in another session, after a login, or with the object found again.
func (p *Pool) again(ctx context.Context, s *Session, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	switch {
	case errors.Is(err, CKR_OPERATION_ACTIVE), errors.Is(err, CKR_DEVICE_ERROR):
		p.judge(s)
		s.discard() // which ends what is active in it
		return true
	case errors.Is(err, ErrNotFound):
		// Nobody sees a private key who is logged out.
		s.worst.CompareAndSwap(0, int32(doubtful))
		p.judge(s)
		return trouble(s.worst.Load()) >= loggedOut || p.isOver(s) || errors.Is(err, errGone) && p.isHollow(ctx, s)
	case errors.Is(err, ErrClosed):
		return s.closed() && !p.isClosed() // it was given in for a restart
	case errors.Is(err, CKR_KEY_HANDLE_INVALID), errors.Is(err, CKR_OBJECT_HANDLE_INVALID), errors.Is(err, errMisused), errors.Is(err, errMisread):
		p.judge(s)
		return true
	}
	p.judge(s)
	return trouble(s.worst.Load()) >= loggedOut
}

// isHollow reports whether the token shows no object at all, where there was a key: that is
// what SoftHSM2 does after a token was taken out and put back, until it is restarted. The
// pool then has it restarted, but not again and again.
func (p *Pool) isHollow(ctx context.Context, s *Session) bool {
	if objects, err := s.FindObjects(ctx, nil); err != nil || len(objects) > 0 {
		return err != nil && troubleOf(err) >= loggedOut
	}
	p.mu.Lock()
	believed := p.barren >= mostBarren && time.Since(p.outage.restarted) < hollowPause
	if !believed {
		p.outage.hollow = true
		p.barren++
	}
	p.mu.Unlock()
	if !believed {
		p.note(sessionDead, s.stamp)
	}
	return !believed
}

// isOver reports whether the life of a session is over, or about to be.
func (p *Pool) isOver(s *Session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.stamp != p.stamp || !p.ready
}

// fruitful notes that a key was found.
func (p *Pool) fruitful() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.barren = 0
}

// A token that shows no objects after mostBarren restarts has none, and is believed for
// hollowPause.
const (
	mostBarren  = 3
	hollowPause = 10 * time.Second
)

func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return true
	}
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.m.closed
}

// judgeLimit is how long judge waits for the module.
const judgeLimit = time.Second

// public reports whether nobody is logged in.
func public(state SessionState) bool {
	return state == CKS_RO_PUBLIC_SESSION || state == CKS_RW_PUBLIC_SESSION
}

func (p *Pool) expectsLogin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.login
}

// yield gives the sessions in for a restart of the module.
func (p *Pool) yield() {
	p.mu.Lock()
	dead := append(p.idle, p.suspects...)
	if p.anchor != nil && !p.lent {
		dead = append(dead, p.anchor)
	}
	p.idle, p.suspects, p.anchor, p.lent, p.ready, p.stamp = nil, nil, nil, false, false, stamp{}
	p.mu.Unlock()
	for _, s := range dead {
		s.forget()
	}
}

// has reports whether the token has the mechanism. The pool was ready once.
func (p *Pool) has(t MechanismType) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := slices.BinarySearch(p.mechanisms, t)
	return ok
}

// Close closes the sessions of the pool; the last session of the process with the
// token logs out. A pool of [OpenURI] closes its module, too. Like [Module.Close] it does not wait: [ErrBusy] tells of a call
// that is still running, and whose session is closed when it returns.
func (p *Pool) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	var all []*Session
	for s := range p.sessions {
		all = append(all, s)
	}
	if p.anchor != nil {
		all = append(all, p.anchor)
	}
	p.idle, p.ready = nil, false
	p.mu.Unlock()
	p.m.mu.Lock()
	delete(p.m.pools, p)
	p.m.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
	var err error
	if p.owns {
		err = p.m.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inUse > 0 || p.stuck {
		return ErrBusy
	}
	return err
}

// waiters is a queue of callers.
type waiters struct{ queue []*waiter }

type waiter struct{ admitted chan error } // has room for one

func (w *waiters) none() bool { return len(w.queue) == 0 }

func (w *waiters) add() *waiter {
	one := &waiter{make(chan error, 1)}
	w.queue = append(w.queue, one)
	return one
}

// next takes the first out of the queue, or returns nil.
func (w *waiters) next() *waiter {
	if len(w.queue) == 0 {
		return nil
	}
	one := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return one
}

func (w *waiters) remove(one *waiter) bool {
	i := slices.Index(w.queue, one)
	if i < 0 {
		return false
	}
	w.queue = slices.Delete(w.queue, i, i+1)
	return true
}

// A trouble is what an error says about more than the call that got it.
type trouble int32

const (
	doubtful    trouble = iota + 1 // a general error: the state of the session tells
	loggedOut                      // the login is to be made again
	sessionDead                    // and so are the sessions
)

// troubleOf judges an error of a session.
func troubleOf(err error) trouble {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return 0
	}
	return troubleOfRV(ck.RV(e.RV))
}

func troubleOfRV(rv ck.RV) trouble {
	switch RV(rv) {
	case CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_DEVICE_REMOVED,
		CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SLOT_ID_INVALID:
		return sessionDead
	case CKR_USER_NOT_LOGGED_IN:
		return loggedOut
	case CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_HOST_MEMORY, CKR_DEVICE_MEMORY, CKR_DEVICE_ERROR, CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID:
		return doubtful
	}
	return 0
}
