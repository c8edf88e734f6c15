package iso7816

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// hostileStatuses are those that the engine does something about, and some others.
var hostileStatuses = []apdu.Status{
	0x9000, 0x9000, 0x6100, 0x6101, 0x6110, 0x61FF, 0x6C00, 0x6C01, 0x6CFF, 0x6282, 0x6281, 0x6283, 0x6310, 0x63C0, 0x63C2, 0x6300,
	0x6400, 0x6581, 0x6700, 0x6881, 0x6882, 0x6883, 0x6884, 0x6981, 0x6982, 0x6983, 0x6985, 0x6A82, 0x6A83, 0x6A86, 0x6B00, 0x6D00,
	0x6E00, 0x6F00, 0x9F10, 0x9100, 0x91AF, 0x0000, 0xFFFF,
}

// A hostileCard answers anything, as next says, and counts. It takes nothing but
// commands.
type hostileCard struct {
	tb    testing.TB
	next  func() byte
	seen  int
	most  int    // exchanges before the test fails
	stuck []byte // what it gives to every further command, if not nil
	atr   []byte

	honest bool
}

func (h *hostileCard) ATR() []byte         { return h.atr }
func (h *hostileCard) Limits() apdu.Limits { return apdu.Limits{} }

func (h *hostileCard) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	if h.honest {
		return append(dst, 0x90, 0x00), nil
	}
	if h.seen++; h.seen > h.most {
		h.tb.Fatalf("exchange %d, want at most %d", h.seen, h.most)
	}
	c, err := apdu.ParseCommand(command)
	if err != nil {
		h.tb.Fatalf("the host sent no command: %v", err)
	}
	if h.stuck != nil {
		return append(dst, h.stuck...), nil
	}
	n := 0
	kind := h.next()
	switch kind % 8 {
	case 0, 1: // no data
	case 2:
		n = c.Ne
	case 3:
		n = c.Ne + 1
	case 4:
		n = int(h.next())
	case 5:
		n = 1
	case 6:
		switch h.next() % 8 {
		case 0:
			return dst, errTransport
		case 1:
			return append(dst, h.next()), nil
		case 2:
			return dst, nil
		case 3:
			n = apdu.MaxExtendedNe + 1 // longer than any response
		case 4:
			n = apdu.MaxExtendedNe
		}
	case 7:
		n = int(h.next()) % (c.Ne + 1)
	}
	sw := hostileStatuses[int(h.next())%len(hostileStatuses)]
	start := len(dst)
	for i := range n {
		dst = append(dst, byte(i)*kind)
	}
	if n > 2 && kind&0x40 != 0 { // sometimes a data object
		binary.BigEndian.PutUint16(dst[start:], uint16(kind)<<8|uint16(n-2)&0x7F)
	}
	dst = append(dst, sw.SW1(), sw.SW2())
	if kind >= 0xE0 {
		h.stuck = append([]byte{}, dst[start:]...)
	}
	return dst, nil
}

// plainSM protects by the class alone.
type plainSM struct{}

func (plainSM) WrapCommand(_ []byte, c apdu.Command) (apdu.Command, error) {
	c.Class = c.Class.WithSecureMessaging(apdu.SMHeaderAuth)
	return c, nil
}

func (plainSM) UnwrapResponse(_ []byte, r apdu.Response) (apdu.Response, error) { return r, nil }

// hostileOptions are the bounds that the exchanges of a call are reckoned by.
var hostileOptions = Options{MaxGetResponse: 6, MaxResponse: 70000}

// exchangesOf returns how many exchanges one command with nc bytes of data takes at
// most: in two forms, each with a chain to break, its links, one of them twice, the
// last command up to four times (6CXX, 6883), each GET RESPONSE up to twice and the
// first of them in another class; all of it twice under secure messaging, for a 6CXX
// inside.
func exchangesOf(nc int, o Options) int {
	form := 1 + (nc+apdu.MaxShortNc-1)/apdu.MaxShortNc + 1 + 4 + 2*o.MaxGetResponse + 2
	return 2 * 2 * form
}

const hostileFile = 1000

