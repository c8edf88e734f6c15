package pcsclite_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/pcsclite"
	"github.com/cardoki/cardoki/internal/system"
)

func dial(t *testing.T) *pcsclite.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := pcsclite.Dial(ctx, pcsclite.SocketName())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What the tests of package pcsc do not reach: the calls below it on a real pcscd.
func TestRealDaemon(t *testing.T) {
	p := system.StartPCSCD(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := dial(t)
	states, err := c.ReaderStates(ctx)
	if err != nil || len(states) != 2 || states[0].Name != p.Readers[0] || states[1].Name != p.Readers[1] {
		t.Fatalf("got %+v, %v, want %q", states, err, p.Readers)
	}
	if s := states[0]; s.State != pcsclite.ReaderAbsent || s.Sharing != 0 || s.ATR != "" || s.Protocol != 0 {
		t.Errorf("got %+v, want an empty reader", s)
	}
	if _, _, err := c.Connect(ctx, p.Readers[0], pcsclite.ShareShared, 3); err != pcsclite.RV(0x8010000C) {
		t.Errorf("connect without a card: got %v, want 0x8010000C", err)
	}

	unchanged := func([]pcsclite.ReaderState) bool { return false }
	t.Run("a wait is called off when its context ends, and the client lives", func(t *testing.T) {
		short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		defer cancel()
		_, err := c.WaitReaderStateChange(short, 0, unchanged)
		var broken *pcsclite.BrokenError
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &broken) {
			t.Errorf("got %v, want the context's error alone", err)
		}
		if _, err := c.ReaderStates(ctx); err != nil {
			t.Errorf("next call: %v", err)
		}
	})
	t.Run("another client cancels a wait", func(t *testing.T) {
		other := dial(t)
		result := make(chan error)
		go func() {
			_, err := c.WaitReaderStateChange(ctx, 0, unchanged)
			result <- err
		}()
		for {
			if err := other.Cancel(ctx, c.Context()); err != nil && err != pcsclite.RV(0x80100003) {
				t.Fatal(err)
			}
			select {
			case err := <-result:
				if err != pcsclite.RV(0x80100002) {
					t.Errorf("got %v, want 0x80100002", err)
				}
				if _, err := c.ReaderStates(ctx); err != nil {
					t.Errorf("next call: %v", err)
				}
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	t.Run("control codes and attributes reach the driver, which knows none", func(t *testing.T) {
		c := dial(t)
		card, _, err := c.Connect(ctx, p.Readers[0], pcsclite.ShareDirect, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Control(ctx, card, 0x42000D48, nil, nil); err != pcsclite.RV(0x8010001F) {
			t.Errorf("control: got %v, want 0x8010001F", err)
		}
		if _, err := c.Attribute(ctx, card, 0x00010100); err != pcsclite.RV(0x8010001F) {
			t.Errorf("attribute: got %v, want 0x8010001F", err)
		}
		if err := c.SetAttribute(ctx, card, 0x7FFF0007, []byte{1}); err == nil {
			t.Error("set attribute: got no error")
		}
		if err := c.Status(ctx, card); err != nil { // the layouts fitted
			t.Errorf("next call: %v", err)
		}
	})
	t.Run("a released client is closed", func(t *testing.T) {
		c := dial(t)
		if err := c.Release(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReaderStates(ctx); !errors.Is(err, pcsclite.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}
