package card

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

func TestLogicalChannels(t *testing.T) {
	const selected = hello + "9000"
	for _, tt := range []struct {
		name  string
		opts  *Options
		pairs []string
	}{
		{"the card assigns the lowest free number", nil, []string{"0070000001", "019000", "0070000001", "029000", "0070800100", "9000", "0070000001", "019000"}},
		{"a number that the host chooses", nil, []string{"0070000300", "9000", "0070000300", "6A81", "0070000400", "6A81", "0070001400", "6A86"}},
		{"an assigned number needs room in the response", nil, []string{"00700000", "6700", "007000000101", "6700"}},
		{"other parameters are refused", nil, []string{"0070400000", "6A86", "0070801400", "6A86"}},
		{"all are in use", &Options{Channels: 2}, []string{"0070000001", "019000", "0070000001", "6A81"}},
		{"a card with one", &Options{Channels: 1}, []string{"0070000001", "6A81"}},
		{"the basic channel is never closed", nil, []string{"00708000", "6A86"}},
		{"a channel that is not open is not closed", nil, []string{"00708001", "6881"}},
		{"a channel closes itself", nil, []string{"00700001", "9000", "01708000", "9000", "01A4040000", "6881"}},
		{"a channel closes another", nil, []string{"00700001", "9000", "00700002", "9000", "01708002", "9000", "02A4040000", "6881"}},
		{"nothing is selected on a channel opened from the basic one", nil, []string{selectA + "00", selected, "00700001", "9000", "0114000000", "6985"}},
		{"each channel has its own session", nil, []string{
			selectA + "00", selected, "00700001", "9000", "01" + selectA[2:] + "00", selected,
			"0014000000", "319000", "0014000000", "329000", "0114000000", "319000", "0014000000", "339000",
		}},
		{"each channel has its own application", nil, []string{
			selectA + "00", selected, "00700001", "9000", "01" + selectB[2:] + "00", selected, "0114000000", "319000", "0014000000", "319000",
		}},
		{"a channel opened from another has its application, in a new session", nil, []string{
			"00700001", "9000", "01" + selectA[2:] + "00", selected, "0114000000", "319000", "01700002", "9000", "0214000000", "319000",
		}},
		{"the application does not see the channel number", nil, []string{
			"00700001", "9000", "01" + selectA[2:] + "00", selected, "0116000000", "006282",
		}},
		{"numbers from 4 on use the further interindustry class", &Options{Channels: 20}, []string{
			"00700013", "9000", "4F" + selectA[2:] + "00", selected, "4F16000000", "006282", "4E14000000", "6881",
		}},
		{"GET RESPONSE belongs to a channel", nil, []string{
			"00700001", "9000", "01" + selectA[2:], "6105", "00C0000005", "6985", "01C0000005", selected,
		}},
		{"a command on another channel ends a chain", nil, []string{
			"00700001", "9000", selectA + "00", selected, "01" + selectA[2:] + "00", selected,
			"1012000001AA", "9000", "0114000000", "319000", "0012000001CC00", "CC9000",
		}},
		{"a reset closes the channels", nil, []string{"00700001", "9000", "reset", "", "01A4040000", "6881"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &echo{aid: aidA}
			c := New(tt.opts, a, &echo{aid: aidB})
			for i := 0; i < len(tt.pairs); i += 2 {
				if tt.pairs[i] == "reset" {
					c.Reset()
					continue
				}
				dialogue(t, c, strings.ToUpper(tt.pairs[i]), strings.ToUpper(tt.pairs[i+1]))
			}
			c.PowerOff()
			if a.opened != a.closed {
				t.Errorf("got %d sessions opened and %d closed", a.opened, a.closed)
			}
		})
	}
}

func TestChannelOfTheEnv(t *testing.T) {
	a := &echo{aid: aidA}
	c := New(nil, a)
	dialogue(t, c, "00700002", "9000", "02"+selectA[2:], "6105")
	if a.env.Channel != 2 || a.env.Now == nil || a.env.Rand == nil || a.env.Store == nil {
		t.Errorf("got %+v", a.env)
	}
}

