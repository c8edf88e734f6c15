package cryptoki

import (
	"context"
	"fmt"
	"sync/atomic"

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
	m    *Module
	slot SlotID
	fl   ck.FunctionList
	rw   bool

	handle  uint
	stamp   stamp
	onClose func(*Session) // called after the session was closed in the module

	permit atomic.Bool  // it holds a permit of its Pool, or as the anchor the lock
	worst  atomic.Int32 // the worst trouble met
	state  atomic.Int32
	worker *worker // nil until the first call with a context that can end

	// What follows belongs to the call that is running, and to nobody else until
	// it has returned.
	in, out    []byte
	objects    []uint
	handles    []uint
	rows       *ck.Rows
	tmpl, priv ck.Template
	mech       ck.Mechanism
	object     uint
	user       uint
	res        ck.Result
	public     uint
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
// ctx ends the wait for the module, see [Session].
func (s *Slot) OpenSession(ctx context.Context, readWrite bool) (*Session, error) {
	return s.open(ctx, readWrite, stamp{s.m.generation, s.m.epochs.Add(1)}, nil)
}

// open opens a session. onClose, unless it is nil, is called once when all is over,
// be it that there never was a session.
func (s *Slot) open(ctx context.Context, readWrite bool, st stamp, onClose func(*Session)) (*Session, error) {
	ses := &Session{m: s.m, slot: s.id, fl: s.m.in.FunctionList, rw: readWrite, stamp: st, onClose: onClose}
	ses.permit.Store(true)
	leak.Opened(ses, "cryptoki.Session")
	// The session is on the module's list before it is open, so that Module.Close
	// either prevents it or finds it.
	s.m.mu.Lock()
	if s.m.closed {
		s.m.mu.Unlock()
		leak.Closed(ses)
		if onClose != nil {
			onClose(ses)
		}
		return nil, ErrClosed
	}
	s.m.in.Retain()
	s.m.sessions[ses] = struct{}{}
	s.m.mu.Unlock()

	if err := ses.begin(ctx); err != nil {
		ses.Close()
		return nil, err
	}
	if err := ses.run(ctx, (*Session).callOpen); err != nil {
		return nil, err
	}
	rv := ses.res.RV
	ses.end()
	if err := ses.err("C_OpenSession", rv); err != nil {
		ses.Close()
		return nil, err
	}
	return ses, nil
}

func (s *Session) callOpen() {
	var flags uint
	if s.rw {
		flags = uint(CKF_RW_SESSION)
	}
	s.handle, s.res.RV = s.fl.OpenSession(uint(s.slot), flags)
	if s.res.RV != ck.RV(CKR_OK) {
		s.handle = 0
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
	return slotError(function, rv, s.slot)
}

// trouble returns the worst trouble met, and forgets it if it does not stay.
func (s *Session) trouble() trouble {
	t := trouble(s.worst.Load())
	if t == loggedOut {
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

// finish closes the session in the module. Whoever set the state to closed calls
// it, once, with no call running.
func (s *Session) finish() error {
	clear(s.in[:cap(s.in)])
	clear(s.out[:cap(s.out)])
	s.tmpl.Reset()
	s.priv.Reset()
	var err error
	if s.handle != 0 {
		err = s.err("C_CloseSession", s.fl.CloseSession(s.handle))
	}
	leak.Closed(s)
	s.m.mu.Lock()
	delete(s.m.sessions, s)
	s.m.mu.Unlock()
	s.m.in.Release()
	if s.onClose != nil {
		s.onClose(s)
	}
	return err
}

// A worker is the goroutine that makes the calls of a session whose callers may
// stop waiting.
type worker struct {
	calls  chan func(*Session)
	done   chan struct{} // has room for one, so that the worker never waits
	turn   atomic.Int32
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
		call(s)
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
		return fmt.Errorf("cryptoki: gave up waiting for the module in slot %d; the session is retired: %w", s.slot, ctx.Err())
	}
	// The call returned at the same moment: its result counts, but the session was
	// already marked, and end closes it.
	<-w.done
	return nil
}

func (w *worker) serve(s *Session) {
	defer close(w.exited)
	for call := range w.calls {
		call(s)
		if !w.turn.CompareAndSwap(turnRunning, turnReturned) {
			s.finish()
			return
		}
		w.done <- struct{}{}
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
