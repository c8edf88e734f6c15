package card

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// echo is an application whose session answers: INS 10 with as many bytes as P1-P2
// say, INS 12 with the data it got, INS 14 with the number of commands of this
// session, INS 16 with the class and then 6282, INS 18 with more than fits.
type echo struct {
	aid      iso7816.AID
	refuse   apdu.Status
	fail     error
	reselect bool
	opened   int
	closed   int
	env      *Env // of the last session
	sm       *mirrorSM
}

func (e *echo) AID() iso7816.AID { return e.aid }

func (e *echo) Open(env *Env) (Session, error) {
	if e.fail != nil {
		return nil, e.fail
	}
	e.opened, e.env = e.opened+1, env
	s := &echoSession{app: e}
	if e.reselect {
		return reselecting{s}, nil
	}
	return s, nil
}

type echoSession struct {
	app *echo
	n   int
}

type reselecting struct{ *echoSession }

func (s reselecting) Reselect(w *ResponseWriter) apdu.Status {
	fmt.Fprint(w, "again")
	return apdu.StatusOK
}

func (s *echoSession) Select(w *ResponseWriter) apdu.Status {
	fmt.Fprint(w, "hello")
	if s.app.refuse != 0 {
		return s.app.refuse
	}
	return apdu.StatusOK
}

func (s *echoSession) Close() { s.app.closed++ }

func (s *echoSession) SecureMessaging() iso7816.CardSecureMessaging {
	if s.app.sm == nil {
		return nil
	}
	return s.app.sm
}

func (s *echoSession) ServeAPDU(_ context.Context, w *ResponseWriter, c *apdu.Command) apdu.Status {
	s.n++
	switch c.Instruction {
	case 0x10:
		for i := range int(c.P1)<<8 | int(c.P2) {
			w.Write([]byte{byte(i)})
		}
	case 0x12:
		w.Write(c.Data)
	case 0x14:
		fmt.Fprint(w, s.n)
	case 0x16:
		w.Write([]byte{byte(c.Class)})
		return apdu.StatusEndOfFile
	case 0x18:
		w.Write(make([]byte, 65536))
		w.Write([]byte{1})
	default:
		return apdu.StatusInstructionNotSupported
	}
	return apdu.StatusOK
}

var (
	aidA = iso7816.MustParseAID("F0000000010A")
	aidB = iso7816.MustParseAID("F0000000010B")
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dialogue sends each command and compares the answer, in pairs of hexadecimal
// strings.
func dialogue(t *testing.T, c *Card, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		got, err := c.Transmit(context.Background(), nil, unhex(t, pairs[i]))
		if err != nil {
			t.Fatalf("%s: %v", pairs[i], err)
		}
		if want := strings.ReplaceAll(pairs[i+1], " ", ""); strings.ToUpper(hex.EncodeToString(got)) != want {
			t.Fatalf("%s:\n got %X\nwant %s", pairs[i], got, want)
		}
	}
}

const (
	selectA = "00A4040006F0000000010A"
	selectB = "00A4040006F0000000010B"
	hello   = "68656C6C6F"
)

