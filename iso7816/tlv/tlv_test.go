package tlv_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fci is the FCI of a payment system directory, 61 bytes (tag 6F of the vectors).
const fci = "6F3B840E325041592E5359532E4444463031A529BF0C2661244F08A0000000250104035010416D65726963616E20457870726573738701019F28024004"

func TestTag(t *testing.T) {
	for _, tt := range []struct {
		name        string
		tag         tlv.Tag
		valid       bool
		constructed bool
		class       tlv.Class
		size        int
		text        string
	}{
		{"one byte, application, primitive", 0x53, true, false, tlv.Application, 1, "53"},
		{"one byte below 10 keeps its zero", 0x04, true, false, tlv.Universal, 1, "04"},
		{"two bytes, application, constructed", 0x7F49, true, true, tlv.Application, 2, "7F49"},
		{"two bytes of EMV, number below 31", 0x9F10, true, false, tlv.ContextSpecific, 2, "9F10"},
		{"three bytes of PIV", 0x5FC105, true, false, tlv.Application, 3, "5FC105"},
		{"private, constructed", 0xFF8103, true, true, tlv.Private, 3, "FF8103"},
		{"two bytes of a universal class", 0x1F1E, true, false, tlv.Universal, 2, "1F1E"},
		{"zero is no tag", 0, false, false, tlv.Universal, 1, "00"},
		{"first byte announces a second", 0x5F, false, false, tlv.Application, 1, "5F"},
		{"first byte announces no second", 0x5349, false, false, tlv.Application, 2, "5349"},
		{"second byte announces a third", 0x5FC1, false, false, tlv.Application, 2, "5FC1"},
		{"second byte announces no third", 0x5F4105, false, false, tlv.Application, 3, "5F4105"},
		{"third byte announces a fourth", 0x5FC185, false, false, tlv.Application, 3, "5FC185"},
		{"leading zero of the number", 0x5F8005, false, false, tlv.Application, 3, "5F8005"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.tag.Valid(); got != tt.valid {
				t.Errorf("Valid: got %v, want %v", got, tt.valid)
			}
			if got := tt.tag.Constructed(); got != tt.constructed {
				t.Errorf("Constructed: got %v, want %v", got, tt.constructed)
			}
			if got := tt.tag.Class(); got != tt.class {
				t.Errorf("Class: got %v, want %v", got, tt.class)
			}
			if got := tt.tag.Size(); got != tt.size {
				t.Errorf("Size: got %v, want %v", got, tt.size)
			}
			if got := tt.tag.String(); got != tt.text {
				t.Errorf("String: got %q, want %q", got, tt.text)
			}
		})
	}
	if tlv.Tag(0x01020304).Valid() {
		t.Error("got a valid tag of four bytes, want it refused")
	}
}

// Whatever bytes there are, they are a tag that can be read again, or refused.
func TestTag_validIsWhatNextReads(t *testing.T) {
	b := make([]byte, 0, 8)
	for n := range 1 << 16 {
		for _, last := range []int{-1, 0, 1, 0x7F, 0x80, 0x81, 0xFF} {
			tag := tlv.Tag(n)
			if last >= 0 {
				tag = tag<<8 | tlv.Tag(last)
			}
			b = b[:0]
			for shift := 8 * (tag.Size() - 1); shift >= 0; shift -= 8 {
				b = append(b, byte(tag>>shift))
			}
			b = append(b, 0)
			o, rest, err := tlv.Next(b)
			read := err == nil && len(rest) == 0 && o.Tag == tag
			if read != tag.Valid() {
				t.Fatalf("tag %v: Valid is %v, but Next gives %v, %d bytes left, error %v", tag, tag.Valid(), o.Tag, len(rest), err)
			}
		}
	}
}

func TestNext(t *testing.T) {
	b := unhex(t, "53021122 9F270180 7F49820001AA 00")
	var got []string
	rest := b
	for {
		o, after, err := tlv.Next(rest)
		if err != nil {
			if e, ok := errors.AsType[*tlv.SyntaxError](err); !ok || e.Offset != 0 || e.Reason != "tag byte 00" {
				t.Errorf("got error %v, want tag byte 00 at offset 0", err)
			}
			break
		}
		raw := rest[:len(rest)-len(after)]
		got = append(got, o.Tag.String()+" "+hex.EncodeToString(o.Value)+" "+hex.EncodeToString(raw))
		if cap(o.Value) != len(o.Value) {
			t.Errorf("%v: the value has %d bytes and capacity %d, want no room", o.Tag, len(o.Value), cap(o.Value))
		}
		rest = after
	}
	want := []string{"53 1122 53021122", "9F27 80 9f270180", "7F49 aa 7f49820001aa"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("wrong objects (-want +got):\n%s", d)
	}
	if _, _, err := tlv.Next(nil); err == nil {
		t.Error("got no error from no bytes, want one")
	}
}

