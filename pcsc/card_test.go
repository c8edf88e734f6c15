package pcsc_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardoki/cardoki/pcsc/vpcd"
)

// A testCard answers by a function and counts what a reader does to it.
type testCard struct {
	atr      []byte
	transmit func(ctx context.Context, dst, command []byte) ([]byte, error)

	powerOns, powerOffs, resets atomic.Int32
	commands                    atomic.Int32
}

// Answers to reset: TS, T0, the protocol bytes where needed, TCK.
var (
	atrT0 = []byte{0x3B, 0x02, 0x14, 0x50}             // T=0 only
	atrT1 = []byte{0x3B, 0x80, 0x80, 0x01, 0x01}       // T=0 and T=1, no historical bytes
	atr2  = []byte{0x3B, 0x81, 0x80, 0x01, 0x55, 0x55} // the same with one historical byte
)

// echo answers with the command itself and 9000.
func echo(_ context.Context, dst, command []byte) ([]byte, error) {
	return append(append(dst, command...), 0x90, 0x00), nil
}

func (c *testCard) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	c.commands.Add(1)
	if c.transmit == nil {
		return echo(ctx, dst, command)
	}
	return c.transmit(ctx, dst, command)
}

func (c *testCard) ATR() []byte {
	if c.atr == nil {
		return atrT1
	}
	return c.atr
}
func (c *testCard) PowerOn()  { c.powerOns.Add(1) }
func (c *testCard) PowerOff() { c.powerOffs.Add(1) }
func (c *testCard) Reset()    { c.resets.Add(1) }

// insert serves card at address until the test ends or the returned function is
// called, which takes it out.
func insert(t testing.TB, address string, card vpcd.Card) (remove func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- vpcd.DialAndServe(ctx, address, card, nil) }()
	remove = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Logf("card taken out: %v", err)
		}
	})
	t.Cleanup(remove)
	return remove
}

// within returns a context that ends in a while, for steps that should not take
// as long.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
