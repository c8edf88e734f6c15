package iso7816

import (
	"context"
	"fmt"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// answering gives each command the same data, and is the floor: what a round trip
// costs without a Channel.
type answering []byte

func (a answering) Transmit(_ context.Context, dst, _ []byte) ([]byte, error) {
	return append(dst, a...), nil
}

func BenchmarkChannel_AppendSend(b *testing.B) {
	ctx := context.Background()
	for _, size := range []int{5, 255, 3072} {
		response := append(make([]byte, size), 0x90, 0)
		cmd := apdu.Command{Instruction: apdu.InsGetData, P1: 0x9F, P2: 0x7F, Ne: 256}
		dst := make([]byte, 0, 4096)
		b.Run(fmt.Sprintf("floor/%d", size), func(b *testing.B) {
			t := answering(response)
			encoded := make([]byte, 0, 16)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				encoded = append(encoded[:0], 0, 0xCA, 0x9F, 0x7F, 0)
				if out, _ := t.Transmit(ctx, dst, encoded); len(out) != size+2 {
					b.Fatal(len(out))
				}
			}
		})
		b.Run(fmt.Sprintf("cardoki/%d", size), func(b *testing.B) {
			ch := NewChannel(answering(response), nil)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if out, err := ch.AppendSend(ctx, dst, cmd); err != nil || len(out) != size {
					b.Fatal(len(out), err)
				}
			}
		})
	}
}
