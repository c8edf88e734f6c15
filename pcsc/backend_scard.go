//go:build windows || (cgo && (darwin || libpcsclite))

package pcsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebfe/scard"

	"github.com/cardoki/cardoki/apdu"
)

// statusMu lets one goroutine of the process ask for the status of readers at a
// time: ebfe/scard keeps the readers' names alive in a map by name, and two callers
// that name the same reader free each other's. A package-level variable, since the
// map is one.
var statusMu sync.Mutex

// statusQueries counts who waits for statusMu with a question that is answered at once:
// those who wait for a change let them go first.
var statusQueries atomic.Int32

// statusSlice is how long a wait for a change keeps statusMu, and so how late a
// context's end and a new reader are noticed.
const statusSlice = 100 * time.Millisecond

// scardSession calls the system's PC/SC library. A call that is given up goes on in
// a goroutine of its own, since nothing can interrupt it; the session is then lost,
// and released when the call has ended.
type scardSession struct {
	ctx  *scard.Context
	card *scard.Card

	share Share // of card

	mu        sync.Mutex
	running   bool
	beginning bool // a transaction is being begun; its caller may be gone
	closed    bool
	released  bool
}

func openSession(ctx context.Context, opts *Options) (session, error) {
	if opts.Socket != "" {
		return nil, &serviceError{SCARD_E_INVALID_PARAMETER, opts.Socket, fmt.Errorf("Options.Socket: the library of the system finds the service by itself: %w", errors.ErrUnsupported)}
	}
	s := &scardSession{}
	err := s.run(ctx, func() (err error) {
		s.ctx, err = scard.EstablishContext()
		return err
	})
	if code := Code(0); errors.As(err, &code) && !errors.Is(err, apdu.ErrRetired) {
		return nil, establishError(code)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// establishError looks closer at why there is no service.
func establishError(code Code) error {
	if err := diagnose(); err != nil {
		return err
	}
	return &serviceError{code, os.Getenv("PCSCLITE_CSOCK_NAME"), code}
}

// run makes f, one or a few calls into the library. With a context that cannot end
// f runs directly, else in a goroutine: then it must not touch what the caller owns.
func (s *scardSession) run(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return &waitError{err}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return &lostError{}
	}
	s.running = true
	s.mu.Unlock()
	if ctx.Done() == nil {
		defer s.ended()
		return scardError(guarded(f))
	}
	done := make(chan error, 1)
	go func() {
		err := guarded(f)
		s.ended()
		done <- err
	}()
	select {
	case err := <-done:
		return scardError(err)
	case <-ctx.Done():
		s.close()
		return &lostError{cause: ctx.Err()}
	}
}

// guarded turns a panic of ebfe/scard, as on an answer to reset that is too long,
// into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the PC/SC library answered what ebfe/scard does not expect: %v", r)
		}
	}()
	return f()
}

func scardError(err error) error {
	var e scard.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e {
	case 6, 109: // Windows, after the service was stopped: invalid handle, broken pipe
		return SCARD_E_SERVICE_STOPPED
	}
	return Code(e)
}

func (s *scardSession) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	s.releaseLocked()
}

func (s *scardSession) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.releaseLocked()
}

func (s *scardSession) releaseLocked() {
	if s.closed && !s.running && !s.released && s.ctx != nil {
		s.released = true
		if s.beginning {
			// Begun for nobody: pcscd would end it by a reset of the card.
			_ = s.card.EndTransaction(scard.LeaveCard) // none, perhaps
		}
		_ = s.ctx.Release() // disconnects the card; there is nobody to tell
	}
}

