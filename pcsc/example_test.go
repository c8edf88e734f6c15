package pcsc_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cardoki/cardoki/pcsc"
)

func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pcsc.Open(ctx, "", nil) // the reader that holds a card
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	response, err := conn.Transmit(ctx, nil, []byte{0x00, 0xA4, 0x04, 0x00})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("% X\n", response)
}
