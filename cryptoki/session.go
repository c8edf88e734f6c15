package cryptoki

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/leak"
)

// A Session is a session with a token. It is used by one goroutine at a time: a
// second one gets [ErrConcurrent] and does no harm. Only Close may be called at any
// time. A session that ends logs nobody out, unless it is the token's last one in
// the process.
//
// # Contexts
//
// The methods of a Session call into the module, and a call there cannot be called
// back. With a context that cannot end, the call is made directly. With any other,
// a goroutine that belongs to the session makes it: if the context ends first, the
// method returns the context's error at once, the session is retired (its methods
// return [ErrClosed]), and it is closed when the call returns. Whether the operation
// was carried out is not known then. What was given to the method and what it
// would have returned are copies, so nothing is written later.
type Session struct {
	m     *Module
	slot  SlotID
	fl    ck.FunctionList
	rw    bool
	owner owner // nil: whoever opened it

	handle uint
	stamp  stamp

	place     atomic.Int32 // where its pool has it; changed under the pool's lock
	worst     atomic.Int32 // the worst trouble met
	state     atomic.Int32
	forgotten atomic.Bool // the module has no such session any more, or is about to be restarted: there is nothing to close
	worker    *worker     // nil until the first call with a context that can end

	// What follows belongs to the call that is running, and to nobody else until
	// it has returned.
	in, out    []byte
	aad        []byte
	objects    []uint
	handles    []uint
	rows       *ck.Rows
	tmpl, priv ck.Template
	mech       ck.Mechanism
	object     uint
	user       uint
	res        ck.Result
	public     uint
	slots      []uint
	info       ck.TokenInfo
	about      ck.SessionInfo
	label      string
	pad        bool // the PIN is entered at the token

	// always makes operations log in with alwaysPIN, nil for one that is entered at the token.
	always    bool
	alwaysPIN []byte
}

// An owner is told what becomes of a session, by any goroutine.
type owner interface {
	abandoned(*Session) // a call was given up, and still runs
	gone(*Session)      // it is closed, be it that it never was open
}

// A stamp says in which life of the module and of the pool or session a handle was
// got: in another one it may mean another object.
type stamp struct{ generation, epoch uint64 }

// The bits of Session.state.
const (
	sessionBusy   = 1 << iota // a method is running
	sessionClosed             // no further method may begin; the last one closes
)

// OpenSession opens a session with the token in the slot, read-write or read-only.
// ctx ends the wait for the module, see [Session]. Nothing heals such a session; see
// [Pool] for those that heal. While one is open, the module is not restarted.
func (s *Slot) OpenSession(ctx context.Context, readWrite bool) (*Session, error) {
	ses, err := s.m.newSession(s.id, readWrite, nil)
	if err != nil {
		return nil, err
	}
	if err := ses.open(ctx); err != nil {
		return nil, err
	}
	return ses, nil
}

// newSession returns a session that is not open yet: it can ask what needs none. It has a
// life of its own.
func (m *Module) newSession(slot SlotID, readWrite bool, o owner) (*Session, error) {
	ses := &Session{m: m, slot: slot, fl: m.in.FunctionList, rw: readWrite, owner: o}
	m.mu.Lock()
	for {
		if m.closed {
			m.mu.Unlock()
			return nil, ErrClosed
		}
		restarted := m.process.retain()
		if restarted == nil {
			break
		}
		m.mu.Unlock()
		<-restarted
		m.mu.Lock()
	}
	ses.stamp = stamp{m.in.Generation(), m.epochs.Add(1)}
	// It is on the module's list before it is open, so that Module.Close either prevents
	// it or finds it.
	leak.Opened(ses, "cryptoki.Session")
	m.sessions[ses] = struct{}{}
	m.mu.Unlock()
	return ses, nil
}

// open opens the session in the module. After an error it is closed.
func (s *Session) open(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		s.Close()
		return err
	}
	if err := s.run(ctx, (*Session).callOpen); err != nil {
		return err
	}
	rv := s.res.RV
	s.end()
	if err := s.err("C_OpenSession", rv); err != nil {
		s.Close()
		return err
	}
	return nil
}

func (s *Session) callOpen() {
	var flags uint
	if s.rw {
		flags = uint(CKF_RW_SESSION)
	}
	handle, rv := s.fl.OpenSession(uint(s.slot), flags)
	if s.step(rv, ck.OpenSession); rv == ck.RV(CKR_OK) {
		s.handle = handle
		s.m.process.saw(handle)
	}
}

// Slot returns the slot of the session.
func (s *Session) Slot() *Slot { return &Slot{m: s.m, id: s.slot} }

// ReadWrite reports whether the session may write token objects.
func (s *Session) ReadWrite() bool { return s.rw }

// err returns the error for what a function returned, and remembers what it says
// about the session.
func (s *Session) err(function string, rv ck.RV) error {
	if t := troubleOfRV(rv); int32(t) > s.worst.Load() {
		s.worst.Store(int32(t))
	}
	if lost(rv) {
		s.forgotten.Store(true)
	}
	return slotError(function, rv, s.slot)
}

// lost reports whether rv says that the module has no such session. Its number may be given
// to another, which must not be closed in its place.
func lost(rv ck.RV) bool {
	switch RV(rv) {
	case CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_CRYPTOKI_NOT_INITIALIZED:
		return true
	}
	return false
}

// trouble returns the worst trouble met, and forgets it if it does not stay.
func (s *Session) trouble() trouble {
	t := trouble(s.worst.Load())
	if t != sessionDead {
		s.worst.Store(0)
	}
	return t
}

