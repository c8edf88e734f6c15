package iso7816

import (
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
)

// MaxATR is the length of the longest answer to reset, in bytes.
const MaxATR = 33

// A SyntaxError reports bytes that are not what they should be. It carries no
// byte of them.
type SyntaxError struct {
	What   string // "ATR", "historical bytes", "EF.ATR/INFO" and the like
	Offset int    // where the bytes stop making sense, counted from 0
	Reason string
}

// Error returns what is malformed, where and why.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("iso7816: malformed %s at offset %d: %s", e.What, e.Offset, e.Reason)
}

func atrError(offset int, reason string) error {
	return &SyntaxError{What: "ATR", Offset: offset, Reason: reason}
}

// An ATR is a card's answer to reset (ISO/IEC 7816-3:2006). It holds its
// bytes; its methods say what they mean. ATRs are comparable and can be keys of
// a map. The zero ATR has no bytes: it answers with the defaults of the
// standard.
type ATR struct {
	n          uint8 // number of bytes in b
	historical uint8 // offset of the first historical byte
	k          uint8 // number of historical bytes
	fault      ATRFault
	b          [MaxATR]byte
}

// An ATRFault says what is wrong at the end of an ATR that [ParseATRLenient]
// accepts. Faults are bits and can be combined.
type ATRFault uint8

// The faults.
const (
	FaultTCK      ATRFault = 1 << iota // the check byte TCK is wrong
	FaultNoTCK                         // TCK is missing though a protocol other than T=0 is offered
	FaultTrailing                      // bytes follow the end
)

// String returns the faults in words, or "none".
func (f ATRFault) String() string {
	return flags(byte(f), "none", []flag{
		{byte(FaultTCK), "TCK wrong"},
		{byte(FaultNoTCK), "TCK missing"},
		{byte(FaultTrailing), "bytes after the end"},
	})
}

// A Convention says how the characters of an ATR and all later ones travel, as
// the initial character TS tells.
type Convention byte

// The conventions, with the values of TS.
const (
	DirectConvention  Convention = 0x3B
	InverseConvention Convention = 0x3F
)

// String returns "direct" or "inverse".
func (c Convention) String() string {
	switch c {
	case DirectConvention:
		return "direct"
	case InverseConvention:
		return "inverse"
	}
	return fmt.Sprintf("Convention(%02X)", byte(c))
}

// An InterfaceByte is an interface byte of an ATR, or its absence, which is the
// zero InterfaceByte.
type InterfaceByte struct {
	Value   byte
	Present bool
}

// Interface returns an interface byte that is present.
func Interface(value byte) InterfaceByte { return InterfaceByte{value, true} }

// InterfaceBytes are the interface bytes TAi, TBi, TCi and TDi of an ATR.
type InterfaceBytes struct {
	Protocol   int // T of TD(i-1), 0 to 15, which the bytes belong to if i > 2; 0 in the first group
	TA, TB, TC InterfaceByte
	TD         InterfaceByte // announces the next group: its protocol and which bytes it has
}

// ParseATR decodes an answer to reset. Every byte of b is accounted for;
// whatever is malformed is refused with a [*SyntaxError]. Reserved values are
// accepted, and reported by the methods that read them.
//
// Of the 3,542 cards of the pcsc-tools list, 80 break this; [ParseATRLenient]
// accepts all but 15 of them.
func ParseATR(b []byte) (ATR, error) {
	a, err := parseATR(b)
	if err == nil && a.fault != 0 {
		err = a.faultError()
	}
	if err != nil {
		return ATR{}, err
	}
	return a, nil
}

// ParseATRLenient is [ParseATR] for what readers pass on although its end is
// wrong: a TCK that is wrong or missing, bytes after the end. [ATR.Fault] tells
// of it, and what comes before is sound.
func ParseATRLenient(b []byte) (ATR, error) { return parseATR(b) }

func parseATR(b []byte) (a ATR, err error) {
	if len(b) < 2 {
		return a, atrError(len(b), "shorter than TS and T0")
	}
	if b[0] != byte(DirectConvention) && b[0] != byte(InverseConvention) {
		return a, atrError(0, "TS is neither 3B nor 3F")
	}
	if len(b) > MaxATR {
		return a, atrError(MaxATR, "longer than 33 bytes")
	}
	a.n = uint8(len(b))
	copy(a.b[:], b)
	needTCK := false
	end, y, group := 2, b[1]>>4, 1
	for {
		for bit := range 4 {
			if y>>bit&1 == 0 {
				continue
			}
			if end >= len(b) {
				return ATR{}, atrError(len(b), fmt.Sprintf("interface byte T%c%d missing", 'A'+bit, group))
			}
			end++
		}
		if y&8 == 0 {
			break
		}
		td := b[end-1]
		needTCK = needTCK || td&0x0F != 0
		y = td >> 4
		group++
	}
	a.historical, a.k = uint8(end), b[1]&0x0F
	if end += int(a.k); end > len(b) {
		return ATR{}, atrError(len(b), "fewer historical bytes than T0 announces")
	}
	if needTCK {
		if end == len(b) {
			a.fault |= FaultNoTCK
			return a, nil
		}
		end++
		if xor(b[1:end]) != 0 {
			a.fault |= FaultTCK
		}
	}
	if end < len(b) {
		a.fault |= FaultTrailing
	}
	return a, nil
}

// faultError returns the error for the first fault of a.
func (a *ATR) faultError() error {
	end := int(a.historical + a.k)
	switch {
	case a.fault&FaultNoTCK != 0:
		return atrError(end, "TCK required but missing")
	case a.fault&FaultTCK != 0:
		return atrError(end, "TCK wrong")
	case a.needsTCK():
		return atrError(end+1, "bytes after TCK")
	}
	return atrError(end, "bytes after the historical bytes though no TCK is due")
}

