package card

import (
	"context"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// BenchmarkRoundTrip is one command from a host's Channel to a session of a card in
// software and back; the floor is the session alone.
func BenchmarkRoundTrip(b *testing.B) {
	ctx := context.Background()
	data := make([]byte, 100)
	cmd := apdu.Command{Instruction: 0x12, Data: data, Ne: 256}
	b.Run("floor", func(b *testing.B) {
		s := &echoSession{app: &echo{}}
		w := &ResponseWriter{}
		b.ReportAllocs()
		for b.Loop() {
			w.buf = w.buf[:0]
			if sw := s.ServeAPDU(ctx, w, &cmd); !sw.OK() || len(w.buf) != len(data) {
				b.Fatal(sw)
			}
		}
	})
	b.Run("cardoki", func(b *testing.B) {
		ch, dst := roundTrip(b)
		b.ReportAllocs()
		for b.Loop() {
			if out, err := ch.AppendSend(ctx, dst, cmd); err != nil || len(out) != len(data) {
				b.Fatal(err)
			}
		}
	})
}

// roundTrip returns a channel to a card with the echo application selected.
func roundTrip(t testing.TB) (*iso7816.Channel, []byte) {
	t.Helper()
	ch := iso7816.NewChannel(New(nil, &echo{aid: aidA}), nil)
	if _, err := ch.SelectApplication(context.Background(), aidA); err != nil {
		t.Fatal(err)
	}
	return ch, make([]byte, 0, 1024)
}

func TestRoundTripAllocatesNothing(t *testing.T) {
	ch, dst := roundTrip(t)
	cmd := apdu.Command{Instruction: 0x12, Data: make([]byte, 100), Ne: 256}
	n := testing.AllocsPerRun(100, func() {
		if _, err := ch.AppendSend(context.Background(), dst, cmd); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
