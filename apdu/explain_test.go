package apdu_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
)

func TestExplain(t *testing.T) {
	body61 := strings.Repeat("AB", 61)
	for _, tt := range []struct {
		name, command, response, want string
	}{
		{"SELECT of PIV", "00A404000B A000000308000010000100 00", body61 + "9000", "SELECT A0 00 00 03 08 00 00 10 00 01 00 → 9000 success, 61 bytes"},
		{"SELECT without a name", "00A4040000", "6A82", "SELECT → 6A82 file or application not found"},
		{"SELECT of a file", "00A4020C02 2F01", "9000", "SELECT 2F 01 → 9000 success"},
		{"OATH uses the code for something else", "00A400010A 7408 0000000012345678 00", body61 + "9000", "SELECT, 10 bytes hidden → 9000 success, 61 bytes"},
		{"VERIFY hides the PIN", "0020008008 313233343536FFFF", "63C2", "VERIFY reference 80, 8 bytes hidden → 63C2 verification failed, 2 tries left"},
		{"VERIFY blocked", "0020008008 313233343536FFFF", "6983", "VERIFY reference 80, 8 bytes hidden → 6983 authentication method blocked"},
		{"VERIFY without a PIN is a query", "00200080", "63C3", "VERIFY reference 80, query → 63C3 not verified, 3 tries left"},
		{"VERIFY that takes back", "0020FF80", "9000", "VERIFY reference 80, take back → 9000 success"},
		{"CHANGE REFERENCE DATA", "0024008010 313233343536FFFF 363534333231FFFF", "9000", "CHANGE REFERENCE DATA reference 80, 16 bytes hidden → 9000 success"},
		{"RESET RETRY COUNTER", "002C008010 313233343536FFFF 363534333231FFFF", "63C1", "RESET RETRY COUNTER reference 80, 16 bytes hidden → 63C1 verification failed, 1 try left"},
		{"GENERAL AUTHENTICATE", "0087119A04 7C028200 00", "7C00 9000", "GENERAL AUTHENTICATE algorithm 11, key 9A, 4 bytes hidden → 9000 success, 2 bytes"},
		{"the first of a chain", "1087079A04 7C820106", "9000", "GENERAL AUTHENTICATE algorithm 07, key 9A, 4 bytes hidden, more follows → 9000 success"},
		{"GENERATE ASYMMETRIC KEY PAIR", "0047009A05 AC03800111 00", body61 + "9000", "GENERATE ASYMMETRIC KEY PAIR reference 9A, 5 bytes hidden → 9000 success, 61 bytes"},
		{"GET DATA shows the tag list", "00CB3FFF05 5C035FC105 00", body61 + "6105", "GET DATA 5C 03 5F C1 05 → 6105 5 more bytes available, 61 bytes"},
		{"GET DATA with more than a tag list", "00CB3FFF06 5C035FC10531 00", "6A80", "GET DATA, 6 bytes hidden → 6A80 incorrect parameters in the data field"},
		{"GET DATA, even", "00CA007F00", "6CFF", "GET DATA object 007F → 6CFF wrong Le, exactly 255 bytes available"},
		{"PUT DATA", "00DB3FFF09 5C035FC105 5302AABB", "9000", "PUT DATA, 9 bytes hidden → 9000 success"},
		{"GET RESPONSE", "00C0000000", "AA9000", "GET RESPONSE → 9000 success, 1 byte"},
		{"READ BINARY", "00B0010000", "AA6282", "READ BINARY offset 256 → 6282 end of file or record reached before all the bytes asked for, 1 byte"},
		{"READ BINARY of a short EF", "00B0820500", "6A82", "READ BINARY short EF 02, offset 5 → 6A82 file or application not found"},
		{"READ RECORD", "00B2010C00", "9000", "READ RECORD 1 of short EF 01 → 9000 success"},
		{"PSO", "002A9E9A02 AABB 00", "9000", "PERFORM SECURITY OPERATION compute digital signature, 2 bytes hidden → 9000 success"},
		{"PSO unknown", "002A123402 AABB 00", "9000", "PERFORM SECURITY OPERATION 1234, 2 bytes hidden → 9000 success"},
		{"MANAGE CHANNEL", "0070000001", "019000", "MANAGE CHANNEL open → 9000 success, 1 byte"},
		{"another channel", "0270800200", "9000", "MANAGE CHANNEL close 2, channel 2 → 9000 success"},
		{"secure messaging hides all", "0CA4040C02 2F01", "9000", "SELECT, 2 bytes hidden, secure messaging → 9000 success"},
		{"proprietary class", "80F2800202 4F00 00", "6D00", "CLA 80 INS F2, P1-P2 8002, 2 bytes hidden → 6D00 instruction not supported or invalid"},
		{"SELECT of a proprietary class", "A0A4000002 3F00", "9F10", "CLA A0 INS A4, P1-P2 0000, 2 bytes hidden → 9F10 meaning defined by the application"},
		{"instruction that the standard does not know", "00FD0000", "0504039000", "CLA 00 INS FD, P1-P2 0000 → 9000 success, 3 bytes"},
		{"command to the reader", "FF9A000000", "9000", "command to the reader, INS 9A, P1-P2 0000 → 9000 success"},
		{"no response", "0084000008", "", "GET CHALLENGE"},
		{"malformed response", "0084000008", "90", "GET CHALLENGE → malformed response of 1 byte"},
		{"malformed command", "00", "6700", "malformed command of 1 byte → 6700 wrong length"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var response []byte
			if tt.response != "" {
				response = unhex(t, tt.response)
			}
			if got := apdu.Explain(unhex(t, tt.command), response); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Whatever the class and the instruction, the data fields stay out of the line,
// but for the name that SELECT selects.
func TestExplain_hidesEveryInstruction(t *testing.T) {
	const secret, answer = "313233343536FFFF", "C0FFEE42"
	for cla := range 256 {
		for ins := range 256 {
			for _, p1 := range []byte{0x00, 0x04, 0x3F, 0xFF} {
				c := apdu.Command{Class: apdu.Class(cla), Instruction: apdu.Instruction(ins), P1: p1, P2: 0xFF, Data: unhex(t, secret), Ne: 256}
				b, err := c.AppendBinary(nil)
				if err != nil {
					t.Fatal(err)
				}
				line := apdu.Explain(b, unhex(t, answer+"9000"))
				packed := strings.ReplaceAll(line, " ", "")
				if strings.Contains(packed, "C0FFEE") {
					t.Errorf("%02X %02X: the response is in %q", cla, ins, line)
				}
				name := ins == 0xA4 && p1 == 4 && c.Class.Interindustry() && !c.Class.Chained() && c.Class.SecureMessaging() == apdu.SMNone
				if shown := strings.Contains(packed, "3132") || strings.Contains(packed, "FFFFF"); shown != name {
					t.Errorf("%02X %02X %02X: data shown: got %v, want %v: %q", cla, ins, p1, shown, name, line)
				}
			}
		}
	}
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte{0, 0x20, 0, 0x80, 4, 0x31, 0x32, 0x33, 0x34}, []byte{0x63, 0xC2})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, command, response []byte) {
		for _, v := range []*apdu.Vocabulary{nil, words} {
			line := v.Explain(command, response)
			if line == "" || strings.ContainsAny(line, "\r\n") || len(line) > 300 && v == nil {
				t.Fatalf("got %q, want one short line", line)
			}
		}
	})
}