// hostileCalls are the methods of Channel that talk to the card, with the number of
// commands that each sends at most and the data of the longest.
var hostileCalls = []struct {
	name     string
	commands int
	nc       int
	call     func(ctx context.Context, ch *Channel) (n int, err error)
}{
	{"Exchange", 1, 700, func(ctx context.Context, ch *Channel) (int, error) {
		r, err := ch.Exchange(ctx, apdu.Command{Instruction: apdu.InsEnvelope, Data: fill(700), Ne: 65536})
		return len(r.Data), err
	}},
	{"Exchange in a proprietary class", 1, 255, func(ctx context.Context, ch *Channel) (int, error) {
		r, err := ch.Exchange(ctx, apdu.Command{Class: 0x80, Instruction: apdu.InsEnvelope, Data: fill(255), Ne: 256})
		return len(r.Data), err
	}},
	{"Select", 1, 16, func(ctx context.Context, ch *Channel) (int, error) {
		fci, err := ch.Select(ctx, Selection{Method: SelectDFName, Data: fill(16)})
		return len(fci.Raw), err
	}},
	{"SelectApplication", 1, 5, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.SelectApplication(ctx, MustParseAID("F000000001"))
		return len(b), err
	}},
	{"OpenChannel and CloseChannel", 3, 0, func(ctx context.Context, ch *Channel) (int, error) {
		further, err := ch.OpenChannel(ctx)
		if err != nil {
			return 0, err
		}
		b, err := further.Send(ctx, apdu.Command{Instruction: apdu.InsGetData, Ne: 256})
		return len(b), errors.Join(err, further.CloseChannel(ctx))
	}},
	{"ReadFile of a size", hostileFile + 3, 0, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.ReadFile(ctx, hostileFile, func(int, int) {})
		return len(b), err
	}},
	{"ReadBinary beyond 32 K", 1, 4, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.ReadBinary(ctx, 0x8000, 256)
		return len(b), err
	}},
	{"UpdateBinary", 3, 255, func(ctx context.Context, ch *Channel) (int, error) { return ch.UpdateBinary(ctx, 0, fill(700)) }},
	{"EraseBinary", 1, 2, func(ctx context.Context, ch *Channel) (int, error) { return 0, ch.EraseBinary(ctx, 0, 10) }},
	{"Records", 254, 0, func(ctx context.Context, ch *Channel) (n int, err error) {
		var b []byte
		for b, err = range ch.Records(ctx, 1) {
			n = max(n, len(b))
		}
		return n, err
	}},
	{"UpdateRecord", 1, 300, func(ctx context.Context, ch *Channel) (int, error) {
		return 0, ch.UpdateRecord(ctx, Record{Number: 1}, fill(300))
	}},
	{"AppendRecord", 1, 2, func(ctx context.Context, ch *Channel) (int, error) { return 0, ch.AppendRecord(ctx, 1, fill(2)) }},
	{"GetData", 1, 5, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.GetData(ctx, CurrentDF, 0x5FC105)
		return len(b), err
	}},
	{"GetDataPlain", 1, 0, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.GetDataPlain(ctx, 0x9F7F)
		return len(b), err
	}},
	{"PutData", 1, 600, func(ctx context.Context, ch *Channel) (int, error) { return 0, ch.PutData(ctx, CurrentDF, fill(600)) }},
	{"PutDataPlain", 1, 600, func(ctx context.Context, ch *Channel) (int, error) { return 0, ch.PutDataPlain(ctx, 0x5B, fill(600)) }},
	{"Verify", 1, 8, func(ctx context.Context, ch *Channel) (int, error) { return 0, ch.Verify(ctx, 0x80, fill(8)) }},
	{"VerifyStatus", 1, 0, func(ctx context.Context, ch *Channel) (int, error) {
		_, err := ch.VerifyStatus(ctx, 0x80)
		return 0, err
	}},
	{"ChangeReferenceData", 1, 16, func(ctx context.Context, ch *Channel) (int, error) {
		return 0, ch.ChangeReferenceData(ctx, 0x80, fill(8), fill(8))
	}},
	{"ResetRetryCounter", 1, 16, func(ctx context.Context, ch *Channel) (int, error) {
		return 0, ch.ResetRetryCounter(ctx, 0x80, fill(8), fill(8))
	}},
	{"EnableVerification", 1, 8, func(ctx context.Context, ch *Channel) (int, error) { return 0, ch.EnableVerification(ctx, 1, fill(8)) }},
	{"DisableVerification", 1, 0, func(ctx context.Context, ch *Channel) (int, error) { return 0, ch.DisableVerification(ctx, 1, nil) }},
	{"GetChallenge", 1, 0, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.GetChallenge(ctx, 8)
		return len(b), err
	}},
	{"InternalAuthenticate", 1, 300, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.InternalAuthenticate(ctx, 0, 0, fill(300))
		return len(b), err
	}},
	{"ExternalAuthenticate", 1, 8, func(ctx context.Context, ch *Channel) (int, error) {
		return 0, ch.ExternalAuthenticate(ctx, 0, 0, fill(8))
	}},
	{"MutualAuthenticate", 1, 40, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.MutualAuthenticate(ctx, 0, 0, fill(40))
		return len(b), err
	}},
	{"GeneralAuthenticate", 1, 304, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.GeneralAuthenticate(ctx, 7, 0x9A, fill(300))
		return len(b), err
	}},
	{"SetSecurityEnvironment", 1, 3, func(ctx context.Context, ch *Channel) (int, error) {
		return 0, ch.SetSecurityEnvironment(ctx, 0x40, TemplateSignature, fill(3))
	}},
	{"RestoreSecurityEnvironment", 1, 0, func(ctx context.Context, ch *Channel) (int, error) {
		return 0, ch.RestoreSecurityEnvironment(ctx, 1)
	}},
	{"PerformSecurityOperation", 1, 300, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.PerformSecurityOperation(ctx, 0x80, 0x86, fill(300))
		return len(b), err
	}},
	{"GenerateKeyPair", 1, 2, func(ctx context.Context, ch *Channel) (int, error) {
		b, err := ch.GenerateKeyPair(ctx, 0x80, 0, fill(2))
		return len(b), err
	}},
	{"ReadATRInfo", 4 + 64 + 254, 2, func(ctx context.Context, ch *Channel) (int, error) {
		info, err := ch.ReadATRInfo(ctx)
		return len(info.Objects), err
	}},
}

