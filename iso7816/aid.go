package iso7816

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// An AID is an application identifier, 5 to 16 bytes: a registered application
// provider identifier of 5 bytes and a proprietary extension. It names an
// application in SELECT. AIDs are comparable; the zero AID names nothing.
type AID struct {
	n uint8
	b [16]byte
}

// AIDFromBytes returns the AID with the given 5 to 16 bytes.
func AIDFromBytes(b []byte) (AID, error) {
	if len(b) < 5 || len(b) > 16 {
		return AID{}, fmt.Errorf("iso7816: an AID of %d bytes is not in 5..16", len(b))
	}
	a := AID{n: uint8(len(b))}
	copy(a.b[:], b)
	return a, nil
}

// ParseAID returns the AID written in hexadecimal, with or without spaces.
func ParseAID(s string) (AID, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		return AID{}, fmt.Errorf("iso7816: AID %q is not hexadecimal", s)
	}
	return AIDFromBytes(b)
}

// MustParseAID is like [ParseAID] and panics where that returns an error. It is
// for AIDs written in a program.
func MustParseAID(s string) AID {
	a, err := ParseAID(s)
	if err != nil {
		panic(err)
	}
	return a
}

// Len returns the number of bytes, 0 for the zero AID.
func (a AID) Len() int { return int(a.n) }

// AppendTo appends the bytes of a to dst.
func (a AID) AppendTo(dst []byte) []byte { return append(dst, a.b[:a.n]...) }

// HasPrefix reports whether a begins with the given bytes, as it must to be
// selected by them (partial selection). An empty prefix matches every AID.
func (a AID) HasPrefix(prefix []byte) bool {
	return len(prefix) <= int(a.n) && string(a.b[:len(prefix)]) == string(prefix)
}

// String returns the bytes in hexadecimal, such as "A000000308000010000100".
func (a AID) String() string { return strings.ToUpper(hex.EncodeToString(a.b[:a.n])) }

// MarshalText implements encoding.TextMarshaler.
func (a AID) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *AID) UnmarshalText(text []byte) error {
	b, err := ParseAID(string(text))
	if err == nil {
		*a = b
	}
	return err
}
