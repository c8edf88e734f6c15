package iso7816

import "github.com/cardoki/cardoki/apdu"

// announcesExtended reports whether the card capabilities in the historical bytes of
// an ATR announce extended Lc and Le fields. Where the ATR does not tell, or makes no
// sense, they do not.
func announcesExtended(atr []byte) bool {
	a, err := ParseATRLenient(atr)
	if err != nil {
		return false
	}
	h, _ := ParseHistoricalBytes(a.HistoricalBytes()) // what is sound of them will do
	c, _ := h.CardCapabilities()
	return c.Functions.Has(ExtendedLengths)
}

// known returns the limits that commands keep: what Options says, else what the
// transport and the card tell.
func (s *shared) known() apdu.Limits {
	l, o := s.limits, s.opts.Limits
	if o.Protocol != apdu.ProtocolUnknown {
		l.Protocol = o.Protocol
	}
	if o.MaxCommand > 0 {
		l.MaxCommand = o.MaxCommand
	}
	if o.MaxResponse > 0 {
		l.MaxResponse = o.MaxResponse
	}
	return l
}

// plan is how one logical command travels.
type plan struct {
	chain   bool // in linked short commands
	linkNc  int  // longest data field of a short command
	maxNe   int  // longest response data field of one response
	lastExt bool // the one command is extended
}

func (s *shared) plan(c *apdu.Command) plan {
	l := s.known()
	if c.Extended {
		return extendedPlan(l)
	}
	p := shortPlan(c, l)
	if s.extended && l.Protocol != apdu.ProtocolT0 && fits(c, l) {
		if ext := extendedPlan(l); p.chain || min(c.Ne, ext.maxNe) > p.maxNe {
			return ext
		}
	}
	return p
}

func shortPlan(c *apdu.Command, l apdu.Limits) plan {
	nc := apdu.MaxShortNc
	if l.MaxCommand > 0 {
		overhead := apdu.HeaderSize + 1
		if c.Ne > 0 {
			overhead++
		}
		nc = max(1, min(nc, l.MaxCommand-overhead))
	}
	return plan{chain: len(c.Data) > nc, linkNc: nc, maxNe: maxNe(l, apdu.MaxShortNe)}
}

func extendedPlan(l apdu.Limits) plan {
	return plan{maxNe: maxNe(l, apdu.MaxExtendedNe), lastExt: true}
}

// maxNe returns the longest response data field of one response, at most ne.
func maxNe(l apdu.Limits, ne int) int {
	if l.MaxResponse > 0 {
		ne = max(1, min(ne, l.MaxResponse-2))
	}
	return ne
}

// shortNe returns the longest Ne of a short command.
func (s *shared) shortNe() int { return maxNe(s.known(), apdu.MaxShortNe) }

// fits reports whether c in extended form is short enough.
func fits(c *apdu.Command, l apdu.Limits) bool {
	n := apdu.HeaderSize + 3 + len(c.Data)
	if c.Ne > 0 && len(c.Data) > 0 {
		n += 2
	}
	return l.MaxCommand <= 0 || n <= l.MaxCommand
}

// otherPlan returns another form for a command whose form p the card may have refused
// with sw: short and chained in place of extended, extended in place of chained. A
// form that the caller asked for, by Options or Command.Extended, is left as it is.
//
// A checking error says that the command was not executed. 6F00 does not, so it leads
// to another form of commands that only read.
func (s *shared) otherPlan(c *apdu.Command, p plan, sw apdu.Status) (plan, bool) {
	if s.opts.Length != LengthAuto || c.Extended {
		return plan{}, false
	}
	l := s.known()
	protected := c.Class.SecureMessaging() != apdu.SMNone
	switch {
	case p.lastExt && (sw == apdu.StatusWrongLength || !protected && (sw == apdu.StatusInstructionNotSupported ||
		sw == apdu.StatusClassNotSupported || sw == apdu.StatusNoPreciseDiagnosis && reads(c))):
		p = shortPlan(c, l)
		return p, !p.chain || c.Class.Interindustry()
	case p.chain && (sw == apdu.StatusChainingNotSupported || sw == apdu.StatusClassNotSupported && !protected):
		return extendedPlan(l), l.Protocol != apdu.ProtocolT0 && fits(c, l)
	}
	return plan{}, false
}

// refusesForm reports whether a card may mean the form of a command by sw.
func refusesForm(sw apdu.Status) bool {
	switch sw {
	case apdu.StatusWrongLength, apdu.StatusChainingNotSupported, apdu.StatusInstructionNotSupported,
		apdu.StatusClassNotSupported, apdu.StatusNoPreciseDiagnosis:
		return true
	}
	return false
}

// reads reports whether c reads and changes nothing by the standard.
func reads(c *apdu.Command) bool {
	switch c.Instruction {
	case apdu.InsReadBinary, apdu.InsReadBinaryOdd, apdu.InsReadRecord, apdu.InsReadRecordOdd, apdu.InsGetData, apdu.InsGetDataOdd:
		return c.Class.Interindustry()
	}
	return false
}