func TestAll_yieldsAnErrorOnceAndEnds(t *testing.T) {
	b := unhex(t, "5301AA 5401BB 5505CC")
	var tags []tlv.Tag
	var failed int
	for o, err := range tlv.All(b) {
		if err != nil {
			failed++
			want := &tlv.SyntaxError{Offset: 9, Reason: "value cut off"}
			if d := cmp.Diff(error(want), err); d != "" {
				t.Errorf("wrong error (-want +got):\n%s", d)
			}
			if o.Tag != 0 || o.Value != nil {
				t.Errorf("got %v beside the error, want the zero object", o)
			}
			continue
		}
		tags = append(tags, o.Tag)
	}
	if failed != 1 {
		t.Errorf("got %d errors, want 1", failed)
	}
	if d := cmp.Diff([]tlv.Tag{0x53, 0x54}, tags); d != "" {
		t.Errorf("wrong tags (-want +got):\n%s", d)
	}
	n := 0
	for range tlv.All(b) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("got %d objects before the break, want 1", n)
	}
}

func TestFind(t *testing.T) {
	b := unhex(t, fci)
	for _, tt := range []struct {
		name   string
		b      []byte
		path   []tlv.Tag
		want   string
		err    string
		padded bool
	}{
		{name: "an empty path is the whole", b: unhex(t, "5300"), want: "5300"},
		{name: "first level", b: unhex(t, "5301AA"), path: []tlv.Tag{0x53}, want: "AA"},
		{name: "second level", b: b, path: []tlv.Tag{0x6F, 0x84}, want: "325041592E5359532E4444463031"},
		{name: "five levels", b: b, path: []tlv.Tag{0x6F, 0xA5, 0xBF0C, 0x61, 0x4F}, want: "A000000025010403"},
		{name: "the last of five levels", b: b, path: []tlv.Tag{0x6F, 0xA5, 0xBF0C, 0x61, 0x9F28}, want: "4004"},
		{name: "first of two with the same tag", b: unhex(t, "5301AA5301BB"), path: []tlv.Tag{0x53}, want: "AA"},
		{name: "no way back to a second parent", b: unhex(t, "6100 61035301AA"), path: []tlv.Tag{0x61, 0x53}, err: "tlv: data object 53 not found"},
		{name: "an empty value is found", b: unhex(t, "5300"), path: []tlv.Tag{0x53}, want: ""},
		{name: "not there", b: b, path: []tlv.Tag{0x6F, 0x88}, err: "tlv: data object 88 not found"},
		{name: "nothing given", path: []tlv.Tag{0x6F}, err: "tlv: data object 6F not found"},
		{name: "what comes after is not looked at", b: unhex(t, "5301AA 00"), path: []tlv.Tag{0x53}, want: "AA"},
		{name: "what comes before is", b: unhex(t, "00 5301AA"), path: []tlv.Tag{0x53}, err: "tlv: malformed data object at offset 0: tag byte 00"},
		{name: "padding before is skipped when asked", b: unhex(t, "00FF 5301AA"), path: []tlv.Tag{0x53}, want: "AA", padded: true},
		{name: "padding inside too", b: unhex(t, "6105 00005301AA"), path: []tlv.Tag{0x61, 0x53}, want: "AA", padded: true},
		{name: "padding alone holds nothing", b: unhex(t, "00FF"), path: []tlv.Tag{0x53}, err: "tlv: data object 53 not found", padded: true},
		{name: "the offset of an error counts from the start", b: unhex(t, "5300 6106 5300 5405AABB"), path: []tlv.Tag{0x61, 0x55}, err: "tlv: malformed data object at offset 10: value cut off"},
		{name: "from two levels down too", b: unhex(t, "5300 6106 6104 5403AABB"), path: []tlv.Tag{0x61, 0x61, 0x55}, err: "tlv: malformed data object at offset 10: value cut off"},
		{name: "a value that is not what its tag says is left alone", b: unhex(t, "7003 1F8B08 7101AA"), path: []tlv.Tag{0x71}, want: "AA"},
		{name: "and refused when asked for", b: unhex(t, "7003 1F8B08"), path: []tlv.Tag{0x70, 0x53}, err: "tlv: malformed data object at offset 5: length missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			find := tlv.Find
			if tt.padded {
				find = tlv.FindPadded
			}
			got, err := find(tt.b, tt.path...)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got error %v, want %q", err, tt.err)
				}
				if is := strings.HasSuffix(tt.err, "not found"); errors.Is(err, tlv.ErrNotFound) != is {
					t.Errorf("errors.Is ErrNotFound: got %v, want %v", !is, is)
				}
				return
			}
			if err != nil {
				t.Fatalf("got error %v, want none", err)
			}
			if !bytes.Equal(got, unhex(t, tt.want)) {
				t.Errorf("got %X, want %s", got, tt.want)
			}
		})
	}
}

