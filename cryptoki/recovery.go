package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cardoki/cardoki/internal/ck"
)

// What a pool does when it has no sessions, or was logged out.
const (
	firstDelay   = 10 * time.Millisecond // between two attempts; doubled up to
	longestDelay = time.Second
	// A restart of the module comes at once when nothing works without it; for a token that
	// is not there only after some attempts. The pause before another is doubled.
	firstRestartPause   = 50 * time.Millisecond
	longestRestartPause = 2 * time.Second
	absentAttempts      = 3
)

// errAbsent is wrapped by the error about a token that is nowhere.
var errAbsent = fmt.Errorf("the token is %w in any slot", ErrNotFound)

// prepare makes sessions possible: it logs in, or opens the anchor first, or restarts the
// module before that. One caller does it, the others wait. until is how long this caller waits for
// a token that was lost.
func (p *Pool) prepare(ctx context.Context, until time.Time) error {
	if err := p.lock(ctx, until); err != nil {
		return err
	}
	for {
		p.mu.Lock()
		closed, ready, refused, o := p.closed, p.ready, p.refused, p.outage
		p.mu.Unlock()
		var err error
		switch {
		case closed:
			err = ErrClosed
		case !ready:
			err = refused
		}
		if err != nil || ready {
			p.unlock()
			return err
		}
		if o.hollow && p.wantsRestart(nil) {
			if !p.restart(ctx, p.m.in.Generation(), errHollow) && ctx.Err() != nil {
				p.unlock()
				return ctx.Err()
			}
			continue
		}
		if wait := time.Until(o.last.Add(delayAfter(o.attempts))); o.err != nil && wait > 0 {
			if time.Now().Add(wait).After(until) {
				p.unlock()
				return o.err
			}
			if err := p.pause(ctx, wait); err != nil {
				p.unlock()
				return err
			}
		}
		generation := p.m.in.Generation()
		held, err := p.attempt(ctx)
		if err == nil {
			p.unlock()
			return nil
		}
		if !held {
			return err
		}
		again := p.failed(err) && ctx.Err() == nil
		if again && p.wantsRestart(err) {
			p.restart(ctx, generation, err)
			continue
		}
		if !again {
			p.unlock()
			return err
		}
	}
}

// errHollow is why a module is restarted whose token seems to have lost all its objects.
var errHollow = errors.New("cryptoki: the token shows none of its objects")

// restart restarts the module, as it is of no use for the reason given.
func (p *Pool) restart(ctx context.Context, generation uint64, reason error) bool {
	p.logRecovery("restart of the module", reason)
	err := p.m.process.restartModule(ctx, generation)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outage.hollow = false
	if err != nil {
		p.outage.last, p.outage.err = time.Now(), fmt.Errorf("%w; %w", reason, err)
		return false
	}
	p.counts.Restarts++
	p.outage.attempts = 0
	return true
}

// delayAfter is how long to wait after so many attempts that failed.
func delayAfter(attempts int) time.Duration {
	if attempts == 0 {
		return 0
	}
	return min(firstDelay<<min(attempts-1, 10), longestDelay)
}

func (p *Pool) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cryptoki: waiting for the token: %w", ctx.Err())
	case <-p.done:
		return ErrClosed
	}
}

// lock takes the lock preparing.
func (p *Pool) lock(ctx context.Context, until time.Time) error {
	select {
	case p.preparing <- struct{}{}:
		return nil
	default:
	}
	p.mu.Lock()
	stuck, o := p.stuck, p.outage
	p.mu.Unlock()
	if stuck {
		return ErrUnresponsive
	}
	var expired <-chan time.Time
	if !o.since.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		expired = t.C
	}
	select {
	case p.preparing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cryptoki: waiting for the login: %w", ctx.Err())
	case <-p.done:
		return ErrClosed
	case <-expired:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.outage.err != nil {
			return p.outage.err
		}
		return fmt.Errorf("cryptoki: the token did not come back within %v", p.opts.Patience)
	}
}

func (p *Pool) unlock() { <-p.preparing }

// failed notes that an attempt failed, and reports whether another makes sense.
func (p *Pool) failed(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pin, ok := errors.AsType[*PINError](err); ok {
		if pin.Tried {
			p.refused = err
		}
		return false
	}
	if errors.Is(err, ErrClosed) || troubleOf(err) == 0 && !errors.Is(err, errAbsent) {
		return false
	}
	p.outage.last, p.outage.err = time.Now(), err
	p.outage.attempts++
	// What never worked does not come back.
	return p.identity != nil || errors.Is(err, CKR_CRYPTOKI_NOT_INITIALIZED)
}

