package tlv

import (
	"fmt"
	"iter"
)

// MaxSimple is the longest value of a SIMPLE-TLV data object, in bytes.
const MaxSimple = 65535

// A SimpleObject is a SIMPLE-TLV data object: a tag of one byte without
// structure, and a length of one byte, or of FF and two bytes, big-endian
// (ISO/IEC 7816-4:2013, 5.2.1). Value aliases the bytes it was read from, and
// its capacity ends with it.
//
// CAC cards use the same form with the two length bytes the other way round,
// which is not ISO/IEC 7816-4: what OpenSC's sc_simpletlv functions write as 42
// FF 02 00 and two bytes announces 512 bytes here, and is refused as cut off.
// Lengths below 255 read the same. This package does not read that form.
type SimpleObject struct {
	Tag   byte // 01 to FE
	Value []byte
}

// NextSimple reads the first SIMPLE-TLV data object of b and returns it with
// the bytes that follow it. A length of FF and two bytes is accepted where one
// byte would do. An error is a [*SyntaxError]; an empty b is one too.
func NextSimple(b []byte) (o SimpleObject, rest []byte, err error) {
	if len(b) >= 2 && b[0]-1 < 0xFE && b[1] != 0xFF { // a length of one byte, as nearly all have
		if end := 2 + int(b[1]); end <= len(b) {
			return SimpleObject{b[0], b[2:end:end]}, b[end:], nil
		}
	}
	return nextSimple(b)
}

// nextSimple is NextSimple without its short cut.
func nextSimple(b []byte) (o SimpleObject, rest []byte, err error) {
	i, n, reason := simpleHeader(b)
	if reason != "" {
		return SimpleObject{}, nil, &SyntaxError{Offset: i, Reason: reason}
	}
	if n > len(b)-i {
		return SimpleObject{}, nil, &SyntaxError{Offset: len(b), Reason: "value cut off"}
	}
	end := i + n
	return SimpleObject{b[0], b[i:end:end]}, b[end:], nil
}

// simpleHeader returns the offset of the value and its length. A reason that is
// not empty says what is wrong at that offset.
func simpleHeader(b []byte) (offset, n int, reason string) {
	switch {
	case len(b) == 0:
		return 0, 0, "no data object"
	case b[0] == 0 || b[0] == 0xFF:
		return 0, 0, "tag 00 or FF"
	case len(b) < 2:
		return 1, 0, "length missing"
	case b[1] != 0xFF:
		return 2, int(b[1]), ""
	case len(b) < 4:
		return len(b), 0, "length cut off"
	}
	return 4, int(b[2])<<8 | int(b[3]), ""
}

// AllSimple walks the SIMPLE-TLV data objects of b. An error, a [*SyntaxError]
// whose offset counts from the start of b, is yielded once with the zero object
// and ends the walk.
func AllSimple(b []byte) iter.Seq2[SimpleObject, error] {
	return each(b, NextSimple)
}

// AppendSimple appends a SIMPLE-TLV data object to dst and returns the extended
// slice. The length takes one byte below 255, else three. AppendSimple panics if
// tag is 00 or FF or value longer than [MaxSimple].
func AppendSimple(dst []byte, tag byte, value []byte) []byte {
	if tag == 0 || tag == 0xFF || len(value) > MaxSimple {
		panic(fmt.Sprintf("tlv: tag %02X with %d bytes is no SIMPLE-TLV data object, which has a tag of 01..FE and a length of 0..65535", tag, len(value)))
	}
	if len(value) < 0xFF {
		dst = append(dst, tag, byte(len(value)))
	} else {
		dst = append(dst, tag, 0xFF, byte(len(value)>>8), byte(len(value)))
	}
	return append(dst, value...)
}
