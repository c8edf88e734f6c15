package piv

import (
	"encoding/hex"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/card"
)

// TestWhatForeignToolsSend sends the commands of foreign tools as they were seen.
func TestWhatForeignToolsSend(t *testing.T) {
	type exchange struct {
		command string
		want    apdu.Status
	}
	const (
		selectPIV = "00A4040005A000000308"
		verifyPIN = "0020008008313233343536FFFF"
		emptyBoth = "002C008010FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" // PUK and new PIN
		emptyPIN  = "002C0080103132333435363738FFFFFFFFFFFFFFFF" // with the right PUK
		wrongPUK  = "002C0080103939393939393939313131313131FFFF"
	)
	for _, tt := range []struct {
		name      string
		opts      *ApplicationOptions
		exchanges []exchange
	}{
		{"ykman 4.0.9 blocks the PUK with an empty one", nil, []exchange{{emptyBoth, 0x63C2}, {emptyBoth, 0x63C1}, {emptyBoth, 0x6983}, {emptyBoth, 0x6983}}},
		{"the right PUK sets no empty PIN", nil, []exchange{{emptyPIN, 0x6A80}, {verifyPIN, 0x9000}, {wrongPUK, 0x63C2}}},
		{"a card of the standard alone looks at the new PIN first", &ApplicationOptions{StandardOnly: true}, []exchange{{emptyBoth, 0x6A80}, {wrongPUK, 0x63C2}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := card.New(nil, NewApplication(tt.opts))
			for _, x := range append([]exchange{{selectPIV, 0x9000}}, tt.exchanges...) {
				command, err := hex.DecodeString(x.command)
				if err != nil {
					t.Fatal(err)
				}
				b, err := c.Transmit(ctx, nil, command)
				if err != nil {
					t.Fatal(err)
				}
				if r, err := apdu.ParseResponse(b); err != nil || r.Status != x.want && !(x.want.OK() && r.Status.More() > 0) {
					t.Errorf("%s: got %v, %v; want %v", x.command, r.Status, err, x.want)
				}
			}
		})
	}
}
