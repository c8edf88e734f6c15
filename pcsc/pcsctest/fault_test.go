package pcsctest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/pcsclite"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

// at returns a fault for one command.
func at(command pcsctest.Command, f pcsctest.Fault) func(pcsctest.Call) *pcsctest.Fault {
	return func(c pcsctest.Call) *pcsctest.Fault {
		if c.Command == command {
			return &f
		}
		return nil
	}
}

// calls are the calls of a client that has one card, h, by the command that they
// send.
func calls(c *pcsclite.Client, h pcsclite.Card) map[pcsctest.Command]func(ctx context.Context) error {
	return map[pcsctest.Command]func(ctx context.Context) error{
		pcsctest.SCARD_CONNECT:           func(ctx context.Context) error { _, _, err := c.Connect(ctx, reader0, 2, 3); return err },
		pcsctest.SCARD_RECONNECT:         func(ctx context.Context) error { _, err := c.Reconnect(ctx, h, 2, 3, 0); return err },
		pcsctest.SCARD_DISCONNECT:        func(ctx context.Context) error { return c.Disconnect(ctx, h, 0) },
		pcsctest.SCARD_BEGIN_TRANSACTION: func(ctx context.Context) error { return c.BeginTransaction(ctx, h) },
		pcsctest.SCARD_END_TRANSACTION:   func(ctx context.Context) error { return c.EndTransaction(ctx, h, 0) },
		pcsctest.SCARD_TRANSMIT:          func(ctx context.Context) error { _, err := c.Transmit(ctx, h, 2, nil, selectMF); return err },
		pcsctest.SCARD_CONTROL:           func(ctx context.Context) error { _, err := c.Control(ctx, h, 1, nil, []byte{1}); return err },
		pcsctest.SCARD_STATUS:            func(ctx context.Context) error { return c.Status(ctx, h) },
		pcsctest.SCARD_CANCEL:            func(ctx context.Context) error { return c.Cancel(ctx, 99) },
		pcsctest.SCARD_GET_ATTRIB:        func(ctx context.Context) error { _, err := c.Attribute(ctx, h, 0x00090303); return err },
		pcsctest.SCARD_SET_ATTRIB:        func(ctx context.Context) error { return c.SetAttribute(ctx, h, 1, []byte{1}) },
		pcsctest.CMD_GET_READERS_STATE:   func(ctx context.Context) error { _, err := c.ReaderStates(ctx); return err },
		pcsctest.CMD_WAIT_READER_STATE_CHANGE: func(ctx context.Context) error {
			_, err := c.WaitReaderStateChange(ctx, 0, func([]pcsclite.ReaderState) bool { return false })
			return err
		},
		pcsctest.CMD_STOP_WAITING_READER_STATE_CHANGE: func(ctx context.Context) error {
			_, err := c.WaitReaderStateChange(ctx, 0, func([]pcsclite.ReaderState) bool { return true })
			return err
		},
		pcsctest.SCARD_RELEASE_CONTEXT: func(ctx context.Context) error { return c.Release(ctx) },
	}
}

