package iso7816

import (
	"context"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

func TestLogicalChannels(t *testing.T) {
	ctx := context.Background()
	get := apdu.Command{Instruction: 0x84, Ne: 1}
	t.Run("a channel puts its number into CLA, and GET RESPONSE follows it", func(t *testing.T) {
		s := &script{t: t, pairs: []string{
			"0070000001", "019000", "0184000001", "6101", "01C0000001", "AA9000",
			"0070000001", "059000", "4184000001", "AA9000", "0084000001", "AA9000",
			"00708001", "9000", "00708005", "9000",
		}}
		ch := NewChannel(s, nil)
		var open []*Channel
		for range 2 {
			c, err := ch.OpenChannel(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Send(ctx, get); err != nil {
				t.Fatal(err)
			}
			open = append(open, c)
		}
		if _, err := ch.Send(ctx, get); err != nil {
			t.Fatal(err)
		}
		for _, c := range open {
			for range 2 {
				if err := c.CloseChannel(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Send(ctx, get); !errors.Is(err, ErrChannelClosed) || !errors.Is(err, apdu.ErrNotSent) {
				t.Errorf("a closed channel: got %v", err)
			}
		}
		s.done()
	})
	t.Run("GlobalPlatform's classes carry it too", func(t *testing.T) {
		s := &script{t: t, pairs: []string{"0070000001", "029000", "82F2000000", "9000"}}
		ch := NewChannel(s, &Options{Profile: ProfileGlobalPlatform()})
		c, err := ch.OpenChannel(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(ctx, apdu.Command{Class: 0x80, Instruction: 0xF2, Ne: 256}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a number that can't be is refused", func(t *testing.T) {
		for _, answer := range []string{"009000", "149000", "9000", "01029000"} {
			if _, err := NewChannel(&script{t: t, pairs: []string{"0070000001", answer}}, nil).OpenChannel(ctx); err == nil {
				t.Errorf("%s: got nil, want an error", answer)
			}
		}
	})
	t.Run("a transport that owns its channel gets commands as they are", func(t *testing.T) {
		ch := NewChannel(&script{t: t}, &Options{OwnedChannel: true})
		if _, err := ch.OpenChannel(ctx); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v, want ErrUnsupported", err)
		}
	})
	t.Run("a reset ends it", func(t *testing.T) {
		s := &resettable{script: script{t: t, pairs: []string{"0070000001", "019000", "0084000001", "AA9000"}}}
		ch := NewChannel(s, nil)
		c, err := ch.OpenChannel(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := ch.Reconnect(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(ctx, get); !errors.Is(err, apdu.ErrReset) {
			t.Errorf("got %v, want ErrReset", err)
		}
		if err := c.CloseChannel(ctx); err != nil {
			t.Errorf("closing a lost channel: %v", err)
		}
		if _, err := ch.Send(ctx, get); err != nil {
			t.Error(err)
		}
	})
}

type resettable struct{ script }

func (r *resettable) Reconnect(context.Context) error { return nil }
