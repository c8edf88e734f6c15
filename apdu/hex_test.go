package apdu_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

func TestParseHex(t *testing.T) {
	want := []byte{0x00, 0xA4, 0x04, 0x00, 0xFE}
	for _, s := range []string{
		"00 A4 04 00 FE", "00a40400fe", "00:a4:04:00:fe", "00-A4-04-00-FE", "0x00, 0xA4, 0x04, 0x00, 0xFE", "0x00A40400FE",
		"\t00 A404\r\n00 FE\n", "0X00,0Xa4,0X04,0X00,0XfE", "00A4 0400 FE ",
	} {
		if got, err := apdu.ParseHex(s); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: got % X and error %v, want % X", s, got, err, want)
		}
	}
	for _, s := range []string{"", " \n", ",:-"} {
		if got, err := apdu.ParseHex(s); err != nil || len(got) != 0 {
			t.Errorf("%q: got % X and error %v, want nothing", s, got, err)
		}
	}
}

func TestParseHex_errors(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		offset     int
		reason     string
	}{
		{"a digit is missing", "00 A4 0", 7, "the last byte has one digit, bytes have two"},
		{"a digit is missing in the middle", "00 A 04", 4, "not the second hexadecimal digit of a byte"},
		{"no digit", "00 G4", 3, "not a hexadecimal digit"},
		{"no second digit", "00 4G", 4, "not the second hexadecimal digit of a byte"},
		{"a prefix alone", "00 0x", 5, "0x without digits"},
		{"a prefix before nothing", "0x 00", 2, "not a hexadecimal digit"},
		{"two prefixes", "0x0x00", 3, "not the second hexadecimal digit of a byte"},
		{"other text", "00 A4 \u2192", 6, "not a hexadecimal digit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := apdu.ParseHex(tt.text)
			e, ok := errors.AsType[*apdu.SyntaxError](err)
			if !ok || b != nil || e.Offset != tt.offset || e.Reason != tt.reason {
				t.Errorf("got % X and error %v, want offset %d: %s", b, err, tt.offset, tt.reason)
			}
		})
	}
	_, err := apdu.ParseHex("31 32 33 34 3")
	if err == nil || strings.Contains(err.Error(), "31") {
		t.Errorf("got error %v, want one that shows no byte", err)
	}
}

// FuzzParseHex: what is read prints to what reads the same.
func FuzzParseHex(f *testing.F) {
	f.Add("00 A4 04 00")
	f.Add("0x00,0xa4:04-00")
	f.Add("0")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := apdu.ParseHex(s)
		if err != nil {
			if e, ok := errors.AsType[*apdu.SyntaxError](err); !ok || e.Offset < 0 || e.Offset > len(s) {
				t.Fatalf("got error %v, want a *SyntaxError at an offset in 0..%d", err, len(s))
			}
			return
		}
		again, err := apdu.ParseHex(apdu.FormatHex(b))
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("got %X again, error %v, want %X", again, err, b)
		}
	})
}
