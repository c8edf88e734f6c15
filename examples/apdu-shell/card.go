package main

import (
	"context"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
)

// open connects to the card, and notes how it is reset.
func (s *shell) open(reader string, emulate bool) (t apdu.Transmitter, closeCard func(), err error) {
	if emulate {
		c := card.New(nil, piv.NewApplication(nil))
		s.reset = func(context.Context) error { c.Reset(); return nil }
		fmt.Fprintln(s.out, "A PIV card in software, with the PIN 123456. It is forgotten at the end.")
		return c, func() {}, nil
	}
	conn, err := pcsc.Open(context.Background(), reader, nil)
	if err != nil {
		return nil, nil, err
	}
	s.reset = func(ctx context.Context) error { return conn.Reset(ctx, apdu.ResetCard) }
	fmt.Fprintf(s.out, "Connected to %q, %v.\n", conn.Reader(), conn.Limits().Protocol)
	return conn, func() { conn.Close() }, nil
}
