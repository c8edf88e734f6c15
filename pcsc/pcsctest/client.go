package pcsctest

import (
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// A client is one connection to the daemon, served by one goroutine.
type client struct {
	d       *Daemon
	conn    net.Conn
	number  int
	stop    <-chan struct{} // closed when the daemon ends
	context uint32          // guarded by Daemon.mu
	handles map[uint32]*handle

	writing sync.Mutex // held while something is sent; before Daemon.mu

	header [8]byte
	body   [16 + maxAttribute]byte // the longest
	data   []byte                  // what follows the body of a request
	answer []byte
}

// eventPatience is how long a client may take to read an event.
const eventPatience = time.Second

// serve answers the client until one of both has enough.
func (c *client) serve() {
	defer func() {
		c.release()
		c.d.mu.Lock()
		delete(c.d.clients, c)
		c.d.mu.Unlock()
		c.conn.Close()
	}()
	c.handles = map[uint32]*handle{}
	if f := c.faultAt(Call{Command: Accepted}); f != nil && f.changes() && !c.suffer(f, nil) {
		return
	}
	for {
		command, ok := c.read()
		if !ok || !c.process(command) {
			return
		}
	}
}

// read reads the next request, and reports whether there is one that can be
// answered.
func (c *client) read() (Command, bool) {
	if _, err := io.ReadFull(c.conn, c.header[:]); err != nil {
		return 0, false
	}
	size, command := le.Uint32(c.header[:]), Command(le.Uint32(c.header[4:]))
	if command == Accepted || int64(command) >= int64(len(messages)) || messages[command].name == "" || size != uint32(messages[command].size) {
		return 0, false
	}
	if command == CMD_GET_READER_EVENTS && c.d.minor < 5 {
		return 0, false
	}
	body := c.body[:size]
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return 0, false
	}
	c.data = c.data[:0]
	var n uint32
	switch command {
	case SCARD_TRANSMIT:
		n = le.Uint32(body[12:])
	case SCARD_CONTROL:
		n = le.Uint32(body[8:])
	}
	if n > maxAPDU {
		return 0, false
	}
	c.data = slices.Grow(c.data, int(n))[:n]
	_, err := io.ReadFull(c.conn, c.data)
	return command, err == nil
}

// process answers a request and reports whether the client is served on.
func (c *client) process(command Command) bool {
	body := c.body[:messages[command].size]
	call := Call{Command: command, Data: c.data}
	var h *handle
	if at := messages[command].handle; at >= 0 {
		if h = c.handles[le.Uint32(body[at:])]; h == nil {
			return false // pcscd takes the client for a rogue
		}
		call.Reader = h.reader.name
	}
	switch command {
	case SCARD_CONNECT:
		call.Reader = readerName(body)
	case SCARD_CONTROL, SCARD_GET_ATTRIB, SCARD_SET_ATTRIB:
		call.Code = le.Uint32(body[4:])
	}
	f := c.faultAt(call)
	if f != nil && f.changes() {
		return c.fail(f, command, h, body)
	}
	return c.carryOut(command, h, body, nil)
}

// faultAt counts a call and asks what becomes of it.
func (c *client) faultAt(call Call) *Fault {
	c.d.mu.Lock()
	c.d.calls[call.Command]++
	call.N, call.Client = c.d.calls[call.Command], c.number
	f := c.d.fault
	c.d.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(call)
}

// fail does to a call what f says.
func (c *client) fail(f *Fault, command Command, h *handle, body []byte) bool {
	if f.After && (command != CMD_WAIT_READER_STATE_CHANGE || f.Code == success) {
		return c.carryOut(command, h, body, f)
	}
	c.answer = append(c.answer[:0], body...)
	switch command {
	case SCARD_TRANSMIT:
		le.PutUint32(c.answer[24:], 0)
	case SCARD_CONTROL:
		le.PutUint32(c.answer[16:], 0)
	case CMD_GET_READERS_STATE, CMD_WAIT_READER_STATE_CHANGE:
		c.d.mu.Lock()
		c.answer = c.d.appendStates(c.answer)
		c.d.mu.Unlock()
	case CMD_STOP_WAITING_READER_STATE_CHANGE, CMD_GET_READER_EVENTS:
		c.answer = append(c.answer, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return c.suffer(f, c.finish(command, f.Code))
}

// finish puts rv where the answer to command has its return value, and returns the
// answer.
func (c *client) finish(command Command, rv uint32) []byte {
	switch command {
	case CMD_GET_READERS_STATE:
	case CMD_WAIT_READER_STATE_CHANGE:
		if rv != success {
			c.answer = le.AppendUint32(c.answer, 0)
			c.answer = le.AppendUint32(c.answer, rv)
		}
	default:
		n := messages[command].size
		if n == 0 {
			n = 8
		}
		if rv != success {
			c.answer = c.answer[:n] // nothing follows the body of an error
		}
		le.PutUint32(c.answer[n-4:], rv)
	}
	return c.answer
}

// suffer sends answer as f says, and reports whether the client is served on.
func (c *client) suffer(f *Fault, answer []byte) bool {
	switch {
	case f.Kill:
		c.d.stop()
		return false
	case f.Hang:
		io.Copy(io.Discard, c.conn) // until the client, or the daemon, closes it
		return false
	}
	if f.Rewrite != nil {
		answer = f.Rewrite(answer)
	} else if f.Drop {
		return false
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.conn.Write(answer)
	return err == nil && !f.Drop
}

// carryOut does what a request asks for and answers it, as f says if there is one.
func (c *client) carryOut(command Command, h *handle, body []byte, f *Fault) bool {
	if command == CMD_WAIT_READER_STATE_CHANGE {
		return c.wait(f)
	}
	c.answer = append(c.answer[:0], body...)
	rv, silent := c.call(command, h)
	switch {
	case f != nil:
		if f.Code != success {
			rv = f.Code
		}
		return c.suffer(f, c.finish(command, rv))
	case silent:
		return true
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.conn.Write(c.finish(command, rv))
	return err == nil
}

// wait answers with the states of the readers and registers the client for the next
// event, both at one moment, so that no event is lost or overtakes the answer.
func (c *client) wait(f *Fault) bool {
	c.writing.Lock()
	c.d.mu.Lock()
	if !slices.Contains(c.d.waiting, c) {
		c.d.waiting = append(c.d.waiting, c)
	}
	c.answer = c.d.appendStates(c.answer[:0])
	c.d.mu.Unlock()
	if f != nil {
		c.writing.Unlock()
		return c.suffer(f, c.answer)
	}
	_, err := c.conn.Write(c.answer)
	c.writing.Unlock()
	return err == nil
}

// sendEvent sends the client what it waited for. Any goroutine may call it.
func (c *client) sendEvent(rv uint32) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(eventPatience))
	if _, err := c.conn.Write(le.AppendUint32([]byte{0, 0, 0, 0}, rv)); err != nil {
		c.conn.Close()
	}
	c.conn.SetWriteDeadline(time.Time{})
}

// appendStates appends the states of all places for readers. mu is held.
func (d *Daemon) appendStates(b []byte) []byte {
	for _, r := range d.readers {
		if r == nil {
			b = append(b, make([]byte, readerSize)...)
			continue
		}
		b = r.appendState(b)
	}
	return b
}