// playHostile makes one call against a card that answers as next says, and checks what
// must hold whatever it answers.
func playHostile(tb testing.TB, which int, variant byte, next func() byte) {
	call := hostileCalls[which%len(hostileCalls)]
	h := &hostileCard{tb: tb, next: next, most: call.commands * exchangesOf(call.nc, hostileOptions)}
	opts := hostileOptions
	if variant&1 != 0 {
		h.atr = atrYubiKey
	}
	if variant&2 != 0 {
		opts.Profile = []*Profile{ProfileSIM(), ProfileOATH(), ProfileGlobalPlatform(), ProfileDESFire()}[variant>>6]
	}
	ch := NewChannel(h, &opts)
	if variant&4 != 0 {
		ch.SetSecureMessaging(plainSM{})
	}
	ctx := context.Background()
	n, err := call.call(ctx, ch)
	if n > opts.MaxResponse {
		tb.Fatalf("%s: %d bytes came through, want at most %d", call.name, n, opts.MaxResponse)
	}
	if err != nil && err.Error() == "" {
		tb.Fatalf("%s: an error without text", call.name)
	}
	// The lock is free, and the next command is sent or says why not.
	h.honest = true
	if _, err := ch.Exchange(ctx, apdu.Command{Instruction: apdu.InsGetChallenge, Ne: 8}); err != nil && !errors.Is(err, ErrSecureMessaging) {
		tb.Fatalf("%s: the next command: %v", call.name, err)
	}
}

func TestACardThatAnswersAnything(t *testing.T) {
	const runs = 400 // of each call
	for which, call := range hostileCalls {
		t.Run(call.name, func(t *testing.T) {
			var seed uint64
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			for ; seed < runs; seed++ {
				random := rand.New(rand.NewPCG(seed, uint64(which)))
				playHostile(t, which, byte(random.Uint32()), func() byte { return byte(random.Uint32()) })
			}
		})
	}
}

// FuzzACardThatAnswersAnything plays a call against a card whose answers are cut from
// a string of bytes; when it ends, they begin anew.
func FuzzACardThatAnswersAnything(f *testing.F) {
	for which := range hostileCalls {
		f.Add(byte(which), byte(which), []byte{0x02, 0x00, 0x00, 0x02, 0xE5, 0x03, 0x07})
	}
	f.Add(byte(0), byte(1), []byte{0xE0, 0x02})       // 6100 for ever
	f.Add(byte(0), byte(4), []byte{0xE8, 0x06})       // 6C00 for ever
	f.Add(byte(5), byte(0), []byte{0x05, 0x00})       // one byte at a time
	f.Add(byte(9), byte(0), []byte{0x06, 0x04, 0x00}) // 64 KiB each time
	f.Fuzz(func(t *testing.T, which, variant byte, script []byte) {
		if len(script) == 0 {
			return
		}
		i := -1
		playHostile(t, int(which), variant, func() byte {
			i = (i + 1) % len(script)
			return script[i]
		})
	})
}

