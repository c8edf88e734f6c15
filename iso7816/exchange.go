package iso7816

import (
	"context"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
)

// Exchange sends a command and returns the response, whatever its status. The
// response may have come in pieces (61XX); its status is the last one. A command
// answered with 6CXX was sent again with the Ne the card asked for, once.
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
	data, sw, err := ch.AppendExchange(ctx, dst, c)
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
		if ne := r.Status.ExactNe(); ne != 0 && !repeated {
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
	if swAgain == apdu.StatusWrongLength || swAgain == apdu.StatusChainingNotSupported {
		return out, sw, nil // the form was not what the card minded
	}
	ch.extended = other.lastExt // from now on
	return again, swAgain, nil
}

// sendAs exchanges a command in the given form, and puts the response together.
func (ch *Channel) sendAs(ctx context.Context, dst []byte, c *apdu.Command, p plan) ([]byte, apdu.Status, error) {
	start := len(dst)
	if err := ch.breakChain(ctx); err != nil {
		return dst, 0, err
	}
	link := *c
	link.Extended = p.lastExt
	link.Ne = min(c.Ne, p.maxNe)
	if p.chain {
		sw, err := ch.links(ctx, &link)
		if err != nil || !sw.OK() {
			return dst, sw, err
		}
	}
	out, sw, err := ch.repeat(ctx, dst, &link)
	if err != nil {
		return dst, 0, err
	}
	ch.chainCut = false
	for n := 0; ; n++ {
		ne := ch.profile.more(sw)
		if ne == 0 {
			break
		}
		if n == ch.opts.MaxGetResponse {
			return dst, 0, &BoundError{Bound: "MaxGetResponse", Value: n}
		}
		get := ch.profile.getResponse(c, ne)
		out, sw, err = ch.repeat(ctx, out, &get)
		if err != nil {
			return dst, 0, err
		}
		if len(out)-start > ch.opts.MaxResponse {
			break
		}
	}
	if len(out)-start > ch.opts.MaxResponse {
		return dst, 0, &BoundError{Bound: "MaxResponse", Value: ch.opts.MaxResponse}
	}
	return out, sw, nil
}

// links sends all of c but the last command of its chain, which is left in c
// (ISO/IEC 7816-4:2013). A status other than 9000 ends the chain.
func (s *shared) links(ctx context.Context, c *apdu.Command) (apdu.Status, error) {
	data := c.Data
	link := apdu.Command{Class: c.Class.WithChained(true), Instruction: c.Instruction, P1: c.P1, P2: c.P2}
	for len(data) > apdu.MaxShortNc {
		link.Data, data = data[:apdu.MaxShortNc], data[apdu.MaxShortNc:]
		s.openChain, s.chainCut = link.Class.WithChained(false).WithSecureMessaging(apdu.SMNone), true
		raw, err := s.transmit(ctx, s.plain[:0], &link)
		if err != nil {
			return 0, err
		}
		s.plain = raw[:0]
		r, err := apdu.ParseResponse(raw)
		if err != nil {
			return 0, err
		}
		if !r.Status.OK() {
			s.chainCut = false // the card gave it up
			return r.Status, nil
		}
	}
	c.Data = data
	return apdu.StatusOK, nil
}

// breakChain ends a chain that a failure of the transport cut, by a command that does
// nothing: else the card would join the next command to it, if the headers agree.
func (s *shared) breakChain(ctx context.Context) error {
	if !s.chainCut {
		return nil
	}
	raw, err := s.transmit(ctx, s.plain[:0], &apdu.Command{Class: s.openChain, Instruction: apdu.InsGetResponse, Ne: apdu.MaxShortNe})
	if err != nil {
		return err
	}
	s.plain = raw[:0]
	s.chainCut = false
	return nil
}

// repeat transmits c, and once more with another Ne when the card answers 6CXX.
// It appends the response data to dst.
func (s *shared) repeat(ctx context.Context, dst []byte, c *apdu.Command) ([]byte, apdu.Status, error) {
	out, sw, err := s.once(ctx, dst, c)
	ne := sw.ExactNe()
	if err != nil || ne == 0 {
		return out, sw, err
	}
	again := *c
	again.Ne, again.Extended = ne, c.Extended && len(c.Data) > apdu.MaxShortNc
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
