package iso7816

import (
	"fmt"
	"iter"
)

// The values that hold when an ATR does not say otherwise (ISO/IEC 7816-3:2006).
const (
	DefaultF   = 372 // clock rate conversion integer Fd
	DefaultD   = 1   // baud rate adjustment integer Dd
	defaultWI  = 10
	defaultIFS = 32
	defaultBWI = 4
	defaultCWI = 13
)

// Protocols walks the transmission protocols that are offered, T=0 to T=14, each
// once and in the order of their offer. A card that offers none has T=0. T=15 is
// no protocol and is left out.
func (a *ATR) Protocols() iter.Seq[int] {
	return func(yield func(int) bool) { a.protocols(yield) }
}

func (a *ATR) protocols(yield func(int) bool) {
	const none uint16 = 1 << 15 // T=15 counts as seen
	seen := none
	for g := range a.Groups() {
		if !g.TD.Present {
			break
		}
		t := int(g.TD.Value & 0x0F)
		if seen>>t&1 == 0 && !yield(t) {
			return
		}
		seen |= 1 << t
	}
	if seen == none {
		yield(0)
	}
}

// Offers reports whether the protocol T=t is offered.
func (a *ATR) Offers(t int) bool {
	for p := range a.Protocols() {
		if p == t {
			return true
		}
	}
	return false
}

// FirstOffered returns the protocol that is offered first. In negotiable mode it
// is used when the reader does not ask for another.
func (a *ATR) FirstOffered() int {
	for t := range a.Protocols() {
		return t
	}
	return 0
}

// DefaultProtocol returns the protocol that is used when nothing is negotiated:
// that of TA2 in specific mode, else the first offered.
func (a *ATR) DefaultProtocol() int {
	if m, ok := a.SpecificMode(); ok {
		return m.Protocol
	}
	return a.FirstOffered()
}

// A SpecificMode is what TA2 tells: the card uses one protocol and does not
// negotiate.
type SpecificMode struct {
	Protocol  int  // T, 0 to 15
	CanChange bool // after a warm reset the card may be in negotiable mode
	Implicit  bool // F and D are not those of TA1 but known to both sides
}

// SpecificMode returns what TA2 tells. It returns false when TA2 is absent: then
// the card is in negotiable mode.
func (a *ATR) SpecificMode() (SpecificMode, bool) {
	ta := a.Group(2).TA
	if !ta.Present {
		return SpecificMode{}, false
	}
	return SpecificMode{
		Protocol:  int(ta.Value & 0x0F),
		CanChange: ta.Value&0x80 == 0,
		Implicit:  ta.Value&0x10 != 0,
	}, true
}

// clockRates has Fi and the maximum frequency, in kHz, for the left nibble of
// TA1. Zero is reserved for future use.
var clockRates = [16]struct{ fi, khz int }{
	{372, 4000}, {372, 5000}, {558, 6000}, {744, 8000}, {1116, 12000}, {1488, 16000}, {1860, 20000}, {},
	{}, {512, 5000}, {768, 7500}, {1024, 10000}, {1536, 15000}, {2048, 20000}, {}, {},
}

// baudRates has Di for the right nibble of TA1. Zero is reserved for future use.
var baudRates = [16]int{0, 1, 2, 4, 8, 16, 32, 64, 12, 20}

// ta1 returns TA1, or its default, which tells Fd, Dd and 5 MHz.
func (a *ATR) ta1() byte {
	if ta := a.Group(1).TA; ta.Present {
		return ta.Value
	}
	return 0x11
}

// Fi returns the clock rate conversion integer that TA1 tells, [DefaultF]
// without TA1, or 0 when the value is reserved.
func (a *ATR) Fi() int { return clockRates[a.ta1()>>4].fi }

// Di returns the baud rate adjustment integer that TA1 tells, [DefaultD] without
// TA1, or 0 when the value is reserved.
func (a *ATR) Di() int { return baudRates[a.ta1()&0x0F] }

// MaxFrequency returns the maximum clock frequency fmax that the card supports,
// in Hz, as TA1 tells: 5 MHz without TA1, or 0 when the value is reserved.
func (a *ATR) MaxFrequency() int { return clockRates[a.ta1()>>4].khz * 1000 }

// N returns the extra guard time integer, TC1, 0 to 255. 255 asks for the
// shortest guard time, which is 12 etu in T=0 and 11 etu in T=1.
func (a *ATR) N() int { return int(a.Group(1).TC.Value) }

// WI returns the waiting time integer of T=0, TC2, or 10 without TC2. 0 is
// reserved.
func (a *ATR) WI() int { return a.Group(2).TC.or(defaultWI) }

