package pcsclite

import (
	"context"
	"fmt"
)

// Control sends a control code with its input, 0 to [MaxAPDU] bytes, to the driver
// of the reader and appends the output to dst, which may be no byte at all. dst is
// returned unchanged with any error. The copy of the input that the client makes is
// cleared.
//
// While another client holds a transaction the daemon returns 0x8010000B at once.
func (c *Client) Control(ctx context.Context, card Card, code uint32, dst, input []byte) ([]byte, error) {
	if len(input) > MaxAPDU {
		return dst, &ProtocolError{Reason: fmt.Sprintf("not asked: control input of %d bytes", len(input))}
	}
	req := c.start(cmdControl, controlSize)
	for _, v := range [...]uint32{uint32(card), code, uint32(len(input)), MaxAPDU, 0, 0} {
		req = le.AppendUint32(req, v)
	}
	req = append(req, input...)
	c.request = req[:0]
	defer clear(req[headerSize+controlSize:])
	return c.exchangeBytes(ctx, dst, req, controlSize, 16)
}

// Attribute returns an attribute of the reader or the card. The result is valid
// until the next call.
func (c *Client) Attribute(ctx context.Context, card Card, id uint32) ([]byte, error) {
	ans, err := c.attribute(ctx, cmdGetAttrib, card, id, nil, maxAttribute)
	if err != nil {
		return nil, err
	}
	n := le.Uint32(ans[8+maxAttribute:])
	if n > maxAttribute {
		return nil, c.broken(ctx, &ProtocolError{Reason: fmt.Sprintf("attribute of %d bytes", n)})
	}
	return ans[8 : 8+n : 8+n], nil
}

// SetAttribute sets an attribute to a value of 1 to 264 bytes.
func (c *Client) SetAttribute(ctx context.Context, card Card, id uint32, value []byte) error {
	if len(value) == 0 || len(value) > maxAttribute {
		return &ProtocolError{Reason: fmt.Sprintf("not asked: attribute of %d bytes", len(value))}
	}
	_, err := c.attribute(ctx, cmdSetAttrib, card, id, value, uint32(len(value)))
	return err
}

// attribute makes the exchange that both calls have in common. The daemon wants the
// whole buffer in either direction.
func (c *Client) attribute(ctx context.Context, command uint32, card Card, id uint32, value []byte, length uint32) ([]byte, error) {
	const size = 8 + maxAttribute + 8
	req := c.start(command, size)
	req = le.AppendUint32(req, uint32(card))
	req = le.AppendUint32(req, id)
	req = append(req, value...)
	req = append(req, make([]byte, maxAttribute-len(value))...)
	req = le.AppendUint32(req, length)
	req = le.AppendUint32(req, 0)
	ans := c.answer[:size]
	if err := c.exchange(ctx, req, ans); err != nil {
		return nil, err
	}
	return ans, result(ans)
}
