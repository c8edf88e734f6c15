package peers

import (
	"context"
	"fmt"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	cards "github.com/cardoki/cardoki/iso7816/card"
)

// store is an application that takes a data field (INS DA) and gives it back (CA).
type store struct{ data []byte }

func (s *store) AID() iso7816.AID                         { return iso7816.MustParseAID("F000000001") }
func (s *store) Open(*cards.Env) (cards.Session, error)   { return s, nil }
func (s *store) Select(*cards.ResponseWriter) apdu.Status { return apdu.StatusOK }
func (s *store) Close()                                   {}
func (s *store) ServeAPDU(_ context.Context, w *cards.ResponseWriter, c *apdu.Command) apdu.Status {
	if c.Instruction == apdu.InsGetData {
		w.Write(s.data)
		return apdu.StatusOK
	}
	s.data = append(s.data[:0], c.Data...)
	return apdu.StatusOK
}

// BenchmarkChain moves 16, 32 and 64 KiB from a host's Channel to a card in software
// by chained commands of 255 bytes, and back by GET RESPONSE. The time of a byte must
// not grow with the length.
func BenchmarkChain(b *testing.B) {
	ctx := context.Background()
	for _, size := range []int{16 << 10, 32 << 10, 64<<10 - 1} {
		s := &store{}
		ch := iso7816.NewChannel(cards.New(&cards.Options{ShortOnly: true}, s), nil)
		if _, err := ch.SelectApplication(ctx, s.AID()); err != nil {
			b.Fatal(err)
		}
		put := apdu.Command{Instruction: apdu.InsPutData, Data: make([]byte, size)}
		get := apdu.Command{Instruction: apdu.InsGetData, Ne: apdu.MaxExtendedNe}
		buf := make([]byte, 0, size+2)
		for _, w := range []work{
			{"command", func() error { _, err := ch.AppendSend(ctx, buf, put); return err }},
			{"response", func() error {
				out, err := ch.AppendSend(ctx, buf, get)
				if err == nil && len(out) != size {
					err = fmt.Errorf("got %d bytes, want %d", len(out), size)
				}
				return err
			}},
		} {
			b.Run(fmt.Sprintf("%s/%dKiB", w.name, (size+1)>>10), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := w.do(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/B")
			})
		}
	}
}
