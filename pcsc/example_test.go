package pcsc_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cardoki/cardoki/apdu"
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

func ExampleContext_Watch() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pcsc.Establish(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for event, err := range c.Watch(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event)
		if event.Kind == pcsc.CardInserted {
			fmt.Printf("ATR % X, contactless: %v\n", event.Reader.ATR, event.Reader.Contactless())
		}
	}
}

func ExampleContext_WaitForCard() {
	ctx := context.Background()
	c, err := pcsc.Establish(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	reader, err := c.WaitForCard(ctx, func(r pcsc.Reader) bool { return r.Contactless() })
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := c.Connect(ctx, reader.Name, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	uid, err := pcsc.UID(ctx, conn)
	fmt.Printf("% X %v\n", uid, err)
}

// A program that lives long with one card brings its connection back by itself, and
// begins from the start with the card.
func ExampleConn_Reconnect() {
	ctx := context.Background()
	conn, err := pcsc.Open(ctx, "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	for {
		err := conn.Transaction(ctx, apdu.LeaveCard, func() error {
			// Select, verify, use.
			_, err := conn.Transmit(ctx, nil, []byte{0x00, 0xA4, 0x04, 0x00})
			return err
		})
		if !errors.Is(err, apdu.ErrReset) && !errors.Is(err, apdu.ErrRemoved) && !errors.Is(err, apdu.ErrRetired) {
			fmt.Println(err)
			return
		}
		for err != nil {
			fmt.Println(err)
			time.Sleep(time.Second)
			err = conn.Reconnect(ctx)
		}
	}
}

func ExampleConn_VerifyPIN() {
	ctx := context.Background()
	conn, err := pcsc.Open(ctx, "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	// The PIN of PIV: 6 to 8 digits in ASCII, filled up with FF to 8 bytes.
	r, err := conn.VerifyPIN(ctx, &apdu.PINVerify{PINEntry: apdu.PINEntry{
		Command:   []byte{0x00, 0x20, 0x00, 0x80, 0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
		Encoding:  apdu.PINASCII,
		BlockSize: 8,
		MinLen:    6,
		MaxLen:    8,
		TimeOut:   30 * time.Second,
	}})
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Println("this reader has no keypad")
	case errors.Is(err, apdu.ErrPINPadCancelled):
		fmt.Println("the user does not want to")
	case err != nil:
		fmt.Println(err)
	case r.Status.Retries() >= 0:
		fmt.Println("wrong PIN, tries left:", r.Status.Retries())
	default:
		fmt.Println(r.Status)
	}
}

func ExampleStorageCard() {
	ctx := context.Background()
	conn, err := pcsc.Open(ctx, "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	if _, ok := pcsc.ParseStorageATR(conn.ATR()); !ok {
		fmt.Println("not a storage card")
		return
	}
	key := []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF} // as MIFARE Classic cards are delivered
	defer clear(key)
	card := pcsc.NewStorageCard(conn)
	if err := card.LoadKey(ctx, pcsc.KeyVolatile, 0, key); err != nil {
		fmt.Println(err)
		return
	}
	if err := card.Authenticate(ctx, 4, pcsc.KeyA, 0); err != nil {
		fmt.Println(err)
		return
	}
	block, err := card.ReadBinary(ctx, 4, 16)
	fmt.Printf("% X %v\n", block, err)
}

// The name of a card of ISO/IEC 14443, from the answer to reset that its reader makes up.
func ExampleParseStorageATR() {
	atr := []byte{0x3B, 0x8F, 0x80, 0x01, 0x80, 0x4F, 0x0C, 0xA0, 0x00, 0x00, 0x03, 0x06, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x6A}
	s, ok := pcsc.ParseStorageATR(atr)
	fmt.Printf("%v %02X %04X contactless: %v\n", ok, byte(s.Standard), s.Name, s.Standard.Contactless())
	// Output: true 03 0001 contactless: true
}

func ExamplePINVerify_AppendBinary() {
	v := &apdu.PINVerify{PINEntry: apdu.PINEntry{
		Command:  []byte{0x00, 0x20, 0x00, 0x80, 0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
		Encoding: apdu.PINASCII, BlockSize: 8, MinLen: 6, MaxLen: 8,
	}}
	b, err := v.AppendBinary(nil)
	fmt.Printf("% X %v\n", b, err)
	// Output: 00 00 82 08 00 08 06 02 FF 09 04 00 00 00 00 0D 00 00 00 00 20 00 80 08 FF FF FF FF FF FF FF FF <nil>
}
