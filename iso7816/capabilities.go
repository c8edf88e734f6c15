package iso7816

import "github.com/cardoki/cardoki/apdu"

// capabilities is what the third software function byte of the card
// capabilities tells (ISO/IEC 7816-4:2013, 12.1.1.9).
type capabilities struct {
	chaining bool // b8: command chaining
	extended bool // b7: extended Lc and Le
}

// capabilitiesOf reads the card capabilities from the historical bytes of an
// ATR. Where the ATR does not tell, or makes no sense, it reports none.
func capabilitiesOf(atr []byte) capabilities {
	h := historicalBytes(atr)
	if len(h) == 0 {
		return capabilities{}
	}
	switch h[0] { // category indicator byte
	case 0x80:
		h = h[1:]
	case 0x00:
		if len(h) < 4 {
			return capabilities{}
		}
		h = h[1 : len(h)-3] // the last three are the status indicator
	default:
		return capabilities{}
	}
	for len(h) > 0 { // COMPACT-TLV: tag and length are a nibble each
		tag, n := h[0]>>4, int(h[0]&0x0F)
		h = h[1:]
		if n > len(h) {
			break
		}
		if tag == 7 && n == 3 {
			return capabilities{chaining: h[2]&0x80 != 0, extended: h[2]&0x40 != 0}
		}
		h = h[n:]
	}
	return capabilities{}
}

// historicalBytes returns the historical bytes of an ATR (ISO/IEC 7816-3:2006,
// 8.2), or nil when it is malformed.
func historicalBytes(atr []byte) []byte {
	if len(atr) < 2 {
		return nil
	}
	n, y := int(atr[1]&0x0F), atr[1]>>4
	i := 2
	for y != 0 {
		for bit := range 3 { // TAi, TBi, TCi
			i += int(y >> bit & 1)
		}
		if y&8 == 0 {
			break
		}
		if i >= len(atr) {
			return nil
		}
		y = atr[i] >> 4 // TDi
		i++
	}
	if i+n > len(atr) {
		return nil
	}
	return atr[i : i+n]
}

// plan is how one logical command travels.
type plan struct {
	chain   bool // in linked short commands
	maxNe   int  // longest response data field of one response
	lastExt bool // the one command is extended
}

func (s *shared) plan(c *apdu.Command) plan {
	short := len(c.Data) <= apdu.MaxShortNc && c.Ne <= apdu.MaxShortNe
	switch {
	case c.Extended, !short && s.extended && s.fits(c):
		max := apdu.MaxExtendedNe
		if m := s.limits.MaxResponse; m > 2 && m-2 < max {
			max = m - 2
		}
		return plan{maxNe: max, lastExt: true}
	}
	return plan{chain: len(c.Data) > apdu.MaxShortNc, maxNe: apdu.MaxShortNe}
}

// fits reports whether c in extended form can be carried by the transport.
func (s *shared) fits(c *apdu.Command) bool {
	const overhead = apdu.HeaderSize + 3 + 2
	return s.limits.MaxCommand == 0 || len(c.Data)+overhead <= s.limits.MaxCommand
}
