package piv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// ErrTouchTimeout reports a key that was not touched in time. The PIN was right. Use
// the key again, and touch the card.
var ErrTouchTimeout = errors.New("piv: the card was not touched in time")

// touchDelay is how long a card may take before Options.Touch is called.
const touchDelay = 400 * time.Millisecond

// waitForTouch calls use, which is one command, and Options.Touch when that takes so
// long that the card may be waiting for its user. When it may, a security status that is
// not satisfied means that nobody touched it.
func (c *client) waitForTouch(ctx context.Context, slot Slot, mayTouch bool, use func() error) error {
	if !mayTouch {
		return use()
	}
	end := func() {}
	if c.opts.Touch != nil {
		end = c.announceTouch(ctx, slot)
	}
	err := use()
	end()
	if errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		return fmt.Errorf("%w: %w", ErrTouchTimeout, err)
	}
	return err
}

// announceTouch calls Options.Touch in a while, unless the function that it returns is
// called before. That function withdraws the call and waits for it.
func (c *client) announceTouch(ctx context.Context, slot Slot) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	timer := time.AfterFunc(touchDelay, func() {
		defer close(done)
		c.opts.Touch(ctx, slot)
	})
	return func() {
		cancel()
		if !timer.Stop() {
			<-done
		}
	}
}
