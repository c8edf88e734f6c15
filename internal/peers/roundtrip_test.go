package peers

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/ebfe/scard"

	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

func TestMain(m *testing.M) { leak.Main(m) }

// card answers with as many bytes as P1-P2 say, and 9000.
type card struct{ data [4096]byte }

func (c *card) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	n := min(int(binary.BigEndian.Uint16(command[2:])), len(c.data))
	return append(append(dst, c.data[:n]...), 0x90, 0), nil
}
func (c *card) ATR() []byte { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }
func (c *card) PowerOn()    {}
func (c *card) PowerOff()   {}
func (c *card) Reset()      {}

// insert starts a pcscd with a card in its first reader.
func insert(tb testing.TB) *system.PCSCD {
	p := system.StartPCSCD(tb, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- vpcd.DialAndServe(ctx, p.Addresses[0], &card{}, nil) }()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
	wait, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	c, err := pcsc.Establish(wait, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WaitForCard(wait, func(r pcsc.Reader) bool { return r.Name == p.Readers[0] }); err != nil {
		tb.Fatal(err)
	}
	return p
}

// BenchmarkRoundTrip is one command to the card and its response back, through a
// real pcscd and its virtual reader. The floor writes and reads the same bytes on
// pcscd's socket and looks at none of them. libpcsclite reads the name of the socket
// once a process: there is one daemon for all.
func BenchmarkRoundTrip(b *testing.B) {
	p := insert(b)
	for _, n := range []int{0, 256, 3072} {
		command := []byte{0, 0xCA, byte(n >> 8), byte(n), 0, 0, 0}
		for _, peer := range []struct {
			name string
			open func(b *testing.B, p *system.PCSCD) func(command []byte, n int) error
		}{
			{"floor", openFloor},
			{"cardoki", openCardoki},
			{"scard", openScard},
		} {
			b.Run(fmt.Sprintf("response=%d/%s", n+2, peer.name), func(b *testing.B) {
				exchange := peer.open(b, p)
				b.SetBytes(int64(len(command) + n + 2))
				b.ReportAllocs()
				for b.Loop() {
					if err := exchange(command, n+2); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func checkLength(got, want int) error {
	if got != want {
		return fmt.Errorf("got a response of %d bytes, want %d", got, want)
	}
	return nil
}

func openCardoki(b *testing.B, p *system.PCSCD) func([]byte, int) error {
	conn, err := pcsc.Open(context.Background(), p.Readers[0], nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	buf := make([]byte, 0, 4096)
	return func(command []byte, n int) error {
		response, err := conn.Transmit(context.Background(), buf, command)
		if err != nil {
			return err
		}
		return checkLength(len(response), n)
	}
}

func openScard(b *testing.B, p *system.PCSCD) func([]byte, int) error {
	ctx, err := scard.EstablishContext()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ctx.Release() })
	c, err := ctx.Connect(p.Readers[0], scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Disconnect(scard.LeaveCard) })
	return func(command []byte, n int) error {
		response, err := c.Transmit(command)
		if err != nil {
			return err
		}
		return checkLength(len(response), n)
	}
}

// openFloor speaks just enough of pcscd's protocol to have a card.
func openFloor(b *testing.B, p *system.PCSCD) func([]byte, int) error {
	conn, err := net.Dial("unix", p.SocketName)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	le := binary.NativeEndian
	call := func(command uint32, body []byte) []byte {
		request := le.AppendUint32(le.AppendUint32(nil, uint32(len(body))), command)
		if _, err := conn.Write(append(request, body...)); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, body); err != nil {
			b.Fatal(err)
		}
		return body
	}
	numbers := func(n ...uint32) (body []byte) {
		for _, v := range n {
			body = le.AppendUint32(body, v)
		}
		return body
	}
	call(0x11, numbers(4, 4, 0))
	connect := make([]byte, 152)
	copy(connect, call(0x01, numbers(2, 0, 0))[4:8])
	copy(connect[4:], p.Readers[0])
	copy(connect[132:], numbers(2, 3))
	handle := le.Uint32(call(0x04, connect)[140:])
	var request, answer []byte
	return func(command []byte, n int) error {
		if request == nil {
			request = append(numbers(32, 0x09, handle, 2, 16, uint32(len(command)), 2, 16, 65548, 0), command...)
			answer = make([]byte, 32+n)
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, answer)
		return err
	}
}
