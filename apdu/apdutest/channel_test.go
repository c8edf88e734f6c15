package apdutest_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// The engine and the card in software, against each other and through a transport
// that fails.

func TestTransmitter_card(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts *card.Options
	}{
		{"without an application", nil},
		{"with short length fields only", &card.Options{ShortOnly: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			apdutest.TestTransmitter(t, func(*testing.T) apdu.Transmitter { return card.New(tt.opts) })
		})
	}
	t.Run("with an application", func(t *testing.T) {
		apdutest.TestTransmitter(t, func(*testing.T) apdu.Transmitter { return card.New(nil, mirror{}) })
	})
}

var mirrorAID = iso7816.MustParseAID("F0000000010203")

// A mirror is an application that answers ENVELOPE with P1 times its data field.
// Every byte is below 60, so that no two of them look like a status.
type mirror struct{}

func (mirror) AID() iso7816.AID                        { return mirrorAID }
func (m mirror) Open(*card.Env) (card.Session, error)  { return m, nil }
func (mirror) Select(*card.ResponseWriter) apdu.Status { return apdu.StatusOK }
func (mirror) Close()                                  {}
func mirrored(data []byte, times int) []byte           { return bytes.Repeat(data, times) }
func mirrorData(r *rand.Rand, n int) (data []byte)     { return fillBelow(r, make([]byte, n), 0x60) }
func (mirror) ServeAPDU(_ context.Context, w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	if c.Instruction != apdu.InsEnvelope {
		return apdu.StatusInstructionNotSupported
	}
	w.Write(mirrored(c.Data, int(c.P1)))
	return apdu.StatusOK
}

func fillBelow(r *rand.Rand, b []byte, limit int) []byte {
	for i := range b {
		b[i] = byte(r.IntN(limit))
	}
	return b
}

// A narrow transport carries no more than its limits, and tells them.
type narrow struct {
	*card.Card
	limits apdu.Limits
}

func (n narrow) Limits() apdu.Limits { return n.limits }

func (n narrow) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if m := n.limits.MaxCommand; len(command) > m {
		return dst, errors.Join(apdu.ErrNotSent, &apdu.LengthError{Field: "command", Value: len(command), Max: m})
	}
	out, err := n.Card.Transmit(ctx, dst, command)
	if m := n.limits.MaxResponse; len(out)-len(dst) > m {
		return dst, &apdu.LengthError{Field: "response", Value: len(out) - len(dst), Max: m}
	}
	return out, err
}

// setup is a card, a transport and a channel with random limits.
type setup struct {
	card   *card.Card
	faults *apdutest.Faults
	ch     *iso7816.Channel
	opts   iso7816.Options
}

func newSetup(r *rand.Rand) *setup {
	s := &setup{card: card.New(&card.Options{ShortOnly: r.IntN(3) == 0}, mirror{})}
	limits := s.card.Limits()
	switch r.IntN(3) {
	case 0: // a reader for short commands
		limits.MaxCommand, limits.MaxResponse = 261, 258
	case 1: // one with a buffer of its own size
		limits.MaxCommand, limits.MaxResponse = 261+r.IntN(4096), 258+r.IntN(4096)
	}
	s.faults = apdutest.NewFaults(narrow{s.card, limits}, nil)
	s.faults.Lost = s.card.Reset
	s.opts.Length = []iso7816.LengthForm{iso7816.LengthAuto, iso7816.LengthShort, iso7816.LengthExtended}[r.IntN(3)]
	if r.IntN(4) == 0 {
		s.opts.MaxResponse = 1 + r.IntN(2000)
	}
	if r.IntN(4) == 0 {
		s.opts.MaxGetResponse = 1 + r.IntN(8)
	}
	s.ch = iso7816.NewChannel(s.faults, &s.opts)
	return s
}

// envelope returns a command to the mirror and its answer.
func envelope(r *rand.Rand, data, times int) (apdu.Command, []byte) {
	c := apdu.Command{Instruction: apdu.InsEnvelope, P1: byte(times), Data: mirrorData(r, data), Ne: apdu.MaxExtendedNe}
	return c, mirrored(c.Data, times)
}

var errBroken = errors.New("broken")

// randomFault returns a fault, and whether it can change what arrives without
// anyone noticing: cards have no checksum over what is above the transport.
func randomFault(r *rand.Rand) (f apdutest.Fault, silent bool) {
	switch r.IntN(9) {
	case 0:
		return apdutest.Fault{Remove: true, Late: r.IntN(2) == 0}, false
	case 1:
		return apdutest.Fault{Reset: true}, false
	case 2:
		return apdutest.Fault{Err: errBroken, Late: r.IntN(2) == 0}, false
	case 3:
		return apdutest.Fault{Cut: 1 + r.IntN(300)}, false
	case 4: // an error of the card, whether or not it executed the command
		return apdutest.Fault{Status: apdu.Status(0x6400 + r.IntN(0x0800)), Late: r.IntN(2) == 0}, false
	case 5: // more data than there is, another Le
		return apdutest.Fault{Status: []apdu.Status{0x6100, 0x6C00}[r.IntN(2)] | apdu.Status(r.IntN(256))}, false
	case 6: // anything
		return apdutest.Fault{Status: apdu.Status(r.IntN(0x10000)), Late: r.IntN(2) == 0}, true
	case 7:
		return apdutest.Fault{Duplicate: true}, true
	}
	return apdutest.Fault{Flip: r.IntN(3) * (1 + r.IntN(3000)), FlipCommand: r.IntN(3) * (1 + r.IntN(3000))}, true
}