func xor(b []byte) (sum byte) {
	for _, v := range b {
		sum ^= v
	}
	return sum
}

// NewATR makes an ATR from its interface bytes and up to 15 historical bytes, as
// a card does. groups has the first group first, may be empty, and its TDs are
// not read: T0 and the TDs are made from what the groups have, and TCK is added
// where it is required. The error, a [*SyntaxError], says what doesn't fit.
func NewATR(c Convention, groups []InterfaceBytes, historical []byte) (ATR, error) {
	if len(historical) > 15 {
		return ATR{}, atrError(0, "more than 15 historical bytes")
	}
	b := make([]byte, 0, MaxATR+4)
	b = append(b, byte(c), byte(len(historical)))
	announced := 1 // where the presence bits of the next group go
	for i, g := range groups {
		if g.Protocol < 0 || g.Protocol > 15 || i == 0 && g.Protocol != 0 {
			return ATR{}, atrError(len(b), "protocol not in 0..15, or in the first group")
		}
		last := i == len(groups)-1
		for bit, ib := range [...]InterfaceByte{g.TA, g.TB, g.TC, {Present: !last}} {
			if !ib.Present {
				continue
			}
			b[announced] |= 0x10 << bit
			if bit == 3 {
				ib.Value = byte(groups[i+1].Protocol)
			}
			b = append(b, ib.Value)
		}
		announced = len(b) - 1
		if len(b) > MaxATR {
			return ATR{}, atrError(MaxATR, "longer than 33 bytes")
		}
	}
	b = append(b, historical...)
	for _, g := range groups {
		if g.Protocol != 0 {
			b = append(b, xor(b[1:]))
			break
		}
	}
	return ParseATR(b)
}

// AppendBinary appends the bytes of a to dst and returns the extended slice: the
// same that were parsed. The error is always nil.
func (a *ATR) AppendBinary(dst []byte) ([]byte, error) { return append(dst, a.b[:a.n]...), nil }

// Len returns the number of bytes, 2 to [MaxATR], or 0 for the zero ATR.
func (a *ATR) Len() int { return int(a.n) }

// String returns the bytes in hexadecimal, such as "3B8180018080".
func (a ATR) String() string { return strings.ToUpper(hex.EncodeToString(a.b[:a.n])) }

// MarshalText implements encoding.TextMarshaler.
func (a ATR) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes hexadecimal digits
// with or without spaces, and what [ParseATRLenient] accepts.
func (a *ATR) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = ATR{}
		return nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), " ", ""))
	if err != nil {
		return fmt.Errorf("iso7816: ATR is not hexadecimal: %w", err)
	}
	parsed, err := ParseATRLenient(b)
	if err == nil {
		*a = parsed
	}
	return err
}

// Fault returns what is wrong at the end of a, 0 if nothing is.
func (a *ATR) Fault() ATRFault { return a.fault }

// Convention returns what TS tells.
func (a *ATR) Convention() Convention { return Convention(a.b[0]) }

// HistoricalBytes returns the historical bytes, at most 15, or nil. They alias a
// and must not be modified. [ParseHistoricalBytes] tells what they mean.
func (a *ATR) HistoricalBytes() []byte {
	if a.k == 0 {
		return nil
	}
	end := a.historical + a.k
	return a.b[a.historical:end:end]
}

// TCK returns the check byte, whether or not it is right.
func (a *ATR) TCK() InterfaceByte {
	if end := a.historical + a.k; a.needsTCK() && end < a.n {
		return Interface(a.b[end])
	}
	return InterfaceByte{}
}

// needsTCK reports whether TCK is required: when another protocol than T=0 is
// named, be it T=15.
func (a *ATR) needsTCK() bool {
	for g := range a.Groups() {
		if g.TD.Present && g.TD.Value&0x0F != 0 {
			return true
		}
	}
	return false
}

// Groups walks the interface bytes of a, the first group first. There is at
// least one group, which may have no bytes; the zero ATR has none.
func (a *ATR) Groups() iter.Seq[InterfaceBytes] {
	return func(yield func(InterfaceBytes) bool) { a.groups(yield) }
}

func (a *ATR) groups(yield func(InterfaceBytes) bool) {
	if a.n < 2 {
		return
	}
	i, y, protocol := 2, a.b[1]>>4, 0
	for {
		g := InterfaceBytes{Protocol: protocol}
		for bit, ib := range [...]*InterfaceByte{&g.TA, &g.TB, &g.TC, &g.TD} {
			if y>>bit&1 != 0 {
				*ib = InterfaceByte{a.b[i], true}
				i++
			}
		}
		if !yield(g) || !g.TD.Present {
			return
		}
		y, protocol = g.TD.Value>>4, int(g.TD.Value&0x0F)
	}
}

// Group returns the interface bytes TAi to TDi for i from 1, all absent when
// there is no such group.
func (a *ATR) Group(i int) InterfaceBytes {
	for g := range a.Groups() {
		if i--; i == 0 {
			return g
		}
	}
	return InterfaceBytes{}
}

// A flag is a bit, or more, with its name.
type flag struct {
	mask byte
	name string
}

// flags returns the names of the flags that are set in b, or none.
func flags(b byte, none string, names []flag) string {
	var set []string
	for _, f := range names {
		if b&f.mask == f.mask {
			set = append(set, f.name)
		}
	}
	if len(set) == 0 {
		return none
	}
	return strings.Join(set, ", ")
}
