package pcsc

import (
	"context"

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
	// waitForChange returns the readers as soon as they differ from known.
	waitForChange(ctx context.Context, known []Reader) ([]Reader, error)

	connect(ctx context.Context, reader string, share, protocols uint32) (active uint32, err error)
	reconnect(ctx context.Context, share, protocols uint32, initialization apdu.Disposition) (active uint32, err error)
	disconnect(ctx context.Context, disposition apdu.Disposition) error
	begin(ctx context.Context) error
	end(ctx context.Context, disposition apdu.Disposition) error
	status(ctx context.Context) error
	// transmit sends a command of 4 to apdu.MaxCommandSize bytes and appends the response,
	// which may be no byte at all.
	transmit(ctx context.Context, protocol uint32, dst, command []byte) ([]byte, error)

	// close gives everything back. A running call is interrupted where that can be
	// done; otherwise what it holds is given back when it ends.
	close()
}

// maxReaderName is the room for a reader's name in pcsc-lite, in bytes, with its
// terminating zero.
const maxReaderName = 128

// Share modes of PC/SC.
const (
	shareExclusive = 1
	shareShared    = 2
)

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
