package apdutest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
)

var command = []byte{0, 0xA4, 4, 0}

func TestFaults_none(t *testing.T) {
	card := &echo{}
	f := apdutest.NewFaults(card, apdutest.Once(5, apdutest.Fault{Remove: true}))
	for range 3 {
		out, err := f.Transmit(t.Context(), []byte("dst"), command)
		if err != nil || string(out) != "dst\x00\xA4\x04\x00\x90\x00" {
			t.Errorf("got %q and error %v, want the card's response", out, err)
		}
	}
	if err := f.Begin(t.Context()); err != nil {
		t.Error(err)
	}
	if err := f.End(apdu.LeaveCard); err != nil {
		t.Error(err)
	}
	if err := f.Reconnect(t.Context()); err != nil {
		t.Error(err)
	}
	if want := (echo{transmits: 3, begins: 1, ends: 1, reconnects: 1}); *card != want {
		t.Errorf("the card saw %+v, want %+v", *card, want)
	}
	if f.Exchanges() != 3 || len(f.ATR()) != 5 || f.Limits().MaxCommand != 261 {
		t.Errorf("got %d exchanges, ATR % X, limits %+v", f.Exchanges(), f.ATR(), f.Limits())
	}
}

func TestFaults_responses(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		fault apdutest.Fault
		want  string
		err   error
		sent  int // of the exchange with the fault
	}{
		{"a status of one's own", apdutest.Fault{Status: 0x6F00}, "6F00", nil, 0},
		{"cut by one byte", apdutest.Fault{Cut: 1}, "00A4040090", nil, 1},
		{"cut to nothing", apdutest.Fault{Cut: 100}, "", nil, 1},
		{"a status in place of the response", apdutest.Fault{Status: 0x6F00, Late: true}, "6F00", nil, 1},
		{"the first bit", apdutest.Fault{Flip: 1}, "80A404009000", nil, 1},
		{"the last bit", apdutest.Fault{Flip: 48}, "00A404009001", nil, 1},
		{"the bit after the last is the first", apdutest.Fault{Flip: 49}, "80A404009000", nil, 1},
		{"a bit of what is cut", apdutest.Fault{Flip: 8, Cut: 4}, "01A4", nil, 1},
		{"a bit of the command", apdutest.Fault{FlipCommand: 11}, "008404009000", nil, 1},
		{"sent twice", apdutest.Fault{Duplicate: true}, "00A404009000", nil, 2},
		{"an error", apdutest.Fault{Err: broken}, "", broken, 0},
		{"an error after the command", apdutest.Fault{Err: broken, Late: true}, "", broken, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			card := &echo{}
			f := apdutest.NewFaults(card, apdutest.Once(1, tt.fault))
			whole := unhex(t, "00A404009000")
			for i := range 3 {
				out, err := f.Transmit(t.Context(), []byte("dst"), command)
				want, wantErr := whole, error(nil)
				if i == 1 {
					want, wantErr = unhex(t, tt.want), tt.err
				}
				if !errors.Is(err, wantErr) || !bytes.Equal(out, append([]byte("dst"), want...)) {
					t.Errorf("exchange %d: got %q and error %v, want %X and %v", i, out, err, want, wantErr)
				}
			}
			if !bytes.Equal(command, []byte{0, 0xA4, 4, 0}) {
				t.Errorf("the caller's command became % X", command)
			}
			if card.transmits != 2+tt.sent {
				t.Errorf("the card saw %d commands, want %d", card.transmits, 2+tt.sent)
			}
		})
	}
}