func (b InterfaceByte) or(missing int) int {
	if b.Present {
		return int(b.Value)
	}
	return missing
}

// specific returns the first TA, TB and TC for T=t after the second group.
func (a *ATR) specific(t int) (ta, tb, tc InterfaceByte) {
	i := 0
	for g := range a.Groups() {
		if i++; i < 3 || g.Protocol != t {
			continue
		}
		for _, p := range [...]struct {
			first *InterfaceByte
			b     InterfaceByte
		}{{&ta, g.TA}, {&tb, g.TB}, {&tc, g.TC}} {
			if !p.first.Present {
				*p.first = p.b
			}
		}
	}
	return ta, tb, tc
}

// An EDC is an error detection code of T=1.
type EDC byte

// The error detection codes.
const (
	LRC EDC = 0 // longitudinal redundancy code, one byte
	CRC EDC = 1 // cyclic redundancy code, two bytes
)

// String returns "LRC" or "CRC".
func (e EDC) String() string {
	switch e {
	case LRC:
		return "LRC"
	case CRC:
		return "CRC"
	}
	return fmt.Sprintf("EDC(%d)", byte(e))
}

// T1Parameters are the parameters of the protocol T=1.
type T1Parameters struct {
	IFSC int // maximum information field size of the card, in bytes; 0 and 255 are reserved
	BWI  int // block waiting time integer; above 9 is reserved
	CWI  int // character waiting time integer, 0 to 15
	EDC  EDC // error detection code
}

// T1 returns the parameters of T=1, the defaults of the standard where the ATR
// tells nothing, whether or not [ATR.Offers] T=1.
func (a *ATR) T1() T1Parameters {
	ta, tb, tc := a.specific(1)
	p := T1Parameters{IFSC: ta.or(defaultIFS), BWI: defaultBWI, CWI: defaultCWI}
	if tb.Present {
		p.BWI, p.CWI = int(tb.Value>>4), int(tb.Value&0x0F)
	}
	p.EDC = EDC(tc.Value & 1)
	return p
}

// A ClockStop says whether the clock may be stopped, and in which state.
type ClockStop byte

// The clock stop indicators, with the values of X in the first TA for T=15.
const (
	ClockStopUnsupported  ClockStop = 0 // the default
	ClockStopLow          ClockStop = 1 // state L
	ClockStopHigh         ClockStop = 2 // state H
	ClockStopNoPreference ClockStop = 3
)

// String returns the state in the words of the standard.
func (s ClockStop) String() string {
	switch s {
	case ClockStopUnsupported:
		return "not supported"
	case ClockStopLow:
		return "state L"
	case ClockStopHigh:
		return "state H"
	case ClockStopNoPreference:
		return "no preference"
	}
	return fmt.Sprintf("ClockStop(%d)", byte(s))
}

// OperatingClasses are the classes of operating conditions, that is the supply
// voltages, of a card: Y in the first TA for T=15. Values that are no union of
// neighbouring classes are reserved.
type OperatingClasses byte

// The classes of operating conditions.
const (
	ClassA OperatingClasses = 1 << iota // 5 V
	ClassB                              // 3 V
	ClassC                              // 1.8 V
)

// Valid reports whether the standard defines c: A, B, C, AB, BC or ABC.
func (c OperatingClasses) Valid() bool { return c >= 1 && c <= 7 && c != ClassA|ClassC }

// String returns the classes, such as "A,B", or "reserved".
func (c OperatingClasses) String() string {
	if !c.Valid() {
		return "reserved"
	}
	return [...]string{"", "A", "B", "A,B", "C", "", "B,C", "A,B,C"}[c]
}

// Global returns the clock stop indicator and the classes of operating
// conditions that the first TA for T=15 tells. It returns false when there is
// none: then the clock may not be stopped and the class is A.
func (a *ATR) Global() (ClockStop, OperatingClasses, bool) {
	ta, _, _ := a.specific(15)
	if !ta.Present {
		return ClockStopUnsupported, ClassA, false
	}
	return ClockStop(ta.Value >> 6), OperatingClasses(ta.Value & 0x3F), true
}

// SPU returns the first TB for T=15, which tells how the card uses the contact
// C6: 00 not at all, with bit 8 set in a proprietary way.
func (a *ATR) SPU() InterfaceByte {
	_, tb, _ := a.specific(15)
	return tb
}

// namesT15 reports whether T=15 is named at all.
func (a *ATR) namesT15() bool {
	for g := range a.Groups() {
		if g.TD.Present && g.TD.Value&0x0F == 15 {
			return true
		}
	}
	return false
}
