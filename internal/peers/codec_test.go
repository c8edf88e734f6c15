package peers

import (
	"errors"
	"testing"

	gocard "cunicu.li/go-iso7816"
	skythen "github.com/skythen/apdu"

	"github.com/cardoki/cardoki/apdu"
)

var (
	sinkBytes []byte
	sinkInt   int
	errFloor  = errors.New("wrong length")
)

// A work is one way to do what a benchmark measures.
type work struct {
	name string
	do   func() error
}

// compare runs each of the works on input or output of n bytes.
func compare(b *testing.B, n int, works ...work) {
	for _, w := range works {
		b.Run(w.name, func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if err := w.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncode encodes a command of 16 bytes and of 64 KiB. The floor knows which
// form it writes, and appends to a buffer that is there. The peers have no call that
// does so.
func BenchmarkEncode(b *testing.B) {
	for _, size := range []struct {
		name string
		nc   int
	}{{"16B", 16}, {"64KiB", 65535}} {
		data := make([]byte, size.nc)
		command := apdu.Command{Instruction: apdu.InsSelect, P1: 4, Data: data, Ne: 256}
		sky := skythen.Capdu{Ins: 0xA4, P1: 4, Data: data, Ne: 256}
		gocommand := gocard.CAPDU{Ins: 0xA4, P1: 4, Data: data, Ne: 256}
		buf := make([]byte, 0, command.Size())
		b.Run(size.name, func(b *testing.B) {
			compare(b, command.Size(),
				work{"floor", func() error {
					out := append(buf, byte(command.Class), byte(command.Instruction), command.P1, command.P2)
					if size.nc < 256 {
						out = append(out, byte(len(command.Data)))
						out = append(out, command.Data...)
						out = append(out, byte(command.Ne))
					} else {
						out = append(out, 0, byte(len(command.Data)>>8), byte(len(command.Data)))
						out = append(out, command.Data...)
						out = append(out, byte(command.Ne>>8), byte(command.Ne))
					}
					sinkBytes = out
					return nil
				}},
				work{"cardoki", func() (err error) { sinkBytes, err = command.AppendBinary(buf); return }},
				work{"skythen", func() (err error) { sinkBytes, err = sky.Bytes(); return }},
				work{"go-iso7816", func() (err error) { sinkBytes, err = gocommand.Bytes(); return }},
			)
		})
	}
}

// BenchmarkDecodeCommand decodes a command of 16 bytes. The floor knows which of the
// seven forms it reads, and checks that Lc tells the truth. go-iso7816 decodes none.
func BenchmarkDecodeCommand(b *testing.B) {
	in := append(append([]byte{0, 0xA4, 4, 0, 16}, make([]byte, 16)...), 0)
	floor := func(b []byte) (apdu.Command, error) {
		if len(b) < 6 || len(b) != 5+int(b[4])+1 {
			return apdu.Command{}, errFloor
		}
		n := int(b[4])
		return apdu.Command{
			Class: apdu.Class(b[0]), Instruction: apdu.Instruction(b[1]), P1: b[2], P2: b[3],
			Data: b[5 : 5+n : 5+n], Ne: 1 + int(b[5+n]-1),
		}, nil
	}
	compare(b, len(in),
		work{"floor", func() error { c, err := floor(in); sinkBytes, sinkInt = c.Data, c.Ne+int(c.Instruction); return err }},
		work{"cardoki", func() error {
			c, err := apdu.ParseCommand(in)
			sinkBytes, sinkInt = c.Data, c.Ne+int(c.Instruction)
			return err
		}},
		work{"skythen", func() error {
			c, err := skythen.ParseCapdu(in)
			sinkBytes, sinkInt = c.Data, c.Ne+int(c.Ins)
			return err
		}},
	)
}

// BenchmarkDecodeResponse decodes a response of 256 bytes and its status.
func BenchmarkDecodeResponse(b *testing.B) {
	in := append(make([]byte, 256), 0x90, 0)
	floor := func(b []byte) (apdu.Response, error) {
		n := len(b) - 2
		if n < 0 {
			return apdu.Response{}, errFloor
		}
		return apdu.Response{Data: b[:n:n], Status: apdu.Status(b[n])<<8 | apdu.Status(b[n+1])}, nil
	}
	compare(b, len(in),
		work{"floor", func() error { r, err := floor(in); sinkBytes, sinkInt = r.Data, int(r.Status); return err }},
		work{"cardoki", func() error { r, err := apdu.ParseResponse(in); sinkBytes, sinkInt = r.Data, int(r.Status); return err }},
		work{"skythen", func() error { r, err := skythen.ParseRapdu(in); sinkBytes, sinkInt = r.Data, int(r.SW1); return err }},
		work{"go-iso7816", func() error { r, err := gocard.ParseRAPDU(in); sinkBytes, sinkInt = r.Data, int(r.SW1); return err }},
	)
}
