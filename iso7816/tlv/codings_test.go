package tlv_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// wantSyntaxError checks that err is a *SyntaxError with the given reason at an
// offset within n bytes.
func wantSyntaxError(t *testing.T, name string, err error, reason string, n int) {
	t.Helper()
	e, ok := errors.AsType[*tlv.SyntaxError](err)
	if !ok || e.Reason != reason || e.Offset < 0 || e.Offset > n {
		t.Errorf("%s: got error %v, want the reason %q at an offset in 0..%d", name, err, reason, n)
	}
}

// errorText returns the text of err, empty when there is none.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func upper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// panics reports whether f panics.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func TestAllSimple_vectors(t *testing.T) {
	var f struct {
		Edges []struct {
			Hex, Error string
			OK         bool
			Tree       [][2]string
		}
		CAC []struct {
			Hex, Tag string
			Len      *int
			Encode   []int
		} `json:"opensc_cac_little_endian"`
	}
	readJSON(t, "simple-tlv.json", &f)
	if len(f.Edges) != 20 || len(f.CAC) != 11 {
		t.Fatalf("got %d and %d vectors, want 20 and 11", len(f.Edges), len(f.CAC))
	}
	for _, v := range f.Edges {
		b := unhex(t, v.Hex)
		got := [][2]string{}
		var failed error
		for o, err := range tlv.AllSimple(b) {
			if err != nil {
				failed = err
				break
			}
			got = append(got, [2]string{upper([]byte{o.Tag}), upper(o.Value)})
		}
		if !v.OK {
			wantSyntaxError(t, v.Hex, failed, v.Error, len(b))
			continue
		}
		if d := cmp.Diff(v.Tree, got); d != "" || failed != nil {
			t.Errorf("%s: got error %v (-want +got):\n%s", v.Hex, failed, d)
		}
	}

	// The form of CAC cards is the same up to 254 bytes and another one above: it
	// is refused, or read as what ISO/IEC 7816-4 says.
	same, other := 0, 0
	for _, v := range f.CAC {
		switch {
		case v.Encode != nil && v.Encode[1] <= tlv.MaxSimple:
			got := tlv.AppendSimple(nil, byte(v.Encode[0]), make([]byte, v.Encode[1]))
			if equal := bytes.HasPrefix(got, unhex(t, v.Hex)); equal != (v.Encode[1] < 255) {
				t.Errorf("%d bytes: got %X, CAC %s", v.Encode[1], got[:4], v.Hex)
			}
		case v.Len != nil:
			o, rest, err := tlv.NextSimple(unhex(t, v.Hex))
			if err == nil && len(rest) == 0 && len(o.Value) == *v.Len {
				same++
			} else if wantSyntaxError(t, v.Hex, err, "value cut off", len(v.Hex)/2); err != nil {
				other++
			}
		}
	}
	if same != 3 || other != 1 {
		t.Errorf("got %d CAC objects read and %d refused, want 3 and 1", same, other)
	}
}

func TestAppendSimple_usesTheShortestLength(t *testing.T) {
	for n, want := range map[int]string{0: "0100", 254: "01FE", 255: "01FF00FF", 256: "01FF0100", 65535: "01FFFFFF"} {
		value := bytes.Repeat([]byte{0xA5}, n)
		b := tlv.AppendSimple(nil, 1, value)
		o, rest, err := tlv.NextSimple(b)
		if !bytes.Equal(b, append(unhex(t, want), value...)) || err != nil || len(rest) != 0 || !bytes.Equal(o.Value, value) {
			t.Errorf("%d bytes: got %X and so on, read %d bytes, %v, want %s", n, b[:2], len(o.Value), err, want)
		}
	}
}

func TestCompact(t *testing.T) {
	for _, tt := range []struct{ hex, want, err string }{
		{"", "", ""},
		{"00", "0:", ""},
		{"31C0 73C001C0 810F", "3:C0 7:C001C0 8:0F", ""},
		{"FF" + strings.Repeat("11", 15), "15:" + strings.Repeat("11", 15), ""},
		{"31C0 7311", "3:C0", "tlv: malformed data object at offset 4: value cut off"},
		{"5F", "", "tlv: malformed data object at offset 1: value cut off"},
	} {
		var got []string
		text := ""
		for o, err := range tlv.AllCompact(unhex(t, tt.hex)) {
			if err != nil {
				text = err.Error()
				break
			}
			got = append(got, string("0123456789abcdef"[o.Tag])+":"+upper(o.Value))
		}
		want := strings.ReplaceAll(tt.want, "15:", "f:")
		if strings.Join(got, " ") != want || text != tt.err {
			t.Errorf("%s: got %v, %q, want %s, %q", tt.hex, got, text, want, tt.err)
		}
	}
	if _, _, err := tlv.NextCompact(nil); err == nil {
		t.Error("no bytes: got nil, want an error")
	}
}