// A scripted is a Transmitter with all the companions.
type scripted struct {
	err   error
	calls []string
}

func (s *scripted) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	s.calls = append(s.calls, "transmit")
	if s.err != nil {
		return dst, s.err
	}
	return append(dst, 0x90, 0), nil
}
func (s *scripted) Begin(context.Context) error { s.calls = append(s.calls, "begin"); return s.err }
func (s *scripted) End(d apdu.Disposition) error {
	if d == apdu.ResetCard {
		s.calls = append(s.calls, "end, reset")
	}
	return s.err
}
func (s *scripted) ATR() []byte         { return []byte{0x3B, 0} }
func (s *scripted) Limits() apdu.Limits { return apdu.Limits{MaxCommand: 261} }
func (s *scripted) Reconnect(context.Context) error {
	s.calls = append(s.calls, "reconnect")
	return s.err
}

// A bare is a Transmitter without companions.
type bare struct{ apdu.Transmitter }

func TestTracer(t *testing.T) {
	ctx := context.Background()
	var lines []string
	inner := &scripted{}
	tr := apdu.Trace(inner, func(s string) { lines = append(lines, s) })
	out, err := tr.Transmit(ctx, []byte("dst"), unhex(t, "0020008008313233343536FFFF"))
	if err != nil || string(out) != "dst\x90\x00" {
		t.Errorf("got %q and error %v", out, err)
	}
	if err := tr.Begin(ctx); err != nil {
		t.Error(err)
	}
	if err := tr.End(apdu.ResetCard); err != nil {
		t.Error(err)
	}
	if err := tr.Reconnect(ctx); err != nil {
		t.Error(err)
	}
	if len(tr.ATR()) != 2 || tr.Limits().MaxCommand != 261 {
		t.Errorf("got ATR % X and limits %+v", tr.ATR(), tr.Limits())
	}
	inner.err = apdu.ErrRemoved
	if out, err := tr.Transmit(ctx, []byte("dst"), unhex(t, "0084000008")); !errors.Is(err, apdu.ErrRemoved) || string(out) != "dst" {
		t.Errorf("got %q and error %v, want dst unchanged and ErrRemoved", out, err)
	}
	if err := tr.Reconnect(ctx); !errors.Is(err, apdu.ErrRemoved) {
		t.Errorf("got error %v, want ErrRemoved", err)
	}
	want := []string{
		"VERIFY reference 80, 8 bytes hidden → 9000 success",
		"connected again",
		"GET CHALLENGE → apdu: card was removed",
		"connect again → apdu: card was removed",
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("wrong lines (-want +got):\n%s", d)
	}
	wantCalls := []string{"transmit", "begin", "end, reset", "reconnect", "transmit", "reconnect"}
	if d := cmp.Diff(wantCalls, inner.calls); d != "" {
		t.Errorf("wrong calls (-want +got):\n%s", d)
	}
}

func TestDecorator_withoutCompanions(t *testing.T) {
	d := apdu.Decorator{Transmitter: bare{&scripted{}}}
	if err := d.Begin(t.Context()); err != nil {
		t.Errorf("Begin: got error %v, want none", err)
	}
	if err := d.End(apdu.LeaveCard); err != nil {
		t.Errorf("End: got error %v, want none", err)
	}
	if d.ATR() != nil || d.Limits() != (apdu.Limits{}) {
		t.Errorf("got ATR % X and limits %+v, want none", d.ATR(), d.Limits())
	}
	if err := d.Reconnect(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Reconnect: got error %v, want one that Is ErrUnsupported", err)
	}
}
