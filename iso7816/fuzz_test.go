package iso7816

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

func FuzzChannelAgainstAnyCard(f *testing.F) {
	f.Add(unhex("9000"), uint16(0), uint16(256))
	f.Add(unhex("6100"), uint16(300), uint16(0))
	f.Add(unhex("01026C0561FF9000"), uint16(255), uint16(1))
	f.Fuzz(func(t *testing.T, answers []byte, nc, ne uint16) {
		card := &fuzzCard{answers: answers}
		ch := NewChannel(card, &Options{MaxGetResponse: 20, MaxResponse: 1000})
		dst := []byte("kept")
		got, sw, err := ch.AppendExchange(context.Background(), dst, apdu.Command{Instruction: 0xCB, Data: make([]byte, nc), Ne: int(ne)})
		if !bytes.HasPrefix(got, dst) || err != nil && len(got) != len(dst) {
			t.Fatalf("dst was lost: %q, %v", got, err)
		}
		// A link that is answered with 61XX ends the chain like any other status.
		if err == nil && (len(got)-len(dst) > 1000 || sw.More() > 0 && nc <= 255) {
			t.Fatalf("got %d bytes and %v", len(got)-len(dst), sw)
		}
		if limit := exchangesOf(int(nc), ch.opts); card.n > limit {
			t.Fatalf("%d exchanges, want at most %d", card.n, limit)
		}
	})
}

// fuzzCard cuts its answers from a string of bytes: a length, then as many.
type fuzzCard struct {
	answers []byte
	n       int
}

func (c *fuzzCard) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	c.n++
	if _, err := apdu.ParseCommand(command); err != nil {
		return dst, fmt.Errorf("the host sent no command: %w", err)
	}
	if len(c.answers) == 0 {
		return append(dst, 0x61, 0x10), nil
	}
	n := min(int(c.answers[0])%16, len(c.answers))
	dst = append(dst, c.answers[:n]...)
	c.answers = c.answers[max(n, 1):]
	return dst, nil
}
