package pcsclite

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// stopPatience is how long a daemon may take to call off an event that nobody
// waits for any more.
const stopPatience = time.Second

// ReaderStates returns the readers as they are now.
func (c *Client) ReaderStates(ctx context.Context) ([]ReaderState, error) {
	return c.states(ctx, cmdGetReadersState)
}

func (c *Client) states(ctx context.Context, command uint32) ([]ReaderState, error) {
	req := c.start(command, 0)
	if err := c.exchange(ctx, req, c.answer[:]); err != nil {
		return nil, err
	}
	states, err := parseReaderStates(c.answer[:])
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	return states, nil
}

// WaitReaderStateChange waits until something happens to a reader and returns the
// readers as they are then; after the given limit, unless that is 0, it returns them
// even so, since the daemon tells no event when a card is reset. It asks for the next
// event first and then calls changed with the present states: when it returns true they
// are returned at once, so that nothing is missed between two calls.
//
// When ctx ends the waiting is called off, and the client can be used on unless
// the error is a [*BrokenError]. [Client.Cancel] by another client makes it return
// 0x80100002.
func (c *Client) WaitReaderStateChange(ctx context.Context, limit time.Duration, changed func([]ReaderState) bool) ([]ReaderState, error) {
	// From here until the 8-byte event or the 8-byte answer to the stop command
	// (one of them comes, never both) the exchange is open.
	states, err := c.states(ctx, cmdWaitReaderStateChange)
	if err != nil {
		return nil, err
	}
	if changed(states) {
		return states, c.stopWaiting(ctx)
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if limit > 0 {
		limited, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	event := c.answer[:8]
	over := false
	w, err := c.watch(limited)
	switch {
	case err == nil:
		var n int
		n, err = io.ReadFull(c.conn, event)
		if w.stop != nil && !w.stop() {
			<-w.done
			over = errors.Is(err, os.ErrDeadlineExceeded) && n == 0
		}
		c.conn.SetDeadline(time.Time{})
	case limited.Err() != nil:
		over = true
	}
	switch {
	case err == nil:
		if err := result(event); err != nil {
			return nil, err
		}
		return c.ReaderStates(ctx)
	case over:
		if stopErr := c.stopWaiting(ctx); stopErr != nil {
			if ctx.Err() != nil {
				stopErr = &BrokenError{Cause: ctx.Err()}
			}
			return nil, stopErr
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return c.ReaderStates(ctx)
	}
	return nil, c.broken(ctx, err)
}

// stopWaiting calls an event off. The answer may be the event itself.
func (c *Client) stopWaiting(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	req := c.start(cmdStopWaitingReaderStateChange, 0)
	return c.exchange(ctx, req, c.answer[:8])
}
