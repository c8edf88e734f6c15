package iso7816

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// seedATRs adds real ATRs and malformed ones.
func seedATRs(f *testing.F) {
	listed, malformed := readATRVectors(f)
	for i, v := range slices.Concat(listed, malformed) {
		if i%40 == 0 {
			f.Add(unhex(v.ATR))
		}
	}
	f.Add([]byte{})
}

// FuzzParseATR: what parses appends to the same bytes, and its parts make it
// again; what does not is refused at an offset.
func FuzzParseATR(f *testing.F) {
	seedATRs(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseATR(b)
		lenient, lenientErr := ParseATRLenient(b)
		if err != nil {
			if e, ok := errors.AsType[*SyntaxError](err); !ok || e.Offset < 0 || e.Offset > len(b) || a != (ATR{}) {
				t.Fatalf("got %v and error %v, want a *SyntaxError at an offset in 0..%d", a, err, len(b))
			}
			if (lenientErr == nil) != (lenient.Fault() != 0) {
				t.Fatalf("got fault %v and error %v beside %v", lenient.Fault(), lenientErr, err)
			}
			a = lenient
		} else if lenient != a || lenientErr != nil || a.Fault() != 0 {
			t.Fatalf("lenient: got %v, %v, want the same", lenient, lenientErr)
		}
		if lenientErr != nil {
			return
		}
		again, err := a.AppendBinary([]byte("x"))
		if err != nil || !bytes.Equal(again[1:], b) || again[0] != 'x' {
			t.Fatalf("parsed %X, appended %X, error %v", b, again, err)
		}
		rebuilt, err := NewATR(a.Convention(), slices.Collect(a.Groups()), a.HistoricalBytes())
		if a.Fault() == 0 && (err != nil || rebuilt != a) {
			t.Fatalf("parsed %v, made %v, error %v", a, rebuilt, err)
		}
		if _, err := a.Timing(Line{Frequency: 1000}); err == nil && a.WI() == 0 {
			t.Fatal("got times with a reserved WI")
		}
		if !a.Offers(a.FirstOffered()) {
			t.Fatal("the first protocol is not offered")
		}
		_, _ = a.ATQB()
		_ = a.Contactless().String()
	})
}

// FuzzNewATR: the parts of an ATR come back from it.
func FuzzNewATR(f *testing.F) {
	f.Add(true, []byte{0x71, 0x13, 0x00, 0x0A, 0x31, 0xFE, 0x45}, []byte{0x80, 0x31, 0xC0})
	f.Add(false, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, direct bool, parts, historical []byte) {
		c := InverseConvention
		if direct {
			c = DirectConvention
		}
		var groups []InterfaceBytes
		for len(parts) > 0 { // presence and protocol, then the bytes
			g := InterfaceBytes{Protocol: int(parts[0] & 0x0F)}
			present := parts[0] >> 4
			parts = parts[1:]
			for bit, ib := range [...]*InterfaceByte{&g.TA, &g.TB, &g.TC} {
				if present>>bit&1 != 0 && len(parts) > 0 {
					*ib, parts = Interface(parts[0]), parts[1:]
				}
			}
			if len(groups) == 0 {
				g.Protocol = 0
			}
			groups = append(groups, g)
		}
		a, err := NewATR(c, groups, historical)
		if err != nil {
			if len(historical) <= 15 && 4*len(groups)+len(historical)+3 <= MaxATR {
				t.Fatalf("got %v for %v and %d historical bytes", err, groups, len(historical))
			}
			return
		}
		got := slices.Collect(a.Groups())
		for i := range got {
			got[i].TD = InterfaceByte{}
		}
		if len(groups) == 0 {
			groups = []InterfaceBytes{{}}
		}
		if !slices.Equal(got, groups) || a.Convention() != c || !bytes.Equal(a.HistoricalBytes(), historical) {
			t.Fatalf("got %v and %X from %v, want %v and %X", got, a.HistoricalBytes(), a, groups, historical)
		}
	})
}

// FuzzParseHistoricalBytes: the objects kept are sound and stand where they were.
func FuzzParseHistoricalBytes(f *testing.F) {
	for _, s := range []string{"8073C021C057597562694B6579", "0031F573C00160059000", "1050", "80", "00", "8031C073FF"} {
		f.Add(unhex(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHistoricalBytes(b)
		if e, ok := errors.AsType[*SyntaxError](err); err != nil && (!ok || e.Offset < 1 || e.Offset > len(b)) {
			t.Fatalf("got error %v, want a *SyntaxError at an offset in 1..%d", err, len(b))
		}
		var again []byte
		for o, err := range tlv.AllCompact(h.Objects) {
			if err != nil {
				t.Fatalf("kept a malformed object: %v", err)
			}
			again = tlv.AppendCompact(again, o.Tag, o.Value)
		}
		if len(b) > 0 && !bytes.HasPrefix(b[1:], again) || !bytes.Equal(again, h.Objects) {
			t.Fatalf("got objects %X of %X", again, b)
		}
		if c, ok := h.CardCapabilities(); ok {
			if back, err := ParseCardCapabilities(c.AppendTo(nil)); err != nil || back != c {
				t.Fatalf("got capabilities %+v, want %+v", back, c)
			}
		}
		if h.String() == "" {
			t.Fatal("no text")
		}
	})
}

// FuzzParseATRInfo: errors have an offset, and lengths that are told are told
// again.
func FuzzParseATRInfo(f *testing.F) {
	f.Add(unhex("4301B84703F601817F660802020100020201020000"))
	f.Add(unhex("807F660A0203010000020300FFFF5F520180"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := ParseATRInfo(b)
		if e, ok := errors.AsType[*SyntaxError](err); err != nil && (!ok || e.Offset < 0 || e.Offset > len(b)) {
			t.Fatalf("got error %v, want a *SyntaxError at an offset in 0..%d", err, len(b))
		}
		if !info.HasExtendedLength {
			return
		}
		again, err := ParseATRInfo(AppendExtendedLengthInformation(nil, info.ExtendedLength))
		if err != nil || again.ExtendedLength != info.ExtendedLength {
			t.Fatalf("got %+v, %v, want %+v", again.ExtendedLength, err, info.ExtendedLength)
		}
	})
}
