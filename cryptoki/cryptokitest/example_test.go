package cryptokitest_test

import (
	"fmt"
	"os"

	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/ck"
)

// A module of which the second C_GenerateRandom fails. Instead of ck, any PKCS#11 library
// can load it.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	m, err := cryptokitest.New(dir, nil)
	if err != nil {
		panic(err)
	}
	defer m.Close()

	p, err := ck.Open(m.Path())
	if err != nil {
		panic(err)
	}
	p.Acquire()
	defer p.Release()
	session, _ := p.OpenSession(1, 0)
	m.SetFaults(cryptokitest.Fault{Function: "C_GenerateRandom", Skip: 1, Times: 1, RV: 0x30})
	for range 3 {
		fmt.Printf("%#x\n", uint(p.GenerateRandom(session, make([]byte, 8))))
	}
	fmt.Println(m.Calls("C_GenerateRandom"), "calls")
	// Output:
	// 0x0
	// 0x30
	// 0x0
	// 3 calls
}