func TestChannelsOfTheHost(t *testing.T) {
	ctx := context.Background()
	basic := iso7816.NewChannel(New(&Options{Channels: 20}, &echo{aid: aidA}), nil)
	if _, err := basic.SelectApplication(ctx, aidA); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= apdu.MaxChannel; n++ {
		ch, err := basic.OpenChannel(ctx)
		if err != nil || ch.Number() != n {
			t.Fatalf("channel %d: got %v", n, err)
		}
		if _, err := ch.SelectApplication(ctx, aidA); err != nil {
			t.Fatal(err)
		}
		if got, err := ch.Send(ctx, apdu.Command{Instruction: 0x12, Data: make([]byte, 3000), Ne: 3000}); err != nil || len(got) != 3000 {
			t.Fatalf("channel %d: got %d bytes, %v", n, len(got), err)
		}
		if got, err := ch.Send(ctx, apdu.Command{Instruction: 0x14, Ne: 2}); err != nil || string(got) != "2" {
			t.Fatalf("channel %d: got %q, %v; want a session of its own", n, got, err)
		}
	}
	if _, err := basic.OpenChannel(ctx); !errors.Is(err, apdu.StatusFunctionNotSupported) {
		t.Errorf("the 20th: got %v, want 6A81", err)
	}
}

func TestOccurrences(t *testing.T) {
	const name = "05F000000001" // of all
	for _, tt := range []struct {
		name  string
		pairs []string // SELECT, and the last byte of what it selects or nothing
	}{
		{"first, last, next, previous", []string{
			"00A4040C" + name, "0A", "00A4040E" + name, "0B", "00A4040F" + name, "0A", "00A4040D" + name, "0C", "00A4040F" + name, "0B",
		}},
		{"no next after the last", []string{"00A4040D" + name, "0C", "00A4040E" + name, ""}},
		{"no previous before the first", []string{"00A4040C" + name, "0A", "00A4040F" + name, ""}},
		{"the next is the first when nothing is selected", []string{"00A4040E" + name, "0A"}},
		{"the previous is the last when nothing is selected", []string{"00A4040F" + name, "0C"}},
		{"the next of others than the selected one", []string{"00A4040C06F0000000010B", "0B", "00A4040E06F0000000010A", "", "00A4040E06F0000000010C", "0C"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			apps := []Application{&echo{aid: aidA}, &echo{aid: aidB}, &echo{aid: iso7816.MustParseAID("F0000000010C")}}
			c := New(nil, apps...)
			for i := 0; i < len(tt.pairs); i += 2 {
				got, err := c.Transmit(context.Background(), nil, unhex(t, tt.pairs[i]))
				want := "9000"
				if tt.pairs[i+1] == "" {
					want = "6A82"
				}
				if err != nil || apdu.FormatHex(got) != apdu.FormatHex(unhex(t, want)) {
					t.Fatalf("%s: got %X, %v; want %s", tt.pairs[i], got, err, want)
				}
				if want == "9000" && c.channels[0].app.AID() != iso7816.MustParseAID("F000000001"+tt.pairs[i+1]) {
					t.Fatalf("%s: selected %v, want …%s", tt.pairs[i], c.channels[0].app.AID(), tt.pairs[i+1])
				}
			}
		})
	}
}

func TestImplicitApplication(t *testing.T) {
	a := &echo{aid: aidA}
	c := New(&Options{Implicit: aidA}, a, &echo{aid: aidB})
	dialogue(t, c, "0014000000", "319000")
	c.Reset()
	dialogue(t, c, "0014000000", "319000", "00700001", "9000", "0114000000", "319000")
	a.fail = errors.New("broken")
	c.Reset()
	dialogue(t, c, "0014000000", "6985")
}

// A session that is deselected under its own secure messaging protects the answer
// first, and is closed then.
func TestSecureMessagingEndsAfterTheAnswer(t *testing.T) {
	a := &echo{aid: aidA, sm: &mirrorSM{}}
	c := New(nil, a, &echo{aid: aidB})
	dialogue(t, c, "00700001", "9000", "01"+selectA[2:]+"00", "68656C6C6F9000")
	a.sm.check = func() {
		if a.closed != 0 {
			t.Error("the session was closed before its secure messaging protected the answer")
		}
	}
	flipped := "0DA4040006" + "0FFFFFFFFEF4" + "00" // SELECT B
	dialogue(t, c, flipped, "979A9393906FFF9000", "0114000000", "319000")
	if a.closed != 1 {
		t.Errorf("got %d sessions closed, want 1", a.closed)
	}
}
