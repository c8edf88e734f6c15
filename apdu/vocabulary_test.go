package apdu_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// words are those of a few applications, mixed.
var words = &apdu.Vocabulary{
	Applications: map[string]string{
		"\xA0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00": "PIV",
		"\xA0\x00\x00\x05\x27\x21\x01":                 "OATH",
		"\xA0\x00\x00\x05\x27\x20\x01":                 "OTP",
	},
	Instructions: map[apdu.Class]map[apdu.Instruction]string{
		0x00: {0xF8: "GET SERIAL", 0xA2: "CALCULATE"},
		0x80: {0xF2: "GET STATUS", 0x20: "CHECK"},
		0x84: {0xF2: "GET STATUS MACED"},
		0xFF: {0xCA: "READER GET DATA"},
	},
	Statuses: map[apdu.Status]string{0x6310: "more data available", 0x6982: "log in first"},
	Status: func(s apdu.Status) string {
		if s.SW1() == 0x9F {
			return fmt.Sprintf("%d bytes wait", s.SW2())
		}
		return ""
	},
	Objects: map[uint32]string{0x5FC105: "certificate of slot 9A", 0x7E: "discovery object", 0x9F7F: "production data"},
	Parameters: func(c *apdu.Command) string {
		if c.Instruction == apdu.InsGeneralAuthenticateOdd && c.P1 == 0x11 {
			return fmt.Sprintf("P-256, slot %02X", c.P2)
		}
		return ""
	},
	Show: func(c *apdu.Command) bool { return c.Instruction == 0xF2 || c.Instruction == 0x20 },
	Hide: func(c *apdu.Command) bool { return c.Instruction == apdu.InsSelect && c.P1 == 0x09 },
}

