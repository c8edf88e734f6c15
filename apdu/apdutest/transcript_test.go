package apdutest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
)

func TestRecord_writesWhatReplayReads(t *testing.T) {
	ctx := t.Context()
	var transcript bytes.Buffer
	card := &echo{}
	r := apdutest.Record(card, &transcript)
	r.Comment("one\ntwo")
	command := unhex(t, "00A40400")
	failures := []error{
		apdu.ErrRemoved, apdu.ErrReset, apdu.ErrRetired, fmt.Errorf("%w: pcscd is busy", apdu.ErrNotSent), errors.New("reader on fire # \"now\""),
	}
	drive := func(card interface {
		apdu.Transmitter
		apdu.Transactor
		apdu.Reconnecter
	}, set func(error)) []string {
		var got []string
		note := func(out []byte, err error) {
			what := fmt.Sprintf("%X", out)
			for name, e := range map[string]error{"removed": apdu.ErrRemoved, "reset": apdu.ErrReset, "retired": apdu.ErrRetired, "not sent": apdu.ErrNotSent} {
				if errors.Is(err, e) {
					what += " " + name
				}
			}
			if err != nil {
				what += " failed"
			}
			got = append(got, what)
		}
		note(card.Transmit(ctx, []byte{1}, command))
		note(nil, card.Begin(ctx))
		note(card.Transmit(ctx, nil, command))
		note(nil, card.End(apdu.LeaveCard))
		for _, err := range failures {
			set(err)
			note(card.Transmit(ctx, []byte{1}, command))
			note(nil, card.Begin(ctx))
			note(nil, card.Reconnect(ctx))
			note(nil, card.End(apdu.LeaveCard))
		}
		set(nil)
		note(nil, card.Reconnect(ctx))
		note(card.Transmit(ctx, nil, command))
		return got
	}
	want := drive(r, func(err error) { card.err = err })
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	head := "atr 3B 80 80 01 01\nprotocol T=1\nlimits 261 258\n# one\n# two\n00A40400 -> 00A404009000\n00A40400 -> 00A404009000\n00A40400 -> ! removed\nbegin ! removed\nreconnect ! removed\n"
	if got := transcript.String(); !strings.HasPrefix(got, head) {
		t.Errorf("got transcript\n%s\nwant it to begin with\n%s", got, head)
	}
	p, err := apdutest.Replay(&transcript)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(card.ATR(), p.ATR()); d != "" {
		t.Errorf("wrong ATR (-want +got):\n%s", d)
	}
	if d := cmp.Diff(card.Limits(), p.Limits()); d != "" {
		t.Errorf("wrong limits (-want +got):\n%s", d)
	}
	if err := p.Done(); err == nil {
		t.Error("Done before the start: got no error, want one")
	}
	got := drive(p, func(error) {})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the replay differs (-recorded +replayed):\n%s", d)
	}
	if err := p.Done(); err != nil {
		t.Errorf("Done: got error %v, want none", err)
	}
}

func TestReplay_refusesWhatDiffers(t *testing.T) {
	const transcript = `
# PIN of a test card
00200080 08 313233343536FFFF -> 9000   # spaces and comments are allowed
reconnect
0084000008 -> 01020304050607089000
`
	ctx := t.Context()
	p, err := apdutest.Replay(strings.NewReader(transcript))
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error, want apdutest.MismatchError) {
		t.Helper()
		got, ok := errors.AsType[*apdutest.MismatchError](err)
		if !ok {
			t.Fatalf("got error %v, want a *MismatchError", err)
		}
		if d := cmp.Diff(want, *got); d != "" {
			t.Errorf("wrong error (-want +got):\n%s", d)
		}
		if strings.Contains(err.Error(), "313") || strings.Contains(err.Error(), "31 3") {
			t.Errorf("the data is in the error %q", err)
		}
	}
	out, err := p.Transmit(ctx, []byte("dst"), unhex(t, "0020008008313233343537FFFF"))
	check(err, apdutest.MismatchError{Line: 3, Want: "the command 00 20 00 80 of 13 bytes", Got: "the command 00 20 00 80 of 13 bytes", Offset: 10})
	if string(out) != "dst" {
		t.Errorf("got dst %q, want it unchanged", out)
	}
	if want := "apdutest: transcript line 3: want the command 00 20 00 80 of 13 bytes, got the command 00 20 00 80 of 13 bytes, they differ from offset 10 on"; err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	_, err = p.Transmit(ctx, nil, unhex(t, "0020008008313233343536FF"))
	check(err, apdutest.MismatchError{Line: 3, Want: "the command 00 20 00 80 of 13 bytes", Got: "the command 00 20 00 80 of 12 bytes", Offset: 12})
	check(p.Reconnect(ctx), apdutest.MismatchError{Line: 3, Want: "the command 00 20 00 80 of 13 bytes", Got: "reconnect", Offset: -1})
	if _, err := p.Transmit(ctx, nil, unhex(t, "0020008008313233343536FFFF")); err != nil {
		t.Fatalf("got error %v, want the response", err)
	}
	_, err = p.Transmit(ctx, nil, unhex(t, "0084000008"))
	check(err, apdutest.MismatchError{Line: 4, Want: "reconnect", Got: "the command 00 84 00 00 of 5 bytes", Offset: -1})
	if err := p.Reconnect(ctx); err != nil {
		t.Errorf("Reconnect: got error %v, want none", err)
	}
	if err, want := p.Done(), "apdutest: transcript line 5: the command 00 84 00 00 of 5 bytes was not played, nor 0 after it"; err == nil || err.Error() != want {
		t.Errorf("Done: got error %v, want %s", err, want)
	}
	if _, err := p.Transmit(ctx, nil, unhex(t, "0084000008")); err != nil {
		t.Errorf("got error %v, want the response", err)
	}
	_, err = p.Transmit(ctx, nil, unhex(t, "0084000008"))
	check(err, apdutest.MismatchError{Got: "the command 00 84 00 00 of 5 bytes", Offset: -1})
	check(p.Reconnect(ctx), apdutest.MismatchError{Got: "reconnect", Offset: -1})
}