// wantsRestart reports whether it is time to restart the module, and notes that it is.
func (p *Pool) wantsRestart(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := &p.outage
	if o.restarts > 0 && time.Since(o.restarted) < min(firstRestartPause<<min(o.restarts-1, 10), longestRestartPause) || errors.Is(err, errAbsent) && o.attempts < absentAttempts ||
		errors.Is(err, CKR_TOKEN_NOT_PRESENT) && o.attempts < absentAttempts {
		return false
	}
	o.restarted = time.Now()
	o.restarts++
	return true
}

func (p *Pool) logRecovery(what string, err error) {
	if p.m.log != nil {
		p.m.log.LogAttrs(context.Background(), slog.LevelInfo, "cryptoki: "+what, slog.Any("error", err))
	}
}

// attempt makes sessions possible, if nothing stands in the way. held is whether the
// caller still has the lock preparing; if not, whoever has it gives it back.
func (p *Pool) attempt(ctx context.Context) (held bool, err error) {
	p.mu.Lock()
	anchor, slot, first := p.anchor, p.slot, p.identity == nil
	lent := p.lent
	p.mu.Unlock()
	if anchor != nil && !lent {
		if held, err := p.with(anchor, func() error { return p.signIn(ctx, anchor) }); err == nil || !held || troubleOf(err) == 0 {
			if err == nil {
				p.renew(anchor)
			}
			return held, err
		}
		p.mu.Lock()
		if anchor.forgotten.Load() && p.m.quirks.FewSessions { // and so are the sessions of its time, and their numbers may be others'
			p.lostBefore = anchor.stamp.epoch
		}
		suspects := p.suspects
		p.suspects = nil
		if p.anchor == anchor { // it may take until after the next attempt to be gone
			p.anchor, p.ready, p.lent = nil, false, false
		}
		p.mu.Unlock()
		anchor.discard()
		p.dismiss(suspects)
	}
	if !first {
		p.logRecovery("recovery begins", nil)
	}
	if anchor, err = p.m.newSession(slot, p.opts.ReadWrite, p); err != nil {
		return true, err
	}
	held, err = p.with(anchor, func() error { return p.bringUp(ctx, anchor) })
	switch {
	case err != nil && held:
		anchor.discard()
		return true, err
	case err != nil:
		return false, err
	}
	p.renew(anchor)
	return true, nil
}

// with calls f, during which s has the lock preparing. If s is closed meanwhile, by
// Module.Close or because its caller gave up waiting, the lock is given back when it is
// gone, and not by the caller: held is false, with an error.
func (p *Pool) with(s *Session, f func() error) (held bool, err error) {
	s.place.Store(placeAnchor)
	err = f()
	if s.place.CompareAndSwap(placeAnchor, placeNone) {
		if err == nil && s.closed() {
			err = ErrClosed
		}
		return true, err
	}
	if err == nil {
		err = ErrClosed
	}
	return false, err
}

// renew begins a new life of the pool: handles of the one before mean nothing.
func (p *Pool) renew(anchor *Session) {
	p.mu.Lock()
	st := stamp{anchor.stamp.generation, p.m.epochs.Add(1)}
	old := p.idle
	if p.anchor == anchor {
		for _, s := range p.idle {
			s.stamp = st
		}
		old = nil
	} else {
		p.idle = nil
	}
	anchor.stamp = st
	old = append(old, p.suspects...)
	p.suspects = nil
	p.anchor, p.stamp, p.slot, p.lent = anchor, st, anchor.slot, false
	p.bound = p.opts.Size
	if !p.outage.since.IsZero() {
		p.counts.Recoveries++
		p.counts.LastRecovery = time.Since(p.outage.since)
	}
	p.outage = outage{restarted: p.outage.restarted}
	p.ready = !p.closed
	closed := p.closed
	p.mu.Unlock()
	p.dismiss(old)
	if closed {
		anchor.discard()
	}
}

// dismiss closes sessions, or forgets those that the module does not have any more.
func (p *Pool) dismiss(sessions []*Session) {
	for _, s := range sessions {
		if p.isLost(s) {
			s.forget()
		} else {
			s.discard()
		}
	}
}

func (p *Pool) isLost(s *Session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.stamp.epoch <= p.lostBefore
}

