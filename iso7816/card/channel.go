package card

import (
	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// A channel is one logical channel of the card, with its selection.
type channel struct {
	number  int
	open    bool
	app     Application
	session Session // nil when nothing is selected
}

// take ends the selection of ch and returns its session, which is to be closed, or
// nil.
func (ch *channel) take() Session {
	s := ch.session
	ch.app, ch.session = nil, nil
	return s
}

// retire closes s, when it is not nil, after the command under way: its secure
// messaging may have the response to protect.
func (c *Card) retire(s Session) {
	if s != nil {
		c.retired = append(c.retired, s)
	}
}

// closeRetired closes the sessions that the last command ended.
func (c *Card) closeRetired() {
	for i, s := range c.retired {
		s.Close()
		c.retired[i] = nil
	}
	c.retired = c.retired[:0]
}

// start opens a session of app on ch and lets it answer SELECT into w. The selection
// that ch has stays when there is none.
func (c *Card) start(ch *channel, app Application, w *ResponseWriter) apdu.Status {
	s, err := app.Open(&Env{
		Channel:     ch.number,
		Store:       prefixed(c.opts.Store, app.AID().String()),
		Rand:        c.opts.Rand,
		Contactless: c.opts.Contactless,
		Now:         c.opts.Now,
	})
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	sw := s.Select(w)
	if !sw.OK() && !sw.Warning() {
		s.Close()
		return sw
	}
	c.retire(ch.take())
	ch.app, ch.session = app, s
	return sw
}

// implicit selects the implicit application on ch, if there is one and ch has no
// selection.
func (c *Card) implicit(ch *channel) {
	if ch.session != nil || c.opts.Implicit == (iso7816.AID{}) {
		return
	}
	for _, a := range c.apps {
		if a.AID() == c.opts.Implicit {
			c.start(ch, a, &ResponseWriter{}) // when it can't, nothing is selected
		}
	}
}

// minPartialAID is the shortest name that selects an application: a registered
// application provider identifier.
const minPartialAID = 5

// selectApplication answers SELECT by DF name. A failed SELECT leaves the selected
// application as it was.
func (c *Card) selectApplication(ch *channel, cmd *apdu.Command) apdu.Status {
	if cmd.P2&0xF0 != 0 {
		return apdu.StatusFunctionNotSupported
	}
	app := c.find(ch.app, cmd.Data, iso7816.Occurrence(cmd.P2&0x03))
	if app == nil {
		return apdu.StatusFileNotFound
	}
	var sw apdu.Status
	if r, ok := ch.session.(Reselecter); ok && app == ch.app {
		sw = r.Reselect(&c.w)
	} else {
		sw = c.start(ch, app, &c.w)
	}
	if iso7816.Template(cmd.P2&0x0C) == iso7816.ReturnNothing {
		c.w.buf = c.w.buf[:0]
	}
	return sw
}

// find returns the application of the given occurrence among those whose AID begins
// with name; next and previous count from current.
func (c *Card) find(current Application, name []byte, o iso7816.Occurrence) Application {
	if len(name) < minPartialAID {
		return nil
	}
	var before, first, last, after Application
	seen := false // current
	for _, a := range c.apps {
		if a == current {
			seen = true
		}
		if !a.AID().HasPrefix(name) {
			continue
		}
		if first == nil {
			first = a
		}
		last = a
		switch {
		case a == current:
		case !seen:
			before = a
		case after == nil:
			after = a
		}
	}
	switch o {
	case iso7816.LastOccurrence:
		return last
	case iso7816.NextOccurrence:
		if current == nil {
			return first
		}
		return after
	case iso7816.PreviousOccurrence:
		if current == nil {
			return last
		}
		return before
	}
	return first
}

// manageChannel answers MANAGE CHANNEL (ISO/IEC 7816-4:2013): P1 00 opens a channel,
// that of P2 or one that the card assigns; 80 closes that of P2, or else the one the
// command came on.
//
// A channel opened from the basic one has the implicit application; from another one,
// the application selected there. Either way it is a new session: no security status
// passes from channel to channel.
func (c *Card) manageChannel(ch *channel, cmd *apdu.Command) apdu.Status {
	number := int(cmd.P2)
	if len(cmd.Data) != 0 {
		return apdu.StatusWrongLength
	}
	switch cmd.P1 {
	case 0x00:
		return c.openChannel(ch, number, cmd.Ne)
	case 0x80:
		if number == 0 {
			number = ch.number
		}
		if number == 0 || number > apdu.MaxChannel {
			return apdu.StatusIncorrectP1P2
		}
		if number >= len(c.channels) || !c.channels[number].open {
			return apdu.StatusChannelNotSupported
		}
		c.retire(c.channels[number].take())
		c.channels[number].open = false
		return apdu.StatusOK
	}
	return apdu.StatusIncorrectP1P2
}

func (c *Card) openChannel(from *channel, number, ne int) apdu.Status {
	assign := number == 0
	if assign {
		if ne == 0 {
			return apdu.StatusWrongLength // the number would have nowhere to go
		}
		for number = 1; number < len(c.channels) && c.channels[number].open; number++ {
		}
	}
	if number > apdu.MaxChannel && !assign {
		return apdu.StatusIncorrectP1P2
	}
	if number >= len(c.channels) || c.channels[number].open {
		return apdu.StatusFunctionNotSupported
	}
	ch := &c.channels[number]
	ch.open = true
	if app := from.app; app != nil && from != &c.channels[0] {
		if sw := c.start(ch, app, &ResponseWriter{}); ch.session == nil {
			ch.open = false
			return sw
		}
	} else {
		c.implicit(ch)
	}
	if assign {
		c.w.Write([]byte{byte(number)})
	}
	return apdu.StatusOK
}
