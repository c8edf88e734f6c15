package apdutest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// Probe is the only command that [TestTransmitter] sends to the card: SELECT of
// the default application. Any answer to it will do.
const Probe = "\x00\xA4\x04\x00\x00"

// TestTransmitter checks that what newCard returns keeps the contract of
// [apdu.Transmitter], and that of the optional companions which it has. newCard
// is called once for each subtest; it releases what it opened with t.Cleanup. The
// card is sent nothing but [Probe].
func TestTransmitter(t *testing.T, newCard func(t *testing.T) apdu.Transmitter) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, card apdu.Transmitter)
	}{
		{"the response is appended to dst", testAppends},
		{"the command is left as it was", testCommand},
		{"nothing is retained", testRetained},
		{"an empty command is refused", func(t *testing.T, card apdu.Transmitter) { testRefused(t, card, nil) }},
		{"an oversized command is refused", func(t *testing.T, card apdu.Transmitter) {
			testRefused(t, card, make([]byte, apdu.MaxCommandSize+1))
		}},
		{"a cancelled context ends it", func(t *testing.T, card apdu.Transmitter) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			testExpired(t, card, ctx, context.Canceled)
		}},
		{"an expired deadline ends it", func(t *testing.T, card apdu.Transmitter) {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
			defer cancel()
			testExpired(t, card, ctx, context.DeadlineExceeded)
		}},
		{"a transaction brackets exchanges", testTransaction},
		{"the description does not change", testDescription},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, newCard(t)) })
	}
}

// within fails the test when f takes longer than any card.
func within(t *testing.T, f func()) {
	t.Helper()
	timer := time.AfterFunc(30*time.Second, func() { panic("apdutest: Transmit hangs for 30 seconds") })
	defer timer.Stop()
	f()
}

func probe(t *testing.T, card apdu.Transmitter, dst []byte) []byte {
	t.Helper()
	var out []byte
	within(t, func() {
		var err error
		out, err = card.Transmit(t.Context(), dst, []byte(Probe))
		if err != nil {
			t.Fatalf("got error %v, want a response", err)
		}
	})
	return out
}

func testAppends(t *testing.T, card apdu.Transmitter) {
	roomy := append(make([]byte, 0, 4096), "before"...)
	for _, dst := range [][]byte{nil, {}, []byte("before"), roomy} {
		prefix := string(dst)
		out := probe(t, card, dst)
		if !bytes.HasPrefix(out, []byte(prefix)) {
			t.Fatalf("got %d bytes that do not begin with the %d of dst", len(out), len(prefix))
		}
		if _, err := apdu.ParseResponse(out[len(prefix):]); err != nil {
			t.Errorf("what was appended to %d bytes is no response: %v", len(prefix), err)
		}
	}
}

func testCommand(t *testing.T, card apdu.Transmitter) {
	guarded := []byte("<<<" + Probe + ">>>")
	command := guarded[3 : 3+len(Probe)] // with room after it
	within(t, func() {
		if _, err := card.Transmit(t.Context(), nil, command); err != nil {
			t.Fatalf("got error %v, want a response", err)
		}
	})
	if string(guarded) != "<<<"+Probe+">>>" {
		t.Error("the command, or the bytes around it, were modified")
	}
}

func testRetained(t *testing.T, card apdu.Transmitter) {
	command := []byte(Probe)
	first, err := card.Transmit(t.Context(), nil, command)
	if err != nil {
		t.Fatalf("got error %v, want a response", err)
	}
	clear(command)
	kept := bytes.Clone(first)
	probe(t, card, nil)
	if !bytes.Equal(first, kept) {
		t.Error("the second exchange changed the response of the first")
	}
}

func testRefused(t *testing.T, card apdu.Transmitter, command []byte) {
	within(t, func() {
		out, err := card.Transmit(t.Context(), []byte("before"), command)
		if err == nil {
			t.Errorf("%d bytes: got a response, want an error", len(command))
		}
		if string(out) != "before" {
			t.Errorf("%d bytes: got dst of %d bytes beside the error, want it unchanged", len(command), len(out))
		}
	})
	probe(t, card, nil)
}

func testExpired(t *testing.T, card apdu.Transmitter, ctx context.Context, want error) {
	within(t, func() {
		out, err := card.Transmit(ctx, []byte("before"), []byte(Probe))
		if !errors.Is(err, want) {
			t.Errorf("Transmit: got error %v, want one that Is %v", err, want)
		}
		if string(out) != "before" {
			t.Errorf("Transmit: got dst of %d bytes beside the error, want it unchanged", len(out))
		}
	})
	if tx, ok := card.(apdu.Transactor); ok {
		within(t, func() {
			switch err := tx.Begin(ctx); {
			case err == nil:
				if err := tx.End(apdu.LeaveCard); err != nil {
					t.Errorf("End: got error %v, want none", err)
				}
			case !errors.Is(err, want) && !errors.Is(err, apdu.ErrRetired):
				t.Errorf("Begin: got error %v, want one that Is %v", err, want)
			}
		})
	}
}

func testTransaction(t *testing.T, card apdu.Transmitter) {
	tx, ok := card.(apdu.Transactor)
	if !ok {
		t.Skip("not a Transactor")
	}
	for range 2 {
		within(t, func() {
			if err := tx.Begin(t.Context()); err != nil {
				t.Fatalf("Begin: got error %v, want none", err)
			}
		})
		probe(t, card, nil)
		if err := tx.End(apdu.LeaveCard); err != nil {
			t.Fatalf("End: got error %v, want none", err)
		}
	}
	probe(t, card, nil)
}

func testDescription(t *testing.T, card apdu.Transmitter) {
	d, ok := card.(apdu.Described)
	if !ok {
		t.Skip("not Described")
	}
	atr, limits := bytes.Clone(d.ATR()), d.Limits()
	if limits.MaxCommand < 0 || limits.MaxResponse < 0 {
		t.Errorf("got limits %+v, want none below 0", limits)
	}
	// ISO/IEC 7816-3: TS and T0, at most 32 characters after TS.
	if n := len(atr); n != 0 && (n < 2 || n > 33) {
		t.Errorf("got an ATR of %d bytes, want 2 to 33", n)
	}
	probe(t, card, nil)
	if !bytes.Equal(atr, d.ATR()) || limits != d.Limits() {
		t.Error("ATR or limits changed with an exchange")
	}
}
