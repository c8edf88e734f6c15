package tlv

import (
	"fmt"
	"iter"
)

// MaxCompact is the longest value of a COMPACT-TLV data object, in bytes.
const MaxCompact = 15

// A CompactObject is a COMPACT-TLV data object, as historical bytes have them:
// one byte holds the tag in its left nibble and the length in its right one.
// The same object in BER-TLV has the tag 40 plus Tag. Value aliases the bytes it
// was read from, and its capacity ends with it.
type CompactObject struct {
	Tag   byte // 0 to 15
	Value []byte
}

// NextCompact reads the first COMPACT-TLV data object of b and returns it with
// the bytes that follow it. An error is a [*SyntaxError]; an empty b is one too.
func NextCompact(b []byte) (o CompactObject, rest []byte, err error) {
	if len(b) == 0 {
		return CompactObject{}, nil, &SyntaxError{Offset: 0, Reason: "no data object"}
	}
	end := 1 + int(b[0]&0x0F)
	if end > len(b) {
		return CompactObject{}, nil, &SyntaxError{Offset: len(b), Reason: "value cut off"}
	}
	return CompactObject{b[0] >> 4, b[1:end:end]}, b[end:], nil
}

// AllCompact walks the COMPACT-TLV data objects of b. An error, a
// [*SyntaxError] whose offset counts from the start of b, is yielded once with
// the zero object and ends the walk.
func AllCompact(b []byte) iter.Seq2[CompactObject, error] {
	return each(b, NextCompact)
}

// AppendCompact appends a COMPACT-TLV data object to dst and returns the
// extended slice. It panics if tag is above 15 or value longer than
// [MaxCompact].
func AppendCompact(dst []byte, tag byte, value []byte) []byte {
	if tag > 15 || len(value) > MaxCompact {
		panic(fmt.Sprintf("tlv: tag %d with %d bytes is no COMPACT-TLV data object, which has a tag and a length of 0..15", tag, len(value)))
	}
	return append(append(dst, tag<<4|byte(len(value))), value...)
}
