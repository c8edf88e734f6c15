package tlv_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

func ExampleAllCompact() {
	objects, _ := hex.DecodeString("31C073C001C0")
	for o, err := range tlv.AllCompact(objects) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%X: %X\n", o.Tag, o.Value)
	}
	// Output:
	// 3: C0
	// 7: C001C0
}

func ExampleAllSimple() {
	b := tlv.AppendSimple(nil, 0x81, []byte("some"))
	for o, err := range tlv.AllSimple(b) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%X: %s\n", o.Tag, o.Value)
	}
	// Output: 81: some
}

// A terminal gives a card the amount and its unpredictable number.
func ExampleAppendDOLValues() {
	dol, _ := hex.DecodeString("9F02069F3704")
	values, err := tlv.AppendDOLValues(nil, dol, func(tag tlv.Tag) tlv.DOLValue {
		switch tag {
		case 0x9F02:
			return tlv.DOLValue{Value: []byte{0x12, 0x34}, Format: tlv.FormatNumeric}
		case 0x9F37:
			return tlv.DOLValue{Value: []byte{0xCA, 0xFE, 0xBA, 0xBE}}
		}
		return tlv.DOLValue{}
	})
	fmt.Printf("%X %v\n", values, err)
	// Output: 000000001234CAFEBABE <nil>
}
