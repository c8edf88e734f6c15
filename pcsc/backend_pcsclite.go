//go:build linux && !(cgo && libpcsclite)

package pcsc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/pcsclite"
)

// socketSession speaks pcscd's own protocol.
type socketSession struct {
	client *pcsclite.Client
	card   pcsclite.Card
}

func openSession(ctx context.Context, opts *Options) (session, error) {
	path := cmp.Or(opts.Socket, pcsclite.SocketName())
	opts.Socket = path // Connect goes where Establish went
	client, err := pcsclite.Dial(ctx, path)
	if err != nil {
		if e := dialError(ctx, path, err); e != nil {
			return nil, e
		}
		return nil, socketError(err)
	}
	return &socketSession{client: client}, nil
}

// socketError translates an error of package pcsclite.
func socketError(err error) error {
	var broken *pcsclite.BrokenError
	var rv pcsclite.RV
	switch {
	case err == nil:
		return nil
	case errors.As(err, &rv):
		return Code(rv)
	case errors.Is(err, pcsclite.ErrClosed):
		return &lostError{cause: err}
	case errors.As(err, &broken):
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return &lostError{cause: broken.Cause}
		}
		return &lostError{code: SCARD_F_COMM_ERROR, cause: broken.Cause}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &waitError{err} // before the exchange began
	}
	return err
}

func (s *socketSession) readers(ctx context.Context) ([]Reader, error) {
	states, err := s.client.ReaderStates(ctx)
	return readersFrom(states), socketError(err)
}

// resetPoll is how often the readers are looked at during a wait: pcscd tells no event
// when a card is reset.
const resetPoll = 500 * time.Millisecond

func (s *socketSession) waitForChange(ctx context.Context, known []Reader) ([]Reader, error) {
	for {
		states, err := s.client.WaitReaderStateChange(ctx, resetPoll, func(now []pcsclite.ReaderState) bool {
			return !slices.EqualFunc(known, readersFrom(now), Reader.equal)
		})
		if err != nil {
			return nil, socketError(err)
		}
		if readers := readersFrom(states); !slices.EqualFunc(known, readers, Reader.equal) {
			return readers, nil
		}
	}
}

// readersFrom puts pcscd's words into those of SCardGetStatusChange, as
// libpcsclite does.
func readersFrom(states []pcsclite.ReaderState) []Reader {
	var readers []Reader
	for _, s := range states {
		r := Reader{Name: s.Name, State: State(s.EventCounter << 16)}
		switch {
		case s.State&pcsclite.ReaderUnknown != 0:
			r.State |= stateUnavailable
		case s.State&pcsclite.ReaderPresent != 0:
			r.State |= statePresent
			r.ATR, r.Protocol = []byte(s.ATR), apdu.Protocol(s.Protocol)
			if s.State&pcsclite.ReaderSwallowed != 0 {
				r.State |= stateMute
			}
		default:
			r.State |= stateEmpty
		}
		switch {
		case s.Sharing == pcsclite.SharingExclusive:
			r.State |= stateExclusive
		case s.Sharing > 0 && r.State.Present():
			r.State |= stateInUse
		}
		readers = append(readers, r)
	}
	return readers
}

func (s *socketSession) connect(ctx context.Context, reader string, share Share, protocols apdu.Protocol) (apdu.Protocol, error) {
	card, active, err := s.client.Connect(ctx, reader, uint32(share), uint32(protocols))
	if err != nil {
		return 0, socketError(err)
	}
	s.card = card
	return apdu.Protocol(active), nil
}

func (s *socketSession) reconnect(ctx context.Context, share Share, protocols apdu.Protocol, initialization apdu.Disposition) (active apdu.Protocol, err error) {
	call := func() error {
		a, err := s.client.Reconnect(ctx, s.card, uint32(share), uint32(protocols), uint32(initialization))
		active = apdu.Protocol(a)
		return socketError(err)
	}
	if share == ShareExclusive {
		err = call() // others are connected, which may last
	} else {
		err = untilFree(ctx, call)
	}
	return active, err
}

func (s *socketSession) disconnect(ctx context.Context, disposition apdu.Disposition) error {
	return socketError(s.client.Disconnect(ctx, s.card, uint32(disposition)))
}

// beginPatience is how long pcscd may take to say that the card is busy, after the caller's
// context has ended.
const beginPatience = time.Second

// begin asks again and again; pcscd itself waits 0.1 s before it says that the card is
// busy. It lets pcscd answer even when ctx has ended: so the connection lives on, and
// no transaction is begun for nobody, which pcscd would end by a reset of the card.
func (s *socketSession) begin(ctx context.Context) error {
	for {
		err := s.beginOnce(ctx)
		if !busy(err) {
			return err
		}
		if ctx.Err() != nil {
			return &waitError{ctx.Err()}
		}
	}
}

func (s *socketSession) beginOnce(ctx context.Context) error {
	if ctx.Done() == nil {
		return socketError(s.client.BeginTransaction(ctx, s.card))
	}
	patient, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(beginPatience, func() { cancel(ctx.Err()) })
		context.AfterFunc(patient, func() { t.Stop() })
	})
	defer stop()
	err := socketError(s.client.BeginTransaction(patient, s.card))
	if lost, ok := err.(*lostError); ok && patient.Err() != nil {
		lost.cause = context.Cause(patient)
	}
	return err
}

func (s *socketSession) end(ctx context.Context, disposition apdu.Disposition) error {
	return socketError(s.client.EndTransaction(ctx, s.card, uint32(disposition)))
}

func (s *socketSession) status(ctx context.Context) error {
	return untilFree(ctx, func() error { return socketError(s.client.Status(ctx, s.card)) })
}

func (s *socketSession) transmit(ctx context.Context, protocol apdu.Protocol, dst, command []byte) ([]byte, error) {
	out, err := s.client.Transmit(ctx, s.card, uint32(protocol), dst, command)
	if err == nil {
		return out, nil
	}
	if err = socketError(err); !busy(err) {
		return dst, err
	}
	err = untilFree(ctx, func() (err error) {
		out, err = s.client.Transmit(ctx, s.card, uint32(protocol), dst, command)
		return socketError(err)
	})
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (s *socketSession) control(ctx context.Context, code uint32, dst, input []byte) (out []byte, err error) {
	err = untilFree(ctx, func() (err error) {
		out, err = s.client.Control(ctx, s.card, code, dst, input)
		return socketError(err)
	})
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (s *socketSession) attribute(ctx context.Context, a Attribute) (value []byte, err error) {
	err = untilFree(ctx, func() error {
		b, err := s.client.Attribute(ctx, s.card, uint32(a))
		value = bytes.Clone(b)
		return socketError(err)
	})
	return value, err
}

func (s *socketSession) setAttribute(ctx context.Context, a Attribute, value []byte) error {
	return untilFree(ctx, func() error { return socketError(s.client.SetAttribute(ctx, s.card, uint32(a), value)) })
}

func (s *socketSession) close() {
	s.client.Close() // pcscd disconnects and releases by itself
}
