package iso7816

import (
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
)

// Exchange sends a command and returns the response, whatever its status. The
// response may have come in pieces (61XX); its status is the last one. A command that
// the card says it has not executed is sent again, once for each reason: with the Ne it
// asks for (6CXX without data), in another form (6700, 6884, 6D00, 6E00), and after a
// chain that another program left open (6883). docs/quirks.md has the whole list.
//
// The logical channel number and, under secure messaging, the protection are
// added to c. An error means that no response was obtained, see [apdu.Transmitter].
func (ch *Channel) Exchange(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	data, sw, err := ch.AppendExchange(ctx, nil, c)
	return apdu.Response{Data: data, Status: sw}, err
}

// AppendExchange is [Channel.Exchange] that appends the response data to dst. On
// an error dst is returned unchanged. It does not allocate when dst has room for
// the data and two bytes more. c.Data must not lie in the free part of dst.
func (ch *Channel) AppendExchange(ctx context.Context, dst []byte, c apdu.Command) ([]byte, apdu.Status, error) {
	if err := ch.acquire(ctx); err != nil {
		return dst, 0, err
	}
	defer ch.release()
	return ch.exchange(ctx, dst, c)
}

// exchange is AppendExchange under the card's lock.
func (ch *Channel) exchange(ctx context.Context, dst []byte, c apdu.Command) ([]byte, apdu.Status, error) {
	if err := ch.usable(); err != nil {
		return dst, 0, err
	}
	if ch.number != 0 && !ch.opts.OwnedChannel {
		c.Class = ch.profile.setChannel(c.Class, ch.number)
	}
	if ch.sm != nil {
		return ch.protected(ctx, dst, c)
	}
	return ch.send(ctx, dst, &c)
}

// Send sends a command and returns the response data when the status is 9000.
// Any other status is a [*CommandError]; the data that came with it is returned
// too, as a warning has data (62XX, 63XX).
func (ch *Channel) Send(ctx context.Context, c apdu.Command) ([]byte, error) {
	return ch.AppendSend(ctx, nil, c)
}

// AppendSend is [Channel.Send] that appends the response data to dst. It does
// not allocate when dst has room for the data and two bytes more. c.Data must not
// lie in the free part of dst.
func (ch *Channel) AppendSend(ctx context.Context, dst []byte, c apdu.Command) ([]byte, error) {
	if err := ch.acquire(ctx); err != nil {
		return dst, err
	}
	defer ch.release()
	data, sw, err := ch.exchange(ctx, dst, c)
	if err != nil {
		return dst, err
	}
	if !ch.profile.success(sw) {
		return data, commandError(&c, sw)
	}
	return data, nil
}

// protected exchanges c under secure messaging. A 6CXX inside the protected
// response is answered by wrapping the command anew, with a new counter; a bare
// one, and 61XX, belong to the transport and are dealt with in send.
func (ch *Channel) protected(ctx context.Context, dst []byte, c apdu.Command) ([]byte, apdu.Status, error) {
	for repeated := false; ; repeated = true {
		w, err := ch.sm.WrapCommand(nil, c)
		if err != nil {
			return dst, 0, fmt.Errorf("iso7816: wrap %v: %w", c.Instruction, err)
		}
		plain, sw, err := ch.send(ctx, ch.plain[:0], &w)
		ch.plain = plain[:0]
		if err != nil {
			// The card may have counted the command, or not: the two ends no
			// longer agree on the counter.
			ch.smOver = fmt.Errorf("%w: %w", ErrSecureMessaging, err)
			return dst, 0, err
		}
		r, err := ch.sm.UnwrapResponse(nil, apdu.Response{Data: plain, Status: sw})
		if err != nil {
			ch.smOver = fmt.Errorf("%w: %v: %w", ErrSecureMessaging, c.Instruction, err)
			return dst, 0, ch.smOver
		}
		if ne := r.Status.ExactNe(); ne != 0 && len(r.Data) == 0 && !repeated {
			c.Ne = ne
			continue
		}
		dst = append(dst, r.Data...)
		return dst, r.Status, nil
	}
}

