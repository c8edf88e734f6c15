package card

import (
	"context"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// FuzzCard sends any commands, each with a byte for its length in front: the card
// answers each with a status, and with no more than was asked for.
func FuzzCard(f *testing.F) {
	for _, session := range []string{
		selectA + "00" + " 0014000000",
		"0070000001 01" + selectA[2:] + " 01C0000000 01708000",
		selectA + " 1012000001AA 0012000001BB00 00C0000000",
		"00A4040205F000000001 0C12000002AABB00 80CA000000",
		selectA + "00 001200000000020102 00100000000400 00C00000000000",
	} {
		var b []byte
		for _, c := range strings.Fields(session) {
			command := unhex(f, c)
			b = append(append(b, byte(len(command))), command...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, other := &echo{aid: aidA, sm: &mirrorSM{}}, &echo{aid: aidB, reselect: true}
		c := New(&Options{Channels: 20}, a, other)
		for len(b) > 0 {
			n := min(int(b[0]), len(b)-1)
			command := b[1 : 1+n]
			b = b[1+n:]
			got, err := c.Transmit(context.Background(), nil, command)
			if n < apdu.HeaderSize {
				if err == nil {
					t.Fatalf("%X: got %X, want an error", command, got)
				}
				continue
			}
			r, perr := apdu.ParseResponse(got)
			if err != nil || perr != nil {
				t.Fatalf("%X: got %X, %v, %v", command, got, err, perr)
			}
			if cmd, err := apdu.ParseCommand(command); err == nil && len(r.Data) > cmd.Ne {
				t.Fatalf("%X: got %d bytes, asked for %d", command, len(r.Data), cmd.Ne)
			}
		}
		c.PowerOff()
		if a.opened != a.closed || other.opened != other.closed {
			t.Fatal("a session was not closed")
		}
	})
}
