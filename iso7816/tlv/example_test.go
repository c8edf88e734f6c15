package tlv_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// The objects of a value are walked only when somebody asks for them.
func Example() {
	b := tlv.AppendFunc(nil, 0x61, func(b []byte) []byte {
		b = tlv.Append(b, 0x4F, []byte{0xA0, 0, 0, 3, 8})
		return tlv.Append(b, 0x5F50, []byte("http://example.org"))
	})
	template, err := tlv.Find(b, 0x61)
	if err != nil {
		log.Fatal(err)
	}
	for o, err := range tlv.All(template) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v, %v: %d bytes\n", o.Tag, o.Tag.Class(), len(o.Value))
	}
	// Output:
	// 4F, application: 5 bytes
	// 5F50, application: 18 bytes
}

func ExampleFind() {
	fci, _ := hex.DecodeString("6F0B8405A000000308A5028800")
	aid, err := tlv.Find(fci, 0x6F, 0x84)
	fmt.Printf("%X %v\n", aid, err)
	_, err = tlv.Find(fci, 0x6F, 0x85)
	fmt.Println(err)
	// Output:
	// A000000308 <nil>
	// tlv: data object 85 not found
}
