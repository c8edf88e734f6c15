package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// atr explains the answer to reset, byte by byte (ISO/IEC 7816-3).
func (r *report) atr(b []byte) {
	r.section("ATR % X", b)
	atr, err := iso7816.ParseATRLenient(b)
	if err != nil {
		r.line("malformed", "%v", err)
		return
	}
	r.line(fmt.Sprintf("TS  %02X", b[0]), "%v convention", atr.Convention())
	r.line(fmt.Sprintf("T0  %02X", b[1]), "%d historical bytes", b[1]&0x0F)
	i := 0
	for g := range atr.Groups() {
		i++
		for n, ib := range []iso7816.InterfaceByte{g.TA, g.TB, g.TC, g.TD} {
			if ib.Present {
				r.line(fmt.Sprintf("T%c%d %02X", "ABCD"[n], i, ib.Value), "%s", interfaceByte(&atr, i, "ABCD"[n], g.Protocol, ib.Value))
			}
		}
	}
	r.historical(atr.HistoricalBytes())
	if tck := atr.TCK(); tck.Present {
		r.line(fmt.Sprintf("TCK %02X", tck.Value), "check byte")
	}
	if fault := atr.Fault(); fault != 0 {
		r.line("fault", "%v", fault)
	}
	for t := range atr.Protocols() {
		r.line("protocol", "T=%d", t)
	}
	r.line("", "T=%d when nothing is negotiated", atr.DefaultProtocol())
	r.timing(&atr)
}

// interfaceByte says what the interface byte with the given letter tells, in group i,
// which belongs to protocol t.
func interfaceByte(atr *iso7816.ATR, i int, letter byte, t int, v byte) string {
	switch {
	case letter == 'D':
		return fmt.Sprintf("bytes for T=%d follow", v&0x0F)
	case i == 1 && letter == 'A' && (atr.Fi() == 0 || atr.Di() == 0):
		return "F or D reserved for future use"
	case i == 1 && letter == 'A':
		return fmt.Sprintf("F = %d, D = %d, clock up to %g MHz", atr.Fi(), atr.Di(), float64(atr.MaxFrequency())/1e6)
	case i <= 2 && letter == 'B':
		return "programming voltage, of no use any more"
	case i == 1 && letter == 'C':
		return fmt.Sprintf("extra guard time N = %d", v)
	case i == 2 && letter == 'A':
		m, _ := atr.SpecificMode()
		return fmt.Sprintf("specific mode: T=%d only; can change: %t, F and D implicit: %t", m.Protocol, m.CanChange, m.Implicit)
	case i == 2 && letter == 'C':
		return fmt.Sprintf("waiting time of T=0, WI = %d", v)
	case t == 1 && letter == 'A':
		return fmt.Sprintf("T=1 blocks of up to %d bytes", v)
	case t == 1 && letter == 'B':
		return fmt.Sprintf("T=1 waiting times, BWI = %d, CWI = %d", v>>4, v&0x0F)
	case t == 1 && letter == 'C':
		return fmt.Sprintf("T=1 error detection by %v", iso7816.EDC(v&1))
	case t == 15 && letter == 'A':
		return fmt.Sprintf("clock stop: %v; classes of voltage: %v", iso7816.ClockStop(v>>6), iso7816.OperatingClasses(v&0x3F))
	case t == 15 && letter == 'B':
		return "use of contact C6"
	}
	return fmt.Sprintf("for T=%d", t)
}

// historical explains historical bytes, an object a line (ISO/IEC 7816-4).
func (r *report) historical(b []byte) {
	if len(b) == 0 {
		return
	}
	r.line("historical", "% X  %q", b, b)
	h, err := iso7816.ParseHistoricalBytes(b)
	if err != nil {
		r.line("", "%v", err)
	}
	r.line("", "category %v", h.Category)
	for o, err := range tlv.AllCompact(h.Objects) {
		if err != nil {
			break // ParseHistoricalBytes keeps sound objects only
		}
		alone, _ := iso7816.ParseHistoricalBytes(tlv.AppendCompact([]byte{byte(iso7816.CategoryCompactTLV)}, o.Tag, o.Value))
		_, words, _ := strings.Cut(alone.String(), "; ")
		r.line("", "%s", words)
	}
	if s, ok := h.Status(); ok && h.Category == iso7816.CategoryStatus {
		r.line("", "status indicator: %v", s)
	}
}

// timing tells how long card and reader wait for each other while nothing has been
// negotiated.
func (r *report) timing(atr *iso7816.ATR) {
	if atr.Contactless() != iso7816.NotContactless {
		return // the reader made it up
	}
	const frequency = 4e6 // Hz, as many readers have it
	t, err := atr.Timing(iso7816.Line{Frequency: frequency})
	if err != nil {
		r.line("times", "%v", err)
		return
	}
	r.line("times at 4 MHz", "one bit (etu) %v, guard time %v", t.ETU, t.GT)
	if atr.Offers(0) {
		r.line("", "T=0: up to %v from one character to the next", t.WT.Round(time.Millisecond))
	}
	if atr.Offers(1) {
		r.line("", "T=1: up to %v for a block to begin, %v within it", t.BWT.Round(time.Millisecond), t.CWT.Round(time.Millisecond))
	}
}