func TestCard(t *testing.T) {
	data255 := strings.Repeat("AA", 255)
	for _, tt := range []struct {
		name  string
		opts  *Options
		pairs []string
	}{
		{"a command before any selection is refused", nil, []string{"0010000100", "6985"}},
		{"an unknown application is not found", nil, []string{"00A4040005F0000000FF00", "6A82"}},
		{"a name of fewer than five bytes selects nothing", nil, []string{"00A4040004F000000000", "6A82"}},
		{"a partial AID selects the first that fits", nil, []string{"00A4040005F00000000100", hello + "9000", "0014000000", "319000"}},
		{"a failed selection leaves the selected application", nil, []string{selectA + "00", hello + "9000", "0014000000", "319000", "00A4040005F0000000FF00", "6A82", "0014000000", "329000"}},
		{"selecting again opens a new session", nil, []string{selectA + "00", hello + "9000", "0014000000", "319000", selectA + "00", hello + "9000", "0014000000", "319000"}},
		{"a response without Le waits for GET RESPONSE", nil, []string{selectA, "6105", "00C0000005", hello + "9000", "00C0000005", "6985"}},
		{"GET RESPONSE takes what it asks for", nil, []string{selectA, "6105", "00C0000002", "6865" + "6103", "00C0000003", "6C6C6F" + "9000"}},
		{"more than 256 bytes left is 6100", nil, []string{selectA + "00", hello + "9000", "0010020000", hex.EncodeToString(seq(0, 256)) + "6100"}},
		{"another command drops what is left", nil, []string{selectA, "6105", "0014000000", "319000", "00C0000005", "6985"}},
		{"GET RESPONSE with parameters is refused", nil, []string{selectA, "6105", "00C0010005", "6A86", "00C0000000", hello + "9000"}},
		{"a warning comes with its data, at the end", nil, []string{selectA + "00", hello + "9000", "00160000", "6101", "00C0000001", "006282"}},
		{"a chain is joined", nil, []string{selectA + "00", hello + "9000", "1012000001AA", "9000", "1012000001BB", "9000", "0012000001CC00", "AABBCC9000"}},
		{"another command in a chain drops it", nil, []string{selectA + "00", hello + "9000", "1012000001AA", "9000", "0014000000", "319000", "0012000001CC00", "CC9000"}},
		{"GET RESPONSE in a chain drops it too", nil, []string{selectA + "00", hello + "9000", "1012000001AA", "9000", "00C0000000", "6985", "0012000001CC00", "CC9000"}},
		{"another parameter begins another chain", nil, []string{selectA + "00", hello + "9000", "1012000001AA", "9000", "1012000101BB", "9000", "0012000101CC00", "BBCC9000"}},
		{"extended length is understood", nil, []string{selectA + "00", hello + "9000", "001200000000FF" + data255 + "0000", strings.ToUpper(data255) + "9000"}},
		{"a card without it answers 6700", &Options{ShortOnly: true}, []string{"00A4040000000006F0000000010A", "6700", selectA + "00", hello + "9000", "001200000000FF" + data255 + "0000", "6700"}},
		{"malformed commands are answered with 6700", nil, []string{"00A404000200", "6700", "00A4040000000200", "6700"}},
		{"reserved classes, and that of readers, are refused", nil, []string{"20A4040000", "6E00", "FFCA000000", "6E00"}},
		{"channels that were not opened are not there", nil, []string{"01A4040000", "6881", "40A4040000", "6881"}},
		{"secure messaging needs a session", nil, []string{selectA + "00", hello + "9000", "0C14000000", "6882"}},
		{"a response longer than 65,536 bytes is the application's fault", nil, []string{selectA + "00", hello + "9000", "0018000000", "6F00"}},
		{"a proprietary class reaches the application", nil, []string{selectA + "00", hello + "9000", "8016000000", "806282"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.pairs {
				tt.pairs[i] = strings.ToUpper(tt.pairs[i])
			}
			dialogue(t, New(tt.opts, &echo{aid: aidA}, &echo{aid: aidB}), tt.pairs...)
		})
	}
}

func seq(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(from + i)
	}
	return b
}

func TestSelectionThatFailsLeavesThingsAsTheyWere(t *testing.T) {
	b := &echo{aid: aidB, fail: errors.New("no state")}
	c := New(nil, &echo{aid: aidA}, b)
	dialogue(t, c, selectA+"00", strings.ToUpper(hello)+"9000", selectB+"00", "6F00", "0014000000", "319000")
	b.fail, b.refuse = nil, apdu.StatusFileTerminated
	dialogue(t, c, selectB, "6105") // a warning selects
	b.refuse = apdu.StatusConditionsNotSatisfied
	dialogue(t, c, selectA+"00", strings.ToUpper(hello)+"9000", selectB+"00", strings.ToUpper(hello)+"6985", "0014000000", "319000")
}

func TestReselecterKeepsItsSession(t *testing.T) {
	a := &echo{aid: aidA, reselect: true}
	c := New(nil, a, &echo{aid: aidB})
	dialogue(t, c, selectA+"00", "68656C6C6F9000", "0014000000", "319000", selectA+"00", "616761696E9000", "0014000000", "329000")
	if a.closed != 0 {
		t.Errorf("got %d sessions closed, want 0", a.closed)
	}
	dialogue(t, c, selectB+"00", "68656C6C6F9000")
	if a.closed != 1 {
		t.Errorf("got %d sessions closed, want 1", a.closed)
	}
}

func TestPower(t *testing.T) {
	a := &echo{aid: aidA}
	c := New(nil, a)
	dialogue(t, c, selectA, "6105")
	c.Reset()
	if a.closed != 1 {
		t.Errorf("got %d sessions closed by the reset, want 1", a.closed)
	}
	dialogue(t, c, "00C0000005", "6985", "0014000000", "6985", selectA, "6105")
	c.PowerOff()
	_, err := c.Transmit(context.Background(), nil, unhex(t, selectA))
	if !errors.Is(err, apdu.ErrRemoved) || !errors.Is(err, ErrNoPower) {
		t.Errorf("got %v, want ErrRemoved and ErrNoPower", err)
	}
	c.PowerOn()
	dialogue(t, c, "0014000000", "6985", selectA, "6105")
}

