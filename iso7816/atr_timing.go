package iso7816

import (
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// ErrReserved is what [ATR.Timing] wraps when a value it needs is reserved for
// future use, so that the standard says nothing of the time.
var ErrReserved = errors.New("iso7816: value reserved for future use")

// A Line is how a card and a reader exchange characters.
type Line struct {
	Frequency int // of the clock, f, in Hz: 1,000 to 1,000,000,000
	F, D      int // in force; zeros mean those that hold when nothing is negotiated
}

// Timing has the times that card and reader keep and wait for (ISO/IEC
// 7816-3:2006). Both terms of each are rounded up to the next nanosecond.
type Timing struct {
	ETU time.Duration // elementary time unit, the time of one bit
	GT  time.Duration // guard time between the starts of two characters, of the reader to the card in T=0
	WT  time.Duration // waiting time of T=0, from the start of a character to the next one of the card
	CGT time.Duration // character guard time of T=1
	CWT time.Duration // character waiting time of T=1, within a block
	BGT time.Duration // block guard time of T=1, between blocks in opposite directions
	BWT time.Duration // block waiting time of T=1, until the card's block begins
}

// Timing returns the times that follow from a on the given line. Without F and D
// they are those of TA1 in specific mode, else [DefaultF] and [DefaultD].
//
// The error says which value of the line is out of range, or Is [ErrReserved]
// when the ATR has a reserved value, or says that F and D are implicit and must
// be given.
func (a *ATR) Timing(l Line) (Timing, error) {
	if l.Frequency < 1e3 || l.Frequency > 1e9 {
		return Timing{}, fmt.Errorf("iso7816: a frequency of %d Hz is not in 1000..1000000000", l.Frequency)
	}
	if l.F == 0 && l.D == 0 {
		l.F, l.D = DefaultF, DefaultD
		if m, ok := a.SpecificMode(); ok {
			l.F, l.D = a.Fi(), a.Di()
			switch {
			case m.Implicit:
				return Timing{}, errors.New("iso7816: the ATR leaves F and D implicit; give them in Line")
			case l.F == 0 || l.D == 0:
				return Timing{}, fmt.Errorf("%w: TA1", ErrReserved)
			}
		}
	}
	if l.F < 1 || l.F > 2048 || l.D < 1 || l.D > 64 {
		return Timing{}, fmt.Errorf("iso7816: F of %d and D of %d are not in 1..2048 and 1..64", l.F, l.D)
	}
	guardF, guardD := l.F, l.D
	if a.namesT15() { // then TA1 counts, whatever F and D are in force
		guardF, guardD = a.Fi(), a.Di()
		if guardF == 0 || guardD == 0 {
			return Timing{}, fmt.Errorf("%w: TA1", ErrReserved)
		}
	}
	p := a.T1()
	switch {
	case a.WI() == 0:
		return Timing{}, fmt.Errorf("%w: WI of 0", ErrReserved)
	case p.BWI > 9:
		return Timing{}, fmt.Errorf("%w: BWI of %d", ErrReserved, p.BWI)
	}
	etu := func(n int) time.Duration { return l.clocks(uint64(n*l.F), l.D) }
	extra := time.Duration(0)
	gt, cgt := etu(12), etu(12)
	if n := a.N(); n == 255 {
		cgt = etu(11)
	} else {
		extra = l.clocks(uint64(n*guardF), guardD)
	}
	return Timing{
		ETU: etu(1),
		GT:  gt + extra,
		WT:  l.clocks(uint64(a.WI()*960*a.waitingF(l)), 1),
		CGT: cgt + extra,
		CWT: etu(11 + 1<<p.CWI),
		BGT: etu(22),
		BWT: etu(11) + l.clocks(960*DefaultF<<p.BWI, 1),
	}, nil
}

// waitingF returns the Fi of the waiting time: that of TA1, unless it is
// reserved.
func (a *ATR) waitingF(l Line) int {
	if fi := a.Fi(); fi != 0 {
		return fi
	}
	return l.F
}

// clocks returns the time of n/d periods of the clock, rounded up.
func (l Line) clocks(n uint64, d int) time.Duration {
	hi, lo := bits.Mul64(n, 1e9)
	q, r := bits.Div64(hi, lo, uint64(d)*uint64(l.Frequency))
	if r != 0 {
		q++
	}
	return time.Duration(q)
}
