package pcsclite_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/internal/pcsclite"
)

func TestMain(m *testing.M) { leak.Main(m) }

var le = binary.NativeEndian

// scripted is a connection to a daemon that has sent everything already.
type scripted struct {
	net.Conn // nil: nothing else is called
	sent     bytes.Reader
	received bytes.Buffer
	onRead   func()    // called before each Read, if set
	written  []byte    // the slice of the last Write
	deadline time.Time // the last that was set
}

func (c *scripted) Read(b []byte) (int, error) {
	if c.onRead != nil {
		c.onRead()
	}
	return c.sent.Read(b)
}

func (c *scripted) Write(b []byte) (int, error) {
	c.written = b
	return c.received.Write(b)
}

func (c *scripted) SetDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

func (c *scripted) Close() error { return nil }

func numbers(n ...uint32) (b []byte) {
	for _, v := range n {
		b = le.AppendUint32(b, v)
	}
	return b
}

// handshake is what a daemon sends to a new client.
func handshake() []byte { return append(numbers(4, 4, 0), numbers(2, 0x1234, 0)...) }

// states is the answer with 16 reader states, the first of them as given.
func states(name string, state uint32, atr []byte) []byte {
	b := make([]byte, 16*184)
	copy(b, name)
	le.PutUint32(b[132:], state)
	copy(b[140:173], atr)
	le.PutUint32(b[176:], uint32(len(atr)))
	return b
}

// attribute is the structure of an attribute: handle, identifier, 264 bytes, how many
// of them count, return value.
func attribute(card, id uint32, value []byte, length, rv uint32) []byte {
	b := append(numbers(card, id), value...)
	b = append(b, make([]byte, 264-len(value))...)
	return append(b, numbers(length, rv)...)
}

func newClient(t testing.TB, answers ...[]byte) (*pcsclite.Client, *scripted) {
	t.Helper()
	conn := &scripted{}
	conn.sent.Reset(append(handshake(), bytes.Join(answers, nil)...))
	c, err := pcsclite.NewClient(context.Background(), conn)
	if err != nil {
		t.Fatal(err)
	}
	conn.received.Reset()
	return c, conn
}

