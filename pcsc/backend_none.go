//go:build !linux && !windows && !(cgo && (darwin || libpcsclite))

package pcsc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// openSession says what is missing in this build.
func openSession(context.Context, *Options) (session, error) {
	missing := "build with cgo and -tags libpcsclite, with the headers of pcsc-lite"
	if runtime.GOOS == "darwin" {
		missing = "build with CGO_ENABLED=1"
	}
	return nil, &serviceError{SCARD_E_NO_SERVICE, "", fmt.Errorf("no PC/SC in this build for %s: %s: %w", runtime.GOOS, missing, errors.ErrUnsupported)}
}
