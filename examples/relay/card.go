package main

import (
	"context"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/pcsc"
)

// A card is the real card as the virtual reader sees it. Its commands go to the real
// one as they are. An error of the connection takes it out of the virtual reader: that
// is how the programs there learn that selection and verified PINs are gone.
type card struct {
	*pcsc.Conn
	taken  func() // tells that the virtual reader has it
	failed error  // a reset that did not succeed
}

// Transmit passes a command on, unless a reset that was asked for did not happen.
func (c *card) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if c.failed != nil {
		return dst, c.failed
	}
	return c.Conn.Transmit(ctx, dst, command)
}

// PowerOn has nothing to do: a connected card has power, and was reset before.
func (c *card) PowerOn() { c.taken() }

// PowerOff makes the card forget, as one without power does. PC/SC has no way to keep
// it off.
func (c *card) PowerOff() { c.reset(apdu.UnpowerCard) }

// Reset is a warm reset.
func (c *card) Reset() { c.reset(apdu.ResetCard) }

func (c *card) reset(how apdu.Disposition) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Conn.Reset(ctx, how); err != nil {
		c.failed = err
	}
}
