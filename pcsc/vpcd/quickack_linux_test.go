package vpcd

import (
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
)

// A talker notes what is done to it, and sends one command.
type talker struct {
	net.Conn
	sent  []byte
	notes []string
}

func (c *talker) Read(b []byte) (int, error) {
	c.notes = append(c.notes, "read")
	if len(c.sent) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.sent)
	c.sent = c.sent[n:]
	return n, nil
}

// The kernel forgets the option, so it is set before each of the two reads of a
// frame, on both ends.
func TestQuickACKIsSetBeforeEachRead(t *testing.T) {
	conn := &talker{sent: []byte{0, 4, 0, 0xA4, 0, 0}}
	s := &server{conn: conn, acknowledge: func() { conn.notes = append(conn.notes, "acknowledge") }}
	if _, err := s.read(); err != nil {
		t.Fatal(err)
	}
	want := []string{"acknowledge", "read", "acknowledge", "read"}
	if !slices.Equal(conn.notes, want) {
		t.Errorf("Serve: got %q, want %q", conn.notes, want)
	}
	conn = &talker{sent: []byte{0, 2, 0x90, 0}}
	c := &Conn{conn: writer{conn}, acknowledge: func() { conn.notes = append(conn.notes, "acknowledge") }}
	if _, err := c.roundTrip(nil, []byte{0, 0xA4, 0, 0}, minResponse, maxFrame); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(conn.notes, want) {
		t.Errorf("Conn: got %q, want %q", conn.notes, want)
	}
}

type writer struct{ *talker }

func (writer) Write(b []byte) (int, error) { return len(b), nil }

func TestQuickACKSetsTheOption(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	option := func(set int) (got int) {
		if err := raw.Control(func(fd uintptr) {
			if set >= 0 {
				err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, set)
			} else {
				got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	option(0)
	if option(-1) != 0 {
		t.Fatal("the option cannot be cleared, so this test shows nothing")
	}
	quickACK(conn)()
	if option(-1) != 1 {
		t.Error("got TCP_QUICKACK off, want it on")
	}
}