// The bytes of each request, as winscard_msg.h of pcsc-lite 1.9.9 lays them out.
func TestRequestsAreLaidOutAsTheDaemonReadsThem(t *testing.T) {
	ctx := context.Background()
	name := make([]byte, 128)
	copy(name, "Reader")
	for _, tt := range []struct {
		name   string
		answer []byte
		call   func(c *pcsclite.Client) error
		want   []byte
	}{
		{"release", numbers(0x1234, 0), func(c *pcsclite.Client) error { return c.Release(ctx) }, numbers(8, 0x02, 0x1234, 0)},
		{"connect", bytes.Join([][]byte{numbers(0x1234), name, numbers(2, 3, 7, 2, 0)}, nil), func(c *pcsclite.Client) error {
			card, active, err := c.Connect(ctx, "Reader", 2, 3)
			if card != 7 || active != 2 {
				t.Errorf("connect: got handle %d, protocol %d, want 7, 2", card, active)
			}
			return err
		}, bytes.Join([][]byte{numbers(152, 0x04, 0x1234), name, numbers(2, 3, 0, 0, 0)}, nil)},
		{"reconnect", numbers(7, 2, 3, 1, 2, 0), func(c *pcsclite.Client) error {
			active, err := c.Reconnect(ctx, 7, 2, 3, 1)
			if active != 2 {
				t.Errorf("reconnect: got protocol %d, want 2", active)
			}
			return err
		}, numbers(24, 0x05, 7, 2, 3, 1, 0, 0)},
		{"disconnect", numbers(7, 1, 0), func(c *pcsclite.Client) error { return c.Disconnect(ctx, 7, 1) }, numbers(12, 0x06, 7, 1, 0)},
		{"begin", numbers(7, 0), func(c *pcsclite.Client) error { return c.BeginTransaction(ctx, 7) }, numbers(8, 0x07, 7, 0)},
		{"end", numbers(7, 1, 0), func(c *pcsclite.Client) error { return c.EndTransaction(ctx, 7, 1) }, numbers(12, 0x08, 7, 1, 0)},
		{"transmit", append(numbers(7, 2, 16, 4, 2, 16, 2, 0), 0x90, 0), func(c *pcsclite.Client) error {
			got, err := c.Transmit(ctx, 7, 2, []byte{1}, []byte{0, 0xA4, 4, 0})
			if !bytes.Equal(got, []byte{1, 0x90, 0}) {
				t.Errorf("transmit: got % X, want 01 90 00", got)
			}
			return err
		}, append(numbers(32, 0x09, 7, 2, 16, 4, 2, 16, 65548, 0), 0, 0xA4, 4, 0)},
		{"control", append(numbers(7, 0x42000D48, 2, 65548, 3, 0), 6, 4, 0), func(c *pcsclite.Client) error {
			got, err := c.Control(ctx, 7, 0x42000D48, []byte{1}, []byte{8, 9})
			if !bytes.Equal(got, []byte{1, 6, 4, 0}) {
				t.Errorf("control: got % X, want 01 06 04 00", got)
			}
			return err
		}, append(numbers(24, 0x0A, 7, 0x42000D48, 2, 65548, 0, 0), 8, 9)},
		{"control without input and output", numbers(7, 1, 0, 65548, 0, 0), func(c *pcsclite.Client) error {
			_, err := c.Control(ctx, 7, 1, nil, nil)
			return err
		}, numbers(24, 0x0A, 7, 1, 0, 65548, 0, 0)},
		{"attribute", attribute(7, 0x10100, []byte("Vendor\x00"), 7, 0), func(c *pcsclite.Client) error {
			got, err := c.Attribute(ctx, 7, 0x10100)
			if string(got) != "Vendor\x00" {
				t.Errorf("attribute: got %q", got)
			}
			return err
		}, append(numbers(280, 0x0F), attribute(7, 0x10100, nil, 264, 0)...)},
		{"set attribute", attribute(7, 0x7FFF0007, []byte{1}, 1, 0), func(c *pcsclite.Client) error {
			return c.SetAttribute(ctx, 7, 0x7FFF0007, []byte{1})
		}, append(numbers(280, 0x10), attribute(7, 0x7FFF0007, []byte{1}, 1, 0)...)},
		{"status", numbers(7, 0), func(c *pcsclite.Client) error { return c.Status(ctx, 7) }, numbers(8, 0x0B, 7, 0)},
		{"cancel", numbers(9, 0), func(c *pcsclite.Client) error { return c.Cancel(ctx, 9) }, numbers(8, 0x0D, 9, 0)},
		{"reader states", states("R", 2, nil), func(c *pcsclite.Client) error { _, err := c.ReaderStates(ctx); return err }, numbers(0, 0x12)},
		{"wait, nothing new, event, states", bytes.Join([][]byte{states("R", 2, nil), numbers(0, 0), states("R", 4, nil)}, nil), func(c *pcsclite.Client) error {
			s, err := c.WaitReaderStateChange(ctx, 0, func([]pcsclite.ReaderState) bool { return false })
			if len(s) != 1 || s[0].State != 4 {
				t.Errorf("wait: got %v, want the later states", s)
			}
			return err
		}, numbers(0, 0x13, 0, 0x12)},
		{"wait, nothing new, limit", bytes.Join([][]byte{states("R", 2, nil), numbers(0, 0), states("R", 4, nil)}, nil), func(c *pcsclite.Client) error {
			s, err := c.WaitReaderStateChange(ctx, time.Nanosecond, func([]pcsclite.ReaderState) bool { return false })
			if len(s) != 1 || s[0].State != 4 {
				t.Errorf("wait: got %v, want the later states", s)
			}
			return err
		}, numbers(0, 0x13, 0, 0x14, 0, 0x12)},
		{"wait, something new, stop", append(states("R", 2, nil), numbers(0, 0)...), func(c *pcsclite.Client) error {
			_, err := c.WaitReaderStateChange(ctx, 0, func([]pcsclite.ReaderState) bool { return true })
			return err
		}, numbers(0, 0x13, 0, 0x14)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, conn := newClient(t, tt.answer)
			if err := tt.call(c); err != nil {
				t.Fatal(err)
			}
			if got := conn.received.Bytes(); !bytes.Equal(got, tt.want) {
				t.Errorf("sent\n% X, want\n% X", got, tt.want)
			}
			if conn.sent.Len() != 0 {
				t.Errorf("%d bytes of the answer were left", conn.sent.Len())
			}
		})
	}
}

