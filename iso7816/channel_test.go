package iso7816

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// script is a transport that expects commands and gives responses, in pairs of
// hexadecimal strings. A response of "-" is a transport error.
type script struct {
	t      *testing.T
	pairs  []string
	atr    []byte
	limits apdu.Limits
	calls  []string // of the transaction methods
	begin  error
	end    error
}

var errTransport = errors.New("transport failed")

func (s *script) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	s.t.Helper()
	if len(s.pairs) < 2 {
		s.t.Fatalf("unexpected command %X", command)
	}
	want, resp := s.pairs[0], s.pairs[1]
	s.pairs = s.pairs[2:]
	if got := strings.ToUpper(hex.EncodeToString(command)); got != want {
		s.t.Fatalf("command\n got %s\nwant %s", got, want)
	}
	if resp == "-" {
		return dst, errTransport
	}
	b, err := hex.DecodeString(resp)
	if err != nil {
		s.t.Fatal(err)
	}
	return append(dst, b...), nil
}

func (s *script) ATR() []byte         { return s.atr }
func (s *script) Limits() apdu.Limits { return s.limits }
func (s *script) Begin(context.Context) error {
	s.calls = append(s.calls, "begin")
	return s.begin
}
func (s *script) End(d apdu.Disposition) error {
	s.calls = append(s.calls, fmt.Sprintf("end %d", d))
	return s.end
}

