package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardoki/cardoki/internal/ck"
)

// processes are the modules that are in use in this process. It is a variable of the
// package for the reason for which package ck has one: C_Initialize and C_Finalize act on
// the whole process.
var processes struct {
	sync.Mutex
	of map[*ck.Instance]*process
}

// A process is what all Modules share that were opened with the same library. It agrees
// with them on a restart.
type process struct {
	in   *ck.Instance
	uses int // under processes.Mutex

	highest atomic.Uint64 // number of a session

	mu      sync.Mutex
	modules map[*Module]struct{}
	restart chan struct{} // while there is one; closed at its end
	turn    chan struct{} // see turns
}

// turns returns what a call puts one element into, where there must be one at a time.
func (p *process) turns() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn == nil {
		p.turn = make(chan struct{}, 1)
	}
	return p.turn
}

// join makes m one of those who use the library.
func join(m *Module, reserved string) error {
	processes.Lock()
	p := processes.of[m.in]
	if p == nil {
		p = &process{in: m.in, modules: map[*Module]struct{}{}}
		if processes.of == nil {
			processes.of = map[*ck.Instance]*process{}
		}
		processes.of[m.in] = p
	}
	p.uses++
	processes.Unlock()
	if _, rv := m.in.AcquireWith(reserved); rv != ck.RV(CKR_OK) {
		p.unuse()
		return moduleError("C_Initialize", rv)
	}
	p.mu.Lock()
	p.modules[m] = struct{}{}
	p.mu.Unlock()
	m.process = p
	return nil
}

func (p *process) unuse() {
	processes.Lock()
	defer processes.Unlock()
	if p.uses--; p.uses == 0 {
		delete(processes.of, p.in)
	}
}

// leave is called once for each join. It waits for the end of a restart.
func (p *process) leave(m *Module) error {
	p.mu.Lock()
	for p.restart != nil {
		restart := p.restart
		p.mu.Unlock()
		<-restart
		p.mu.Lock()
	}
	delete(p.modules, m)
	p.mu.Unlock()
	defer p.unuse()
	return moduleError("C_Finalize", p.in.Release())
}

// retain keeps the module initialised until Release. While it is restarted, it returns
// what is closed at the end of that, and keeps nothing.
func (p *process) retain() (restarted <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.restart != nil {
		return p.restart
	}
	p.in.Retain()
	return nil
}

// saw remembers the highest number that a session has had.
func (p *process) saw(handle uint) {
	for {
		highest := p.highest.Load()
		if uint64(handle) <= highest || p.highest.CompareAndSwap(highest, uint64(handle)) {
			return
		}
	}
}

// ErrShared is why a module that seems to be broken is not restarted: that would break
// what others do with it, or is not ours to do.
var ErrShared = errors.New("cryptoki: the module is not restarted")

// yieldLimit is how long a restart waits for calls and sessions that others have in use.
const yieldLimit = 5 * time.Second

// restartModule finalises and initialises the module, unless that was done since the
// given generation. All pools of the process give in their sessions before, each when it
// is not in use, and open new ones after. A module that somebody else initialised is left
// alone, and so is one with sessions that nothing would heal.
func (p *process) restartModule(ctx context.Context, generation uint64) error {
	p.mu.Lock()
	for p.restart != nil {
		restart := p.restart
		p.mu.Unlock()
		select {
		case <-restart:
		case <-ctx.Done():
			return fmt.Errorf("cryptoki: waiting for the restart of the module: %w", ctx.Err())
		}
		p.mu.Lock()
	}
	if p.in.Generation() != generation {
		p.mu.Unlock()
		return nil // somebody was faster
	}
	if !p.in.Ours() {
		p.mu.Unlock()
		return fmt.Errorf("%w: other code of this process has initialised it, and must do that", ErrShared)
	}
	modules := slices.Collect(maps.Keys(p.modules))
	over := make(chan struct{})
	p.restart = over
	p.in.Retain() // that of the restart
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.restart = nil
		p.in.Release() // of many: each Module that leaves waits for the end of this
		p.mu.Unlock()
		close(over)
	}()
	for _, m := range modules {
		if n := m.lone(); n > 0 {
			return fmt.Errorf("%w: %d sessions of Slot.OpenSession would be lost; close them, or use a Pool", ErrShared, n)
		}
	}
	for _, m := range modules {
		m.yield()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, yieldLimit, errors.New("it took too long"))
	defer cancel()
	for delay := 100 * time.Microsecond; p.in.Users() > p.members()+1; delay = min(2*delay, 20*time.Millisecond) {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return fmt.Errorf("%w: its calls and sessions that are in use did not come to an end: %w", ErrShared, context.Cause(ctx))
		}
	}
	if _, rv := p.in.Restart(generation); rv != ck.RV(CKR_OK) {
		return moduleError("C_Initialize", rv)
	}
	return nil
}

func (p *process) members() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.modules)
}

// lone returns the number of open sessions that belong to no pool.
func (m *Module) lone() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.sessions {
		if s.owner == nil && !s.closed() {
			n++
		}
	}
	return n
}

// yield lets all pools give in their sessions.
func (m *Module) yield() {
	m.mu.Lock()
	pools := slices.Collect(maps.Keys(m.pools))
	m.mu.Unlock()
	for _, p := range pools {
		p.yield()
	}
}