// send exchanges one logical command, already protected. When the card refuses the
// form of the command, which it then has not executed, another form is tried once.
func (ch *Channel) send(ctx context.Context, dst []byte, c *apdu.Command) ([]byte, apdu.Status, error) {
	p := ch.plan(c)
	out, sw, err := ch.sendAs(ctx, dst, c, p)
	other, ok := ch.otherPlan(c, p, sw)
	if err != nil || !ok || len(out) > len(dst) {
		return out, sw, err
	}
	again, swAgain, err := ch.sendAs(ctx, dst, c, other)
	if err != nil {
		return dst, 0, err
	}
	if refusesForm(swAgain) {
		return out, sw, nil // the form was not what the card minded
	}
	ch.extended = other.lastExt // from now on
	return again, swAgain, nil
}

// sendAs exchanges a command in the given form, and puts the response together.
func (ch *Channel) sendAs(ctx context.Context, dst []byte, c *apdu.Command, p plan) ([]byte, apdu.Status, error) {
	start := len(dst)
	if p.chain && !c.Class.Interindustry() {
		return dst, 0, fmt.Errorf("iso7816: %v: there is no command chaining in proprietary %v, and extended length is not known to be there: %w: %w",
			c.Instruction, c.Class, apdu.ErrNotSent, &apdu.LengthError{Field: "Nc", Value: len(c.Data), Max: p.linkNc})
	}
	if err := ch.breakChain(ctx); err != nil {
		return dst, 0, err
	}
	link := *c
	link.Extended = p.lastExt
	link.Ne = min(c.Ne, p.maxNe)
	out, sw := dst, apdu.StatusOK
	var err error
	if p.chain {
		out, sw, err = ch.links(ctx, out, &link, p.linkNc)
		if err != nil || !sw.OK() {
			return ch.bounded(dst, out, sw, err)
		}
	}
	out, sw, err = ch.repeat(ctx, out, &link)
	if sw == apdu.StatusLastCommandExpected && !p.chain && len(out) == start {
		// A chain, or the rest of a response, that another program left behind.
		// OpenFIPS201 drops it with this answer.
		out, sw, err = ch.repeat(ctx, out, &link)
	}
	if err != nil {
		return dst, 0, err
	}
	ch.chainCut = false
	basic := false // GET RESPONSE goes in class 00
	for n := 0; ; n++ {
		ne := ch.profile.more(sw)
		if ne == 0 || len(out)-start > ch.opts.MaxResponse {
			break
		}
		if n == ch.opts.MaxGetResponse {
			return dst, 0, &BoundError{Bound: "MaxGetResponse", Value: n}
		}
		get := ch.profile.getResponse(c, min(ne, ch.shortNe()))
		if basic {
			get.Class = ch.basicClass()
		}
		out, sw, err = ch.repeat(ctx, out, &get)
		if err == nil && n == 0 && (sw == apdu.StatusInstructionNotSupported || sw == apdu.StatusClassNotSupported) && ch.profile.byStandard(&get) {
			// Some cards have GET RESPONSE in class 00 alone.
			get.Class, basic = ch.basicClass(), true
			var again apdu.Status
			if out, again, err = ch.repeat(ctx, out, &get); again != apdu.StatusInstructionNotSupported && again != apdu.StatusClassNotSupported {
				sw = again
			}
		}
		if err != nil {
			return dst, 0, err
		}
	}
	return ch.bounded(dst, out, sw, nil)
}

// bounded returns what came of a command, unless that is more than Options allows.
func (ch *Channel) bounded(dst, out []byte, sw apdu.Status, err error) ([]byte, apdu.Status, error) {
	if err == nil && len(out)-len(dst) > ch.opts.MaxResponse {
		err = &BoundError{Bound: "MaxResponse", Value: ch.opts.MaxResponse}
	}
	if err != nil {
		return dst, 0, err
	}
	return out, sw, nil
}