func TestAnswersThatMakeNoSenseAreRefused(t *testing.T) {
	long := states("R", 4, make([]byte, 33))
	le.PutUint32(long[176:], 34)
	endless := states(strings.Repeat("R", 128), 4, nil)
	for _, tt := range []struct {
		name   string
		answer []byte
		want   string
	}{
		{"an answer to reset of 34 bytes", long, "answer to reset of 34 bytes"},
		{"a reader name without an end", endless, "name without an end"},
		{"half an answer", long[:100], "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := newClient(t, tt.answer)
			_, err := c.ReaderStates(context.Background())
			var broken *pcsclite.BrokenError
			if !errors.As(err, &broken) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a BrokenError that says %q", err, tt.want)
			}
			if _, err := c.ReaderStates(context.Background()); !errors.Is(err, pcsclite.ErrClosed) {
				t.Errorf("the next call: got %v, want ErrClosed", err)
			}
		})
	}
}

func TestCommandsOfALengthThatTheDaemonClosesOnAreNotSent(t *testing.T) {
	for _, n := range []int{0, pcsclite.MaxAPDU + 1} {
		c, conn := newClient(t)
		if _, err := c.Transmit(context.Background(), 7, 2, nil, make([]byte, n)); err == nil {
			t.Errorf("%d bytes: got no error", n)
		}
		if conn.received.Len() != 0 || c.Closed() {
			t.Errorf("%d bytes: sent %d bytes, closed %v; want nothing sent and the client usable", n, conn.received.Len(), c.Closed())
		}
	}
}

func TestControlAndAttributesOfAWrongLength(t *testing.T) {
	ctx := context.Background()
	c, conn := newClient(t)
	if _, err := c.Control(ctx, 7, 1, nil, make([]byte, pcsclite.MaxAPDU+1)); err == nil || c.Closed() {
		t.Errorf("long input: got %v, closed %v", err, c.Closed())
	}
	for _, n := range []int{0, 265} {
		if err := c.SetAttribute(ctx, 7, 1, make([]byte, n)); err == nil || c.Closed() {
			t.Errorf("attribute of %d bytes: got %v, closed %v", n, err, c.Closed())
		}
	}
	if conn.received.Len() != 0 {
		t.Errorf("%d bytes were sent", conn.received.Len())
	}
	var broken *pcsclite.BrokenError
	c, _ = newClient(t, attribute(7, 1, nil, 265, 0))
	if _, err := c.Attribute(ctx, 7, 1); !errors.As(err, &broken) || !strings.Contains(err.Error(), "265") {
		t.Errorf("attribute of 265 bytes announced: got %v", err)
	}
	c, _ = newClient(t, numbers(7, 1, 0, 65548, 0xFFFFFFFF, 0))
	if _, err := c.Control(ctx, 7, 1, nil, nil); !errors.As(err, &broken) {
		t.Errorf("output of 4 GiB announced: got %v", err)
	}
	c, _ = newClient(t, attribute(7, 1, nil, 0, 0x8010001F), numbers(7, 1, 0, 65548, 0, 0x8010001F))
	if _, err := c.Attribute(ctx, 7, 1); err != pcsclite.RV(0x8010001F) {
		t.Errorf("got %v, want 0x8010001F", err)
	}
	if _, err := c.Control(ctx, 7, 1, nil, nil); err != pcsclite.RV(0x8010001F) {
		t.Errorf("got %v, want 0x8010001F", err)
	}
}

func TestContextThatEndsWhileTheAnswerComesLeavesNoDeadline(t *testing.T) {
	c, conn := newClient(t, numbers(7, 0))
	ctx, cancel := context.WithCancel(context.Background())
	conn.onRead = cancel
	if err := c.Status(ctx, 7); err != nil {
		t.Errorf("got %v for a call that was completed", err)
	}
	if !conn.deadline.IsZero() {
		t.Errorf("got deadline %v left for the next call", conn.deadline)
	}
}