// Each fault at each call, seen by a client.
func TestFaultsAtEachCall(t *testing.T) {
	const injected = 0x8010002F
	d := start(t, nil)
	insert(t, d, &card{})
	for _, tt := range []struct {
		name  string
		fault pcsctest.Fault
		want  uint32 // 1: the connection breaks
	}{
		{"a return value", pcsctest.Fault{Code: injected}, injected},
		{"a return value after the call", pcsctest.Fault{Code: injected, After: true}, injected},
		{"no answer", pcsctest.Fault{Hang: true}, 1},
		{"no answer after the call", pcsctest.Fault{Hang: true, After: true}, 1},
		{"a closed connection", pcsctest.Fault{Drop: true}, 1},
		{"a torn answer", pcsctest.Fault{Drop: true, After: true, Rewrite: func(b []byte) []byte { return b[:len(b)/2] }}, 1},
		{"the daemon ends", pcsctest.Fault{Kill: true}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for command := range calls(nil, 0) {
				d.SetFault(nil)
				c := dial(t, d.Socket())
				untilUnused(t, c) // the end of the last client is an event
				call := calls(c, connect(t, c))[command]
				d.SetFault(at(command, tt.fault))
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				if tt.fault.Hang {
					cancel()
					ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
				}
				err := call(ctx)
				cancel()
				want := tt.want
				switch {
				case command == pcsctest.CMD_GET_READERS_STATE && tt.fault.Code != 0:
					want = 0 // it has no return value
				case command == pcsctest.CMD_STOP_WAITING_READER_STATE_CHANGE && tt.fault.Code != 0:
					want = code(err) // what a client makes of that is its own affair
				}
				if got := code(err); got != want {
					t.Errorf("%v: got 0x%08X (%v), want 0x%08X", command, got, err, want)
				}
				if tt.fault.Hang && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v: got %v, want no answer", command, err)
				}
				c.Close()
				if tt.fault.Kill {
					if err := d.Restart(); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
	// All is well once the faults have ended.
	d.SetFault(nil)
	c := dial(t, d.Socket())
	if err := calls(c, connect(t, c))[pcsctest.SCARD_TRANSMIT](within(t, patience)); err != nil {
		t.Error(err)
	}
}

// untilUnused waits until no client is connected to the first reader.
func untilUnused(t *testing.T, c *pcsclite.Client) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s, err := c.ReaderStates(within(t, patience))
		if err != nil {
			t.Fatal(err)
		}
		if s[0].Sharing == 0 {
			return
		}
	}
	t.Fatal("the clients before are still there")
}

func TestFaultsBeforeAClientHasItsContext(t *testing.T) {
	d := start(t, nil)
	for _, tt := range []struct {
		name    string
		command pcsctest.Command
		fault   pcsctest.Fault
		check   func(error) bool
	}{
		{"closed before a word, as polkit does", pcsctest.Accepted, pcsctest.Fault{Drop: true}, func(err error) bool { return errors.Is(err, pcsclite.ErrRefused) }},
		{"deaf from the start", pcsctest.Accepted, pcsctest.Fault{Hang: true}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"no version", pcsctest.CMD_VERSION, pcsctest.Fault{Code: 0x80100001}, func(err error) bool { return code(err) == 0x80100001 }},
		{"no context", pcsctest.SCARD_ESTABLISH_CONTEXT, pcsctest.Fault{Code: 0x80100006}, func(err error) bool { return code(err) == 0x80100006 }},
		{"gone", pcsctest.SCARD_ESTABLISH_CONTEXT, pcsctest.Fault{Kill: true}, func(err error) bool { return code(err) == 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := d.Restart(); err != nil {
				t.Fatal(err)
			}
			d.SetFault(at(tt.command, tt.fault))
			wait := patience
			if tt.fault.Hang {
				wait = 20 * time.Millisecond
			}
			c, err := pcsclite.Dial(within(t, wait), d.Socket())
			if err == nil {
				c.Close()
			}
			if !tt.check(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What the hook is told, and that a command is carried out or not as the fault says.
func TestFaultsKnowTheirCall(t *testing.T) {
	d := start(t, nil)
	cd := &card{}
	insert(t, d, cd)
	c := dial(t, d.Socket())
	h := connect(t, c)
	d.SetFault(func(call pcsctest.Call) *pcsctest.Fault {
		if call.Command != pcsctest.SCARD_TRANSMIT || call.Reader != reader0 || call.Client != 1 || !bytes.Equal(call.Data, selectMF) {
			t.Errorf("got %+v", call)
		}
		switch call.N {
		case 2:
			return &pcsctest.Fault{Code: 0x8010002F}
		case 3:
			return &pcsctest.Fault{Code: 0x8010002F, After: true}
		case 4: // twice as long as it is
			return &pcsctest.Fault{After: true, Rewrite: func(b []byte) []byte {
				le.PutUint32(b[24:], 2*uint32(len(b)-32))
				return append(b, b[32:]...)
			}}
		case 5:
			return &pcsctest.Fault{After: true, Drop: true, Rewrite: func(b []byte) []byte {
				le.PutUint32(b[24:], 0xFFFFFFFF)
				return b
			}}
		}
		return &pcsctest.Fault{} // changes nothing
	})
	for i, tt := range []struct {
		code uint32
		n    int   // bytes of the response
		ran  int32 // commands at the card so far
	}{{0, 6, 1}, {0x8010002F, 0, 1}, {0x8010002F, 0, 2}, {0, 12, 3}, {1, 0, 4}} {
		out, err := c.Transmit(within(t, patience), h, 2, nil, selectMF)
		if code(err) != tt.code || len(out) != tt.n || cd.commands.Load() != tt.ran {
			t.Errorf("command %d: got %d bytes, %v, %d commands at the card, want %+v", i+1, len(out), err, cd.commands.Load(), tt)
		}
	}
	d.SetFault(nil)
	for command := pcsctest.Accepted; command <= 0x20; command++ {
		if command.String() == "" {
			t.Errorf("command %d has no name", command)
		}
	}
}

// An event with another return value comes at once.
func TestFaultInAnEvent(t *testing.T) {
	d := start(t, nil)
	c := dial(t, d.Socket())
	d.SetFault(at(pcsctest.CMD_WAIT_READER_STATE_CHANGE, pcsctest.Fault{Code: 0x80100012}))
	_, err := c.WaitReaderStateChange(within(t, patience), 0, func([]pcsclite.ReaderState) bool { return false })
	wantCode(t, "wait", err, 0x80100012)
}

// FuzzDaemon sends the daemon any bytes. It answers or closes, and serves others on.
func FuzzDaemon(f *testing.F) {
	d := start(f, nil)
	if err := d.Reader(reader0).Insert(&card{}); err != nil {
		f.Fatal(err)
	}
	version := numbers(12, 0x11, 4, 4, 0)
	establish := numbers(12, 0x01, 2, 0, 0)
	name := make([]byte, 128)
	copy(name, reader0)
	f.Add(version)
	f.Add(append(bytes.Clone(version), establish...))
	f.Add(append(append(append(numbers(12, 0x01, 2, 0, 0, 152, 0x04, 1), name...), numbers(2, 3, 0, 0, 0)...), numbers(32, 0x09, 1, 2, 16, 4, 2, 16, 65548, 0, 0xA400)...))
	f.Add(numbers(0, 0x13, 0, 0x14, 0, 0x12, 8, 0x0D, 1, 0))
	f.Add(numbers(0xFFFFFFFF, 0x09))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		conn, err := net.Dial("unix", d.Socket())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		go func() {
			conn.Write(b)
			conn.(*net.UnixConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the daemon hangs")
		}
		other, err := pcsclite.Dial(within(t, patience), d.Socket())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if s, err := other.ReaderStates(within(t, patience)); err != nil || len(s) != 2 || s[0].State&pcsclite.ReaderPresent == 0 {
			t.Errorf("got %v, %v", s, err)
		}
	})
}
