//go:build cgo

package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebfe/scard"

	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

// roleVariable makes this program a card in the reader at an address, or a daemon in
// software at a socket, until its standard input ends: in the process of the benchmark
// they would be woken by the scheduler of Go, with the client that waits for them.
const roleVariable = "CARDOKI_PEERS_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	leak.Main(m)
}

// play is such a program.
func play(role string) error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if address, ok := strings.CutPrefix(role, "card "); ok {
		if err := vpcd.DialAndServe(ctx, address, &card{}, nil); !errors.Is(err, vpcd.ErrReaderGone) {
			return err
		}
		return nil
	}
	d, err := pcsctest.Start(&pcsctest.Options{Socket: strings.TrimPrefix(role, "daemon ")})
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := d.AddReader("Virtual PCD 00 00", nil)
	if err == nil {
		err = r.Insert(&card{})
	}
	if err == nil {
		<-ctx.Done()
	}
	return err
}

// start runs this program in a role until the end of the benchmark.
func start(tb testing.TB, role string) {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
}

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
	start(tb, "card "+p.Addresses[0])
	awaitCard(tb, p.Readers[0])
	return p
}

// awaitCard waits until there is a card in the reader.
func awaitCard(tb testing.TB, reader string) {
	tb.Helper()
	wait, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	c, err := pcsc.Establish(wait, nil)
	for err != nil && wait.Err() == nil { // the daemon is being started
		time.Sleep(5 * time.Millisecond)
		c, err = pcsc.Establish(wait, nil)
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WaitForCard(wait, func(r pcsc.Reader) bool { return r.Name == reader }); err != nil {
		tb.Fatal(err)
	}
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
			open func(b *testing.B, socket, reader string) func(command []byte, n int) error
		}{
			{"floor", openFloor},
			{"cardoki", openCardoki},
			{"scard", openScard},
		} {
			b.Run(fmt.Sprintf("response=%d/%s", n+2, peer.name), func(b *testing.B) {
				exchange := peer.open(b, p.SocketName, p.Readers[0])
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
	besideScard(b, p)
}

// besideScard takes turns between cardoki and bare ebfe/scard, since a machine is
// now faster and now slower, and tells the medians of the turns, each per exchange, and
// their ratio. The order of turns is by chance: Go's scheduler makes a client in C pay for
// having been away. The card is behind pcscd and its virtual reader; or there is only a
// daemon that answers at once, so that the client is more of the time. With the tag
// libpcsclite cardoki goes through ebfe/scard too.
func besideScard(b *testing.B, p *system.PCSCD) {
	sizes := func(name, reader string) {
		for _, n := range []int{0, 256, 3072} {
			b.Run(fmt.Sprintf("%s/response=%d", name, n+2), func(b *testing.B) { turns(b, p.SocketName, reader, n) })
		}
	}
	sizes("pcscd", p.Readers[0])
	p.Stop() // what follows is at the same socket, whose name libpcsclite remembers
	os.Remove(p.SocketName)
	start(b, "daemon "+p.SocketName)
	awaitCard(b, p.Readers[0])
	sizes("at-once", p.Readers[0])
}

// turns measures exchanges with responses of n data bytes.
func turns(b *testing.B, socket, reader string, n int) {
	command := []byte{0, 0xCA, byte(n >> 8), byte(n), 0, 0, 0}
	names := []string{"floor", "cardoki", "scard"}
	exchanges := []func([]byte, int) error{openFloor(b, socket, reader), openCardoki(b, socket, reader), openScard(b, socket, reader)}
	took := make([][]float64, len(names))
	const turn = 20 // exchanges
	for b.Loop() {
		for _, j := range rand.Perm(len(names)) {
			start := time.Now()
			for range turn {
				if err := exchanges[j](command, n+2); err != nil {
					b.Fatal(err)
				}
			}
			took[j] = append(took[j], float64(time.Since(start).Nanoseconds())/turn)
		}
	}
	medians := make([]float64, len(names))
	for j, name := range names {
		slices.Sort(took[j])
		medians[j] = took[j][len(took[j])/2]
		b.ReportMetric(medians[j], name+"-ns")
		b.ReportMetric(took[j][0], name+"-min-ns")
	}
	b.ReportMetric(medians[0]/medians[2], "floor/scard")
	b.ReportMetric(medians[1]/medians[2], "cardoki/scard")
	b.ReportMetric(0, "ns/op") // that of all three means nothing
}

func checkLength(got, want int) error {
	if got != want {
		return fmt.Errorf("got a response of %d bytes, want %d", got, want)
	}
	return nil
}

func openCardoki(b *testing.B, _, reader string) func([]byte, int) error {
	conn, err := pcsc.Open(context.Background(), reader, nil)
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

func openScard(b *testing.B, _, reader string) func([]byte, int) error {
	ctx, err := scard.EstablishContext()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ctx.Release() })
	c, err := ctx.Connect(reader, scard.ShareShared, scard.ProtocolAny)
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
func openFloor(b *testing.B, socket, reader string) func([]byte, int) error {
	conn, err := net.Dial("unix", socket)
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
	copy(connect[4:], reader)
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
