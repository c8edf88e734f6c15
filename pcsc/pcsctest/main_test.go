package pcsctest_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/internal/pcsclite"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

func TestMain(m *testing.M) { leak.Main(m) }

// Answers to reset: TS, T0, the protocol bytes where needed, TCK.
var (
	atrT0 = []byte{0x3B, 0x02, 0x14, 0x50}
	atrT1 = []byte{0x3B, 0x80, 0x80, 0x01, 0x01} // T=0 and T=1
)

var selectMF = []byte{0x00, 0xA4, 0x00, 0x00}

// A card answers by a function, with the command itself and 9000 by default, and
// counts what is done to it.
type card struct {
	atr      []byte
	transmit func(ctx context.Context, dst, command []byte) ([]byte, error)

	mu       sync.Mutex
	events   []string
	commands atomic.Int32
}

var (
	_ pcsctest.Card = (*card)(nil)
	_ vpcd.Card     = pcsctest.Card(nil) // one card fits both
)

func (c *card) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	c.commands.Add(1)
	if c.transmit != nil {
		return c.transmit(ctx, dst, command)
	}
	return append(append(dst, command...), 0x90, 0), nil
}

func (c *card) ATR() []byte {
	if c.atr == nil {
		return atrT1
	}
	return c.atr
}

func (c *card) note(event string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, event)
}

// taken returns the events since the last call.
func (c *card) taken() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.events
	c.events = nil
	return e
}

func (c *card) PowerOn()  { c.note("on") }
func (c *card) PowerOff() { c.note("off") }
func (c *card) Reset()    { c.note("reset") }

const reader0, reader1 = "Virtual PCD 00 00", "Virtual PCD 00 01"

const patience = 20 * time.Second

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// start starts a daemon with two readers, unless opts say otherwise.
func start(t testing.TB, opts *pcsctest.Options) *pcsctest.Daemon {
	t.Helper()
	if opts == nil {
		opts = &pcsctest.Options{}
	}
	if opts.Readers == nil {
		opts.Readers = []string{reader0, reader1}
	}
	d, err := pcsctest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func dial(t testing.TB, socket string) *pcsclite.Client {
	t.Helper()
	c, err := pcsclite.Dial(within(t, patience), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// connect connects to the card in the first reader, shared.
func connect(t testing.TB, c *pcsclite.Client) pcsclite.Card {
	t.Helper()
	h, _, err := c.Connect(within(t, patience), reader0, pcsclite.ShareShared, 3)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// code returns the return value in err: 0 for nil, 1 for another error.
func code(err error) uint32 {
	var rv pcsclite.RV
	switch {
	case err == nil:
		return 0
	case errors.As(err, &rv):
		return uint32(rv)
	}
	return 1
}

func wantCode(t testing.TB, what string, err error, want uint32) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: got 0x%08X (%v), want 0x%08X", what, got, err, want)
	}
}

func insert(t testing.TB, d *pcsctest.Daemon, c pcsctest.Card) {
	t.Helper()
	if err := d.Reader(reader0).Insert(c); err != nil {
		t.Fatal(err)
	}
}
