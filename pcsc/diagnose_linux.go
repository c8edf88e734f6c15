//go:build cgo && libpcsclite

package pcsc

import (
	"context"
	"time"

	"github.com/cardoki/cardoki/internal/pcsclite"
)

// diagnose says why there is no service, by speaking to pcscd directly, or returns nil:
// libpcsclite says the same of a socket that is not there and of one that may not be
// opened.
func diagnose() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	path := pcsclite.SocketName()
	c, err := pcsclite.Dial(ctx, path)
	if err != nil {
		return dialError(ctx, path, err)
	}
	c.Close()
	return nil
}
