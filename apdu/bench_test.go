package apdu_test

import (
	"errors"
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

// parseShort and parseExtended are the floors of ParseCommand: they know which of
// the seven forms they read, and check what no decoder may leave out, that Lc tells
// the truth and that nothing follows Le. They return a Command, as every decoder
// does; most of their time is that value of 48 bytes on its way through memory, as
// BenchmarkParseCommand/16B/reads shows, which makes none and checks nothing.
func parseShort(b []byte) (apdu.Command, error) {
	if len(b) < 6 || len(b) != 5+int(b[4])+1 {
		return apdu.Command{}, errFloor
	}
	n := int(b[4])
	return apdu.Command{
		Class: apdu.Class(b[0]), Instruction: apdu.Instruction(b[1]), P1: b[2], P2: b[3],
		Data: b[5 : 5+n : 5+n], Ne: 1 + int(b[5+n]-1),
	}, nil
}

func parseExtended(b []byte) (apdu.Command, error) {
	if len(b) < 9 || b[4] != 0 || len(b) != 7+(int(b[5])<<8|int(b[6]))+2 {
		return apdu.Command{}, errFloor
	}
	n := int(b[5])<<8 | int(b[6])
	return apdu.Command{
		Class: apdu.Class(b[0]), Instruction: apdu.Instruction(b[1]), P1: b[2], P2: b[3],
		Data: b[7 : 7+n : 7+n], Ne: 1 + int((uint16(b[7+n])<<8|uint16(b[8+n]))-1), Extended: true,
	}, nil
}

var errFloor = errors.New("wrong length")

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
		b.Run(size.name+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			if size.nc < 256 {
				for b.Loop() {
					c, err := parseShort(in)
					if err != nil {
						b.Fatal(err)
					}
					sinkBytes, sinkInt = c.Data, c.Ne+int(c.Instruction)
				}
				return
			}
			for b.Loop() {
				c, err := parseExtended(in)
				if err != nil {
					b.Fatal(err)
				}
				sinkBytes, sinkInt = c.Data, c.Ne+int(c.Instruction)
			}
		})
		if size.nc < 256 {
			b.Run(size.name+"/reads", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					n := int(in[4])
					sinkBytes, sinkInt = in[5:5+n:5+n], int(in[5+n])+int(in[0])+int(in[1])+int(in[2])+int(in[3])
				}
			})
		}
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
	// The floor checks that there is a status, and returns values as a decoder does.
	floor := func(b []byte) (apdu.Response, error) {
		n := len(b) - 2
		if n < 0 {
			return apdu.Response{}, errFloor
		}
		return apdu.Response{Data: b[:n:n], Status: apdu.Status(b[n])<<8 | apdu.Status(b[n+1])}, nil
	}
	b.Run("256B/floor", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			r, err := floor(in)
			if err != nil {
				b.Fatal(err)
			}
			sinkBytes, sinkInt = r.Data, int(r.Status)
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
