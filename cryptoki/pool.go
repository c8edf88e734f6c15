package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/cardoki/cardoki/internal/ck"
)

// PoolOptions changes what [Slot.NewPool] makes. The zero value, and a nil pointer,
// are ready to use.
type PoolOptions struct {
	// PIN gives the user's PIN, when the first session is needed and whenever the
	// token has logged the user out. Nil means that nobody is logged in: only
	// public objects are seen. It must not use the Pool.
	PIN PINFunc
	// Size bounds the sessions that are in use at the same time; 0 means
	// runtime.GOMAXPROCS. One more is kept open, so that the login lasts.
	Size int
	// ReadWrite asks for read-write sessions, which can write to the token.
	ReadWrite bool
}

// A Pool is a set of sessions with one token that share one login. Sessions are
// opened as they are needed. It is safe for concurrent use.
//
// When a session turns out to be dead, because the token was taken out or someone
// closed it, the Pool closes all that it has and starts anew for the next caller.
// The caller who met the dead session gets the error: nothing is done twice.
type Pool struct {
	slot *Slot
	opts PoolOptions

	permits   chan struct{} // one element for each session in use
	preparing chan struct{} // a lock whose waiters have a context: held to open the anchor and to log in
	done      chan struct{} // closed by Close

	mu         sync.Mutex // never held during a call into the module
	closed     bool
	anchor     *Session // keeps the login alive, and does nothing else
	loggedIn   bool
	refused    error // the PIN was refused: it is not tried again
	mechanisms []MechanismType
	stamp      stamp
	idle       []*Session
	sessions   map[*Session]struct{} // all but the anchor
}

// NewPool returns a pool of sessions with the token in the slot. Nothing is opened
// before the first use. opts may be nil.
func (s *Slot) NewPool(opts *PoolOptions) *Pool {
	p := &Pool{slot: s, preparing: make(chan struct{}, 1), done: make(chan struct{}), sessions: map[*Session]struct{}{}}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Size <= 0 {
		p.opts.Size = runtime.GOMAXPROCS(0)
	}
	p.permits = make(chan struct{}, p.opts.Size)
	return p
}

// Slot returns the slot of the pool.
func (p *Pool) Slot() *Slot { return p.slot }

// Do calls f once with a session that is f's alone until it returns. ctx ends the
// wait for a session, and for the module while a session is opened or logged in; only
// what [Slot] tells is read with no way to stop it. f passes ctx, or another context,
// to the methods of the session. Do returns the error of f as it is.
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

// get takes a session out of the pool; put gives it back.
func (p *Pool) get(ctx context.Context) (*Session, error) {
	for {
		select {
		case p.permits <- struct{}{}:
		default:
			select {
			case p.permits <- struct{}{}:
			case <-ctx.Done():
				return nil, fmt.Errorf("cryptoki: all %d sessions of the pool are in use: %w", p.opts.Size, ctx.Err())
			case <-p.done:
				return nil, ErrClosed
			}
		}
		s, err := p.take(ctx)
		if err != errAgain {
			return s, err
		}
	}
}

// errAgain says that a session was closed, by Module.Close, in the very moment in
// which it was given out.
var errAgain = errors.New("again")

// take returns an idle or a new session. The caller's permit becomes that of the
// session, or is given back with an error.
func (p *Pool) take(ctx context.Context) (*Session, error) {
	for {
		p.mu.Lock()
		if p.closed || !p.ready() {
			p.mu.Unlock()
			if err := p.prepare(ctx); err != nil {
				<-p.permits
				return nil, err
			}
			continue
		}
		n := len(p.idle)
		if n == 0 {
			st := p.stamp
			p.mu.Unlock()
			return p.open(ctx, st)
		}
		s := p.idle[n-1] // the last used first
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		s.permit.Store(true)
		if !s.closed() {
			return s, nil
		}
		if !s.permit.CompareAndSwap(true, false) {
			return nil, errAgain // its onClose gave the permit back
		}
	}
}

// open opens a session that has the caller's permit from the start: a device that
// hangs in C_OpenSession counts against the bound too.
func (p *Pool) open(ctx context.Context, st stamp) (*Session, error) {
	s, err := p.slot.open(ctx, p.opts.ReadWrite, st, func(s *Session) {
		p.mu.Lock()
		delete(p.sessions, s)
		p.mu.Unlock()
		p.returnPermit(s)
	})
	if err != nil {
		p.note(troubleOf(err), st)
		return nil, err
	}
	p.mu.Lock()
	p.sessions[s] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	if closed { // and Close did not see this session; its methods say so now
		s.Close()
	}
	return s, nil
}

// returnPermit gives back the permit of a session, if it has one. A session whose
// caller gave up waiting keeps it until its call has returned, so that a hanging
// device costs no more than the bound.
func (p *Pool) returnPermit(s *Session) {
	if s.permit.CompareAndSwap(true, false) {
		<-p.permits
	}
}

