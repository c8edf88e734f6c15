package tlv_test

import (
	"testing"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

func BenchmarkAllCompact(b *testing.B) {
	objects := unhex(b, "31C073C001C0558877665544")
	b.Run("historical bytes", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(objects)))
		for b.Loop() {
			n := 0
			for o, err := range tlv.AllCompact(objects) {
				if err != nil {
					b.Fatal(err)
				}
				n += len(o.Value) + int(o.Tag)
			}
			sink = n
		}
	})
	b.Run("historical bytes/floor", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(objects)))
		for b.Loop() {
			n := 0
			for i := 0; i < len(objects); i += 1 + int(objects[i]&0x0F) {
				n += int(objects[i]&0x0F) + int(objects[i]>>4)
			}
			sink = n
		}
	})
}

func BenchmarkAllSimple(b *testing.B) {
	var objects []byte
	for i := range 4096 {
		objects = tlv.AppendSimple(objects, byte(1+i%254), make([]byte, 10+i%9))
	}
	b.Run("64KiB", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(objects)))
		for b.Loop() {
			n := 0
			for o, err := range tlv.AllSimple(objects) {
				if err != nil {
					b.Fatal(err)
				}
				n += len(o.Value) + int(o.Tag)
			}
			sink = n
		}
	})
	b.Run("64KiB/floor", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(objects)))
		for b.Loop() {
			n := 0
			for i := 0; i < len(objects); i += 2 + int(objects[i+1]) {
				n += int(objects[i]) + int(objects[i+1])
			}
			sink = n
		}
	})
}

func BenchmarkAppendDOLValues(b *testing.B) {
	cdol := unhex(b, "9F02069F03069F1A0295055F2A029A039C019F3704")
	value := make([]byte, 8)
	buf := make([]byte, 0, 64)
	b.Run("CDOL1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out, err := tlv.AppendDOLValues(buf, cdol, func(tlv.Tag) tlv.DOLValue { return tlv.DOLValue{Value: value} })
			if err != nil {
				b.Fatal(err)
			}
			sink = len(out)
		}
	})
	b.Run("CDOL1/floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out := buf
			for i := 0; i < len(cdol); {
				if cdol[i]&0x1F == 0x1F {
					i++
				}
				out = append(out, value[:cdol[i+1]]...)
				i += 2
			}
			sink = len(out)
		}
	})
}
