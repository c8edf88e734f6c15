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

// plan is how one logical command travels.
type plan struct {
	chain   bool // in linked short commands
	maxNe   int  // longest response data field of one response
	lastExt bool // the one command is extended
}

func (s *shared) plan(c *apdu.Command) plan {
	short := len(c.Data) <= apdu.MaxShortNc && c.Ne <= apdu.MaxShortNe
	if c.Extended || !short && s.extended && s.fits(c) {
		return s.extendedPlan()
	}
	return plan{chain: len(c.Data) > apdu.MaxShortNc, maxNe: apdu.MaxShortNe}
}

func (s *shared) extendedPlan() plan {
	maxNe := apdu.MaxExtendedNe
	if m := s.limits.MaxResponse; m > 2 {
		maxNe = min(maxNe, m-2)
	}
	return plan{maxNe: maxNe, lastExt: true}
}

// otherPlan returns another form for a command whose form p the card refused with
// sw: short and chained in place of extended after 6700, extended in place of chained
// after 6884. A form that the caller asked for, by Options or Command.Extended, is
// left as it is.
func (s *shared) otherPlan(c *apdu.Command, p plan, sw apdu.Status) (plan, bool) {
	if s.opts.Length != LengthAuto || c.Extended {
		return plan{}, false
	}
	switch {
	case p.lastExt && sw == apdu.StatusWrongLength:
		return plan{chain: len(c.Data) > apdu.MaxShortNc, maxNe: apdu.MaxShortNe}, true
	case p.chain && sw == apdu.StatusChainingNotSupported && s.limits.Protocol != apdu.ProtocolT0 && s.fits(c):
		return s.extendedPlan(), true
	}
	return plan{}, false
}

// fits reports whether c in extended form can be carried by the transport.
func (s *shared) fits(c *apdu.Command) bool {
	const overhead = apdu.HeaderSize + 3 + 2
	return s.limits.MaxCommand == 0 || len(c.Data)+overhead <= s.limits.MaxCommand
}