// checkChannel sends one command through one fault at exchange n, and one without.
func checkChannel(t *testing.T, seed uint64, data, times, n int) {
	t.Helper()
	ctx := t.Context()
	r := rand.New(rand.NewPCG(seed, 0))
	s := newSetup(r)
	if _, err := s.ch.SelectApplication(ctx, mirrorAID); err != nil {
		t.Fatalf("seed %d: SELECT: %v", seed, err)
	}
	c, want := envelope(r, data, times)
	fault, silent := randomFault(r)
	first := s.faults.Exchanges()
	s.faults.At = apdutest.Once(first+n, fault)
	got, err := s.ch.Send(ctx, c)
	check(t, s, seed, fault, silent, got, want, err)
	// A command is sent in two forms at most; each has its links, its GET RESPONSE
	// commands, and each of those may be repeated.
	maxGet := s.opts.MaxGetResponse
	if maxGet == 0 {
		maxGet = 1024
	}
	if sent, most := s.faults.Exchanges()-first, 2*(data/255+1+2*(maxGet+1)); sent > most {
		t.Errorf("seed %d: got %d commands, want at most %d", seed, sent, most)
	}

	// Whatever happened, the card can be used again.
	s.faults.At = nil
	s.faults.Insert()
	if err := s.ch.Reconnect(ctx); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("seed %d: %+v: Reconnect: %v", seed, fault, err)
	}
	if _, err := s.ch.SelectApplication(ctx, mirrorAID); err != nil {
		t.Fatalf("seed %d: %+v: SELECT afterwards: %v", seed, fault, err)
	}
	c, want = envelope(r, data, times)
	got, err = s.ch.Send(ctx, c)
	check(t, s, seed, apdutest.Fault{}, false, got, want, err)
}

// check checks that the right data arrived, or a clear error.
func check(t *testing.T, s *setup, seed uint64, fault apdutest.Fault, silent bool, got, want []byte, err error) {
	t.Helper()
	most := s.opts.MaxResponse
	if most == 0 {
		most = apdu.MaxExtendedNe
	}
	switch e := (*iso7816.CommandError)(nil); {
	case len(got) > most:
		t.Errorf("seed %d: %+v: got %d bytes, want at most %d", seed, fault, len(got), most)
	case err == nil:
		if !silent && !bytes.Equal(got, want) {
			t.Errorf("seed %d: %+v: got %d bytes that are not the %d of the card, want an error", seed, fault, len(got), len(want))
		}
	case errors.Is(err, iso7816.ErrBound):
		if s.opts.MaxResponse == 0 && s.opts.MaxGetResponse == 0 && !silent {
			t.Errorf("seed %d: %+v: got error %v, want none within the default bounds", seed, fault, err)
		}
	case errors.Is(err, apdu.ErrLength):
		// LengthExtended sends what the transport can't carry, if told to; a command
		// may ask for more after a bit of it was flipped.
		if s.opts.Length != iso7816.LengthExtended && !silent {
			t.Errorf("seed %d: %+v: got error %v, want a form that fits", seed, fault, err)
		}
	case errors.Is(err, apdu.ErrRemoved):
		if !fault.Remove {
			t.Errorf("seed %d: %+v: got error %v", seed, fault, err)
		}
	case errors.Is(err, apdu.ErrReset):
		if !fault.Reset {
			t.Errorf("seed %d: %+v: got error %v", seed, fault, err)
		}
	case errors.Is(err, errBroken):
		if fault.Err == nil {
			t.Errorf("seed %d: %+v: got error %v", seed, fault, err)
		}
	case errors.As(err, &e):
		if fault == (apdutest.Fault{}) && s.opts.Length != iso7816.LengthExtended {
			t.Errorf("seed %d: without a fault: got error %v, want none", seed, err)
		}
	default:
		if _, ok := errors.AsType[*apdu.SyntaxError](err); !ok || fault.Cut == 0 {
			t.Errorf("seed %d: %+v: got error %v, want one of a known kind", seed, fault, err)
		}
	}
}

func TestChannel_throughFaults(t *testing.T) {
	r := rand.New(rand.NewPCG(7816, 4))
	for range 3000 {
		data := []int{0, 1, 16, 255, 256, 510, 511, 1000 + r.IntN(3000)}[r.IntN(8)]
		checkChannel(t, r.Uint64(), data, r.IntN(5), r.IntN(8))
	}
}

func FuzzChannel(f *testing.F) {
	f.Add(uint64(1), uint16(16), uint8(1), uint8(0))
	f.Add(uint64(2), uint16(3000), uint8(3), uint8(5))
	f.Add(uint64(3), uint16(13107), uint8(5), uint8(50))
	f.Fuzz(func(t *testing.T, seed uint64, data uint16, times, n uint8) {
		if int(data)*int(times) > apdu.MaxExtendedNe {
			t.Skip()
		}
		checkChannel(t, seed, int(data), int(times), int(n))
	})
}
