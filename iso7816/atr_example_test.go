package iso7816_test

import (
	"encoding/hex"
	"fmt"
	"log"
	"time"

	"github.com/cardoki/cardoki/iso7816"
)

// What a SIM card's answer to reset tells.
func ExampleParseATR() {
	b, _ := hex.DecodeString("3B9F96801FC78031A073BE21136743200718000001A5")
	atr, err := iso7816.ParseATR(b)
	if err != nil {
		log.Fatal(err)
	}
	for t := range atr.Protocols() {
		fmt.Printf("T=%d\n", t)
	}
	fmt.Printf("F %d, D %d, up to %d kHz\n", atr.Fi(), atr.Di(), atr.MaxFrequency()/1000)
	stop, classes, _ := atr.Global()
	fmt.Printf("clock stop: %v, classes: %v\n", stop, classes)

	timing, err := atr.Timing(iso7816.Line{Frequency: 4e6, F: atr.Fi(), D: atr.Di()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("one bit takes", timing.ETU, "and the card answers within", timing.WT.Round(time.Millisecond))

	h, err := iso7816.ParseHistoricalBytes(atr.HistoricalBytes())
	if err != nil {
		log.Fatal(err)
	}
	capabilities, _ := h.CardCapabilities()
	fmt.Println("logical channels:", capabilities.Functions.MaxChannels())
	// Output:
	// T=0
	// F 512, D 32, up to 5000 kHz
	// clock stop: no preference, classes: A,B,C
	// one bit takes 4µs and the card answers within 1.229s
	// logical channels: 4
}

// A reader passes on an ATR whose check byte is wrong.
func ExampleParseATRLenient() {
	b, _ := hex.DecodeString("3B80018000")
	_, err := iso7816.ParseATR(b)
	fmt.Println(err)
	atr, err := iso7816.ParseATRLenient(b)
	fmt.Println(atr, atr.Fault(), err)
	// Output:
	// iso7816: malformed ATR at offset 3: TCK wrong
	// 3B80018000 TCK wrong, bytes after the end <nil>
}

func ExampleATR_StorageCard() {
	var atr iso7816.ATR
	if err := atr.UnmarshalText([]byte("3B8F8001804F0CA000000306030001000000006A")); err != nil {
		log.Fatal(err)
	}
	if card, ok := atr.StorageCard(); ok {
		fmt.Println(card)
	}
	// Output: MIFARE Classic 1K, ISO/IEC 14443 A, part 3
}