// bringUp opens the anchor with the token of the pool, and logs in.
func (p *Pool) bringUp(ctx context.Context, s *Session) error {
	if err := p.findToken(ctx, s); err != nil {
		return err
	}
	mechanisms, err := s.mechanisms(ctx)
	if err != nil {
		return err
	}
	if !p.m.quirks.FewSessions {
		if err := s.begin(ctx); err != nil {
			return err
		}
		if err := s.run(ctx, (*Session).callClimb); err != nil {
			return err
		}
		s.end()
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.run(ctx, (*Session).callOpen); err != nil {
		return err
	}
	rv := s.res.RV
	s.end()
	if err := s.err("C_OpenSession", rv); err != nil {
		return err
	}
	p.mu.Lock()
	p.mechanisms = mechanisms
	p.mu.Unlock()
	return p.signIn(ctx, s)
}

// signIn logs in, unless that is not to be done or somebody is logged in.
func (p *Pool) signIn(ctx context.Context, s *Session) error {
	state, err := s.stateInfo(ctx)
	if errors.Is(err, CKR_FUNCTION_NOT_SUPPORTED) {
		state, err = CKS_RO_PUBLIC_SESSION, nil // to log in twice does no harm
	}
	if err != nil {
		return err
	}
	t, err := s.tokenInfo(ctx)
	if err != nil {
		return err
	}
	login := t.LoginRequired() && (p.opts.PIN != nil || t.PINPad())
	p.mu.Lock()
	p.login = login
	p.mu.Unlock()
	if !login || !public(state) {
		return nil
	}
	p.mu.Lock()
	p.counts.Logins++
	p.mu.Unlock()
	return s.Login(ctx, CKU_USER, p.opts.PIN)
}

// findToken sets the slot of s to the one in which the token of the pool is. The first
// token that the pool saw is its own.
func (p *Pool) findToken(ctx context.Context, s *Session) error {
	p.mu.Lock()
	own := p.identity
	p.mu.Unlock()
	is := func(t TokenInfo) bool { return own == nil || *own == identity{t.Label, t.Serial} }
	t, err := s.tokenInfo(ctx)
	if err == nil && is(t) {
		p.mu.Lock()
		p.identity = &identity{t.Label, t.Serial}
		p.mu.Unlock()
		return nil
	}
	if s.closed() || own == nil {
		return err
	}
	slots, other := s.slotList(ctx)
	if other != nil {
		return other
	}
	here := s.slot
	for _, id := range slots {
		if s.slot = SlotID(id); s.slot == here {
			continue
		}
		t, other := s.tokenInfo(ctx)
		if s.closed() {
			return other
		}
		if other == nil && is(t) {
			return nil
		}
	}
	s.slot = here
	if err != nil && !errors.Is(err, CKR_SLOT_ID_INVALID) {
		return err // that of the token's slot
	}
	return fmt.Errorf("cryptoki: token %q with serial number %s: %w", own.label, own.serial, errAbsent)
}

// slotList returns the slots with a token.
func (s *Session) slotList(ctx context.Context) ([]uint, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if err := s.run(ctx, (*Session).callSlots); err != nil {
		return nil, err
	}
	slots, rv := s.slots, s.res.RV
	s.end()
	return slots, s.err("C_GetSlotList", rv)
}

func (s *Session) callSlots() {
	slots, rv := s.fl.GetSlotList(true)
	s.slots = slots
	s.step(rv, ck.GetSlotList)
}

// mechanisms is Slot.Mechanisms, but for the wait, which ctx ends.
func (s *Session) mechanisms(ctx context.Context) ([]MechanismType, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if err := s.run(ctx, (*Session).callMechanisms); err != nil {
		return nil, err
	}
	list, rv := s.slots, s.res.RV
	s.end()
	types := make([]MechanismType, len(list))
	for i, t := range list {
		types[i] = MechanismType(t)
	}
	slices.Sort(types)
	return types, s.err("C_GetMechanismList", rv)
}

func (s *Session) callMechanisms() {
	list, rv := s.fl.GetMechanismList(uint(s.slot))
	s.slots = list
	s.step(rv, ck.GetMechanismList)
}

// What callClimb does: to above which number at least, and how long.
const (
	climbTo    = 1500
	climbLimit = 50 * time.Millisecond
)

// callClimb opens and closes sessions, so that those that are opened from now on have
// higher numbers than any that was given before: a number that somebody still has from the
// time before a C_Finalize then means nothing. It stops where numbers don't grow.
func (s *Session) callClimb() {
	start := time.Now()
	to, limit := uint(max(climbTo, s.m.process.highest.Load())), climbLimit
	if to > climbTo {
		limit *= 4 // for our own sessions of that time
	}
	var last uint
	for i := range to {
		handle, rv := s.fl.OpenSession(uint(s.slot), 0)
		if rv != ck.RV(CKR_OK) {
			break
		}
		s.fl.CloseSession(handle)
		if handle <= last || handle > to || i%16 == 0 && time.Since(start) > limit {
			break
		}
		last = handle
	}
	s.step(ck.RV(CKR_OK), ck.OpenSession)
}
