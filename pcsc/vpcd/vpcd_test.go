package vpcd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

func TestMain(m *testing.M) { leak.Main(m) }

// A card writes down what is done to it and answers by a function.
type card struct {
	mu       sync.Mutex
	events   []string
	transmit func(dst, command []byte) ([]byte, error)
}

func (c *card) note(event string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, event)
}

func (c *card) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	c.note("command")
	if c.transmit != nil {
		return c.transmit(dst, command)
	}
	return append(append(dst, command...), 0x90, 0), nil
}
func (c *card) ATR() []byte { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }
func (c *card) PowerOn()    { c.note("power on") }
func (c *card) PowerOff()   { c.note("power off") }
func (c *card) Reset()      { c.note("reset") }

// serve runs Serve on one end of a pipe and returns the reader's end and what Serve
// returns.
func serve(t testing.TB, ctx context.Context, c vpcd.Card) (net.Conn, <-chan error) {
	t.Helper()
	reader, conn := net.Pipe()
	reader.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { reader.Close() })
	result := make(chan error, 1)
	go func() { result <- vpcd.Serve(ctx, conn, c) }()
	return reader, result
}

func frame(body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...)
}

func readFrame(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var h [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(h[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestControlsAndCommandsReachTheCard(t *testing.T) {
	c := &card{}
	reader, result := serve(t, context.Background(), c)
	for _, step := range []struct {
		send, want []byte
	}{
		{frame(1), nil},
		{frame(4), []byte{0x3B, 0x80, 0x80, 0x01, 0x01}},
		{frame(0, 0xA4, 4, 0), []byte{0, 0xA4, 4, 0, 0x90, 0}},
		{frame(2), nil},
		{frame(), nil},
		{frame(0, 0xB0), []byte{0, 0xB0, 0x90, 0}}, // no command, but that is the card's to say
		{frame(make([]byte, 65533)...), append(make([]byte, 65533), 0x90, 0)},
		{frame(0), nil},
	} {
		if _, err := reader.Write(step.send); err != nil {
			t.Fatal(err)
		}
		if step.want == nil {
			continue
		}
		if got := readFrame(t, reader); !bytes.Equal(got, step.want) {
			t.Errorf("got answer of %d bytes, want %d", len(got), len(step.want))
		}
	}
	reader.Close()
	if err := <-result; !errors.Is(err, vpcd.ErrReaderGone) || !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want ErrReaderGone", err)
	}
	want := []string{"power on", "command", "reset", "command", "command", "power off", "power off"}
	if diff := cmp.Diff(want, c.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestServeEndsWithItsContextWithoutAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &card{}
	reader, result := serve(t, ctx, c)
	if _, err := reader.Write(frame(1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-result; err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if _, err := reader.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	if diff := cmp.Diff([]string{"power on", "power off"}, c.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestCardThatFailsIsTakenOut(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name     string
		transmit func(dst, command []byte) ([]byte, error)
		want     error
	}{
		{"no response", func(dst, _ []byte) ([]byte, error) { return dst, broken }, broken},
		{"a response longer than a frame", func(dst, _ []byte) ([]byte, error) { return append(dst, make([]byte, 65536)...), nil }, apdu.ErrLength},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reader, result := serve(t, context.Background(), &card{transmit: tt.transmit})
			if _, err := reader.Write(frame(0, 0xA4, 0, 0)); err != nil {
				t.Fatal(err)
			}
			if n, err := reader.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("got %d bytes, %v, want the connection closed", n, err)
			}
			err := <-result
			var cardError *vpcd.CardError
			if !errors.As(err, &cardError) || !errors.Is(err, tt.want) {
				t.Errorf("got %v, want a CardError that is %v", err, tt.want)
			}
		})
	}
}

func TestCommandsAreClearedWhenTheyWereAnswered(t *testing.T) {
	for _, failing := range []bool{false, true} {
		var kept []byte
		c := &card{transmit: func(dst, command []byte) ([]byte, error) {
			if kept == nil {
				kept = command // which a card must not do: it shows what is left of it
			}
			if failing {
				return dst, errors.New("failing")
			}
			return append(dst, 0x90, 0), nil
		}}
		conn := &scripted{sent: bytes.NewReader(frame(0, 0x20, 0, 0x80, 2, '1', '2'))}
		if err := vpcd.Serve(context.Background(), conn, c); err == nil {
			t.Fatal("got no error")
		}
		if !bytes.Equal(kept, make([]byte, 7)) {
			t.Errorf("failing %v: got % X left of the command, want zeros", failing, kept)
		}
	}
}

func TestFramesThatMakeNoSenseEndTheConnection(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent []byte
		want string
	}{
		{"an unknown control", frame(9), "unknown control 9"},
		{"half a length", []byte{0}, "reading a frame"},
		{"half a body", []byte{0, 5, 0, 0xA4}, "reading a frame of 5 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reader, result := serve(t, context.Background(), &card{})
			if _, err := reader.Write(tt.sent); err != nil {
				t.Fatal(err)
			}
			reader.Close()
			if err := <-result; err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error that says %q", err, tt.want)
			}
		})
	}
}

func TestDialAndServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	if err := vpcd.DialAndServe(context.Background(), address, &card{}, nil); err == nil || !strings.Contains(err.Error(), "is pcscd running") {
		t.Errorf("nobody listens: got %v, want an error that says what to do", err)
	}
	// With Redial the reader may come later, go, and come again.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- vpcd.DialAndServe(ctx, address, &card{}, &vpcd.Options{Redial: true}) }()
	for range 2 {
		time.Sleep(20 * time.Millisecond)
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(frame(4)); err != nil {
			t.Fatal(err)
		}
		readFrame(t, conn)
		conn.Close()
		l.Close()
	}
	cancel()
	if err := <-result; err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

// scripted is a connection whose other end has sent everything already.
type scripted struct {
	net.Conn // nil: nothing else is called
	sent     *bytes.Reader
	received bytes.Buffer
}

func (c *scripted) Read(b []byte) (int, error)  { return c.sent.Read(b) }
func (c *scripted) Write(b []byte) (int, error) { return c.received.Write(b) }
func (c *scripted) Close() error                { return nil }

// FuzzServe feeds a card with any bytes. It must come to an end, answer what has an
// answer, and give the card nothing but whole frames.
func FuzzServe(f *testing.F) {
	f.Add(frame(1))
	f.Add(append(frame(1), frame(4)...))
	f.Add(append(frame(2), frame(0, 0xA4, 4, 0, 2, 0x3F, 0)...))
	f.Add([]byte{0xFF, 0xFF, 0})
	f.Add(frame(0xFF))
	f.Fuzz(func(t *testing.T, b []byte) {
		var want bytes.Buffer
		for rest := b; len(rest) >= 2; {
			n := int(binary.BigEndian.Uint16(rest))
			if len(rest) < 2+n || n == 1 && (rest[2] > 4 || rest[2] == 3) {
				break
			}
			if n > 1 {
				want.Write(frame(rest[2], 0x90, 0))
			} else if n == 1 && rest[2] == 4 {
				want.Write(frame((&card{}).ATR()...))
			}
			rest = rest[2+n:]
		}
		c := &card{transmit: func(dst, command []byte) ([]byte, error) { return append(dst, command[0], 0x90, 0), nil }}
		conn := &scripted{sent: bytes.NewReader(b)}
		if err := vpcd.Serve(context.Background(), conn, c); err == nil {
			t.Error("got nil, want an error at the end of the connection")
		}
		if !bytes.Equal(conn.received.Bytes(), want.Bytes()) {
			t.Errorf("got answers % X, want % X", conn.received.Bytes(), want.Bytes())
		}
	})
}

func TestWhatIsNoCommandDoesNotTakeTheCardOut(t *testing.T) {
	c := &card{transmit: func(dst, command []byte) ([]byte, error) {
		if len(command) < apdu.HeaderSize {
			return dst, apdu.ErrNotSent
		}
		return append(dst, 0x90, 0), nil
	}}
	reader, _ := serve(t, context.Background(), c)
	for _, tt := range []struct {
		command, want []byte
	}{
		{[]byte{0, 0xA4}, []byte{0x67, 0}},
		{[]byte{0, 0xA4, 4}, []byte{0x67, 0}},
		{[]byte{0, 0xA4, 4, 0}, []byte{0x90, 0}},
	} {
		if _, err := reader.Write(frame(tt.command...)); err != nil {
			t.Fatal(err)
		}
		if got := readFrame(t, reader); !bytes.Equal(got, tt.want) {
			t.Errorf("%X: got %X, want %X", tt.command, got, tt.want)
		}
	}
}
