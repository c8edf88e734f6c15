package cryptoki

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/leak"
)

// Options changes what [Open] does. The zero value, and a nil pointer, are ready to
// use.
type Options struct {
	// MaxObjects bounds a search for objects; 0 means 10,000. A search that finds
	// more fails.
	MaxObjects int
	// Reserved is a text for C_Initialize, as some modules want it: NSS takes
	// "configdir='…' flags=…" there. Only that of the first in the process to open the
	// module counts.
	Reserved string
	// Logger, if not nil, gets a line for each call of a session into the module: the
	// function, how long it took, what it returned, and the slot. Never a value that
	// goes in or out. Calls are logged at slog.LevelDebug, recovery at slog.LevelInfo.
	Logger *slog.Logger
	// Quirks changes what is known of the module's peculiarities, see [Quirks].
	Quirks func(*Quirks)
}

// A Module is a use of a PKCS#11 module. It is safe for concurrent use.
//
// PKCS#11 knows one user of a module in a process, so Modules that were opened with
// the same path, or with two paths to the same file, share what is underneath: it
// is initialised for the first, finalised after the last. A module that other code
// of the process had initialised before is used, and never finalised by us.
type Module struct {
	in         *ck.Instance
	process    *process
	path       string
	maxObjects int
	log        *slog.Logger // or nil
	quirks     Quirks
	turn       chan struct{} // nil: calls need not wait for each other
	epochs     atomic.Uint64
	oneByOne   atomic.Bool // the module refuses several attributes in one call

	mu       sync.Mutex
	closed   bool
	sessions map[*Session]struct{}
	pools    map[*Pool]struct{}
}

// Open loads and initialises the module at path, such as
// "/usr/lib/softhsm/libsofthsm2.so". opts may be nil. The error says what the
// loader said; it wraps [ErrNotModule] for a library of another kind, and Is
// errors.ErrUnsupported in a program that was built without cgo.
func Open(path string, opts *Options) (*Module, error) {
	in, err := ck.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cryptoki: open module %q: %w", path, err)
	}
	return newModule(in, path, opts)
}

func newModule(in *ck.Instance, path string, opts *Options) (*Module, error) {
	m := &Module{in: in, path: path, maxObjects: 10_000, sessions: map[*Session]struct{}{}, pools: map[*Pool]struct{}{}}
	if opts == nil {
		opts = &Options{}
	}
	if opts.MaxObjects > 0 {
		m.maxObjects = opts.MaxObjects
	}
	m.log = opts.Logger
	if err := join(m, opts.Reserved); err != nil {
		return nil, err
	}
	m.findQuirks(opts.Quirks)
	leak.Opened(m, "cryptoki.Module "+path)
	return m, nil
}

func (m *Module) logCall(f ck.Function, rv ck.RV, took time.Duration, slot SlotID) {
	m.log.LogAttrs(context.Background(), slog.LevelDebug, "cryptoki: call",
		slog.String("function", f.String()), slog.String("rv", RV(rv).String()), slog.Duration("took", took), slog.Uint64("slot", uint64(slot)))
}

// Close closes all sessions of the module and gives it back; the last Close in the
// process finalises it. It does not wait: if a call is still running in the module,
// it returns [ErrBusy], and what that call uses is released when it returns. Close
// can be called again, from any goroutine.
func (m *Module) Close() error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	sessions := make([]*Session, 0, len(m.sessions))
	for s := range m.sessions {
		sessions = append(sessions, s)
	}
	m.mu.Unlock()
	for _, s := range sessions {
		s.Close()
	}
	var err error
	if !closed {
		leak.Closed(m)
		err = m.process.leave(m)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sessions) > 0 {
		return ErrBusy
	}
	return err
}

// use keeps the module initialised until done is called.
func (m *Module) use() (fl ck.FunctionList, done func(), err error) {
	for {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return nil, nil, ErrClosed
		}
		restarted := m.process.retain()
		m.mu.Unlock()
		switch {
		case restarted == nil && m.turn == nil:
			return m.in.FunctionList, func() { m.in.Release() }, nil
		case restarted == nil:
			m.turn <- struct{}{}
			return m.in.FunctionList, func() { <-m.turn; m.in.Release() }, nil
		}
		<-restarted
	}
}

// A Version is a version of the standard, of a library or of hardware.
type Version = ck.Version

// Info is what a module says about itself, CK_INFO.
type Info struct {
	Cryptoki     Version // edition of PKCS#11
	Manufacturer string
	Description  string
	Library      Version
}

// Info returns what the module says about itself. It cannot be interrupted.
func (m *Module) Info() (Info, error) {
	fl, done, err := m.use()
	if err != nil {
		return Info{}, err
	}
	defer done()
	i, rv := fl.GetInfo()
	return Info(i), moduleError("C_GetInfo", rv)
}

// Slots returns the slots of the module, all or those with a token in them. It
// cannot be interrupted.
func (m *Module) Slots(tokenPresent bool) ([]*Slot, error) {
	fl, done, err := m.use()
	if err != nil {
		return nil, err
	}
	defer done()
	ids, rv := fl.GetSlotList(tokenPresent)
	if err := moduleError("C_GetSlotList", rv); err != nil {
		return nil, err
	}
	slots := make([]*Slot, len(ids))
	for i, id := range ids {
		slots[i] = &Slot{m: m, id: SlotID(id)}
	}
	return slots, nil
}