func (s *scardSession) readers(ctx context.Context) (readers []Reader, err error) {
	var result []Reader
	err = s.run(ctx, func() (err error) {
		result, err = s.list()
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// list returns the readers. A reader that goes away meanwhile makes it begin anew.
func (s *scardSession) list() ([]Reader, error) {
	for range 10 {
		readers, err := s.names()
		if err != nil || len(readers) == 0 {
			return nil, err
		}
		states := make([]scard.ReaderState, len(readers))
		for i, name := range readers {
			states[i] = scard.ReaderState{Reader: name, CurrentState: scard.StateUnaware}
		}
		err = s.statusChange(states, 0)
		if errors.Is(err, scard.ErrUnknownReader) {
			continue
		}
		if err != nil && !errors.Is(err, scard.ErrTimeout) {
			return nil, err
		}
		result := make([]Reader, len(states))
		for i, st := range states {
			result[i] = Reader{Name: st.Reader, State: State(st.EventState &^ scard.StateChanged), ATR: st.Atr}
		}
		return result, nil
	}
	return nil, scard.ErrUnknownReader
}

// names returns the names of the readers; no reader is no error.
func (s *scardSession) names() ([]string, error) {
	names, err := s.ctx.ListReaders()
	if errors.Is(err, scard.ErrNoReadersAvailable) {
		return nil, nil
	}
	return names, err
}

func (s *scardSession) statusChange(states []scard.ReaderState, timeout time.Duration) error {
	if timeout == 0 {
		statusQueries.Add(1)
		defer statusQueries.Add(-1)
	}
	for try := 0; timeout > 0 && try < 20 && statusQueries.Load() > 0; try++ {
		time.Sleep(time.Millisecond)
	}
	statusMu.Lock()
	defer statusMu.Unlock()
	return s.ctx.GetStatusChange(states, timeout)
}

// waitForChange looks at the readers in slices of time, so that it can be called
// off without cancelling anything in the library.
func (s *scardSession) waitForChange(ctx context.Context, known []Reader) ([]Reader, error) {
	for ctx.Err() == nil {
		now, err := s.waitSlice(ctx, known)
		if err != nil {
			return nil, err
		}
		if !slices.EqualFunc(known, now, Reader.equal) {
			return now, nil
		}
	}
	return nil, &waitError{ctx.Err()}
}

// waitSlice returns the readers; when they are as known, after waiting a little. It
// takes the time it needs even when ctx ends, but not for ever.
func (s *scardSession) waitSlice(ctx context.Context, known []Reader) (now []Reader, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*statusSlice)
	defer cancel()
	var result []Reader
	known = slices.Clone(known)
	err = s.run(ctx, func() (err error) {
		result, err = s.list()
		if err != nil || !slices.EqualFunc(known, result, Reader.equal) {
			return err
		}
		if len(result) == 0 {
			time.Sleep(statusSlice / 2)
			return nil
		}
		states := make([]scard.ReaderState, len(result))
		for i, r := range result {
			states[i] = scard.ReaderState{Reader: r.Name, CurrentState: scard.StateFlag(r.State)}
		}
		err = s.statusChange(states, statusSlice)
		if errors.Is(err, scard.ErrTimeout) || errors.Is(err, scard.ErrUnknownReader) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// scardProtocols are protocols in the numbers of this system.
func scardProtocols(p apdu.Protocol) scard.Protocol {
	const windowsRaw = 0x10000
	if runtime.GOOS == "windows" && p&apdu.ProtocolRaw != 0 {
		return scard.Protocol(p&^apdu.ProtocolRaw) | windowsRaw
	}
	return scard.Protocol(p)
}

// activeProtocol is the way back.
func activeProtocol(p scard.Protocol) apdu.Protocol {
	if p > 0xFF {
		return apdu.ProtocolRaw
	}
	return apdu.Protocol(p)
}

func (s *scardSession) connect(ctx context.Context, reader string, share Share, protocols apdu.Protocol) (active apdu.Protocol, err error) {
	var card *scard.Card
	err = s.run(ctx, func() (err error) {
		card, err = s.ctx.Connect(reader, scard.ShareMode(share), scardProtocols(protocols))
		return err
	})
	if err != nil {
		return 0, err
	}
	s.card, s.share = card, share
	return activeProtocol(card.ActiveProtocol()), nil
}

func (s *scardSession) reconnect(ctx context.Context, share Share, protocols apdu.Protocol, initialization apdu.Disposition) (apdu.Protocol, error) {
	call := func() error {
		return s.run(ctx, func() error {
			return s.card.Reconnect(scard.ShareMode(share), scardProtocols(protocols), scard.Disposition(initialization))
		})
	}
	if runtime.GOOS == "linux" && share == ShareExclusive && s.share != ShareExclusive {
		return 0, &unsupportedError{"from shared to exclusive use with libpcsclite, which waits without end while others are connected (open a new connection instead)"}
	}
	if err := untilFree(ctx, call); err != nil {
		return 0, err
	}
	s.share = share
	return activeProtocol(s.card.ActiveProtocol()), nil
}

func (s *scardSession) disconnect(ctx context.Context, disposition apdu.Disposition) error {
	return s.run(ctx, func() error { return s.card.Disconnect(scard.Disposition(disposition)) })
}

func (s *scardSession) begin(ctx context.Context) error {
	s.setBeginning(true)
	err := s.run(ctx, s.card.BeginTransaction)
	s.setBeginning(err != nil && serviceGone(err))
	return err
}

func (s *scardSession) setBeginning(b bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beginning = b
}

func (s *scardSession) end(ctx context.Context, disposition apdu.Disposition) error {
	return s.run(ctx, func() error { return s.card.EndTransaction(scard.Disposition(disposition)) })
}

func (s *scardSession) status(ctx context.Context) error {
	return untilFree(ctx, func() error {
		return s.run(ctx, func() error {
			_, err := s.card.Status()
			return err
		})
	})
}

func (s *scardSession) transmit(ctx context.Context, protocol apdu.Protocol, dst, command []byte) ([]byte, error) {
	if protocol != apdu.ProtocolT0 && protocol != apdu.ProtocolT1 {
		// scard panics on it.
		return dst, &unsupportedError{fmt.Sprintf("protocol %v through ebfe/scard", protocol)}
	}
	command, done := s.lend(ctx, command)
	var response []byte
	err := s.run(ctx, func() (err error) {
		defer done()
		response, err = s.card.Transmit(command)
		return err
	})
	if err != nil {
		return dst, err
	}
	dst = append(dst, response...)
	clear(response)
	return dst, nil
}

// lend returns what a call may keep when it outlives the caller: b or a copy of it; and
// a function that wipes the copy.
func (s *scardSession) lend(ctx context.Context, b []byte) ([]byte, func()) {
	if ctx.Done() == nil {
		return b, func() {}
	}
	b = slices.Clone(b)
	return b, func() { clear(b) }
}

func (s *scardSession) control(ctx context.Context, code uint32, dst, input []byte) ([]byte, error) {
	input, done := s.lend(ctx, input)
	var output []byte
	err := untilFree(ctx, func() error {
		return s.run(ctx, func() (err error) {
			output, err = s.card.Control(code, input)
			if !busy(scardError(err)) {
				done()
			}
			return err
		})
	})
	if errors.Is(err, apdu.ErrNotSent) {
		done() // no call goes on
	}
	if err != nil {
		return dst, err
	}
	dst = append(dst, output...)
	clear(output)
	return dst, nil
}

func (s *scardSession) attribute(ctx context.Context, a Attribute) ([]byte, error) {
	var value []byte
	err := untilFree(ctx, func() error {
		return s.run(ctx, func() (err error) {
			value, err = s.card.GetAttrib(scard.Attrib(a))
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

func (s *scardSession) setAttribute(ctx context.Context, a Attribute, value []byte) error {
	value = slices.Clone(value) // never empty, on which scard panics
	return untilFree(ctx, func() error {
		return s.run(ctx, func() error { return s.card.SetAttrib(scard.Attrib(a), value) })
	})
}

// An unsupportedError reports what this backend cannot do; nothing was sent.
type unsupportedError struct{ what string }

func (e *unsupportedError) Error() string   { return e.what + ": not supported" }
func (e *unsupportedError) Unwrap() []error { return []error{apdu.ErrNotSent, errors.ErrUnsupported} }
