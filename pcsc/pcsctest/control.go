package pcsctest

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/cardoki/cardoki/apdu"
)

// A ControlFunc carries out a control code: it returns what the reader answers, at
// most 65,548 bytes, and the return value, 0 for success. It is called under the
// client's transaction, while no other client has the card called; ctx ends when the
// daemon does.
type ControlFunc func(ctx context.Context, c *ControlCall) (out []byte, code uint32)

// A ControlCall is a call of SCardControl.
type ControlCall struct {
	Code uint32 // the control code
	In   []byte // what the client sent; valid during the call

	slot *slot
}

// Transmit sends a command to the card in the reader and appends the response to
// dst, as a PIN pad does. Without a card the error Is [apdu.ErrRemoved].
func (c *ControlCall) Transmit(dst, command []byte) ([]byte, error) {
	if c.slot == nil {
		return dst, apdu.ErrRemoved
	}
	out, err := c.slot.transmit(dst, command)
	if err != nil {
		return dst, apdu.ErrRemoved
	}
	return out, nil
}

// Control codes, by the rule of pcsc-lite: 0x42000000 and a number.
const (
	controlFeatures = 0x42000000 + 3400 // CM_IOCTL_GET_FEATURE_REQUEST
	controlFeature  = 0x42330000        // and the tag, where features are called
)

// A feature is listed by a tag, a length and a big-endian control code.
func (r *Reader) appendFeatures(b []byte) []byte {
	for _, tag := range slices.Sorted(maps.Keys(r.features)) {
		b = append(b, tag, 4)
		b = binary.BigEndian.AppendUint32(b, controlFeature+uint32(tag))
	}
	return b
}

// controlFor returns what a control code calls.
func (r *Reader) controlFor(code uint32) ControlFunc {
	switch {
	case code == controlFeatures && len(r.features) > 0:
		return func(context.Context, *ControlCall) ([]byte, uint32) { return r.appendFeatures(nil), success }
	case code&^0xFF == controlFeature && r.features[byte(code)] != nil:
		return r.features[byte(code)]
	}
	return r.control
}

func (c *client) control(h *handle) uint32 {
	b := c.answer
	r := h.reader
	code, room := le.Uint32(b[4:]), le.Uint32(b[12:])
	le.PutUint32(b[16:], 0)
	c.d.mu.Lock()
	rv := h.allowed()
	c.d.mu.Unlock()
	if rv != success {
		return rv
	}
	f := r.controlFor(code)
	if f == nil {
		return unsupportedFeature
	}
	r.busy.Lock()
	defer r.busy.Unlock()
	c.d.mu.Lock()
	rv = h.allowed()
	s := r.slot
	if !r.powered {
		s = nil
	}
	c.d.mu.Unlock()
	if rv != success {
		return rv
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-c.stop:
			cancel()
		case <-done:
		}
	}()
	out, rv := f(ctx, &ControlCall{Code: code, In: c.data, slot: s})
	close(done)
	<-ended
	le.PutUint32(b[16:], uint32(len(out)))
	if len(out) > maxAPDU || uint32(len(out)) > room {
		return insufficientBuffer
	}
	c.answer = append(b, out...)
	return rv
}

// Attributes that every reader has.
const (
	attributeATR          = 0x00090303
	attributeFriendlyName = 0x7FFF0003
	attributeSystemName   = 0x7FFF0004
)

func (c *client) getAttribute(h *handle) uint32 {
	b := c.answer
	r := h.reader
	room := min(le.Uint32(b[8+maxAttribute:]), maxAttribute)
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if rv := h.untouched(); rv != success {
		return rv
	}
	id := le.Uint32(b[4:])
	value, ok := r.attributes[id]
	if !ok {
		switch id {
		case attributeATR:
			if len(r.atr) == 0 {
				return notTransacted
			}
			value = r.atr
		case attributeFriendlyName, attributeSystemName:
			value = append([]byte(r.name), 0)
		default:
			le.PutUint32(b[8+maxAttribute:], 0)
			return unsupportedFeature
		}
	}
	le.PutUint32(b[8+maxAttribute:], uint32(len(value)))
	if uint32(len(value)) > room {
		return insufficientBuffer
	}
	copy(b[8:8+maxAttribute], value)
	return success
}

func (c *client) setAttribute(h *handle) uint32 {
	b := c.answer
	c.d.mu.Lock()
	rv := h.untouched()
	c.d.mu.Unlock()
	if rv != success {
		return rv
	}
	n := le.Uint32(b[8+maxAttribute:])
	switch {
	case n > maxAttribute:
		return insufficientBuffer
	case h.reader.setAttribute == nil:
		return notTransacted
	}
	return h.reader.setAttribute(le.Uint32(b[4:]), b[8:8+n])
}
