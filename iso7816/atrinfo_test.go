package iso7816

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// Commands of ReadATRInfo, with their answers up to the file's selection.
const (
	selectMF = "00A4000C023F00"
	selectEF = "00A4020C022F01"
	read256  = "00B0000000"
)

func TestReadATRInfo(t *testing.T) {
	ctx := context.Background()
	const info = "47030001C0" + "7F66080202040002020300" // extended lengths, 1,024 and 768 bytes
	data := func(n int) string { return hexOf(fill(n)) }
	for _, tt := range []struct {
		name     string
		opts     Options
		limits   apdu.Limits
		read     []string // from the file's selection on
		cmd      apdu.Command
		exchange []string
	}{
		{
			name: "a command as long as the card takes is one", read: []string{read256, info + "9000", "00B0001000", "6B00"},
			cmd: apdu.Command{Instruction: 0xDB, Data: fill(1017)}, exchange: []string{"00DB00000003F9" + data(1017), "9000"},
		}, {
			name: "one byte more is chained", read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xDB, Data: fill(1018)}, exchange: []string{
				"10DB0000FF" + data(1018)[:510], "9000", "10DB0000FF" + data(1018)[510:1020], "9000",
				"10DB0000FF" + data(1018)[1020:1530], "9000", "00DB0000FD" + data(1018)[1530:], "9000",
			},
		}, {
			name: "with Le the command has two bytes less", read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xDB, Data: fill(1015), Ne: 300}, exchange: []string{"00DB00000003F7" + data(1015) + "012C", "9000"},
		}, {
			name: "and with one byte more is chained", read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xDB, Data: fill(1016), Ne: 300}, exchange: []string{
				"10DB0000FF" + data(1016)[:510], "9000", "10DB0000FF" + data(1016)[510:1020], "9000",
				"10DB0000FF" + data(1016)[1020:1530], "9000", "00DB0000FB" + data(1016)[1530:] + "00", "9000",
			},
		}, {
			name: "a response as long as the card gives is asked for whole", read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xCB, Ne: 766}, exchange: []string{"00CB00000002FE", "9000"},
		}, {
			name: "of a longer one only so much", read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xCB, Ne: 767}, exchange: []string{"00CB00000002FE", "9000"},
		}, {
			name: "the transport's limits stay where they are lower", limits: apdu.Limits{MaxCommand: 263, MaxResponse: 500}, read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xCB, Data: fill(254), Ne: 65536}, exchange: []string{"00CB00000000FE" + data(254) + "01F2", "9000"},
		}, {
			name: "Options has the last word on limits", opts: Options{Limits: apdu.Limits{MaxCommand: 2000, MaxResponse: 600}}, read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xDB, Data: fill(1018), Ne: 65536}, exchange: []string{"00DB00000003FA" + data(1018) + "0256", "9000"},
		}, {
			name: "and on the length fields", opts: Options{Length: LengthShort}, read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xCB, Ne: 766}, exchange: []string{"00CB000000", "9000"},
		}, {
			name: "T=0 stays without extended length", limits: apdu.Limits{Protocol: apdu.ProtocolT0}, read: []string{read256, info + "6282"},
			cmd: apdu.Command{Instruction: 0xCB, Ne: 766}, exchange: []string{"00CB000000", "9000"},
		}, {
			name: "card capabilities in the historical bytes announce too", read: []string{read256, "5F52058073000140" + "6282"},
			cmd: apdu.Command{Instruction: 0xCB, Ne: 766}, exchange: []string{"00CB00000002FE", "9000"},
		}, {
			name: "capabilities without extended lengths announce none", read: []string{read256, "4703000180" + "6282"},
			cmd: apdu.Command{Instruction: 0xCB, Ne: 766}, exchange: []string{"00CB000000", "9000"},
		}, {
			name: "lengths below those of short commands are not believed", read: []string{read256, "7F6606020101020101" + "6282"},
			cmd: apdu.Command{Instruction: 0xDB, Data: fill(256), Ne: 256}, exchange: []string{"10DB0000FF" + data(256)[:510], "9000", "00DB000001FF00", "9000"},
		}, {
			name: "a file of records is read by records", read: []string{read256, "6981", "00B2010400", "47030001C09000", "00B2020400", "7F660802020400020203009000", "00B2030400", "6A83"},
			cmd: apdu.Command{Instruction: 0xCB, Ne: 766}, exchange: []string{"00CB00000002FE", "9000"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, limits: tt.limits, pairs: append([]string{selectMF, "9000", selectEF, "9000"}, tt.read...)}
			s.pairs = append(s.pairs, tt.exchange...)
			ch := NewChannel(s, &tt.opts)
			if _, err := ch.ReadATRInfo(ctx); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.calls, " "); got != "begin end 0" {
				t.Errorf("got %s, want one transaction", got)
			}
			if _, err := ch.Send(ctx, tt.cmd); err != nil {
				t.Fatal(err)
			}
			s.done()
		})
	}
}