func TestCommandIsClearedWhenItWasSent(t *testing.T) {
	c, conn := newClient(t, numbers(7, 2, 16, 9, 2, 16, 0, 0))
	pin := []byte{0, 0x20, 0, 0x80, 4, '1', '2', '3', '4'}
	if _, err := c.Transmit(context.Background(), 7, 2, nil, pin); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(conn.received.Bytes(), pin) {
		t.Fatal("the command was not sent")
	}
	if bytes.Contains(conn.written, pin[5:]) {
		t.Error("the PIN is still in the buffer of the client")
	}
	c, conn = newClient(t, numbers(7, 1, 9, 65548, 0, 0))
	if _, err := c.Control(context.Background(), 7, 1, nil, pin); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(conn.received.Bytes(), pin) || bytes.Contains(conn.written, pin[5:]) {
		t.Error("the input of a control code was not sent, or is still in the buffer of the client")
	}
}

func TestSocketNameIsReadAtEachCall(t *testing.T) {
	t.Setenv("PCSCLITE_CSOCK_NAME", "/a")
	if got := pcsclite.SocketName(); got != "/a" {
		t.Errorf("got %q, want /a", got)
	}
	os.Unsetenv("PCSCLITE_CSOCK_NAME")
	if got := pcsclite.SocketName(); got != "/run/pcscd/pcscd.comm" {
		t.Errorf("got %q, want the default", got)
	}
}

// FuzzClient lets a daemon send any bytes. No call may panic, hang, take more bytes
// than it may, or change dst when it fails; once the exchange broke, nothing works
// any more.
func FuzzClient(f *testing.F) {
	ok := handshake()
	f.Add(ok)
	f.Add(numbers(4, 5, 0x8010001E, 4, 5, 0))
	f.Add(numbers(4, 6, 0x8010001E))
	card := bytes.Join([][]byte{ok, states("Reader", 4, []byte{0x3B, 0}), make([]byte, 140), numbers(7, 2, 0)}, nil)
	f.Add(append(bytes.Clone(card), append(numbers(7, 2, 16, 4, 2, 16, 2, 0), 0x90, 0)...))
	f.Add(append(bytes.Clone(card), numbers(7, 2, 16, 4, 2, 16, 0xFFFFFFFF, 0)...))
	f.Add(append(bytes.Clone(card), numbers(7, 2, 16, 4, 2, 16, 2, 0x80100068)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := &scripted{}
		conn.sent.Reset(b)
		ctx := context.Background()
		c, err := pcsclite.NewClient(ctx, conn)
		if err != nil {
			if c != nil {
				t.Error("got a client with an error")
			}
			return
		}
		if s, err := c.ReaderStates(ctx); err == nil {
			for _, r := range s {
				if r.Name == "" || len(r.Name) > 127 || len(r.ATR) > 33 {
					t.Errorf("got reader state %+v", r)
				}
			}
		}
		card, _, _ := c.Connect(ctx, "Reader", 2, 3)
		dst := []byte{1, 2, 3}
		for range 2 {
			before := conn.sent.Len()
			got, err := c.Transmit(ctx, card, 2, dst, []byte{0, 0xA4, 4, 0})
			if err != nil && len(got) != len(dst) || !bytes.Equal(got[:3], dst) {
				t.Errorf("got % X, %v", got, err)
			}
			if n := len(got) - 3; n > pcsclite.MaxAPDU || n > before {
				t.Errorf("got %d bytes of %d", n, before)
			}
		}
		c.Status(ctx, card)
		if got, err := c.Control(ctx, card, 1, dst, nil); err != nil && len(got) != len(dst) || !bytes.Equal(got[:3], dst) {
			t.Errorf("control: got % X, %v", got, err)
		}
		if got, err := c.Attribute(ctx, card, 1); len(got) > 264 || err != nil && got != nil {
			t.Errorf("attribute: got % X, %v", got, err)
		}
		c.BeginTransaction(ctx, card)
		c.Reconnect(ctx, card, 2, 3, 0)
		c.WaitReaderStateChange(ctx, 0, func([]pcsclite.ReaderState) bool { return len(b)%2 == 0 })
		c.EndTransaction(ctx, card, 0)
		c.Disconnect(ctx, card, 0)
		err = c.Release(ctx)
		var rv pcsclite.RV
		if err != nil && !errors.As(err, &rv) && !errors.Is(err, pcsclite.ErrClosed) && !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want a return value, or that the client is closed", err)
		}
		if _, err := c.ReaderStates(ctx); !errors.Is(err, pcsclite.ErrClosed) {
			t.Errorf("after Release: got %v, want ErrClosed", err)
		}
	})
}