// basicClass returns the interindustry class of the channel, without flags.
func (ch *Channel) basicClass() apdu.Class { return apdu.Class(0).WithChannel(ch.number) }

// links sends all of c but the last command of its chain, which is left in c
// (ISO/IEC 7816-4:2013), each with nc bytes. A status other than 9000 ends the chain;
// the data that came with it is appended to dst. A link that is answered with 9000 and
// data was taken for a whole command: that is an error.
func (ch *Channel) links(ctx context.Context, dst []byte, c *apdu.Command, nc int) ([]byte, apdu.Status, error) {
	data := c.Data
	link := apdu.Command{Class: c.Class.WithChained(true), Instruction: c.Instruction, P1: c.P1, P2: c.P2}
	for first, repeated := true, false; len(data) > nc; first = false {
		link.Data = data[:nc]
		ch.openChain, ch.chainCut = link.Class.WithChained(false).WithSecureMessaging(apdu.SMNone), true
		answer, sw, err := ch.once(ctx, ch.plain[:0], &link)
		if err != nil {
			return dst, 0, err
		}
		ch.plain = answer[:0]
		switch {
		case sw == apdu.StatusLastCommandExpected && first && !repeated && len(answer) == 0:
			repeated = true // see sendAs
			continue
		case sw.OK() && len(answer) > 0:
			return dst, 0, fmt.Errorf("iso7816: %v: the card answered a link of its chain with %d bytes of data and may have taken it for the whole command: command chaining: %w",
				c.Instruction, len(answer), errors.ErrUnsupported)
		case !sw.OK():
			ch.chainCut = false // the card gave it up
			return append(dst, answer...), sw, nil
		}
		data = data[nc:]
	}
	c.Data = data
	return dst, apdu.StatusOK, nil
}

// breakChain ends a chain that a failure of the transport cut, by a command that does
// nothing: else the card would join the next command to it, if the headers agree.
func (s *shared) breakChain(ctx context.Context) error {
	if !s.chainCut {
		return nil
	}
	raw, err := s.transmit(ctx, s.plain[:0], &apdu.Command{Class: s.openChain, Instruction: apdu.InsGetResponse, Ne: s.shortNe()})
	if err != nil {
		return err
	}
	s.plain = raw[:0]
	s.chainCut = false
	return nil
}

// repeat transmits c, and once more with another Ne when the card answers 6CXX
// without data. It appends the response data to dst.
func (s *shared) repeat(ctx context.Context, dst []byte, c *apdu.Command) ([]byte, apdu.Status, error) {
	out, sw, err := s.once(ctx, dst, c)
	ne := sw.ExactNe()
	if err != nil || ne == 0 || len(out) > len(dst) {
		return out, sw, err
	}
	again := *c
	again.Ne, again.Extended = min(ne, s.shortNe()), c.Extended && len(c.Data) > apdu.MaxShortNc
	return s.once(ctx, dst, &again)
}

func (s *shared) once(ctx context.Context, dst []byte, c *apdu.Command) ([]byte, apdu.Status, error) {
	raw, err := s.transmit(ctx, dst, c)
	if err != nil {
		return dst, 0, err
	}
	r, err := apdu.ParseResponse(raw[len(dst):])
	if err != nil {
		return dst, 0, fmt.Errorf("iso7816: %v: %w", c.Instruction, err)
	}
	return raw[:len(raw)-2], r.Status, nil
}

// transmit encodes c and passes it to the transport.
func (s *shared) transmit(ctx context.Context, dst []byte, c *apdu.Command) ([]byte, error) {
	b, err := c.AppendBinary(s.command[:0])
	s.command = b
	if err != nil {
		return dst, err
	}
	out, err := s.t.Transmit(ctx, dst, b)
	clear(b) // it may hold a PIN or a key
	if err != nil {
		return dst, fmt.Errorf("iso7816: %v: %w", c.Instruction, err)
	}
	return out, nil
}
