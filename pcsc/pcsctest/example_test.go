//go:build linux && !(cgo && libpcsclite)

package pcsctest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

// A program that uses package pcsc meets a card, and a reader that fails.
func Example() {
	d, err := pcsctest.Start(&pcsctest.Options{Readers: []string{"Test Reader 00 00"}})
	if err != nil {
		panic(err)
	}
	defer d.Close()
	if err := d.Reader("Test Reader 00 00").Insert(&card{}); err != nil {
		panic(err)
	}

	ctx := context.Background()
	c, err := pcsc.Establish(ctx, &pcsc.Options{Socket: d.Socket()})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	conn, err := c.Connect(ctx, "Test Reader 00 00", nil)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	response, err := conn.Transmit(ctx, nil, []byte{0x00, 0xA4, 0x00, 0x00})
	fmt.Printf("% X %v\n", response, err)

	d.SetFault(func(c pcsctest.Call) *pcsctest.Fault {
		if c.Command == pcsctest.SCARD_TRANSMIT {
			return &pcsctest.Fault{Code: 0x80100068} // the card was reset
		}
		return nil
	})
	_, err = conn.Transmit(ctx, nil, []byte{0x00, 0xA4, 0x00, 0x00})
	fmt.Println(errors.Is(err, apdu.ErrReset))
	// Output:
	// 00 A4 00 00 90 00 <nil>
	// true
}
