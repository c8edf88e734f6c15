//go:build linux && !(cgo && libpcsclite)

package pcsc

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net"
	"slices"
	"syscall"
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
	if err == nil {
		return &socketSession{client: client}, nil
	}
	var version *pcsclite.VersionError
	var op *net.OpError
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, pcsclite.ErrRefused):
		return nil, &serviceError{SCARD_W_SECURITY_VIOLATION, path, err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, &serviceError{SCARD_E_NO_SERVICE, path, err}
	case errors.As(err, &version):
		return nil, &serviceError{SCARD_E_SERVICE_STOPPED, path, err}
	case errors.As(err, &op) && ctx.Err() == nil:
		return nil, &serviceError{SCARD_E_NO_SERVICE, path, err}
	}
	return nil, socketError(err)
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

func (s *socketSession) waitForChange(ctx context.Context, known []Reader) ([]Reader, error) {
	states, err := s.client.WaitReaderStateChange(ctx, func(now []pcsclite.ReaderState) bool {
		return !slices.EqualFunc(known, readersFrom(now), Reader.equal)
	})
	return readersFrom(states), socketError(err)
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
			r.ATR = []byte(s.ATR)
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

func (s *socketSession) connect(ctx context.Context, reader string, share, protocols uint32) (uint32, error) {
	card, active, err := s.client.Connect(ctx, reader, share, protocols)
	if err != nil {
		return 0, socketError(err)
	}
	s.card = card
	return active, nil
}

func (s *socketSession) reconnect(ctx context.Context, share, protocols uint32, initialization apdu.Disposition) (uint32, error) {
	active, err := s.client.Reconnect(ctx, s.card, share, protocols, uint32(initialization))
	for try := 0; share == shareShared && busy(err); try++ {
		if err := pause(ctx, try); err != nil {
			return 0, err
		}
		active, err = s.client.Reconnect(ctx, s.card, share, protocols, uint32(initialization))
	}
	return active, socketError(err)
}

func (s *socketSession) disconnect(ctx context.Context, disposition apdu.Disposition) error {
	return socketError(s.client.Disconnect(ctx, s.card, uint32(disposition)))
}

func (s *socketSession) begin(ctx context.Context) error {
	for {
		// pcscd itself waits 0.1 s before it says that the card is busy.
		err := s.client.BeginTransaction(ctx, s.card)
		if !busy(err) {
			return socketError(err)
		}
		if ctx.Err() != nil {
			return &waitError{ctx.Err()}
		}
	}
}

func (s *socketSession) end(ctx context.Context, disposition apdu.Disposition) error {
	return socketError(s.client.EndTransaction(ctx, s.card, uint32(disposition)))
}

func (s *socketSession) status(ctx context.Context) error {
	return socketError(s.client.Status(ctx, s.card))
}

func (s *socketSession) transmit(ctx context.Context, protocol uint32, dst, command []byte) ([]byte, error) {
	out, err := s.client.Transmit(ctx, s.card, protocol, dst, command)
	for try := 0; busy(err); try++ {
		if err := pause(ctx, try); err != nil {
			return dst, err
		}
		out, err = s.client.Transmit(ctx, s.card, protocol, dst, command)
	}
	if err != nil {
		return dst, socketError(err)
	}
	return out, nil
}

func (s *socketSession) close() {
	s.client.Close() // pcscd disconnects and releases by itself
}

// busy reports whether pcscd did nothing because another program holds a
// transaction. The protocol has no way to wait for its end.
func busy(err error) bool {
	return err != nil && errors.Is(err, pcsclite.RV(SCARD_E_SHARING_VIOLATION))
}

// pause waits before a card that is busy is asked again: 1 ms at first, then
// longer, up to 50 ms.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(min(time.Millisecond<<min(try, 6), 50*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return &waitError{ctx.Err()}
	}
}
