package tlv_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// FuzzAll: what is read and appended again reads the same, and an error says
// where.
func FuzzAll(f *testing.F) {
	for i, v := range readVectors(f) {
		if i < 75 || i%8 == 0 {
			b, _ := hex.DecodeString(v.Hex)
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		n := 0
		rest := b
		for o, err := range tlv.All(b) {
			if err != nil {
				e, ok := errors.AsType[*tlv.SyntaxError](err)
				if !ok || e.Offset < len(b)-len(rest) || e.Offset > len(b) {
					t.Fatalf("got error %v, want a *SyntaxError at an offset in %d..%d", err, len(b)-len(rest), len(b))
				}
				if _, _, err := tlv.Next(rest); err == nil {
					t.Fatal("All gives an error where Next gives none")
				}
				return
			}
			if !o.Tag.Valid() {
				t.Fatalf("got tag %v, want a valid one", o.Tag)
			}
			o2, after, err := tlv.Next(rest)
			if err != nil || o2.Tag != o.Tag || !bytes.Equal(o2.Value, o.Value) {
				t.Fatalf("Next gives %v, %v, All gives %v", o2, err, o)
			}
			// The same object with the shortest length is never longer, and reads
			// the same.
			short := tlv.Append(nil, o.Tag, o.Value)
			if raw := rest[:len(rest)-len(after)]; len(short) > len(raw) || len(short) == len(raw) && !bytes.Equal(short, raw) {
				t.Fatalf("read %X, append gives %X", raw, short)
			}
			again = append(again, short...)
			rest = after
			n++
		}
		for o, err := range tlv.All(again) {
			if err != nil {
				t.Fatalf("appended objects do not read again: %v", err)
			}
			first, after, _ := tlv.Next(b)
			if o.Tag != first.Tag || !bytes.Equal(o.Value, first.Value) {
				t.Fatalf("got %v again, want %v", o, first)
			}
			b = after
			n--
		}
		if n != 0 {
			t.Fatalf("%d objects were lost", n)
		}
	})
}

// FuzzAppend: what is appended is found again, at every level.
func FuzzAppend(f *testing.F) {
	f.Add(uint32(0x53), uint32(0x7F49), []byte("value"), uint16(0))
	f.Add(uint32(0x5FC105), uint32(0x61), []byte{}, uint16(122))
	f.Add(uint32(0x9F10), uint32(0x30), []byte{0xFF}, uint16(65530))
	f.Fuzz(func(t *testing.T, inner, outer uint32, value []byte, more uint16) {
		in, out := tlv.Tag(inner), tlv.Tag(outer)
		if !in.Valid() || !out.Valid() {
			t.Skip()
		}
		value = append(value, make([]byte, more)...)
		b := tlv.AppendFunc([]byte("before"), out, func(b []byte) []byte {
			return tlv.Append(b, in, value)
		})
		want := tlv.Append([]byte("before"), out, tlv.Append(nil, in, value))
		if !bytes.Equal(b, want) {
			t.Fatal("AppendFunc and Append differ")
		}
		got, err := tlv.Find(b[len("before"):], out, in)
		if err != nil || !bytes.Equal(got, value) {
			t.Fatalf("got %d bytes, error %v, want the %d appended", len(got), err, len(value))
		}
		if header := tlv.AppendHeader(nil, in, len(value)); !bytes.HasSuffix(b, append(header, value...)) {
			t.Fatal("AppendHeader and Append differ")
		}
	})
}

// FuzzPadded: padding between objects changes nothing, and no input makes the
// padded walk run longer than its bytes.
func FuzzPadded(f *testing.F) {
	f.Add([]byte{0x53, 1, 0xAA}, uint8(3), true)
	f.Add([]byte{0, 0, 0xFF}, uint8(0), false)
	f.Fuzz(func(t *testing.T, b []byte, n uint8, ff bool) {
		pad := make([]byte, n)
		if ff {
			pad = bytes.Repeat([]byte{0xFF}, int(n))
		}
		padded := append([]byte{}, pad...)
		strict := 0
		for o, err := range tlv.All(b) {
			if err != nil || o.Tag > 0xFF && o.Tag.Class() == tlv.Private && o.Tag.Constructed() {
				t.Skip() // FF begins a tag only where there is no padding
			}
			padded = append(tlv.Append(padded, o.Tag, o.Value), pad...)
			strict++
		}
		for o, err := range tlv.AllPadded(padded) {
			first, after, _ := tlv.Next(b)
			if err != nil || o.Tag != first.Tag || !bytes.Equal(o.Value, first.Value) {
				t.Fatalf("got %v, %v, want %v", o, err, first)
			}
			b = after
			strict--
		}
		if strict != 0 {
			t.Fatalf("%d objects were lost in padding", strict)
		}
	})
}