func TestVocabulary_Explain(t *testing.T) {
	for _, tt := range []struct {
		name, command, response, want string
	}{
		{"an application by its name", "00A404000B A000000308000010000100 00", "9000", "SELECT PIV → 9000 success"},
		{"an application by the beginning of its name", "00A4040005 A000000308", "9000", "SELECT PIV → 9000 success"},
		{"a beginning that two have", "00A4040005 A000000527", "9000", "SELECT A0 00 00 05 27 → 9000 success"},
		{"a beginning that is too short", "00A4040004 A0000003", "6A82", "SELECT A0 00 00 03 → 6A82 file or application not found"},
		{"an application that has no name", "00A4040005 A000000151", "9000", "SELECT A0 00 00 01 51 → 9000 success"},
		{"another way of SELECT", "00A4020C02 3F00", "9000", "SELECT 3F 00 → 9000 success"},
		{"a data field that it hides", "00A4090C02 3F00", "9000", "SELECT, 2 bytes hidden → 9000 success"},
		{"an instruction of its own", "00F8000000", "0134B8F69000", "GET SERIAL → 9000 success, 4 bytes"},
		{"with parameters", "00F8000100", "6B00", "GET SERIAL P1-P2 0001 → 6B00 wrong parameters P1-P2"},
		{"on another channel", "02F8000000", "9000", "GET SERIAL, channel 2 → 9000 success"},
		{"in place of the standard's", "00A2040003 740131 00", "9000", "CALCULATE P1-P2 0400, 3 bytes hidden → 9000 success"},
		{"of a proprietary class", "80F2800202 4F00 00", "6310", "GET STATUS P1-P2 8002 4F 00 → 6310 more data available"},
		{"of one with a channel", "81F2800202 4F00 00", "9000", "GET STATUS P1-P2 8002 4F 00 → 9000 success"},
		{"of one that has a row", "84F2800202 4F00 00", "9000", "GET STATUS MACED P1-P2 8002 4F 00 → 9000 success"},
		{"of another proprietary class", "90F2800202 4F00 00", "9000", "CLA 90 INS F2, P1-P2 8002 4F 00 → 9000 success"},
		{"to the reader", "FFCA000000", "9000", "READER GET DATA → 9000 success"},
		{"to the reader, without a name", "FF9A000000", "9000", "command to the reader, INS 9A, P1-P2 0000 → 9000 success"},
		{"what may be a PIN is not shown", "8020000004 31323334", "9000", "CHECK, 4 bytes hidden → 9000 success"},
		{"nor under secure messaging", "0CF2800202 4F00 00", "9000", "CLA 0C INS F2, P1-P2 8002, 2 bytes hidden, secure messaging → 9000 success"},
		{"nor in a chain", "10F2800202 4F00 00", "9000", "CLA 10 INS F2, P1-P2 8002, 2 bytes hidden, more follows → 9000 success"},
		{"parameters", "0087119A04 7C028200 00", "6982", "GENERAL AUTHENTICATE P-256, slot 9A, 4 bytes hidden → 6982 log in first"},
		{"parameters that it leaves alone", "0087079A04 7C028200 00", "9F10", "GENERAL AUTHENTICATE algorithm 07, key 9A, 4 bytes hidden → 9F10 16 bytes wait"},
		{"a data object", "00CB3FFF05 5C035FC105 00", "9000", "GET DATA 5FC105 (certificate of slot 9A) → 9000 success"},
		{"a data object with a short tag", "00CB3FFF03 5C017E 00", "9000", "GET DATA 7E (discovery object) → 9000 success"},
		{"a data object that has no name", "00CB3FFF05 5C035FC1FF 00", "9000", "GET DATA 5C 03 5F C1 FF → 9000 success"},
		{"a data object by the even instruction", "00CA9F7F00", "9000", "GET DATA 9F7F (production data) → 9000 success"},
		{"a data object that is written", "00DB3FFF09 5C035FC105 5302AABB", "9000", "PUT DATA 5FC105 (certificate of slot 9A), 9 bytes hidden → 9000 success"},
		{"the first of a chain", "10DB3FFF09 5C035FC105 5302AABB", "9000", "PUT DATA 5FC105 (certificate of slot 9A), 9 bytes hidden, more follows → 9000 success"},
		{"what is no tag list", "00DB3FFF04 5C045FC1", "9000", "PUT DATA, 4 bytes hidden → 9000 success"},
		{"a tag list cut off", "00DB3FFF02 5C03", "9000", "PUT DATA, 2 bytes hidden → 9000 success"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := words.Explain(unhex(t, tt.command), unhex(t, tt.response)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestVocabulary_Trace(t *testing.T) {
	var lines []string
	tr := words.Trace(&scripted{}, func(s string) { lines = append(lines, s) })
	if _, err := tr.Transmit(t.Context(), nil, unhex(t, "00F8000000")); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1 || lines[0] != "GET SERIAL → 9000 success" {
		t.Errorf("got %q, want GET SERIAL", lines)
	}
}

// However a command or a response is printed or logged, its data field is not.
func TestCommand_printsNoData(t *testing.T) {
	secret := []byte("123456\xFF\xFF")
	c := apdu.Command{Instruction: apdu.InsVerify, P2: 0x80, Data: secret}
	r := apdu.Response{Data: secret, Status: apdu.StatusOK}
	const command, response = "VERIFY reference 80, 8 bytes hidden", "9000 success, 8 bytes"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		if got := fmt.Sprintf(verb, c); got != command {
			t.Errorf("Command, %s: got %q, want %q", verb, got, command)
		}
		if got := fmt.Sprintf(verb, &c); got != command {
			t.Errorf("*Command, %s: got %q, want %q", verb, got, command)
		}
		if got := fmt.Sprintf(verb, r); got != response {
			t.Errorf("Response, %s: got %q, want %q", verb, got, response)
		}
		if got := fmt.Sprintf(verb, struct{ C apdu.Command }{c}); !strings.Contains(got, command) || strings.Contains(got, "3132") || strings.Contains(got, "49") {
			t.Errorf("struct, %s: got %q, want it to hold %q", verb, got, command)
		}
	}
	for _, handler := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("sent", "command", c, "response", r)
		if !strings.Contains(b.String(), command) || !strings.Contains(b.String(), response) || strings.Contains(b.String(), "123456") {
			t.Errorf("logged %s", b.Bytes())
		}
	}
	if got := (apdu.Response{Status: 0x63C2}).String(); got != "63C2 verification failed, 2 tries left" {
		t.Errorf("got %q", got)
	}
}
