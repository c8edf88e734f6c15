//go:build windows || (cgo && (darwin || libpcsclite))

package pcsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ebfe/scard"

	"github.com/cardoki/cardoki/apdu"
)

// statusMu lets one goroutine of the process ask for the status of readers at a
// time: ebfe/scard keeps the readers' names alive in a map by name, and two callers
// that name the same reader free each other's. A package-level variable, since the
// map is one.
var statusMu sync.Mutex

// statusSlice is how long a wait for a change keeps statusMu, and so how late a
// context's end and a new reader are noticed.
const statusSlice = 200 * time.Millisecond

// scardSession calls the system's PC/SC library. A call that is given up goes on in
// a goroutine of its own, since nothing can interrupt it; the session is then lost,
// and released when the call has ended.
type scardSession struct {
	ctx  *scard.Context
	card *scard.Card

	mu       sync.Mutex
	running  bool
	closed   bool
	released bool
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
		return nil, &serviceError{code, os.Getenv("PCSCLITE_CSOCK_NAME"), code}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
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

func (s *scardSession) connect(ctx context.Context, reader string, share, protocols uint32) (active uint32, err error) {
	var card *scard.Card
	err = s.run(ctx, func() (err error) {
		card, err = s.ctx.Connect(reader, scard.ShareMode(share), scard.Protocol(protocols))
		return err
	})
	if err != nil {
		return 0, err
	}
	s.card = card
	return uint32(card.ActiveProtocol()), nil
}

func (s *scardSession) reconnect(ctx context.Context, share, protocols uint32, initialization apdu.Disposition) (uint32, error) {
	err := s.run(ctx, func() error {
		return s.card.Reconnect(scard.ShareMode(share), scard.Protocol(protocols), scard.Disposition(initialization))
	})
	if err != nil {
		return 0, err
	}
	return uint32(s.card.ActiveProtocol()), nil
}

func (s *scardSession) disconnect(ctx context.Context, disposition apdu.Disposition) error {
	return s.run(ctx, func() error { return s.card.Disconnect(scard.Disposition(disposition)) })
}

func (s *scardSession) begin(ctx context.Context) error {
	return s.run(ctx, s.card.BeginTransaction)
}

func (s *scardSession) end(ctx context.Context, disposition apdu.Disposition) error {
	return s.run(ctx, func() error { return s.card.EndTransaction(scard.Disposition(disposition)) })
}

func (s *scardSession) status(ctx context.Context) error {
	return s.run(ctx, func() error {
		_, err := s.card.Status()
		return err
	})
}

func (s *scardSession) transmit(ctx context.Context, protocol uint32, dst, command []byte) ([]byte, error) {
	if protocol != uint32(scard.ProtocolT0) && protocol != uint32(scard.ProtocolT1) {
		return dst, SCARD_E_PROTO_MISMATCH // scard panics on it
	}
	if ctx.Done() != nil {
		command = slices.Clone(command) // the call may outlive this one
	}
	var response []byte
	err := s.run(ctx, func() (err error) {
		if ctx.Done() != nil {
			defer clear(command)
		}
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
