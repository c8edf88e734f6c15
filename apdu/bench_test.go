package apdu_test

import (
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

var (
	sinkBytes []byte
	sinkInt   int
)

// lengths are those of a challenge and of the longest command.
var lengths = []struct {
	name string
	nc   int
}{{"16B", 16}, {"64KiB", 65535}}

func BenchmarkCommand_AppendBinary(b *testing.B) {
	for _, size := range lengths {
		c := apdu.Command{Instruction: apdu.InsSelect, P1: 4, Data: make([]byte, size.nc), Ne: 256}
		buf := make([]byte, 0, c.Size())
		b.Run(size.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(c.Size()))
			for b.Loop() {
				out, err := c.AppendBinary(buf)
				if err != nil {
					b.Fatal(err)
				}
				sinkBytes = out
			}
		})
		// The floor knows which of the forms it writes.
		b.Run(size.name+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(c.Size()))
			for b.Loop() {
				out := append(buf, byte(c.Class), byte(c.Instruction), c.P1, c.P2)
				if size.nc < 256 {
					out = append(out, byte(len(c.Data)))
					out = append(out, c.Data...)
					out = append(out, byte(c.Ne))
				} else {
					out = append(out, 0, byte(len(c.Data)>>8), byte(len(c.Data)))
					out = append(out, c.Data...)
					out = append(out, byte(c.Ne>>8), byte(c.Ne))
				}
				sinkBytes = out
			}
		})
	}
}

func BenchmarkParseCommand(b *testing.B) {
	for _, size := range lengths {
		c := apdu.Command{Instruction: apdu.InsSelect, P1: 4, Data: make([]byte, size.nc), Ne: 256}
		in, err := c.AppendBinary(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(size.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				c, err := apdu.ParseCommand(in)
				if err != nil {
					b.Fatal(err)
				}
				sinkBytes, sinkInt = c.Data, c.Ne+int(c.Instruction)
			}
		})
		// The floor knows which of the forms it reads, and trusts the lengths.
		b.Run(size.name+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				c := apdu.Command{Class: apdu.Class(in[0]), Instruction: apdu.Instruction(in[1]), P1: in[2], P2: in[3]}
				if size.nc < 256 {
					n := int(in[4])
					c.Data, c.Ne = in[5:5+n:5+n], int(in[5+n])
				} else {
					n := int(in[5])<<8 | int(in[6])
					c.Data, c.Ne = in[7:7+n:7+n], int(in[7+n])<<8|int(in[8+n])
				}
				sinkBytes, sinkInt = c.Data, c.Ne+int(c.Instruction)
			}
		})
	}
}

func BenchmarkParseResponse(b *testing.B) {
	in := append(make([]byte, 256), 0x90, 0)
	b.Run("256B", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			r, err := apdu.ParseResponse(in)
			if err != nil {
				b.Fatal(err)
			}
			sinkBytes, sinkInt = r.Data, int(r.Status)
		}
	})
	b.Run("256B/floor", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			n := len(in) - 2
			sinkBytes, sinkInt = in[:n:n], int(in[n])<<8|int(in[n+1])
		}
	})
}

func TestAllocs(t *testing.T) {
	c := apdu.Command{Instruction: apdu.InsSelect, P1: 4, Data: make([]byte, 65535), Ne: 256}
	buf := make([]byte, 0, c.Size())
	command, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	response := append(make([]byte, 256), 0x90, 0)
	r := apdu.Response{Data: response[:256], Status: apdu.StatusOK}
	for _, tt := range []struct {
		name string
		call func() error
	}{
		{"Command.AppendBinary", func() (err error) { sinkBytes, err = c.AppendBinary(buf); return }},
		{"ParseCommand", func() error { c, err := apdu.ParseCommand(command); sinkBytes = c.Data; return err }},
		{"Response.AppendBinary", func() (err error) { sinkBytes, err = r.AppendBinary(buf); return }},
		{"ParseResponse", func() error { r, err := apdu.ParseResponse(response); sinkBytes = r.Data; return err }},
	} {
		got := testing.AllocsPerRun(100, func() {
			if err := tt.call(); err != nil {
				t.Error(err)
			}
		})
		if got != 0 {
			t.Errorf("%s: got %v allocations, want 0", tt.name, got)
		}
	}
}
