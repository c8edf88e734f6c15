package card

import (
	"context"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// maxChain is the longest data field that a chain may add up to, in bytes.
const maxChain = apdu.MaxExtendedNc

// A chain is what came of a command in links (ISO/IEC 7816-4:2013). Its class holds
// the logical channel: a command on another channel ends it.
type chain struct {
	command apdu.Command // Data is data; the class without the chaining bit
	data    []byte
	open    bool
}

// end drops the chain.
func (h *chain) end() {
	clear(h.data)
	*h = chain{data: h.data[:0]}
}

// join adds a command to its chain and returns the whole command when it is the
// last, else nil and the status for the link.
func (h *chain) join(cmd *apdu.Command) (*apdu.Command, apdu.Status) {
	same := h.open && cmd.Class.WithChained(false) == h.command.Class &&
		cmd.Instruction == h.command.Instruction && cmd.P1 == h.command.P1 && cmd.P2 == h.command.P2
	if h.open && !same {
		h.end() // another command ends a chain; what came of it is dropped
	}
	if !cmd.Class.Chained() && !h.open {
		return cmd, 0
	}
	if len(h.data)+len(cmd.Data) > maxChain {
		h.end()
		return nil, apdu.StatusWrongLength
	}
	h.data = append(h.data, cmd.Data...)
	h.command, h.open = *cmd, true
	h.command.Class = cmd.Class.WithChained(false)
	h.command.Data = h.data
	if cmd.Class.Chained() {
		return nil, apdu.StatusOK
	}
	return &h.command, 0
}

// A remainder is what did not fit a response and waits for GET RESPONSE on the
// channel that it belongs to.
type remainder struct {
	data    []byte      // of the card's ResponseWriter
	status  apdu.Status // to be given with the last of it
	channel int
}

func (c *Card) endResponse() {
	clear(c.w.buf)
	c.w = ResponseWriter{buf: c.w.buf[:0]}
	c.rest = remainder{}
}

// serve answers one command APDU. The data is valid until the next.
func (c *Card) serve(ctx context.Context, b []byte) ([]byte, apdu.Status) {
	var err error
	c.command, err = apdu.ParseCommand(b)
	cmd := &c.command
	if err != nil || cmd.Extended && c.opts.ShortOnly {
		c.chain.end()
		return nil, apdu.StatusWrongLength
	}
	number := cmd.Class.Channel()
	switch {
	case cmd.Class == 0xFF, !cmd.Class.Interindustry() && !cmd.Class.Proprietary():
		return nil, apdu.StatusClassNotSupported
	case number >= len(c.channels) || !c.channels[number].open:
		return nil, apdu.StatusChannelNotSupported
	}
	if cmd.Instruction == apdu.InsGetResponse && cmd.Class.Interindustry() {
		c.chain.end()
		return c.getResponse(cmd)
	}
	c.endResponse()
	whole, sw := c.chain.join(cmd)
	if whole == nil {
		return nil, sw
	}
	c.implicit(&c.channels[0])
	sw = c.logical(ctx, &c.channels[number], whole)
	c.chain.end()
	if c.w.overflow {
		return nil, apdu.StatusNoPreciseDiagnosis
	}
	c.rest = remainder{data: c.w.buf, status: sw, channel: number}
	ne := cmd.Ne
	if ne == 0 && c.w.unasked {
		ne = apdu.MaxShortNe
	}
	return c.respond(ne)
}

// logical answers a whole command by writing to c.w. It takes secure messaging
// off the command and puts it on the response.
func (c *Card) logical(ctx context.Context, ch *channel, cmd *apdu.Command) apdu.Status {
	if cmd.Class.SecureMessaging() == apdu.SMNone {
		return c.dispatch(ctx, ch, cmd)
	}
	p, ok := ch.session.(Protected)
	var sm iso7816.CardSecureMessaging
	if ok {
		sm = p.SecureMessaging()
	}
	if sm == nil {
		return apdu.StatusSecureMessagingNotSupported
	}
	plain, sw := sm.UnwrapCommand(nil, *cmd)
	if !sw.OK() {
		return sw
	}
	plain.Class = plain.Class.WithSecureMessaging(apdu.SMNone)
	sw = c.dispatch(ctx, ch, &plain)
	r, err := sm.WrapResponse(nil, apdu.Response{Data: c.w.buf, Status: sw})
	if err != nil {
		c.endResponse()
		return apdu.StatusNoPreciseDiagnosis
	}
	plainData := c.w.buf
	c.w = ResponseWriter{}
	c.w.Write(r.Data)
	clear(plainData)
	return r.Status
}

// dispatch answers a command that is whole and plain: by itself what concerns
// channels and applications, all else by the session.
func (c *Card) dispatch(ctx context.Context, ch *channel, cmd *apdu.Command) apdu.Status {
	if cmd.Class.Interindustry() {
		cmd.Class = cmd.Class.WithChannel(0)
		switch {
		case cmd.Instruction == apdu.InsSelect && cmd.P1 == byte(iso7816.SelectDFName):
			return c.selectApplication(ch, cmd)
		case cmd.Instruction == apdu.InsManageChannel:
			return c.manageChannel(ch, cmd)
		}
	}
	if ch.session == nil {
		if cmd.Instruction == apdu.InsSelect {
			return apdu.StatusFileNotFound
		}
		return apdu.StatusConditionsNotSatisfied
	}
	return ch.session.ServeAPDU(ctx, &c.w, cmd)
}

// respond gives the first ne bytes of what is to be given, and keeps the rest for
// GET RESPONSE with the status that belongs to the whole.
func (c *Card) respond(ne int) ([]byte, apdu.Status) {
	data := c.rest.data
	if len(data) <= ne {
		c.rest.data = nil
		return data, c.rest.status
	}
	c.rest.data = data[ne:]
	return data[:ne], apdu.StatusMoreAvailable | apdu.Status(min(len(c.rest.data), 256)&0xFF)
}

func (c *Card) getResponse(cmd *apdu.Command) ([]byte, apdu.Status) {
	switch {
	case len(c.rest.data) == 0 || c.rest.channel != cmd.Class.Channel():
		return nil, apdu.StatusConditionsNotSatisfied
	case cmd.P1 != 0 || cmd.P2 != 0:
		return nil, apdu.StatusIncorrectP1P2
	case len(cmd.Data) != 0 || cmd.Ne == 0:
		return nil, apdu.StatusWrongLength
	}
	return c.respond(cmd.Ne)
}
