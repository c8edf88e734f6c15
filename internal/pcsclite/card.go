package pcsclite

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Card is the handle of a connected card.
type Card uint32

// Connect connects to the card in a reader and returns its handle and the active
// protocol. It waits while another client holds a transaction.
func (c *Client) Connect(ctx context.Context, reader string, share, protocols uint32) (Card, uint32, error) {
	if len(reader) >= maxReaderName || strings.IndexByte(reader, 0) >= 0 {
		return 0, 0, RV(0x80100009) // unknown reader: no name is like that
	}
	const size = 4 + maxReaderName + 5*4
	req := c.start(cmdConnect, size)
	req = le.AppendUint32(req, c.context)
	req = append(req, reader...)
	req = append(req, make([]byte, maxReaderName-len(reader))...)
	req = le.AppendUint32(req, share)
	req = le.AppendUint32(req, protocols)
	req = append(req, make([]byte, 3*4)...) // handle, active protocol, return value
	ans := c.answer[:size]
	if err := c.exchange(ctx, req, ans); err != nil {
		return 0, 0, err
	}
	return Card(le.Uint32(ans[140:])), le.Uint32(ans[144:]), result(ans)
}

// Reconnect takes the card over as it is now, or resets it first: initialization
// is a disposition. It returns the active protocol.
func (c *Client) Reconnect(ctx context.Context, card Card, share, protocols, initialization uint32) (uint32, error) {
	ans, err := c.call(ctx, cmdReconnect, uint32(card), share, protocols, initialization, 0, 0)
	if err != nil {
		return 0, err
	}
	return le.Uint32(ans[16:]), result(ans)
}

// Disconnect gives the handle back and does with the card what disposition says.
func (c *Client) Disconnect(ctx context.Context, card Card, disposition uint32) error {
	return c.simple(ctx, cmdDisconnect, uint32(card), disposition, 0)
}

// BeginTransaction keeps other clients away from the card. While another client
// does the same the daemon waits about 0.1 s and returns 0x8010000B.
func (c *Client) BeginTransaction(ctx context.Context, card Card) error {
	return c.simple(ctx, cmdBeginTransaction, uint32(card), 0)
}

// EndTransaction ends a transaction and does with the card what disposition says.
func (c *Client) EndTransaction(ctx context.Context, card Card, disposition uint32) error {
	return c.simple(ctx, cmdEndTransaction, uint32(card), disposition, 0)
}

// Status returns the error that the next Transmit would meet, as far as the
// daemon knows it.
func (c *Client) Status(ctx context.Context, card Card) error {
	return c.simple(ctx, cmdStatus, uint32(card), 0)
}

// Context returns the number of the client context, for [Client.Cancel].
func (c *Client) Context() uint32 { return c.context }

// Cancel ends the waiting for a change of another client, with 0x80100002.
func (c *Client) Cancel(ctx context.Context, context uint32) error {
	return c.simple(ctx, cmdCancel, context, 0)
}

func (c *Client) simple(ctx context.Context, command uint32, body ...uint32) error {
	ans, err := c.call(ctx, command, body...)
	if err != nil {
		return err
	}
	return result(ans)
}

// Transmit sends a command APDU, 1 to [MaxAPDU] bytes, and appends the response to
// dst, which may be no byte at all. dst is returned unchanged with any error. The
// copy of the command that the client makes is cleared.
//
// While another client holds a transaction the daemon returns 0x8010000B at once
// and does not send the command.
func (c *Client) Transmit(ctx context.Context, card Card, protocol uint32, dst, command []byte) ([]byte, error) {
	if len(command) == 0 || len(command) > MaxAPDU {
		return dst, &ProtocolError{Reason: fmt.Sprintf("not asked: command of %d bytes", len(command))}
	}
	const pciSize = 16 // of SCARD_IO_REQUEST where DWORD has 64 bits; the daemon passes it on unread
	req := c.start(cmdTransmit, transmitSize)
	req = le.AppendUint32(req, uint32(card))
	req = le.AppendUint32(req, protocol)
	req = le.AppendUint32(req, pciSize)
	req = le.AppendUint32(req, uint32(len(command)))
	req = le.AppendUint32(req, protocol)
	req = le.AppendUint32(req, pciSize)
	req = le.AppendUint32(req, MaxAPDU)
	req = le.AppendUint32(req, 0)
	req = append(req, command...)
	c.request = req[:0]
	defer clear(req[headerSize+transmitSize:])

	return c.exchangeBytes(ctx, dst, req, transmitSize, 24)
}

// exchangeBytes sends req and appends the bytes that follow the answer to dst. Their
// number is at offset in the answer, which has the given size.
func (c *Client) exchangeBytes(ctx context.Context, dst, req []byte, size, offset int) ([]byte, error) {
	w, err := c.watch(ctx)
	if err != nil {
		return dst, err
	}
	out, rv, err := c.sendAndAppend(dst, req, size, offset)
	if err = c.settle(ctx, w, err); err == nil && rv != rvSuccess {
		err = rv
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (c *Client) sendAndAppend(dst, req []byte, size, offset int) ([]byte, RV, error) {
	if _, err := c.conn.Write(req); err != nil {
		return dst, 0, err
	}
	ans := c.answer[:size]
	if _, err := io.ReadFull(c.conn, ans); err != nil {
		return dst, 0, err
	}
	if rv := RV(le.Uint32(ans[size-4:])); rv != rvSuccess {
		return dst, rv, nil // no byte follows
	}
	n := le.Uint32(ans[offset:])
	if n > MaxAPDU {
		return dst, 0, &ProtocolError{Reason: fmt.Sprintf("response of %d bytes", n)}
	}
	return appendFrom(dst, c.conn, int(n))
}

// appendFrom appends n bytes from r to dst, which grows with what has come, not
// with what was announced.
func appendFrom(dst []byte, r io.Reader, n int) ([]byte, RV, error) {
	out := dst
	for n > 0 {
		out = slices.Grow(out, min(n, 4096))
		m, err := io.ReadFull(r, out[len(out):min(cap(out), len(out)+n)])
		out, n = out[:len(out)+m], n-m
		if err != nil {
			clear(out[len(dst):])
			return dst, 0, err
		}
	}
	return out, rvSuccess, nil
}
