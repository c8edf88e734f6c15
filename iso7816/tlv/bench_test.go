package tlv_test

import (
	"testing"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// The floors do the same reads by a bare loop that knows the form of its input:
// tags of one or two bytes, lengths of one. They check what no reader of bytes from
// outside can leave out: that the value ends before its surroundings do.

var sink int

func BenchmarkAll(b *testing.B) {
	var objects []byte
	for i := range 4643 { // 64 KiB of objects of about 14 bytes
		tag := tlv.Tag(0x53)
		if i%4 == 0 {
			tag = 0x5F24
		}
		objects = tlv.Append(objects, tag, make([]byte, 8+i%9))
	}
	b.Run("64KiB", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(objects)))
		for b.Loop() {
			sink = sumAll(objects)
		}
	})
	b.Run("64KiB/floor", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(objects)))
		for b.Loop() {
			sink = sumFloor(objects)
		}
	})
}

// sumAll and sumFloor are functions of their own, as b.Loop keeps the compiler from
// inlining the body of a loop over an iterator.
func sumAll(objects []byte) int {
	n := 0
	for o, err := range tlv.All(objects) {
		if err != nil {
			panic(err)
		}
		n += len(o.Value) + int(o.Tag)
	}
	return n
}

func sumFloor(objects []byte) int {
	n := 0
	for i := 0; i < len(objects); {
		tag := int(objects[i])
		i++
		if tag&0x1F == 0x1F {
			tag = tag<<8 | int(objects[i])
			i++
		}
		length := int(objects[i])
		i++
		if length > len(objects)-i {
			panic("value cut off")
		}
		n += len(objects[i:i+length]) + tag
		i += length
	}
	return n
}

func BenchmarkFind(b *testing.B) {
	// An FCI of 49 bytes: the application label is its third object, one level
	// down.
	fci := unhex(b, "6F2F8408A000000003000000A5235010416D65726963616E20457870726573739F38039F35018701015F2D02656E9F110101")
	b.Run("FCI", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(fci)))
		for b.Loop() {
			v, err := tlv.Find(fci, 0x6F, 0xA5, 0x5F2D)
			if err != nil {
				b.Fatal(err)
			}
			sink = len(v)
		}
	})
	b.Run("FCI/floor", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(fci)))
		for b.Loop() {
			from, to := 0, len(fci)
			for _, want := range [...]int{0x6F, 0xA5, 0x5F2D} {
				for i := from; i < to; {
					tag := int(fci[i])
					i++
					if tag&0x1F == 0x1F {
						tag = tag<<8 | int(fci[i])
						i++
					}
					length := int(fci[i])
					i++
					if length > to-i {
						b.Fatal("value cut off")
					}
					if tag == want {
						from, to = i, i+length
						break
					}
					i += length
				}
			}
			sink = len(fci[from:to])
		}
	})
}

func BenchmarkAppendFunc(b *testing.B) {
	challenge := make([]byte, 16)
	buf := make([]byte, 0, 64)
	b.Run("7C", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out := tlv.AppendFunc(buf, 0x7C, func(b []byte) []byte {
				b = tlv.Append(b, 0x82, nil)
				return tlv.Append(b, 0x81, challenge)
			})
			sink = len(out)
		}
	})
	b.Run("7C/floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out := append(buf, 0x7C, byte(2+2+len(challenge)), 0x82, 0, 0x81, byte(len(challenge)))
			out = append(out, challenge...)
			sink = len(out)
		}
	})
}
