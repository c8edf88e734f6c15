package iso7816

import "testing"

var atrSink int

// The floor walks the interface bytes by a bare loop, checks nothing but the sum,
// and copies the bytes as ParseATR does.
func BenchmarkParseATR(b *testing.B) {
	for _, v := range []struct{ name, hex string }{
		{"YubiKey5", "3BFD1300008131FE158073C021C057597562694B657940"},
		{"SIM", "3B9F96801FC78031A073BE21136743200718000001A5"},
	} {
		raw := unhex(v.hex)
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				a, err := ParseATR(raw)
				if err != nil {
					b.Fatal(err)
				}
				atrSink = a.Len()
			}
		})
		b.Run(v.name+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				var copied [MaxATR]byte
				n := copy(copied[:], raw)
				i, y := 2, raw[1]>>4
				for {
					i += int(y&1 + y>>1&1 + y>>2&1 + y>>3)
					if y&8 == 0 {
						break
					}
					y = raw[i-1] >> 4
				}
				var sum byte
				for _, c := range copied[1:n] {
					sum ^= c
				}
				atrSink = i + n + int(sum)
			}
		})
	}
}