func TestFaults_remove(t *testing.T) {
	for _, late := range []bool{false, true} {
		card := &echo{}
		f := apdutest.NewFaults(card, apdutest.Once(1, apdutest.Fault{Remove: true, Late: late}))
		lost := 0
		f.Lost = func() { lost++ }
		ctx := t.Context()
		if _, err := f.Transmit(ctx, nil, command); err != nil {
			t.Fatal(err)
		}
		if err := f.Begin(ctx); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if out, err := f.Transmit(ctx, []byte("dst"), command); !errors.Is(err, apdu.ErrRemoved) || string(out) != "dst" {
				t.Errorf("got %q and error %v, want ErrRemoved", out, err)
			}
		}
		if err := f.End(apdu.LeaveCard); !errors.Is(err, apdu.ErrRemoved) || card.ends != 1 {
			t.Errorf("End: got error %v and %d ends below, want ErrRemoved and 1", err, card.ends)
		}
		if err := f.Begin(ctx); !errors.Is(err, apdu.ErrRemoved) {
			t.Errorf("Begin: got error %v, want ErrRemoved", err)
		}
		if err := f.Reconnect(ctx); !errors.Is(err, apdu.ErrRemoved) {
			t.Errorf("Reconnect without a card: got error %v, want ErrRemoved", err)
		}
		f.Insert()
		if _, err := f.Transmit(ctx, nil, command); !errors.Is(err, apdu.ErrRemoved) {
			t.Errorf("card is back, not connected: got error %v, want ErrRemoved", err)
		}
		if err := f.Reconnect(ctx); err != nil {
			t.Errorf("Reconnect: got error %v, want none", err)
		}
		if _, err := f.Transmit(ctx, nil, command); err != nil {
			t.Errorf("connected again: got error %v, want none", err)
		}
		want := 2
		if late {
			want++
		}
		if card.transmits != want || lost != 1 {
			t.Errorf("late %v: the card saw %d commands and lost power %d times, want %d and 1", late, card.transmits, lost, want)
		}
	}
}

func TestFaults_reset(t *testing.T) {
	card := &echo{}
	f := apdutest.NewFaults(card, apdutest.Once(0, apdutest.Fault{Reset: true}))
	lost := 0
	f.Lost = func() { lost++ }
	ctx := t.Context()
	for range 2 {
		if _, err := f.Transmit(ctx, nil, command); !errors.Is(err, apdu.ErrReset) {
			t.Errorf("got error %v, want ErrReset", err)
		}
	}
	if err := f.Begin(ctx); !errors.Is(err, apdu.ErrReset) {
		t.Errorf("Begin: got error %v, want ErrReset", err)
	}
	card.err = apdu.ErrRemoved
	if err := f.Reconnect(ctx); !errors.Is(err, apdu.ErrRemoved) {
		t.Errorf("Reconnect that fails below: got error %v, want that one", err)
	}
	card.err = nil
	if err := f.Reconnect(ctx); err != nil {
		t.Errorf("Reconnect: got error %v, want none", err)
	}
	if _, err := f.Transmit(ctx, nil, command); err != nil {
		t.Errorf("connected again: got error %v, want none", err)
	}
	if lost != 1 || card.transmits != 1 {
		t.Errorf("the card lost power %d times and saw %d commands, want 1 and 1", lost, card.transmits)
	}
}

func TestFaults_delay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		card := &echo{}
		f := apdutest.NewFaults(card, func(n int, _ []byte) apdutest.Fault { return apdutest.Fault{Delay: time.Minute} })
		start := time.Now()
		if _, err := f.Transmit(t.Context(), nil, command); err != nil {
			t.Errorf("got error %v, want none", err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("the exchange took %v, want a minute", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if out, err := f.Transmit(ctx, []byte("dst"), command); !errors.Is(err, context.DeadlineExceeded) || string(out) != "dst" {
			t.Errorf("got %q and error %v, want DeadlineExceeded", out, err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("giving up took %v, want a second", d)
		}
		if _, err := f.Transmit(t.Context(), nil, command); !errors.Is(err, apdu.ErrRetired) {
			t.Errorf("after giving up: got error %v, want ErrRetired", err)
		}
		if err := f.Reconnect(t.Context()); !errors.Is(err, apdu.ErrRetired) {
			t.Errorf("Reconnect after giving up: got error %v, want ErrRetired", err)
		}
		if card.transmits != 1 {
			t.Errorf("the card saw %d commands, want 1", card.transmits)
		}
	})
}