func TestAllDER_refusesLongLengthFields(t *testing.T) {
	long := strings.Repeat("00", 200)
	for _, tt := range []struct {
		name, hex, err string
	}{
		{"nothing", "", ""},
		{"short lengths", "5300 5F2401AA 5FC1050155", ""},
		{"81 for 200 bytes", "53 81C8" + long, ""},
		{"81 for one byte", "5300 538101AA", "tlv: malformed data object at offset 3: length field longer than necessary"},
		{"82 for 200 bytes", "5300 5F24 8200C8" + long, "tlv: malformed data object at offset 4: length field longer than necessary"},
		{"84 for none", "5FC105 8400000000", "tlv: malformed data object at offset 3: length field longer than necessary"},
		{"82 for 300 bytes", "53 82012C" + long + strings.Repeat("00", 100), ""},
		{"83 for 65,536 bytes", "53 83010000" + strings.Repeat("00", 65536), ""},
		{"83 for 65,535 bytes", "53 8300FFFF" + strings.Repeat("00", 65535), "tlv: malformed data object at offset 1: length field longer than necessary"},
		{"cut off", "5300 5302AA", "tlv: malformed data object at offset 5: value cut off"},
	} {
		text := ""
		for _, err := range tlv.AllDER(unhex(t, tt.hex)) {
			text = errorText(err)
		}
		if text != tt.err {
			t.Errorf("%s: got %q, want %q", tt.name, text, tt.err)
		}
	}
	// A length of 84 01000000 is minimal, one byte less is not.
	for n, want := range map[int]bool{1 << 24: true, 1<<24 - 1: false} {
		b := append([]byte{0x53, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
		if _, _, err := tlv.NextDER(b); (err == nil) != want {
			t.Errorf("84 for %d bytes: got %v, want accepted %v", n, err, want)
		}
	}
}

func TestDOL_vectors(t *testing.T) {
	var f struct {
		DOL []struct {
			Tag, Hex, PDOL, Trace string
			Entries               [][2]any
			TotalLen              int    `json:"total_len"`
			CommandData           string `json:"command_data"`
		}
	}
	readJSON(t, "dol-cvm-afl.json", &f)
	if len(f.DOL) != 14 {
		t.Fatalf("got %d vectors, want 14", len(f.DOL))
	}
	for _, v := range f.DOL {
		dol := unhex(t, v.Hex+v.PDOL)
		var again []byte
		i := 0
		for e, err := range tlv.AllDOL(dol) {
			if err != nil || e.Tag.String() != v.Entries[i][0] || float64(e.Length) != v.Entries[i][1] {
				t.Errorf("%s: entry %d: got %v, %v, want %v", v.Trace, i, e, err, v.Entries[i])
			}
			again = tlv.AppendDOL(again, e)
			i++
		}
		if i != len(v.Entries) || !bytes.Equal(again, dol) {
			t.Errorf("%s: got %d entries, appended %X, want %d, %X", v.Trace, i, again, len(v.Entries), dol)
		}
		n, err := tlv.DOLLength(dol)
		values, err2 := tlv.AppendDOLValues(nil, dol, func(tlv.Tag) tlv.DOLValue { return tlv.DOLValue{} })
		if n != v.TotalLen || err != nil || err2 != nil || !bytes.Equal(values, make([]byte, n)) {
			t.Errorf("%s: got length %d, %v, values %X, %v, want %d zeros", v.Trace, n, err, values, err2, v.TotalLen)
		}
		if v.CommandData != "" && len(v.CommandData)/2 != n {
			t.Errorf("%s: the terminal sent %s for %d bytes", v.Trace, v.CommandData, n)
		}
	}
}

func TestAppendDOLValues_cutsAndFills(t *testing.T) {
	numeric, compressed, other := tlv.FormatNumeric, tlv.FormatCompressedNumeric, tlv.FormatOther
	for _, tt := range []struct {
		name   string
		dol    string
		value  string
		format tlv.DOLFormat
		want   string
	}{
		{"numeric fits", "9F0206", "000000001234", numeric, "000000001234"},
		{"numeric is filled at the left", "9F0206", "1234", numeric, "000000001234"},
		{"numeric is cut at the left", "9F0202", "000000001234", numeric, "1234"},
		{"compressed numeric is filled with FF", "5A08", "1234", compressed, "1234FFFFFFFFFFFF"},
		{"compressed numeric is cut at the right", "5A02", "123456", compressed, "1234"},
		{"other is filled at the right", "9F4C08", "AABB", other, "AABB000000000000"},
		{"other is cut at the right", "9F4C02", "AABBCC", other, "AABB"},
		{"an unknown element is zeros", "5A03", "", compressed, "000000"},
		{"no byte wanted", "5A00", "1234", numeric, ""},
		{"a constructed tag is zeros", "BF0C02", "1234", numeric, "0000"},
		{"a length of 255 is one byte", "5AFF", "", other, strings.Repeat("00", 255)},
		{"no entries", "", "1234", other, ""},
	} {
		got, err := tlv.AppendDOLValues([]byte{0xEE}, unhex(t, tt.dol), func(tag tlv.Tag) tlv.DOLValue {
			if tag.Constructed() {
				t.Errorf("%s: asked for %v", tt.name, tag)
			}
			return tlv.DOLValue{Value: unhex(t, tt.value), Format: tt.format}
		})
		if err != nil || upper(got) != "EE"+tt.want {
			t.Errorf("%s: got %X, %v, want EE%s", tt.name, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ dol, err string }{
		{"9F02", "tlv: malformed data object at offset 2: length missing"},
		{"5A08 9F", "tlv: malformed data object at offset 3: tag cut off"},
		{"5A08 0008", "tlv: malformed data object at offset 2: tag byte 00"},
	} {
		got, err := tlv.AppendDOLValues([]byte{0xEE}, unhex(t, tt.dol), func(tlv.Tag) tlv.DOLValue {
			t.Errorf("%s: asked for a value of a malformed list", tt.dol)
			return tlv.DOLValue{}
		})
		if errorText(err) != tt.err || upper(got) != "EE" {
			t.Errorf("%s: got %X, %v, want %s", tt.dol, got, err, tt.err)
		}
	}
}

func TestAppend_panicsOnWhatCannotBeCoded(t *testing.T) {
	for name, f := range map[string]func(){
		"COMPACT-TLV tag 16":         func() { tlv.AppendCompact(nil, 16, nil) },
		"COMPACT-TLV of 16 bytes":    func() { tlv.AppendCompact(nil, 5, make([]byte, 16)) },
		"SIMPLE-TLV tag 00":          func() { tlv.AppendSimple(nil, 0, nil) },
		"SIMPLE-TLV tag FF":          func() { tlv.AppendSimple(nil, 0xFF, nil) },
		"SIMPLE-TLV of 65,536 bytes": func() { tlv.AppendSimple(nil, 1, make([]byte, 65536)) },
		"DOL entry of 256 bytes":     func() { tlv.AppendDOL(nil, tlv.DOLEntry{Tag: 0x5A, Length: 256}) },
		"DOL entry of -1 bytes":      func() { tlv.AppendDOL(nil, tlv.DOLEntry{Tag: 0x5A, Length: -1}) },
		"DOL entry without tag":      func() { tlv.AppendDOL(nil, tlv.DOLEntry{}) },
	} {
		if !panics(f) {
			t.Errorf("%s: got no panic", name)
		}
	}
}

func TestCodings_allocateNothing(t *testing.T) {
	compact, simple := unhex(t, "31C073C001C0810F"), unhex(t, "0102AABB02FF000142")
	der, dol := unhex(t, "5302AABB5F2401CC"), unhex(t, "9F02069F37049A03")
	amount := []byte{1, 0}
	dst := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		count := 0
		for o, err := range tlv.AllCompact(compact) {
			if err != nil {
				t.Fatal(err)
			}
			count += len(o.Value)
		}
		for o, err := range tlv.AllSimple(simple) {
			if err != nil {
				t.Fatal(err)
			}
			count += len(o.Value)
		}
		for o, err := range tlv.AllDER(der) {
			if err != nil {
				t.Fatal(err)
			}
			count += len(o.Value)
		}
		out, err := tlv.AppendDOLValues(dst, dol, func(tlv.Tag) tlv.DOLValue {
			return tlv.DOLValue{Value: amount, Format: tlv.FormatNumeric}
		})
		if err != nil || len(out) != 13 || count != 11 {
			t.Fatal(len(out), count, err)
		}
		out = tlv.AppendSimple(tlv.AppendCompact(dst, 3, amount), 1, amount)
		if len(out) != 7 {
			t.Fatal(len(out))
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
