package cryptoki

import (
	"context"
	"fmt"
	"time"
)

// PoolStats are counters and gauges of a [Pool], for a program to export.
type PoolStats struct {
	Size    int // sessions that may be in use at the same time, as set
	Bound   int // and as the token allows
	InUse   int // sessions in use
	Hanging int // of these: calls that were given up and have not returned
	Closing int // sessions that are closed, but for calls in them that have not returned
	Idle    int // sessions that wait for a user
	Waiting int // callers that wait for a session
	Ready   bool

	Uses       uint64 // sessions lent
	Opened     uint64 // sessions opened, but for those that only keep the login
	Abandoned  uint64 // calls given up by their context
	Logins     uint64 // times that a PIN was asked for, to log in
	Recoveries uint64 // times that all was made anew
	Restarts   uint64 // times that the module was restarted for this pool
	// LastRecovery is how long the last recovery took, from the first error on.
	LastRecovery time.Duration
	// LastError is why the pool can't be used now, or nil.
	LastError error
}

// Stats returns what the pool counts.
func (p *Pool) Stats() PoolStats {
	closing := p.closing()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.counts
	s.Closing = closing
	s.Size, s.Bound, s.InUse, s.Hanging, s.Idle, s.Waiting, s.Ready = p.opts.Size, p.bound, p.inUse, p.hanging, len(p.idle), len(p.waiters.queue), p.ready
	s.LastError = p.refused
	if s.LastError == nil {
		s.LastError = p.outage.err
	}
	return s
}

// closing counts the sessions that are closed and not gone.
func (p *Pool) closing() int {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	n := 0
	for s := range p.m.sessions {
		if s.owner == owner(p) && s.closed() {
			n++
		}
	}
	return n
}

// Check is for readiness checks: it takes a session as any caller does, and asks the
// module for its state, which heals what can be healed. It returns nil if the token answers
// and the user is logged in.
func (p *Pool) Check(ctx context.Context) error {
	return p.safely(ctx, func(s *Session) error {
		state, err := s.stateInfo(ctx)
		if err == nil && public(state) && p.expectsLogin() {
			s.worst.Store(int32(loggedOut))
			err = fmt.Errorf("cryptoki: the session is logged out: %w", CKR_USER_NOT_LOGGED_IN)
		}
		return err
	})
}
