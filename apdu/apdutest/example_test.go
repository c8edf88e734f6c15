package apdutest_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
)

// A transcript stands in for a card.
func ExampleReplay() {
	card, err := apdutest.Replay(strings.NewReader(`
		protocol T=1
		00 84 00 00 08 -> 0001020304050607 9000
	`))
	if err != nil {
		log.Fatal(err)
	}
	command := apdu.Command{Instruction: apdu.InsGetChallenge, Ne: 8}
	b, err := command.AppendBinary(nil)
	if err != nil {
		log.Fatal(err)
	}
	b, err = card.Transmit(context.Background(), nil, b)
	if err != nil {
		log.Fatal(err)
	}
	response, err := apdu.ParseResponse(b)
	fmt.Println(len(response.Data), response.Status, err, card.Done())
	// Output: 8 9000 success <nil> <nil>
}
