package apdu_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
)

type header struct {
	CLA, INS, P1, P2 byte
}

func (h header) command(data []byte, ne int) apdu.Command {
	return apdu.Command{Class: apdu.Class(h.CLA), Instruction: apdu.Instruction(h.INS), P1: h.P1, P2: h.P2, Data: data, Ne: ne}
}

// reasons maps the vectors' reasons to ours.
var reasons = map[string]string{
	"shorter than the 4-byte header":                              "shorter than the 4-byte header",
	"short Lc: body shorter than Lc":                              "short Lc: body shorter than Lc",
	"short Lc: more than one byte after the data":                 "short Lc: more than one byte after the data",
	"extended marker 00 followed by one byte only":                "extended length marker 00 followed by one byte only",
	"extended Lc of zero with bytes after it":                     "extended Lc of zero with bytes after it",
	"extended Lc: body shorter than Lc":                           "extended Lc: body shorter than Lc",
	"extended Lc: one byte after the data (Le must be two bytes)": "extended Lc: one byte after the data, Le has two",
	"extended Lc: more than two bytes after the data":             "extended Lc: more than two bytes after the data",
}

func TestParseCommand_vectors(t *testing.T) {
	var f struct {
		Cases []struct {
			encoded
			header
			Valid  bool
			Case   string
			Nc, Ne int
			Data   *string
			Reason string
		}
	}
	readJSON(t, "command-decode.json", &f)
	if len(f.Cases) != 1246 {
		t.Fatalf("got %d vectors, want 1246", len(f.Cases))
	}
	for _, v := range f.Cases {
		b := v.bytes(t)
		c, err := apdu.ParseCommand(b)
		if !v.Valid {
			e, ok := errors.AsType[*apdu.SyntaxError](err)
			if !ok {
				t.Errorf("%s: got error %v, want a *SyntaxError, %q", short(b), err, v.Reason)
				continue
			}
			if want := reasons[v.Reason]; e.Reason != want || e.What != "command" {
				t.Errorf("%s: got %q of a %s, want %q of a command", short(b), e.Reason, e.What, want)
			}
			if e.Offset < 0 || e.Offset > len(b) {
				t.Errorf("%s: got offset %d, want one in 0..%d", short(b), e.Offset, len(b))
			}
			if d := cmp.Diff(apdu.Command{}, c); d != "" {
				t.Errorf("%s: got a command beside the error:\n%s", short(b), d)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: got error %v, want case %s", short(b), err, v.Case)
			continue
		}
		data := c.Data
		if len(data) != v.Nc || v.Data != nil && !bytes.Equal(data, unhex(t, *v.Data)) || v.Gen != nil && !bytes.Equal(data, v.Gen.bytes()) {
			t.Errorf("%s: got %d bytes of data, want the %d of the vector", short(b), len(data), v.Nc)
		}
		if cap(data) != len(data) {
			t.Errorf("%s: got data with capacity %d, want %d", short(b), cap(data), len(data))
		}
		want := v.command(c.Data, v.Ne)
		want.Extended = strings.HasSuffix(v.Case, "E")
		if d := cmp.Diff(want, c); d != "" {
			t.Errorf("%s: wrong command (-want +got):\n%s", short(b), d)
		}
		if got := c.Case(); got != v.Case {
			t.Errorf("%s: got case %s, want %s", short(b), got, v.Case)
		}
		if got := c.Size(); got != len(b) {
			t.Errorf("%s: got size %d, want %d", short(b), got, len(b))
		}
		again, err := c.AppendBinary([]byte("before"))
		if err != nil || !bytes.Equal(again, append([]byte("before"), b...)) {
			t.Errorf("%s: appended again as %s, error %v", short(b), short(again), err)
		}
	}
}

func TestCommand_AppendBinary_vectors(t *testing.T) {
	var f struct {
		Cases []struct {
			header
			Nc, Ne   int
			Gen      *generated `json:"data_gen"`
			Case     string
			Shortest *encoded
			Forced   *encoded `json:"forced_extended"`
			// The name of the form with extended length fields.
			ForcedCase string `json:"forced_extended_case"`
		}
	}
	readJSON(t, "command-encode.json", &f)
	if len(f.Cases) != 117 {
		t.Fatalf("got %d vectors, want 117", len(f.Cases))
	}
	check := func(c apdu.Command, want []byte, wantCase string) {
		t.Helper()
		got, err := c.AppendBinary(nil)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %s, error %v", short(want), short(got), err)
		}
		if got := c.Case(); got != wantCase {
			t.Errorf("%s: got case %s, want %s", short(want), got, wantCase)
		}
		if got := c.Size(); got != len(want) {
			t.Errorf("%s: got size %d, want %d", short(want), got, len(want))
		}
	}
	forced := 0
	for _, v := range f.Cases {
		c := v.command(v.Gen.bytes(), v.Ne)
		check(c, v.Shortest.bytes(t), v.Case)
		if v.Forced != nil {
			forced++
			c.Extended = true
			check(c, v.Forced.bytes(t), v.ForcedCase)
		}
	}
	if forced == 0 {
		t.Error("got no vector with the extended form forced")
	}
}