func TestTransmitErrors(t *testing.T) {
	c := New(nil)
	for _, b := range [][]byte{nil, {0}, {0, 0xA4, 4}} {
		got, err := c.Transmit(context.Background(), []byte("kept"), b)
		if !errors.Is(err, apdu.ErrNotSent) || string(got) != "kept" {
			t.Errorf("%X: got %q, %v; want ErrNotSent", b, got, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Transmit(ctx, nil, unhex(t, selectA)); !errors.Is(err, context.Canceled) || !errors.Is(err, apdu.ErrNotSent) {
		t.Errorf("got %v, want Canceled and ErrNotSent", err)
	}
}

func TestLongChainIsBounded(t *testing.T) {
	c := New(nil, &echo{aid: aidA})
	dialogue(t, c, selectA, "6105")
	link := append([]byte{0x10, 0x12, 0, 0, 0xFF}, make([]byte, 255)...)
	for i := range 65535 / 255 {
		if r, _ := c.Transmit(context.Background(), nil, link); !bytes.Equal(r, []byte{0x90, 0}) {
			t.Fatalf("link %d: got %X", i, r)
		}
	}
	dialogue(t, c, "101200000100", "6700")
	dialogue(t, c, "001200000100", "6101") // the chain is gone, this is a new command
}

func TestATR(t *testing.T) {
	for _, tt := range []struct {
		opts *Options
		want string
	}{
		{nil, "3B8D018073C001DB57636172646F6B69"},
		{&Options{ShortOnly: true, HistoricalBytes: []byte{}, Channels: 1}, "3B85018073C00180"},
		{&Options{HistoricalBytes: []byte{}, Channels: 20, Implicit: aidA}, "3B85018073C801DF"},
	} {
		want := unhex(t, tt.want)
		var tck byte
		for _, b := range want[1:] {
			tck ^= b
		}
		if got := New(tt.opts, &echo{aid: aidA}).ATR(); !bytes.Equal(got, append(want, tck)) {
			t.Errorf("got %X, want %X%02X", got, want, tck)
		}
	}
	own := unhex(t, "3B00")
	if got := New(&Options{ATR: own}).ATR(); !bytes.Equal(got, own) {
		t.Errorf("got %X", got)
	}
	for name, f := range map[string]func(){
		"long ATR":              func() { New(&Options{ATR: make([]byte, 34)}) },
		"long historical bytes": func() { New(&Options{HistoricalBytes: make([]byte, 9)}) },
		"21 channels":           func() { New(&Options{Channels: 21}) },
		"no such application":   func() { New(&Options{Implicit: aidA}) },
		"the same AID twice":    func() { New(nil, &echo{aid: aidA}, &echo{aid: aidA}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic", name)
				}
			}()
			f()
		}()
	}
}

// mirrorSM is the card's side of a secure messaging that flips every bit.
type mirrorSM struct {
	check func() // called before a response is wrapped
}

func flip(b []byte) []byte {
	r := make([]byte, len(b))
	for i := range b {
		r[i] = ^b[i]
	}
	return r
}

func (*mirrorSM) UnwrapCommand(_ []byte, c apdu.Command) (apdu.Command, apdu.Status) {
	if len(c.Data) == 0 {
		return c, apdu.StatusSecureMessagingObjectsMissing
	}
	c.Data = flip(c.Data)
	return c, apdu.StatusOK
}

func (m *mirrorSM) WrapResponse(_ []byte, r apdu.Response) (apdu.Response, error) {
	if m.check != nil {
		m.check()
	}
	b, err := r.AppendBinary(nil)
	return apdu.Response{Data: flip(b), Status: apdu.StatusOK}, err
}

func TestSecureMessagingIsTakenOffAndPutOn(t *testing.T) {
	a := &echo{aid: aidA, sm: &mirrorSM{}}
	c := New(nil, a)
	dialogue(t, c, selectA+"00", "68656C6C6F9000",
		"0C12000002AABB00", "AABB"+"6FFF"+"9000",
	)
}

func TestChainsAndResponsesAreCleared(t *testing.T) {
	c := New(nil, &echo{aid: aidA})
	dialogue(t, c, selectA+"00", "68656C6C6F9000", "1012000002AABB", "9000", "0012000002CCDD00", "AABBCCDD9000")
	for name, b := range map[string][]byte{"chain": c.chain.data[:4], "response": c.w.buf[:4]} {
		if !bytes.Equal(b, make([]byte, 4)) {
			t.Errorf("the %s is left in memory: %X", name, b)
		}
	}
}