// TestEndlessAnswers has the answers that lead to the most exchanges, and how many
// they are, with the default bounds.
func TestEndlessAnswers(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name   string
		answer string
		call   func(*Channel) error
		most   int
	}{
		{"6100", "6100", func(ch *Channel) error { return second(ch.Send(ctx, apdu.Command{Instruction: 0xCA, Ne: 256})) }, 1 + 1024},
		{"61XX in a proprietary class", "6101", func(ch *Channel) error {
			return second(ch.Send(ctx, apdu.Command{Class: 0x80, Instruction: 0xCA, Ne: 256}))
		}, 1 + 1024},
		{"6CXX", "6C01", func(ch *Channel) error { return second(ch.Send(ctx, apdu.Command{Instruction: 0xCA, Ne: 256})) }, 2},
		{"6883", "6883", func(ch *Channel) error { return second(ch.Send(ctx, apdu.Command{Instruction: 0xCA, Ne: 256})) }, 2},
		{"6884 to a chain", "6884", func(ch *Channel) error { return ch.PutData(ctx, CurrentDF, fill(1000)) }, 2},
		{"6700", "6700", func(ch *Channel) error { return ch.PutData(ctx, CurrentDF, fill(1000)) }, 1},
		{"a file of a few bytes at a time", "5301009000", func(ch *Channel) error { return second(ch.ReadFile(ctx, -1, nil)) }, 65536},
		{"records without end", "009000", func(ch *Channel) error {
			for _, err := range ch.Records(ctx, 1) {
				if err != nil {
					return err
				}
			}
			return ErrBound // it ended
		}, 254},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &hostileCard{tb: t, most: tt.most, stuck: unhex(tt.answer)}
			if err := tt.call(NewChannel(h, nil)); err == nil {
				t.Error("got nil, want an error")
			}
			if h.seen != tt.most {
				t.Errorf("got %d exchanges, want %d", h.seen, tt.most)
			}
		})
	}
}

// TestMemoryIsBoundedByWhatIsKept: a card that goes on sending its longest response
// makes the host hold MaxResponse and one response more, not all of them.
func TestMemoryIsBoundedByWhatIsKept(t *testing.T) {
	h := &hostileCard{tb: t, most: 1 << 20, stuck: append(make([]byte, apdu.MaxExtendedNe), 0x61, 0x00)}
	ch := NewChannel(h, &Options{MaxResponse: 1 << 20, MaxGetResponse: 1 << 20})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ch.Send(context.Background(), apdu.Command{Instruction: 0xCA, Ne: 256})
	runtime.ReadMemStats(&after)
	if e, ok := errors.AsType[*BoundError](err); !ok || e.Bound != "MaxResponse" || h.seen != 16+1 {
		t.Errorf("got %v after %d exchanges, want the bound MaxResponse after 17", err, h.seen)
	}
	// A slice that grows by half allocates about three times its last length.
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("allocated %d bytes", got)
	}
}

// TestMaxResponseOfOneResponse: the bound holds for a response that comes at once, for
// the warning that ends a chain, and under secure messaging.
func TestMaxResponseOfOneResponse(t *testing.T) {
	ctx := context.Background()
	for _, n := range []int{10, 11} {
		for _, tt := range []struct {
			name   string
			status string
			sm     SecureMessaging
			cmd    apdu.Command
		}{
			{"at once", "9000", nil, apdu.Command{Instruction: 0xCA, Ne: 256}},
			{"at the end of a chain", "6282", nil, apdu.Command{Instruction: 0xDB, Data: fill(300)}},
			{"under secure messaging", "9000", plainSM{}, apdu.Command{Instruction: 0xCA, Ne: 256}},
		} {
			h := &hostileCard{tb: t, most: 1, stuck: append(fill(n), unhex(tt.status)...)}
			ch := NewChannel(h, &Options{MaxResponse: 10})
			ch.SetSecureMessaging(tt.sm)
			r, err := ch.Exchange(ctx, tt.cmd)
			_, bound := errors.AsType[*BoundError](err)
			if n == 10 && (err != nil || len(r.Data) != n) || n == 11 && (!bound || len(r.Data) != 0) {
				t.Errorf("%s, %d bytes: got %d bytes, %v", tt.name, n, len(r.Data), err)
			}
		}
	}
}

func TestAProprietaryClassIsNotChained(t *testing.T) {
	ctx := context.Background()
	cmd := apdu.Command{Class: 0x80, Instruction: 0xE2, Data: fill(256)}
	h := &hostileCard{tb: t}
	_, err := NewChannel(h, nil).Send(ctx, cmd)
	e, ok := errors.AsType[*apdu.LengthError](err)
	if !ok || e.Value != 256 || e.Max != 255 || !errors.Is(err, apdu.ErrNotSent) {
		t.Errorf("got %v, want a LengthError of 256 of 255 bytes that Is ErrNotSent", err)
	}
	s := &script{t: t, atr: atrYubiKey, pairs: []string{"80E20000000100" + hexOf(fill(256)), "9000"}}
	if _, err := NewChannel(s, nil).Send(ctx, cmd); err != nil {
		t.Errorf("extended: %v", err)
	}
	s.done()
	s = &script{t: t, atr: atrYubiKey, pairs: []string{"80E20000000100" + hexOf(fill(256)), "6700"}}
	if _, err := NewChannel(s, nil).Send(ctx, cmd); fmt.Sprint(err) != "iso7816: APPEND RECORD: 6700 wrong length" {
		t.Errorf("extended and refused: %v", err)
	}
	s.done()
}