// Close closes the session. It does not wait: if a method is running in another
// goroutine it returns [ErrBusy], and the session is closed when that method's call
// returns. A second Close does nothing.
func (s *Session) Close() error {
	for {
		switch old := s.state.Load(); {
		case old&sessionClosed != 0:
			return nil
		case old&sessionBusy != 0:
			if s.state.CompareAndSwap(old, old|sessionClosed) {
				return ErrBusy
			}
		case s.state.CompareAndSwap(0, sessionClosed):
			s.worker.stop()
			return s.finish()
		}
	}
}

// begin takes the session for one method. Each begin is followed by run and, if
// that gives no error, by end.
func (s *Session) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.state.CompareAndSwap(0, sessionBusy) {
		if s.state.Load()&sessionClosed != 0 {
			return ErrClosed
		}
		return ErrConcurrent
	}
	return nil
}

// end gives the session back. If it was closed meanwhile, it is closed here.
func (s *Session) end() {
	s.wipeMechanism()
	if !s.state.CompareAndSwap(sessionBusy, 0) {
		s.worker.stop()
		s.finish()
	}
}

// retire closes the session that the caller holds by begin, in place of end.
func (s *Session) retire() {
	s.state.Store(sessionBusy | sessionClosed)
	s.end()
}

// closed reports whether the session is closed or about to be.
func (s *Session) closed() bool { return s.state.Load()&sessionClosed != 0 }

// wipeMechanism clears the parameter of the last call, which may be a password.
func (s *Session) wipeMechanism() {
	clear(s.mech.Data[:cap(s.mech.Data)])
	clear(s.mech.Data2[:cap(s.mech.Data2)])
}

// finish closes the session in the module. Whoever set the state to closed calls
// it, once, with no call running.
func (s *Session) finish() error {
	clear(s.in[:cap(s.in)])
	clear(s.out[:cap(s.out)])
	s.tmpl.Reset()
	s.priv.Reset()
	clear(s.alwaysPIN)
	s.wipeMechanism()
	var err error
	if s.handle != 0 && !s.forgotten.Load() {
		s.call((*Session).callClose)
		err = s.err("C_CloseSession", s.res.RV)
	}
	leak.Closed(s)
	s.m.mu.Lock()
	delete(s.m.sessions, s)
	s.m.mu.Unlock()
	s.m.in.Release()
	if s.owner != nil {
		s.owner.gone(s)
	}
	return err
}

func (s *Session) callClose() { s.step(s.fl.CloseSession(s.handle), ck.CloseSession) }

// discard closes a session whose end nobody waits for: where its callers may stop
// waiting, its own goroutine closes it.
func (s *Session) discard() {
	if s.worker == nil || !s.state.CompareAndSwap(0, sessionClosed) {
		s.Close()
		return
	}
	s.worker.last.Store(true)
	close(s.worker.calls)
}

// forget closes a session that the module does not have any more, or not for long.
func (s *Session) forget() {
	s.forgotten.Store(true)
	s.discard()
}

// A worker is the goroutine that makes the calls of a session whose callers may
// stop waiting.
type worker struct {
	calls  chan func(*Session)
	done   chan struct{} // has room for one, so that the worker never waits
	turn   atomic.Int32
	last   atomic.Bool // when calls is closed the worker closes the session
	exited chan struct{}
}

// The states of worker.turn: who has the session after a call.
const (
	turnRunning   = iota // not decided
	turnReturned         // the caller: the call returned in time
	turnAbandoned        // the worker: the caller is gone
)

// run makes a call that uses only fields of the session. After an error the session
// is not the caller's any more and end must not be called.
func (s *Session) run(ctx context.Context, call func(*Session)) error {
	if ctx.Done() == nil {
		s.call(call)
		return nil
	}
	if s.worker == nil {
		s.worker = &worker{calls: make(chan func(*Session)), done: make(chan struct{}, 1), exited: make(chan struct{})}
		go s.worker.serve(s)
	}
	w := s.worker
	w.turn.Store(turnRunning)
	w.calls <- call
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	s.state.Store(sessionBusy | sessionClosed)
	if w.turn.CompareAndSwap(turnRunning, turnAbandoned) {
		if s.owner != nil {
			s.owner.abandoned(s)
		}
		return fmt.Errorf("cryptoki: gave up waiting for the module in slot %d; the session is retired: %w", s.slot, ctx.Err())
	}
	// The call returned at the same moment: its result counts, but the session was
	// already marked, and end closes it.
	<-w.done
	return nil
}

// call makes a call, which leaves in s.res what came of it.
func (s *Session) call(f func(*Session)) {
	if s.m.turn != nil {
		s.m.turn <- struct{}{}
		defer func() { <-s.m.turn }()
	}
	if s.m.log == nil {
		f(s)
		return
	}
	start := time.Now()
	f(s)
	s.m.logCall(s.res.Step, s.res.RV, time.Since(start), s.slot)
}

func (w *worker) serve(s *Session) {
	defer close(w.exited)
	for call := range w.calls {
		s.call(call)
		if !w.turn.CompareAndSwap(turnRunning, turnReturned) {
			s.finish()
			return
		}
		w.done <- struct{}{}
	}
	if w.last.Load() {
		s.finish()
	}
}

// stop ends the parked worker and waits for it.
func (w *worker) stop() {
	if w == nil {
		return
	}
	close(w.calls)
	<-w.exited
}