func (s *script) done() {
	s.t.Helper()
	if len(s.pairs) != 0 {
		s.t.Errorf("commands that never came: %v", s.pairs)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// atrYubiKey announces chaining and extended length.
var atrYubiKey = unhex("3BFD1300008131FE158073C021C057597562694B657940")

func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func hexOf(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func TestExchange(t *testing.T) {
	data300, data255 := hexOf(fill(300)), hexOf(fill(255))
	for _, tt := range []struct {
		name   string
		opts   Options
		atr    []byte
		limits apdu.Limits
		cmd    apdu.Command
		pairs  []string
		want   string // data and status
	}{
		{
			name:  "a short command goes as it is",
			cmd:   apdu.Command{Instruction: 0x84, Ne: 8},
			pairs: []string{"0084000008", "01020304050607089000"},
			want:  "01020304050607089000",
		}, {
			name:  "without capabilities in the ATR long data is chained",
			cmd:   apdu.Command{Instruction: 0xDB, P1: 0x3F, P2: 0xFF, Data: fill(300)},
			pairs: []string{"10DB3FFFFF" + data255, "9000", "00DB3FFF2D" + data300[510:], "9000"},
			want:  "9000",
		}, {
			name:  "exactly 255 bytes are not chained",
			cmd:   apdu.Command{Instruction: 0xDB, Data: fill(255)},
			pairs: []string{"00DB0000FF" + data255, "9000"},
			want:  "9000",
		}, {
			name:  "256 bytes are chained as 255 and 1",
			cmd:   apdu.Command{Instruction: 0xDB, Data: fill(256), Ne: 1},
			pairs: []string{"10DB0000FF" + data255, "9000", "00DB000001FF01", "AA9000"},
			want:  "AA9000",
		}, {
			name:  "a status in the middle of a chain ends it",
			cmd:   apdu.Command{Instruction: 0xDB, Data: fill(300)},
			pairs: []string{"10DB0000FF" + data255, "6581"},
			want:  "6581",
		}, {
			name:  "a card that refuses chaining gets extended length, where the transport has it",
			cmd:   apdu.Command{Instruction: 0xDB, Data: fill(300)},
			pairs: []string{"10DB0000FF" + data255, "6884", "00DB000000012C" + data300, "9000"},
			want:  "9000",
		}, {
			name:   "T=0 has no other form than chaining",
			limits: apdu.Limits{Protocol: apdu.ProtocolT0},
			cmd:    apdu.Command{Instruction: 0xDB, Data: fill(300)},
			pairs:  []string{"10DB0000FF" + data255, "6884"},
			want:   "6884",
		}, {
			name:  "a card that refuses both says so",
			cmd:   apdu.Command{Instruction: 0xDB, Data: fill(300)},
			pairs: []string{"10DB0000FF" + data255, "6884", "00DB000000012C" + data300, "6700"},
			want:  "6884",
		}, {
			name:  "a card that refuses extended length, against its ATR, gets a chain",
			atr:   atrYubiKey,
			cmd:   apdu.Command{Instruction: 0xDB, Data: fill(300)},
			pairs: []string{"00DB000000012C" + data300, "6700", "10DB0000FF" + data255, "9000", "00DB00002D" + data300[510:], "9000"},
			want:  "9000",
		}, {
			name:  "6700 to a short Le after an extended one is the answer",
			atr:   atrYubiKey,
			cmd:   apdu.Command{Instruction: 0xCB, Ne: 1000},
			pairs: []string{"00CB00000003E8", "6700", "00CB000000", "6700"},
			want:  "6700",
		}, {
			name:  "a form that the caller asked for is not changed",
			opts:  Options{Length: LengthExtended},
			cmd:   apdu.Command{Instruction: 0xDB, Data: fill(300)},
			pairs: []string{"00DB000000012C" + data300, "6700"},
			want:  "6700",
		}, {
			name:  "a card that announces it gets extended length",
			atr:   atrYubiKey,
			cmd:   apdu.Command{Instruction: 0xDB, Data: fill(300), Ne: 256},
			pairs: []string{"00DB000000012C" + data300 + "0100", "9000"},
			want:  "9000",
		}, {
			name:   "T=0 has no extended length, whatever the ATR says",
			atr:    atrYubiKey,
			limits: apdu.Limits{Protocol: apdu.ProtocolT0},
			cmd:    apdu.Command{Instruction: 0xDB, Data: fill(256)},
			pairs:  []string{"10DB0000FF" + data255, "9000", "00DB000001FF", "9000"},
			want:   "9000",
		}, {
			name:   "what the transport can't carry is chained",
			atr:    atrYubiKey,
			limits: apdu.Limits{Protocol: apdu.ProtocolT1, MaxCommand: 262},
			cmd:    apdu.Command{Instruction: 0xDB, Data: fill(256)},
			pairs:  []string{"10DB0000FF" + data255, "9000", "00DB000001FF", "9000"},
			want:   "9000",
		}, {
			name:   "what just fits the transport is not chained",
			atr:    atrYubiKey,
			limits: apdu.Limits{Protocol: apdu.ProtocolT1, MaxCommand: 263},
			cmd:    apdu.Command{Instruction: 0xDB, Data: fill(256)},
			pairs:  []string{"00DB0000000100" + hexOf(fill(256)), "9000"},
			want:   "9000",
		}, {
			name:  "LengthShort overrides the ATR",
			opts:  Options{Length: LengthShort},
			atr:   atrYubiKey,
			cmd:   apdu.Command{Instruction: 0xCB, Ne: 65536},
			pairs: []string{"00CB000000", "9000"},
			want:  "9000",
		}, {
			name:  "LengthExtended needs no ATR",
			opts:  Options{Length: LengthExtended},
			cmd:   apdu.Command{Instruction: 0xCB, Ne: 65536},
			pairs: []string{"00CB0000000000", "9000"},
			want:  "9000",
		}, {
			name:   "Ne is no more than the transport brings back",
			opts:   Options{Length: LengthExtended},
			limits: apdu.Limits{MaxResponse: 4098},
			cmd:    apdu.Command{Instruction: 0xCB, Ne: 65536},
			pairs:  []string{"00CB0000001000", "9000"},
			want:   "9000",
		}, {
			name:  "61XX is collected on the same channel, without the chaining bit",
			cmd:   apdu.Command{Class: 0x03, Instruction: 0xCB, Ne: 256},
			pairs: []string{"03CB000000", "0102" + "6102", "03C0000002", "0304" + "6100", "03C0000000", "05" + "9000"},
			want:  "01020304059000",
		}, {
			name:  "the channel of a further interindustry class is kept too",
			cmd:   apdu.Command{Class: 0x4F, Instruction: 0xCB, Ne: 256},
			pairs: []string{"4FCB000000", "6101", "4FC0000001", "05" + "9000"},
			want:  "059000",
		}, {
			name:  "a warning after 61XX keeps its data",
			cmd:   apdu.Command{Instruction: 0xB0, Ne: 256},
			pairs: []string{"00B0000000", "6102", "00C0000002", "0102" + "6282"},
			want:  "01026282",
		}, {
			name:  "6CXX is answered with the right Le, once",
			cmd:   apdu.Command{Instruction: 0xCA, P1: 0x9F, P2: 0x7F, Ne: 256},
			pairs: []string{"00CA9F7F00", "6C02", "00CA9F7F02", "0102" + "9000"},
			want:  "01029000",
		}, {
			name:  "6C00 asks for 256",
			cmd:   apdu.Command{Instruction: 0xCA, Ne: 1},
			pairs: []string{"00CA000001", "6C00", "00CA000000", "9000"},
			want:  "9000",
		}, {
			name:  "a second 6CXX is the answer",
			cmd:   apdu.Command{Instruction: 0xCA, Ne: 256},
			pairs: []string{"00CA000000", "6C02", "00CA000002", "6C03"},
			want:  "6C03",
		}, {
			name:  "GET RESPONSE may be answered with 6CXX",
			cmd:   apdu.Command{Instruction: 0xCA, Ne: 256},
			pairs: []string{"00CA000000", "6105", "00C0000005", "6C02", "00C0000002", "0102" + "9000"},
			want:  "01029000",
		}, {
			name:  "after an extended command 6CXX is answered in short form",
			opts:  Options{Length: LengthExtended},
			cmd:   apdu.Command{Instruction: 0xCA, Ne: 1000},
			pairs: []string{"00CA00000003E8", "6C02", "00CA000002", "0102" + "9000"},
			want:  "01029000",
		}, {
			name:  "an error in GET RESPONSE is the answer",
			cmd:   apdu.Command{Instruction: 0xCA, Ne: 256},
			pairs: []string{"00CA000000", "0161" + "02", "00C0000002", "6F00"},
			want:  "016F00",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, pairs: tt.pairs, atr: tt.atr, limits: tt.limits}
			r, err := NewChannel(s, &tt.opts).Exchange(context.Background(), tt.cmd)
			if err != nil {
				t.Fatal(err)
			}
			s.done()
			b, _ := r.AppendBinary(nil)
			if got := hexOf(b); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTheFormThatWorkedIsKept(t *testing.T) {
	data300, data255 := hexOf(fill(300)), hexOf(fill(255))
	chain := []string{"10DB0000FF" + data255, "9000", "00DB00002D" + data300[510:], "9000"}
	s := &script{t: t, atr: atrYubiKey, pairs: append(append([]string{"00DB000000012C" + data300, "6700"}, chain...), chain...)}
	ch := NewChannel(s, nil)
	for range 2 {
		if _, err := ch.Send(context.Background(), apdu.Command{Instruction: 0xDB, Data: fill(300)}); err != nil {
			t.Fatal(err)
		}
	}
	s.done()
}

// A card joins what comes next to a chain that was cut, if the headers agree: so the
// chain is broken first.
func TestAChainThatWasCutIsBroken(t *testing.T) {
	ctx := context.Background()
	data255 := hexOf(fill(255))
	put := func(n int) apdu.Command { return apdu.Command{Class: 1, Instruction: 0xDB, Data: fill(n)} }
	for _, tt := range []struct {
		name  string
		pairs []string
		next  int
	}{
		{"before a short command", []string{"11DB0000FF" + data255, "-", "01C0000000", "6985", "01DB0000020001", "9000"}, 2},
		{"before a chain", []string{"11DB0000FF" + data255, "-", "01C0000000", "9000", "11DB0000FF" + data255, "9000", "01DB000001FF", "9000"}, 256},
		{"when its last command was lost", []string{"11DB0000FF" + data255, "9000", "01DB00002D" + hexOf(fill(300)[255:]), "-", "01C0000000", "6985", "01DB0000020001", "9000"}, 2},
		{"not when the card gave it up itself", []string{"11DB0000FF" + data255, "6581", "01DB0000020001", "9000"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, pairs: tt.pairs}
			ch := NewChannel(s, nil)
			if _, err := ch.Send(ctx, put(300)); err == nil {
				t.Fatal("got nil, want an error")
			}
			for range 2 {
				if len(s.pairs) == 0 {
					s.pairs = []string{"01CA000000", "9000"} // and nothing is broken twice
					if _, err := ch.Send(ctx, apdu.Command{Class: 1, Instruction: 0xCA, Ne: 256}); err != nil {
						t.Fatal(err)
					}
					break
				}
				if _, err := ch.Send(ctx, put(tt.next)); err != nil {
					t.Fatal(err)
				}
			}
			s.done()
		})
	}
}

func TestSendTellsStatusAndKeepsWarningData(t *testing.T) {
	s := &script{t: t, pairs: []string{"00B0000000", "01026282", "00A4040000", "6A82"}}
	ch := NewChannel(s, nil)
	data, err := ch.Send(context.Background(), apdu.Command{Instruction: 0xB0, Ne: 256})
	if !errors.Is(err, apdu.StatusEndOfFile) || hexOf(data) != "0102" {
		t.Errorf("got %X, %v; want 0102 and 6282", data, err)
	}
	_, err = ch.Send(context.Background(), apdu.Command{Instruction: 0xA4, P1: 4, Ne: 256})
	if got, want := fmt.Sprint(err), "iso7816: SELECT: 6A82 file or application not found"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var e *CommandError
	if !errors.As(err, &e) || e.P1 != 4 {
		t.Errorf("got %#v, want a CommandError with P1 04", err)
	}
}

// endless answers every command with the same response.
type endless []byte

func (e endless) Transmit(_ context.Context, dst, _ []byte) ([]byte, error) {
	return append(dst, e...), nil
}

func TestBounds(t *testing.T) {
	ctx := context.Background()
	more := func(n int) *counted { return &counted{more: n} }
	for _, tt := range []struct {
		name  string
		opts  Options
		more  int // how often the card says 61XX with one byte of data
		bound string
	}{
		{"MaxGetResponse is allowed", Options{MaxGetResponse: 5}, 5, ""},
		{"one more is refused", Options{MaxGetResponse: 5}, 6, "MaxGetResponse"},
		{"MaxResponse is allowed", Options{MaxResponse: 6}, 5, ""},
		{"one byte more is refused", Options{MaxResponse: 6}, 6, "MaxResponse"},
		{"the default of MaxGetResponse is allowed", Options{}, 1024, ""},
		{"one more than the default is refused", Options{}, 1025, "MaxGetResponse"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst := []byte("kept")
			got, _, err := NewChannel(more(tt.more), &tt.opts).AppendExchange(ctx, dst, apdu.Command{Instruction: 0xCA, Ne: 256})
			if tt.bound == "" {
				if err != nil || len(got) != 4+tt.more+1 {
					t.Fatalf("got %d bytes, %v; want %d", len(got), err, 4+tt.more+1)
				}
				return
			}
			var e *BoundError
			if !errors.As(err, &e) || !errors.Is(err, ErrBound) || e.Bound != tt.bound || string(got) != "kept" {
				t.Fatalf("got %q, %v; want dst unchanged and a BoundError of %s", got, err, tt.bound)
			}
		})
	}
	_, err := NewChannel(endless{0x61, 0x00}, nil).Exchange(ctx, apdu.Command{Instruction: 0xCA})
	if !errors.Is(err, ErrBound) {
		t.Errorf("endless 6100: got %v, want ErrBound", err)
	}
}

// counted gives one byte of data a response, and says 61XX more times.
type counted struct{ more int }

func (c *counted) Transmit(_ context.Context, dst, _ []byte) ([]byte, error) {
	if c.more > 0 {
		c.more--
		return append(dst, 1, 0x61, 0x01), nil
	}
	return append(dst, 1, 0x90, 0x00), nil
}

func TestTransportErrorLeavesDst(t *testing.T) {
	for _, pairs := range [][]string{
		{"00CA000000", "-"},
		{"00CA000000", "01026110", "00C0000010", "-"},
		{"00CA000000", "90"},
	} {
		s := &script{t: t, pairs: pairs}
		got, err := NewChannel(s, nil).AppendSend(context.Background(), []byte("kept"), apdu.Command{Instruction: 0xCA, Ne: 256})
		if err == nil || string(got) != "kept" {
			t.Errorf("%v: got %q, %v; want dst unchanged and an error", pairs, got, err)
		}
		if len(pairs) > 0 && pairs[len(pairs)-1] == "-" && !errors.Is(err, errTransport) {
			t.Errorf("%v: got %v, want the transport's error", pairs, err)
		}
		s.done()
	}
}

func TestExclusive(t *testing.T) {
	ctx := context.Background()
	get := apdu.Command{Instruction: 0x84, Ne: 1}
	exchange := []string{"0084000001", "019000"}
	t.Run("begins, works and ends as Options say", func(t *testing.T) {
		s := &script{t: t, pairs: append(exchange, exchange...)}
		ch := NewChannel(s, &Options{End: apdu.ResetCard})
		err := ch.Exclusive(ctx, func(tx *Channel) error {
			if _, err := tx.Send(ctx, get); err != nil {
				return err
			}
			return tx.Exclusive(ctx, func(tx *Channel) error {
				_, err := tx.Send(ctx, get)
				return err
			})
		})
		if err != nil || fmt.Sprint(s.calls) != "[begin end 1]" {
			t.Errorf("got %v, %v", s.calls, err)
		}
	})
	t.Run("a failed begin calls nothing and releases the lock", func(t *testing.T) {
		s := &script{t: t, begin: fmt.Errorf("no: %w", apdu.ErrReset), pairs: exchange}
		ch := NewChannel(s, nil)
		err := ch.Exclusive(ctx, func(*Channel) error { t.Error("called"); return nil })
		if !errors.Is(err, apdu.ErrReset) || fmt.Sprint(s.calls) != "[begin]" {
			t.Errorf("got %v, %v", s.calls, err)
		}
		if _, err := ch.Send(ctx, get); err != nil {
			t.Error(err)
		}
	})
	t.Run("a failed end is told when f did not fail", func(t *testing.T) {
		s := &script{t: t, end: errTransport}
		if err := NewChannel(s, nil).Exclusive(ctx, func(*Channel) error { return nil }); !errors.Is(err, errTransport) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a panic ends the transaction", func(t *testing.T) {
		s := &script{t: t, pairs: exchange}
		ch := NewChannel(s, nil)
		func() {
			defer func() { recover() }()
			ch.Exclusive(ctx, func(*Channel) error { panic("f") })
		}()
		if fmt.Sprint(s.calls) != "[begin end 0]" {
			t.Errorf("got %v", s.calls)
		}
		if _, err := ch.Send(ctx, get); err != nil {
			t.Error(err)
		}
	})
	t.Run("whoever waits for it gets out with its context", func(t *testing.T) {
		s := &script{t: t}
		ch := NewChannel(s, nil)
		ch.Exclusive(ctx, func(*Channel) error {
			c, cancel := context.WithCancel(ctx)
			cancel()
			_, err := ch.Send(c, get)
			if !errors.Is(err, context.Canceled) || !errors.Is(err, apdu.ErrNotSent) {
				t.Errorf("got %v, want context.Canceled and ErrNotSent", err)
			}
			return nil
		})
	})
}

// keeper keeps the commands that it gets, as no transport may.
type keeper struct{ kept [][]byte }

func (k *keeper) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	k.kept = append(k.kept, command)
	return append(dst, 0x90, 0x00), nil
}

func TestEncodedCommandsAreCleared(t *testing.T) {
	k := &keeper{}
	if err := NewChannel(k, nil).Verify(context.Background(), 0x80, []byte("123456")); err != nil {
		t.Fatal(err)
	}
	for _, b := range k.kept {
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("the PIN is left in a buffer of %d bytes", len(b))
		}
	}
}

func TestAChannelThatLeftExclusiveWaitsLikeAnyOther(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ch := NewChannel(&script{t: t}, nil)
	var leaked *Channel
	ch.Exclusive(ctx, func(tx *Channel) error { leaked = tx; return nil })
	cancel()
	ch.Exclusive(context.Background(), func(*Channel) error {
		if _, err := leaked.Send(ctx, apdu.Command{Instruction: 0x84, Ne: 1}); !errors.Is(err, apdu.ErrNotSent) {
			t.Errorf("got %v, want ErrNotSent: it may not come between", err)
		}
		return nil
	})
}

func TestAResetCardHasNoChainToBreak(t *testing.T) {
	ctx := context.Background()
	s := &resettable{script: script{t: t, pairs: []string{"10DB0000FF" + hexOf(fill(255)), "-", "00DB0000020001", "9000"}}}
	ch := NewChannel(s, nil)
	if _, err := ch.Send(ctx, apdu.Command{Instruction: 0xDB, Data: fill(300)}); err == nil {
		t.Fatal("got nil, want an error")
	}
	if err := ch.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Send(ctx, apdu.Command{Instruction: 0xDB, Data: fill(2)}); err != nil {
		t.Fatal(err)
	}
	s.done()
}

func TestAppendSendAllocatesNothing(t *testing.T) {
	ctx := context.Background()
	ch := NewChannel(&alternating{}, nil)
	dst := make([]byte, 0, 1024)
	data := fill(600)
	for _, tt := range []struct {
		name string
		cmd  apdu.Command
	}{
		{"short", apdu.Command{Instruction: 0x84, Ne: 256}},
		{"chained, with GET RESPONSE", apdu.Command{Instruction: 0x86, Data: data, Ne: 256}},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := ch.AppendSend(ctx, dst, tt.cmd); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: got %v allocations, want 0", tt.name, n)
		}
	}
}

// alternating answers whole commands with 61XX and GET RESPONSE with 9000.
type alternating struct{}

func (*alternating) Transmit(_ context.Context, dst, c []byte) ([]byte, error) {
	if c[0]&0x10 != 0 {
		return append(dst, 0x90, 0x00), nil
	}
	if c[1] == 0xC0 {
		return append(dst, 3, 4, 0x90, 0x00), nil
	}
	return append(dst, 1, 2, 0x61, 0x02), nil
}
