package apdu_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cardoki/cardoki/apdu"
)

// FuzzParseCommand: what parses appends to the same bytes; what does not is
// refused at an offset.
func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{
		"", "00A404", "00A40400", "0084000008", "00A4040009A00000030800001000", "00A4040009A0000003080000100000", "00B00000000000", "00B0000000FFFF",
		"00DB3FFF000003 5C017E", "00DB3FFF000003 5C017E 0000", "00C0000000FF", "00C000000000", "00DB3FFF000000 00", "FF9A000000", "00200080083132333435360000",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := apdu.ParseCommand(b)
		if err != nil {
			if e, ok := errors.AsType[*apdu.SyntaxError](err); !ok || e.Offset < 0 || e.Offset > len(b) {
				t.Fatalf("got error %v, want a *SyntaxError at an offset in 0..%d", err, len(b))
			}
			return
		}
		again, err := c.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("parsed %X, appended %X, error %v", b, again, err)
		}
		if c.Size() != len(b) {
			t.Fatalf("got size %d, want %d", c.Size(), len(b))
		}
	})
}

// FuzzCommand_AppendBinary: what appends parses to the same command, and in the
// form that was asked for.
func FuzzCommand_AppendBinary(f *testing.F) {
	f.Add(byte(0), byte(0xA4), byte(4), byte(0), []byte("data"), 0, 256, false)
	f.Add(byte(0), byte(0xDB), byte(0x3F), byte(0xFF), []byte("data"), 65531, 65536, false)
	f.Add(byte(0xFF), byte(0x9A), byte(0), byte(0), []byte(nil), 0, 0, true)
	f.Add(byte(0), byte(0xB0), byte(0), byte(0), []byte(nil), 0, 65537, true)
	f.Fuzz(func(t *testing.T, cla, ins, p1, p2 byte, data []byte, more, ne int, extended bool) {
		if more > 0 {
			data = append(data, make([]byte, more&0x1FFFF)...)
		}
		c := apdu.Command{Class: apdu.Class(cla), Instruction: apdu.Instruction(ins), P1: p1, P2: p2, Data: data, Ne: ne, Extended: extended}
		b, err := c.AppendBinary(nil)
		if fits := len(data) <= 65535 && ne >= 0 && ne <= 65536; fits != (err == nil) {
			t.Fatalf("Nc %d, Ne %d: got error %v, want success %v", len(data), ne, err, fits)
		}
		if err != nil {
			if !errors.Is(err, apdu.ErrLength) || len(b) != 0 {
				t.Fatalf("got %d bytes and error %v, want none and ErrLength", len(b), err)
			}
			return
		}
		got, err := apdu.ParseCommand(b)
		if err != nil {
			t.Fatalf("%s: got error %v from what was appended", short(b), err)
		}
		// Case 1 has one form, and long fields have no choice.
		c.Extended = len(data)+ne > 0 && (extended || len(data) > 255 || ne > 256)
		if d := cmp.Diff(c, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("parsed another command (-want +got):\n%s", d)
		}
		if len(b) > apdu.MaxCommandSize || len(b) != c.Size() {
			t.Fatalf("got %d bytes, want %d", len(b), c.Size())
		}
	})
}

// FuzzParseResponse: a response of two bytes or more parses and appends to the
// same bytes.
func FuzzParseResponse(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x90})
	f.Add([]byte{0x90, 0})
	f.Add([]byte{1, 2, 3, 0x62, 0x82})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := apdu.ParseResponse(b)
		if valid := len(b) >= 2 && len(b) <= apdu.MaxResponseSize; valid != (err == nil) {
			t.Fatalf("%d bytes: got error %v, want success %v", len(b), err, valid)
		}
		if err != nil {
			return
		}
		again, err := r.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("parsed %X, appended %X, error %v", b, again, err)
		}
		if r.Status.Error() == "" || r.Status.OK() && r.Status.Class() != apdu.ClassNormal {
			t.Fatalf("%v makes no sense", r.Status)
		}
	})
}
