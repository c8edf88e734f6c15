//go:build !(cgo && libpcsclite)

package pcsc_test

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
)

// le is the byte order of pcscd's protocol.
var le = binary.NativeEndian

// fakeReader is the reader that a fake daemon has.
const fakeReader = "Fake Reader 00 00"

// A fakeDaemon answers as pcscd does, except where its fields say otherwise.
type fakeDaemon struct {
	version        []byte                                      // answer to the handshake
	hangAt         uint32                                      // command that gets no answer
	closeAt        uint32                                      // command at which the daemon closes
	result         map[uint32]uint32                           // return values of commands
	transmit       func(command []byte) (answer []byte, n int) // response, and the length to announce
	initialization chan uint32                                 // what Reconnect asked for, if anybody wants to know
}

// Commands of the protocol.
const (
	cmdEstablish = 0x01
	cmdConnect   = 0x04
	cmdReconnect = 0x05
	cmdBegin     = 0x07
	cmdTransmit  = 0x09
	cmdVersion   = 0x11
	cmdStates    = 0x12
	cmdWait      = 0x13
	cmdStop      = 0x14
)

// start listens and returns the path of the socket. It ends with the test.
func (d *fakeDaemon) start(t testing.TB) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		var ended []chan struct{}
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
			end := make(chan struct{})
			ended = append(ended, end)
			go func() {
				defer close(end)
				defer c.Close()
				d.serve(c)
			}()
		}
		for i, c := range conns {
			c.Close()
			<-ended[i]
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return socket
}

// serve answers one client. It does not allocate once it runs, so that the
// allocations of the client can be counted.
func (d *fakeDaemon) serve(c net.Conn) {
	header := make([]byte, 8)
	buf := make([]byte, 70000)
	success := []byte{0x90, 0}
	states := make([]byte, 16*184)
	copy(states, fakeReader)
	le.PutUint32(states[132:], 4|16|32)
	copy(states[140:], atrT1)
	le.PutUint32(states[176:], uint32(len(atrT1)))
	for {
		if _, err := io.ReadFull(c, header); err != nil {
			return
		}
		command := le.Uint32(header[4:])
		body := buf[:le.Uint32(header)]
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		if command == d.closeAt {
			return
		}
		if command == d.hangAt {
			io.Copy(io.Discard, c)
			return
		}
		if len(body) > 0 {
			le.PutUint32(body[len(body)-4:], d.result[command])
		}
		switch command {
		case cmdVersion:
			if d.version != nil {
				body = d.version
			}
		case cmdStates, cmdWait:
			body = states
		case cmdStop:
			body = buf[:8]
			clear(body)
		case cmdConnect:
			le.PutUint32(body[140:], 7)
			le.PutUint32(body[144:], 2) // T=1
		case cmdReconnect:
			if d.initialization != nil {
				d.initialization <- le.Uint32(body[12:])
			}
			le.PutUint32(body[16:], 2)
		case cmdTransmit:
			n := int(le.Uint32(body[12:]))
			sent := buf[len(body) : len(body)+n]
			if _, err := io.ReadFull(c, sent); err != nil {
				return
			}
			response, announced := success, len(success)
			if d.transmit != nil {
				response, announced = d.transmit(sent)
			}
			if d.result[command] != 0 {
				response, announced = nil, 0
			}
			le.PutUint32(body[24:], uint32(announced))
			if _, err := c.Write(body); err != nil {
				return
			}
			body = response
		}
		if _, err := c.Write(body); err != nil {
			return
		}
	}
}