func TestReplay_refusesTextThatIsNoTranscript(t *testing.T) {
	for _, tt := range []struct {
		text, want string
	}{
		{"hello", "line 1: neither an exchange"},
		{"\n# fine\nhello", "line 3: neither an exchange"},
		{"atr XY", "line 1: the ATR is not hexadecimal"},
		{"protocol T=2", "line 1: the protocol is not"},
		{"limits many", "line 1: the limits are not"},
		{"begin badly", "line 1: what follows begin"},
		{"reconnect ! gone", "line 1: what follows reconnect"},
		{"00A4 0 -> 9000", "line 1: the command is not hexadecimal"},
		{"-> 9000", "line 1: the command is not hexadecimal"},
		{"00A40400 -> 900", "line 1: the response is not hexadecimal"},
		{"00A40400 -> ! lost", "line 1: the error is not"},
		{strings.Repeat("A", 500_000), "line 1: longer than"},
	} {
		_, err := apdutest.Replay(strings.NewReader(tt.text))
		e, ok := errors.AsType[*apdutest.TranscriptError](err)
		if !ok || !strings.Contains(e.Error(), tt.want) {
			t.Errorf("%.40q: got error %v, want %s", tt.text, err, tt.want)
		}
	}
	if _, err := apdutest.Replay(io.MultiReader(strings.NewReader("# fine\n"), failing{})); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got error %v, want that of the reader", err)
	}
}

// failing is a file that breaks.
type failing struct{}

func (failing) Read([]byte) (int, error)  { return 0, io.ErrClosedPipe }
func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestRecord_longestExchange(t *testing.T) {
	c := apdu.Command{Data: make([]byte, apdu.MaxExtendedNc), Ne: apdu.MaxExtendedNe}
	command, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var transcript bytes.Buffer
	want, err := apdutest.Record(&echo{}, &transcript).Transmit(t.Context(), nil, command)
	if err != nil {
		t.Fatal(err)
	}
	p, err := apdutest.Replay(&transcript)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Transmit(t.Context(), nil, command)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes and error %v, want %d", len(got), err, len(want))
	}
}

func TestRecord_survivesABrokenWriter(t *testing.T) {
	r := apdutest.Record(&echo{}, failing{})
	if _, err := r.Transmit(t.Context(), nil, unhex(t, "00A40400")); err != nil {
		t.Errorf("got error %v, want the response", err)
	}
	if err := r.Err(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Err: got %v, want that of the writer", err)
	}
}

// FuzzReplay: no text makes Replay panic, and what it accepts it plays.
func FuzzReplay(f *testing.F) {
	f.Add("atr 3B00\nprotocol T=1\nlimits 1 2\n00A40400 -> 9000\n")
	f.Add("begin ! reset\nreconnect\nend ! \"x\"\n00 -> ! removed # why")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := apdutest.Replay(strings.NewReader(text))
		if err != nil {
			if e, ok := errors.AsType[*apdutest.TranscriptError](err); !ok || e.Line < 1 || e.Reason == "" {
				t.Fatalf("got error %v, want a *TranscriptError", err)
			}
			return
		}
		if _, err := p.Transmit(t.Context(), nil, []byte("\xFF no such command")); err == nil {
			t.Fatal("got a response to a command that is not in the transcript")
		}
	})
}