func TestReadATRInfoThatTellsNothing(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name   string
		pairs  []string
		want   error // or nil for a *SyntaxError
		length int   // of what was read all the same
	}{
		{"a card without the file", []string{selectMF, "9000", selectEF, "6A82"}, apdu.StatusFileNotFound, 0},
		{"a card without an MF", []string{selectMF, "6A82"}, apdu.StatusFileNotFound, 0},
		{"a file that may not be read", []string{selectMF, "9000", selectEF, "9000", read256, "6982"}, apdu.StatusSecurityStatusNotSatisfied, 0},
		{"a card that wants to tell more of the file", []string{selectMF, "6A86", "00A40000023F0000", "6283", selectEF, "6B00", "00A40200022F0100", "6A82"}, apdu.StatusFileNotFound, 0},
		{"garbage", []string{selectMF, "9000", selectEF, "9000", read256, "1F6282"}, nil, 1},
		{"an object cut off", []string{selectMF, "9000", selectEF, "9000", read256, "4703406282"}, nil, 3},
		{"lengths that are none", []string{selectMF, "9000", selectEF, "9000", read256, "7F6606020100020100" + "6282"}, nil, 9},
		{"the transport fails", []string{selectMF, "9000", selectEF, "-"}, errTransport, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, pairs: append(tt.pairs, "00CB000000", "9000")}
			ch := NewChannel(s, nil)
			info, err := ch.ReadATRInfo(ctx)
			if _, syntax := errors.AsType[*SyntaxError](err); tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && !syntax {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if len(info.Objects) != tt.length {
				t.Errorf("got %d bytes, want %d", len(info.Objects), tt.length)
			}
			// Nothing has changed.
			if _, err := ch.Send(ctx, apdu.Command{Instruction: 0xCB, Ne: 1000}); err != nil {
				t.Fatal(err)
			}
			s.done()
		})
	}
}

// sparing answers SELECT with 9000, READ BINARY with the same bytes each time and
// everything else with others.
type sparing struct {
	answer, other string // hexadecimal
	seen          int
}

func (s *sparing) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	s.seen++
	if command[1] == byte(apdu.InsSelect) {
		return append(dst, 0x90, 0x00), nil
	}
	if command[1] == byte(apdu.InsReadBinary) {
		return append(dst, unhex(s.answer)...), nil
	}
	return append(dst, unhex(s.other)...), nil
}

func TestReadATRInfoIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name, answer, other string
		want                int // exchanges
	}{
		{"a file without end", strings.Repeat("00", 256) + "9000", "", 2 + 17},
		{"one byte at a time", "009000", "", 2 + 64},
		{"records without end", "6981", strings.Repeat("00", 255) + "9000", 2 + 1 + 17},
		{"more than was asked for", strings.Repeat("00", 60000) + "9000", "", 2 + 1},
	} {
		s := &sparing{answer: tt.answer, other: tt.other}
		if _, err := NewChannel(s, nil).ReadATRInfo(context.Background()); err == nil {
			t.Errorf("%s: got nil, want an error", tt.name)
		}
		if s.seen != tt.want {
			t.Errorf("%s: %d exchanges, want %d", tt.name, s.seen, tt.want)
		}
	}
}