func (p *Pool) put(s *Session) {
	p.note(s.trouble(), s.stamp)
	p.mu.Lock()
	if s.closed() {
		delete(p.sessions, s)
	}
	keep := !p.closed && s.stamp == p.stamp && !s.closed() && s.permit.CompareAndSwap(true, false)
	if keep {
		p.idle = append(p.idle, s)
		<-p.permits
	}
	p.mu.Unlock()
	if !keep {
		s.Close()
	}
}

// note draws the consequences of what a session of the life st met.
func (p *Pool) note(t trouble, st stamp) {
	if t == 0 {
		return
	}
	p.mu.Lock()
	if st != p.stamp { // known already
		p.mu.Unlock()
		return
	}
	p.loggedIn = false
	var dead []*Session
	if t == sessionDead {
		dead = p.idle
		if p.anchor != nil {
			dead = append(dead, p.anchor)
		}
		p.idle, p.anchor = nil, nil
		p.stamp = stamp{}
	}
	p.mu.Unlock()
	for _, s := range dead {
		s.Close()
	}
}

// ready reports whether sessions can be given out. p.mu is held.
func (p *Pool) ready() bool {
	return p.anchor != nil && !p.anchor.closed() && p.loggedIn
}

// prepare opens the anchor and logs in, if that is still to be done.
func (p *Pool) prepare(ctx context.Context) error {
	select {
	case p.preparing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("cryptoki: waiting for the login: %w", ctx.Err())
	case <-p.done:
		return ErrClosed
	}
	p.mu.Lock()
	closed, ready, refused, anchor := p.closed, p.ready(), p.refused, p.anchor
	p.mu.Unlock()
	var err error
	switch {
	case closed:
		err = ErrClosed
	case !ready:
		err = refused
	}
	if err != nil || ready {
		<-p.preparing
		return err
	}
	if anchor == nil || anchor.closed() {
		if anchor, err = p.newAnchor(ctx); err != nil {
			return err
		}
	}
	// The anchor holds the lock during the login, see unlock.
	anchor.permit.Store(true)
	if !anchor.closed() {
		err = p.login(ctx, anchor)
		if anchor.closed() {
			return err
		}
	}
	p.note(anchor.trouble(), anchor.stamp)
	p.mu.Lock()
	p.loggedIn = err == nil
	p.mu.Unlock()
	p.unlock(anchor)
	return err
}

// unlock gives back the lock preparing, if the anchor holds it. An anchor whose
// caller gave up waiting holds it until its call has returned: a device that hangs
// in C_OpenSession or C_Login has one call hanging there, however many come.
func (p *Pool) unlock(anchor *Session) {
	if anchor.permit.CompareAndSwap(true, false) {
		<-p.preparing
	}
}

// newAnchor begins a new life of the pool: handles of the one before mean nothing.
// The caller has the lock preparing, and keeps it only if there is no error.
func (p *Pool) newAnchor(ctx context.Context) (*Session, error) {
	mechanisms, err := p.slot.Mechanisms()
	if err != nil {
		<-p.preparing
		return nil, err
	}
	m := p.slot.m
	anchor, err := p.slot.open(ctx, p.opts.ReadWrite, stamp{m.generation, m.epochs.Add(1)}, p.unlock)
	if err != nil {
		return nil, err
	}
	if !anchor.permit.CompareAndSwap(true, false) { // closed by the module already
		return nil, ErrClosed
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		anchor.Close()
		<-p.preparing
		return nil, ErrClosed
	}
	old := p.idle
	p.idle = nil
	p.anchor, p.stamp, p.mechanisms = anchor, anchor.stamp, mechanisms
	p.mu.Unlock()
	for _, s := range old {
		s.Close()
	}
	return anchor, nil
}

func (p *Pool) login(ctx context.Context, anchor *Session) error {
	if p.opts.PIN == nil {
		return nil
	}
	t, err := p.slot.Token()
	if err != nil {
		return err
	}
	if !t.LoginRequired() {
		return nil
	}
	err = anchor.Login(ctx, CKU_USER, p.opts.PIN)
	if pin, ok := errors.AsType[*PINError](err); ok && pin.Tried {
		p.mu.Lock()
		p.refused = err
		p.mu.Unlock()
	}
	return err
}

// has reports whether the token has the mechanism. The pool was ready once.
func (p *Pool) has(t MechanismType) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := slices.BinarySearch(p.mechanisms, t)
	return ok
}

// Close closes the sessions of the pool; the last session of the process with the
// token logs out. Like [Module.Close] it does not wait: [ErrBusy] tells of a call
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
	p.idle = nil
	p.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
	if len(p.permits) > 0 {
		return ErrBusy
	}
	return nil
}

// A trouble is what an error says about more than the call that got it.
type trouble int32

const (
	loggedOut   trouble = iota + 1 // the login is to be made again
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
	case CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_DEVICE_ERROR, CKR_DEVICE_REMOVED,
		CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SLOT_ID_INVALID:
		return sessionDead
	case CKR_USER_NOT_LOGGED_IN:
		return loggedOut
	}
	return 0
}