func TestAppend_usesTheShortestLength(t *testing.T) {
	for _, tt := range []struct {
		n    int
		want string
	}{
		{0, "53 00"},
		{1, "53 01"},
		{127, "53 7F"},
		{128, "53 8180"},
		{255, "53 81FF"},
		{256, "53 820100"},
		{65535, "53 82FFFF"},
		{65536, "53 83010000"},
	} {
		value := make([]byte, tt.n)
		want := append(unhex(t, tt.want), value...)
		if got := tlv.Append(nil, 0x53, value); !bytes.Equal(got, want) {
			t.Errorf("Append of %d bytes: got %d bytes that begin with %X, want %d that begin with %s", tt.n, len(got), got[:min(len(got), 6)], len(want), tt.want)
		}
		if got := tlv.AppendHeader(nil, 0x53, tt.n); !bytes.Equal(got, unhex(t, tt.want)) {
			t.Errorf("AppendHeader of %d bytes: got %X, want %s", tt.n, got, tt.want)
		}
		got := tlv.AppendFunc([]byte("before"), 0x53, func(b []byte) []byte { return append(b, value...) })
		if !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Errorf("AppendFunc of %d bytes: got %d bytes that begin with %X, want %d", tt.n, len(got), got[:min(len(got), 12)], len(want)+6)
		}
	}
}

func TestAppendHeader_announcesLongValues(t *testing.T) {
	for _, tt := range []struct {
		n    int
		want string
	}{
		{1<<24 - 1, "5FC105 83FFFFFF"},
		{1 << 24, "5FC105 8401000000"},
		{1<<31 - 1, "5FC105 847FFFFFFF"},
	} {
		if got := tlv.AppendHeader(nil, 0x5FC105, tt.n); !bytes.Equal(got, unhex(t, tt.want)) {
			t.Errorf("%d bytes: got %X, want %s", tt.n, got, tt.want)
		}
	}
}

func TestAppendFunc_nests(t *testing.T) {
	b := tlv.AppendFunc(nil, 0x6F, func(b []byte) []byte {
		b = tlv.Append(b, 0x84, []byte("2PAY.SYS.DDF01"))
		return tlv.AppendFunc(b, 0xA5, func(b []byte) []byte {
			return tlv.AppendFunc(b, 0xBF0C, func(b []byte) []byte {
				return tlv.AppendFunc(b, 0x61, func(b []byte) []byte {
					b = tlv.Append(b, 0x4F, unhex(t, "A000000025010403"))
					b = tlv.Append(b, 0x50, []byte("American Express"))
					b = tlv.Append(b, 0x87, []byte{1})
					return tlv.Append(b, 0x9F28, []byte{0x40, 4})
				})
			})
		})
	})
	if want := unhex(t, fci); !bytes.Equal(b, want) {
		t.Errorf("got  %X\nwant %X", b, want)
	}
}

func TestAppend_panics(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func()
	}{
		{"on tag 0", func() { tlv.Append(nil, 0, nil) }},
		{"on half a tag", func() { tlv.Append(nil, 0x7F, nil) }},
		{"on half a tag, nested", func() { tlv.AppendFunc(nil, 0x7F, func(b []byte) []byte { return b }) }},
		{"on a negative length", func() { tlv.AppendHeader(nil, 0x53, -1) }},
		{"on a value that eats what was there", func() {
			tlv.AppendFunc(nil, 0x53, func(b []byte) []byte { return nil })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if r := recover(); r == nil || !strings.HasPrefix(r.(string), "tlv: ") {
					t.Errorf("got panic %v, want one of this package", r)
				}
			}()
			tt.call()
		})
	}
}

// A length field never makes anything allocate: four gigabytes announced, none
// there.
func TestNext_lengthFieldCostsNothing(t *testing.T) {
	b := unhex(t, "53 84FFFFFFFF AA")
	if _, _, err := tlv.Next(b); err == nil {
		t.Fatal("got no error, want value cut off")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		tlv.Next(b)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 100<<10 {
		t.Errorf("got %d bytes allocated by 100 errors, want at most 100 KiB", got)
	}
}

func TestAllocs(t *testing.T) {
	b := unhex(t, fci)
	buf := make([]byte, 0, 512)
	value := make([]byte, 200)
	for _, tt := range []struct {
		name string
		call func()
	}{
		{"All", func() {
			for o, err := range tlv.All(b) {
				if err != nil || o.Tag != 0x6F {
					t.Error("got something else, want 6F")
				}
			}
		}},
		{"AllPadded", func() {
			for _, err := range tlv.AllPadded(b) {
				if err != nil {
					t.Error(err)
				}
			}
		}},
		{"Find", func() {
			if _, err := tlv.Find(b, 0x6F, 0xA5, 0xBF0C, 0x61, 0x9F28); err != nil {
				t.Error(err)
			}
		}},
		{"FindPadded", func() {
			if _, err := tlv.FindPadded(b, 0x6F, 0xA5, 0xBF0C, 0x61, 0x9F28); err != nil {
				t.Error(err)
			}
		}},
		{"Append", func() { tlv.Append(buf, 0x5FC105, value) }},
		{"AppendFunc", func() {
			tlv.AppendFunc(buf, 0x7C, func(b []byte) []byte {
				b = tlv.Append(b, 0x82, nil)
				return tlv.AppendFunc(b, 0x81, func(b []byte) []byte { return append(b, value...) })
			})
		}},
	} {
		if got := testing.AllocsPerRun(100, tt.call); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", tt.name, got)
		}
	}
}
