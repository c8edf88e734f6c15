package card_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// counter is a whole application: instruction 10 counts, and a reset forgets.
type counter struct{}

func (counter) AID() iso7816.AID                     { return iso7816.MustParseAID("F000000001") }
func (counter) Open(*card.Env) (card.Session, error) { return &counting{}, nil }

type counting struct{ n byte }

func (*counting) Select(*card.ResponseWriter) apdu.Status { return apdu.StatusOK }
func (*counting) Close()                                  {}

func (s *counting) ServeAPDU(_ context.Context, w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	if c.Instruction != 0x10 {
		return apdu.StatusInstructionNotSupported
	}
	s.n++
	w.Write([]byte{s.n})
	return apdu.StatusOK
}

// A card application of one's own, used as a host uses any card.
func Example() {
	ctx := context.Background()
	ch := iso7816.NewChannel(card.New(nil, counter{}), nil)
	if _, err := ch.SelectApplication(ctx, counter{}.AID()); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		data, err := ch.Send(ctx, apdu.Command{Instruction: 0x10, Ne: 1})
		fmt.Println(data, err)
	}
	_, err := ch.Send(ctx, apdu.Command{Instruction: 0x18})
	fmt.Println(err)
	// Output:
	// [1] <nil>
	// [2] <nil>
	// iso7816: INS 18: 6D00 instruction not supported or invalid
}
