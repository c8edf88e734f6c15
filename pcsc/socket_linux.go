package pcsc

import (
	"context"
	"errors"
	"net"

	"github.com/cardoki/cardoki/internal/pcsclite"
)

// dialError says why pcscd at path could not be connected to, or returns nil when err does
// not tell.
func dialError(ctx context.Context, path string, err error) error {
	var version *pcsclite.VersionError
	var op *net.OpError
	var rv pcsclite.RV
	switch {
	case errors.Is(err, pcsclite.ErrRefused), errors.As(err, &rv) && Code(rv) == SCARD_W_SECURITY_VIOLATION:
		return refusedByPolicy(ActionAccessPCSC, path, "", err)
	case errors.As(err, &version):
		return &serviceError{SCARD_E_SERVICE_STOPPED, path, err}
	case errors.As(err, &op) && op.Timeout():
		return &waitError{context.DeadlineExceeded} // that of ctx, which may not have noticed
	case op != nil && ctx.Err() == nil:
		return socketUnreachable(path, err)
	}
	return nil
}