func TestCommand_quoted(t *testing.T) {
	var f struct {
		Cases []struct {
			header
			Hex   string
			Data  string
			Ne    int
			Valid *bool
		}
	}
	readJSON(t, "quoted.json", &f)
	if len(f.Cases) != 16 {
		t.Fatalf("got %d vectors, want 16", len(f.Cases))
	}
	// Encodings in other projects' tests that ISO/IEC 7816-3 does not have.
	wrong := map[string]string{
		"00B000043CD7":     "an extended Le without the leading 00",
		"0001020300000004": "an Lc of zero before an extended Le",
	}
	for _, v := range f.Cases {
		b := unhex(t, v.Hex)
		c, err := apdu.ParseCommand(b)
		if v.Valid != nil || wrong[v.Hex] != "" {
			if err == nil {
				t.Errorf("%s %s: got %+v, want it refused", v.Hex, wrong[v.Hex], c)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: got error %v, want none", v.Hex, err)
			continue
		}
		want := v.command(unhex(t, v.Data), v.Ne)
		want.Extended = c.Extended
		if len(c.Data) == 0 {
			c.Data, want.Data = nil, nil
		}
		if d := cmp.Diff(want, c); d != "" {
			t.Errorf("%s: wrong command (-want +got):\n%s", v.Hex, d)
		}
	}
}

func TestCommand_AppendBinary_refusesLengths(t *testing.T) {
	for _, tt := range []struct {
		name string
		cmd  apdu.Command
		want *apdu.LengthError // nil: fits
	}{
		{"Nc of 65535", apdu.Command{Data: make([]byte, 65535)}, nil},
		{"Nc of 65536", apdu.Command{Data: make([]byte, 65536)}, &apdu.LengthError{Field: "Nc", Value: 65536, Max: 65535}},
		{"Ne of 65536", apdu.Command{Ne: 65536}, nil},
		{"Ne of 65537", apdu.Command{Ne: 65537}, &apdu.LengthError{Field: "Ne", Value: 65537, Max: 65536}},
		{"Ne below zero", apdu.Command{Ne: -1}, &apdu.LengthError{Field: "Ne", Value: -1, Max: 65536}},
		{"Ne far below zero", apdu.Command{Ne: math.MinInt}, &apdu.LengthError{Field: "Ne", Value: math.MinInt, Max: 65536}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst := []byte("before")
			got, err := tt.cmd.AppendBinary(dst)
			if tt.want == nil {
				if err != nil {
					t.Errorf("got error %v, want none", err)
				}
				return
			}
			if d := cmp.Diff(error(tt.want), err); d != "" {
				t.Errorf("wrong error (-want +got):\n%s", d)
			}
			if !errors.Is(err, apdu.ErrLength) {
				t.Errorf("errors.Is(%v, ErrLength): got false, want true", err)
			}
			if string(got) != "before" {
				t.Errorf("got dst %q, want it unchanged", got)
			}
		})
	}
}

func TestSyntaxError_tellsWhereAndWhy(t *testing.T) {
	for _, tt := range []struct{ hex, want string }{
		{"", "apdu: malformed command at offset 0: shorter than the 4-byte header"},
		{"00A404", "apdu: malformed command at offset 3: shorter than the 4-byte header"},
		{"00C00000 00FF", "apdu: malformed command at offset 6: extended length marker 00 followed by one byte only"},
		{"00C00000 00000000", "apdu: malformed command at offset 5: extended Lc of zero with bytes after it"},
		{"00200080 08 3132", "apdu: malformed command at offset 7: short Lc: body shorter than Lc"},
		{"00200080 02 3132 00 33", "apdu: malformed command at offset 8: short Lc: more than one byte after the data"},
		{"00200080 000002 3132 00", "apdu: malformed command at offset 9: extended Lc: one byte after the data, Le has two"},
		{"00200080 000002 3132 000033", "apdu: malformed command at offset 11: extended Lc: more than two bytes after the data"},
	} {
		_, err := apdu.ParseCommand(unhex(t, tt.hex))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.hex, err, tt.want)
		}
	}
}
