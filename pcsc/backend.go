package pcsc

import (
	"context"
	"errors"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// A session is one PC/SC context with at most one connected card: the seam
// between this package and what speaks to the PC/SC service. openSession, which
// makes one, is chosen by build constraints.
//
// A session is used by one goroutine at a time, except for close. Its errors are a
// [Code], an error that wraps a context's error, or a [*lostError] when the session
// cannot be used again.
type session interface {
	// readers returns all readers; none is no error.
	readers(ctx context.Context) ([]Reader, error)
	// waitForChange returns the readers as soon as they differ from known. A context that
	// ends during the wait leaves the session whole.
	waitForChange(ctx context.Context, known []Reader) ([]Reader, error)

	connect(ctx context.Context, reader string, share Share, protocols apdu.Protocol) (active apdu.Protocol, err error)
	reconnect(ctx context.Context, share Share, protocols apdu.Protocol, initialization apdu.Disposition) (active apdu.Protocol, err error)
	disconnect(ctx context.Context, disposition apdu.Disposition) error
	begin(ctx context.Context) error
	end(ctx context.Context, disposition apdu.Disposition) error
	status(ctx context.Context) error
	// transmit sends a command of 4 to apdu.MaxCommandSize bytes and appends the response,
	// which may be no byte at all.
	transmit(ctx context.Context, protocol apdu.Protocol, dst, command []byte) ([]byte, error)
	// control sends up to maxControl bytes to the reader's driver and appends what it
	// answers.
	control(ctx context.Context, code uint32, dst, input []byte) ([]byte, error)
	attribute(ctx context.Context, a Attribute) ([]byte, error)
	setAttribute(ctx context.Context, a Attribute, value []byte) error

	// close gives everything back. A running call is interrupted where that can be
	// done; otherwise what it holds is given back when it ends.
	close()
}

// maxReaderName is the room for a reader's name in pcsc-lite, in bytes, with its
// terminating zero.
const maxReaderName = 128

// maxControl is the longest input of a control code, in bytes: what pcsc-lite and
// ebfe/scard both carry.
const maxControl = 65535

// busy reports whether the service did nothing because another program holds a
// transaction.
func busy(err error) bool {
	return err != nil && errors.Is(err, SCARD_E_SHARING_VIOLATION)
}

// untilFree repeats a call that another program's transaction keeps out. The protocol
// of pcscd has no way to wait for its end.
func untilFree(ctx context.Context, call func() error) error {
	err := call()
	for try := 0; busy(err); try++ {
		if err := pause(ctx, try); err != nil {
			return err
		}
		err = call()
	}
	return err
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

// serviceGone reports whether err says that a session cannot be used again.
func serviceGone(err error) bool {
	var lost *lostError
	var code Code
	if errors.As(err, &lost) {
		return true
	}
	return errors.As(err, &code) && (code == SCARD_E_NO_SERVICE || code == SCARD_E_SERVICE_STOPPED ||
		code == SCARD_F_COMM_ERROR || code == SCARD_E_INVALID_HANDLE)
}

// A lostError reports that a session cannot be used again. It is an
// [apdu.ErrRetired].
type lostError struct {
	code  Code  // 0 when the caller gave the call up
	cause error // the context's error, or that of the connection to the service; may be nil
}

func (e *lostError) Error() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	return e.code.Error()
}

func (e *lostError) Unwrap() []error {
	errs := []error{apdu.ErrRetired}
	if e.code != 0 {
		errs = append(errs, e.code)
	}
	if e.cause != nil {
		errs = append(errs, e.cause)
	}
	return errs
}

// A waitError reports a context that ended before anything was sent; the session is
// whole.
type waitError struct{ cause error }

func (e *waitError) Error() string   { return e.cause.Error() }
func (e *waitError) Unwrap() []error { return []error{apdu.ErrNotSent, e.cause} }
