package iso7816

import (
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
)

// ErrChannelClosed is what the commands of a closed logical channel return.
var ErrChannelClosed = errors.New("iso7816: logical channel is closed")

// OpenChannel opens a further logical channel, by MANAGE CHANNEL on ch (ISO/IEC
// 7816-4:2013), and returns it. It has a selection, a security status and
// secure messaging of its own; its commands and those of ch wait for each other.
// Close it when it is no longer needed: cards have few.
//
// A transport that owns its logical channel (see [Options]) opens none: the error
// Is [errors.ErrUnsupported].
func (ch *Channel) OpenChannel(ctx context.Context) (*Channel, error) {
	if ch.opts.OwnedChannel {
		return nil, fmt.Errorf("iso7816: open a logical channel: %w: the transport owns its channel", errors.ErrUnsupported)
	}
	if err := ch.acquire(ctx); err != nil {
		return nil, err
	}
	defer ch.release()
	c := apdu.Command{Instruction: apdu.InsManageChannel, Ne: 1}
	data, sw, err := ch.exchange(ctx, nil, c)
	if err != nil {
		return nil, err
	}
	if !ch.profile.success(sw) {
		return nil, commandError(&c, sw)
	}
	if len(data) != 1 || data[0] == 0 || data[0] > apdu.MaxChannel {
		return nil, errors.New("iso7816: open a logical channel: the card assigned no number in 1..19")
	}
	return &Channel{shared: ch.shared, number: int(data[0]), generation: ch.shared.generation.Load(), profile: ch.profile}, nil
}

// Number returns the logical channel number, 0 for the basic channel.
func (ch *Channel) Number() int { return ch.number }

// CloseChannel closes a logical channel that OpenChannel opened. Its selection and
// security status are gone. It does nothing for the basic channel, and for one that
// was closed or lost already.
func (ch *Channel) CloseChannel(ctx context.Context) error {
	if ch.number == 0 || ch.closed.Swap(true) || ch.lost() {
		return nil
	}
	basic := &Channel{shared: ch.shared, held: ch.held}
	_, err := basic.Send(ctx, apdu.Command{Instruction: apdu.InsManageChannel, P1: 0x80, P2: byte(ch.number)})
	return err
}

// lost reports whether the card was reset since the channel was opened.
func (ch *Channel) lost() bool {
	return ch.number != 0 && ch.generation != ch.shared.generation.Load()
}

// usable returns why no command can be sent on ch.
func (ch *Channel) usable() error {
	switch {
	case ch.closed.Load():
		return fmt.Errorf("%w: %w", ErrChannelClosed, apdu.ErrNotSent)
	case ch.lost():
		return fmt.Errorf("iso7816: logical channel %d ended when the card was reset; open a new one: %w", ch.number, apdu.ErrReset)
	}
	return ch.smOver
}
