package tlv

import "fmt"

// A Tag is the tag of a data object: its bytes, one to three, as a big-endian
// number, such as 0x53, 0x7F49 or 0x5FC105.
type Tag uint32

// A Class is the class of a tag, bits 8 and 7 of its first byte (ISO/IEC
// 7816-4:2013).
type Class byte

// The classes.
const (
	Universal       Class = 0 // defined in ISO/IEC 8825-1
	Application     Class = 1 // interindustry: defined in ISO/IEC 7816
	ContextSpecific Class = 2 // defined by the template around it
	Private         Class = 3 // defined by whoever issued the card
)

// String returns the name of the class in lower case.
func (c Class) String() string {
	switch c {
	case Universal:
		return "universal"
	case Application:
		return "application"
	case ContextSpecific:
		return "context-specific"
	case Private:
		return "private"
	}
	return fmt.Sprintf("Class(%d)", byte(c))
}

// first returns the first byte of t.
func (t Tag) first() byte {
	switch {
	case t > 0xFFFF:
		return byte(t >> 16)
	case t > 0xFF:
		return byte(t >> 8)
	}
	return byte(t)
}

// Class returns the class of t.
func (t Tag) Class() Class { return Class(t.first() >> 6) }

// Constructed reports whether t says that its value is made of data objects. It
// is not a promise: look at the value before believing it.
func (t Tag) Constructed() bool { return t.first()&0x20 != 0 }

// Size returns the number of tag bytes, 1 to 3.
func (t Tag) Size() int {
	switch {
	case t > 0xFFFF:
		return 3
	case t > 0xFF:
		return 2
	}
	return 1
}

// Valid reports whether t is a tag that this package reads and writes: not 00,
// one to three bytes, each but the last announcing the next.
func (t Tag) Valid() bool {
	switch {
	case t <= 0xFF:
		return t != 0 && t&0x1F != 0x1F
	case t <= 0xFFFF:
		return t&0x1F00 == 0x1F00 && t&0x80 == 0
	case t <= 0xFFFFFF:
		// A second byte of 80 would be a leading zero of the tag number.
		return t&0x1F0000 == 0x1F0000 && t&0x8000 != 0 && t&0x7F00 != 0 && t&0x80 == 0
	}
	return false
}

// AppendTo appends the tag bytes to dst. It panics if t is not [Tag.Valid].
func (t Tag) AppendTo(dst []byte) []byte {
	if !t.Valid() {
		panic(fmt.Sprintf("tlv: %v is not a tag", t))
	}
	switch {
	case t <= 0xFF:
		return append(dst, byte(t))
	case t <= 0xFFFF:
		return append(dst, byte(t>>8), byte(t))
	}
	return append(dst, byte(t>>16), byte(t>>8), byte(t))
}

// String returns the tag bytes in hexadecimal, such as "7F49".
func (t Tag) String() string { return fmt.Sprintf("%02X", uint32(t)) }
