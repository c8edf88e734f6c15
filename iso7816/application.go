package iso7816

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/cardoki/cardoki/apdu"
)

// An Application is the use of one application of a card on a [Channel] that may be
// shared: other programs, and other Applications of this one, can select theirs
// between two groups of commands, without any reset. So each group begins by proving
// that the application is selected.
//
// Its fields must not be changed once it is used. It is safe for concurrent use.
type Application struct {
	// Channel is where the application is selected.
	Channel *Channel
	// Select selects the application. With a nil Prove it begins each group.
	Select func(ctx context.Context, tx *Channel) error
	// Prove reports whether the application is selected, by a command that changes
	// nothing; an error is for what went wrong otherwise. Nil: the card has no such
	// command, and the application is selected again for each group, which on many
	// cards ends its security status.
	Prove func(ctx context.Context, tx *Channel) (bool, error)

	selected atomic.Bool // at least once
	epoch    atomic.Uint64
}

// Exclusive calls f as [Channel.Exclusive] does, in a group that begins by proving
// that the application is selected, and by selecting it where it is not. When the card
// was reset by another program before f was called, that is accepted, once; a reset
// while f runs is f's error.
//
// Inside f nothing must select another application, nor call Exclusive of a, which
// would wait for f for ever.
func (a *Application) Exclusive(ctx context.Context, f func(tx *Channel) error) error {
	called := false
	group := func(tx *Channel) error {
		if err := a.ensure(ctx, tx); err != nil {
			return err
		}
		called = true
		return f(tx)
	}
	err := a.Channel.Exclusive(ctx, group)
	if called || !errors.Is(err, apdu.ErrReset) {
		return err
	}
	if e := a.Channel.Reconnect(ctx); e != nil {
		if errors.Is(e, errors.ErrUnsupported) {
			return err
		}
		return e
	}
	a.epoch.Add(1)
	return a.Channel.Exclusive(ctx, group)
}

// ensure proves the selection, or makes it.
func (a *Application) ensure(ctx context.Context, tx *Channel) error {
	if a.Prove != nil && a.selected.Load() {
		selected, err := a.Prove(ctx, tx)
		if selected || err != nil {
			return err
		}
	}
	if err := a.Select(ctx, tx); err != nil {
		return err
	}
	a.selected.Store(true)
	a.epoch.Add(1)
	return nil
}

// Epoch changes whenever the application had to be selected, or the card was reset. A security status, such
// as a verified PIN, that was reached in another epoch is lost; one that was reached in
// this epoch may be lost all the same, as another program can take it back, so ask the
// card where it can tell. It is 0 before the first group.
func (a *Application) Epoch() uint64 { return a.epoch.Load() }