func TestReconnectForgetsEFATR(t *testing.T) {
	ctx := context.Background()
	s := &resettable{script: script{t: t, pairs: []string{
		selectMF, "9000", selectEF, "9000", read256, "7F66080202040002020300" + "6282",
		"00CB00000002FE", "9000", "00CB000000", "9000",
	}}}
	ch := NewChannel(s, nil)
	if _, err := ch.ReadATRInfo(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := ch.Send(ctx, apdu.Command{Instruction: 0xCB, Ne: 766}); err != nil {
			t.Fatal(err)
		}
		if err := ch.Reconnect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.done()
}

// The shortest commands and responses that limits leave.
func TestLimitsOfShortCommands(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name   string
		limits apdu.Limits
		cmd    apdu.Command
		pairs  []string
	}{
		{"a command as long as the limit", apdu.Limits{MaxCommand: 15}, apdu.Command{Instruction: 0xDB, Data: fill(10)}, []string{"00DB00000A00010203040506070809", "9000"}},
		{"one byte longer", apdu.Limits{MaxCommand: 14}, apdu.Command{Instruction: 0xDB, Data: fill(10)}, []string{"10DB000009000102030405060708", "9000", "00DB00000109", "9000"}},
		{"as long as the limit with Le", apdu.Limits{MaxCommand: 16}, apdu.Command{Instruction: 0xDB, Data: fill(10), Ne: 256}, []string{"00DB00000A0001020304050607080900", "9000"}},
		{"one byte longer with Le", apdu.Limits{MaxCommand: 15}, apdu.Command{Instruction: 0xDB, Data: fill(10), Ne: 256}, []string{"10DB000009000102030405060708", "9000", "00DB0000010900", "9000"}},
		{"a limit below any command leaves one byte", apdu.Limits{MaxCommand: 1}, apdu.Command{Instruction: 0xDB, Data: fill(2)}, []string{"10DB00000100", "9000", "00DB00000101", "9000"}},
		{"a response as long as the limit", apdu.Limits{MaxResponse: 12}, apdu.Command{Instruction: 0xCB, Ne: 10}, []string{"00CB00000A", "9000"}},
		{"one byte longer", apdu.Limits{MaxResponse: 11}, apdu.Command{Instruction: 0xCB, Ne: 10}, []string{"00CB000009", "6100", "00C0000009", "6CFF", "00C0000009", "9000"}},
		{"a limit below any response leaves one byte", apdu.Limits{MaxResponse: 1}, apdu.Command{Instruction: 0xCB, Ne: 10}, []string{"00CB000001", "9000"}},
	} {
		for _, byOptions := range []bool{false, true} {
			s, opts := &script{t: t, pairs: tt.pairs, limits: tt.limits}, &Options{}
			if byOptions {
				s.limits, opts.Limits = apdu.Limits{MaxCommand: 65544, MaxResponse: 65538}, tt.limits
			}
			if _, err := NewChannel(s, opts).Send(ctx, tt.cmd); err != nil {
				t.Errorf("%s, by Options %v: %v", tt.name, byOptions, err)
			}
			s.done()
		}
	}
}

// The limits are read and changed under the card's lock.
func TestReadATRInfoBesideOtherCommands(t *testing.T) {
	ctx := context.Background()
	ch := NewChannel(&sparing{answer: "7F66080202040002020300" + "6282"}, nil)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			if _, err := ch.ReadATRInfo(ctx); err != nil {
				t.Error(err)
			}
		})
		work.Go(func() {
			if _, err := ch.ReadFile(ctx, -1, nil); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
}
