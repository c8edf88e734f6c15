package apdu

import "fmt"

// A Class is the class byte of a command, CLA (ISO/IEC 7816-4:2013, 5.4.1).
//
// The two interindustry codings carry the chaining flag, the kind of secure
// messaging and the logical channel number. In proprietary classes, which have
// bit 8 set, these bits belong to the application and the methods report zero.
// FF is not a class of any card, but PC/SC part 3 uses it for commands to the
// reader, so it is encoded and decoded like any other.
type Class byte

// The interindustry codings, told apart by their leading bits.
const (
	firstInterindustry   Class = 0b000_00000 // 000x xxxx: channels 0 to 3
	furtherInterindustry Class = 0b01_000000 // 01xx xxxx: channels 4 to 19

	chained Class = 0b0001_0000 // bit 5, in both codings
)

// MaxChannel is the highest logical channel number.
const MaxChannel = 19

// Interindustry reports whether c has one of the two interindustry codings.
func (c Class) Interindustry() bool { return c.first() || c.further() }

func (c Class) first() bool   { return c&0xE0 == firstInterindustry }
func (c Class) further() bool { return c&0xC0 == furtherInterindustry }

// Proprietary reports whether bit 8 of c is set, so that the meaning of the
// other bits is the application's. FF is not proprietary: no card answers it.
func (c Class) Proprietary() bool { return c&0x80 != 0 && c != 0xFF }

// Channel returns the logical channel number, 0 to 19, or 0 when c is not an
// interindustry class.
func (c Class) Channel() int {
	switch {
	case c.first():
		return int(c & 0x03)
	case c.further():
		return int(c&0x0F) + 4
	}
	return 0
}

// Chained reports whether further commands of the same chain follow
// (ISO/IEC 7816-4:2013).
func (c Class) Chained() bool { return c.Interindustry() && c&chained != 0 }

// A SecureMessagingKind tells what CLA says of secure messaging.
type SecureMessagingKind byte

// The kinds of secure messaging that CLA can tell (ISO/IEC 7816-4:2013, 5.4.1,
// tables 2 and 3).
const (
	SMNone        SecureMessagingKind = iota // none, or no indication
	SMProprietary                            // proprietary format
	SMHeaderPlain                            // of ISO/IEC 7816-4, command header not processed
	SMHeaderAuth                             // of ISO/IEC 7816-4, command header authenticated
)

// SecureMessaging returns the kind of secure messaging that c tells. The
// further interindustry coding knows only SMNone and SMHeaderPlain.
func (c Class) SecureMessaging() SecureMessagingKind {
	switch {
	case c.first():
		return SecureMessagingKind(c >> 2 & 0x03)
	case c.further() && c&0x20 != 0:
		return SMHeaderPlain
	}
	return SMNone
}

// WithChannel returns c with the logical channel number n. Numbers from 4 on
// move c to the further interindustry coding, where every kind of secure
// messaging becomes SMHeaderPlain, the only one it has. A class that is not
// interindustry is returned unchanged. WithChannel panics if n is not in 0..19.
func (c Class) WithChannel(n int) Class {
	if n < 0 || n > MaxChannel {
		panic(fmt.Sprintf("apdu: logical channel %d is not in 0..%d", n, MaxChannel))
	}
	if !c.Interindustry() {
		return c
	}
	kind := c.SecureMessaging()
	r := c & chained
	if n < 4 {
		return r | Class(n) | Class(kind)<<2
	}
	r |= furtherInterindustry | Class(n-4)
	if kind != SMNone {
		r |= 0x20
	}
	return r
}

// WithChained returns c with the chaining bit set or cleared. A class that is
// not interindustry is returned unchanged.
func (c Class) WithChained(more bool) Class {
	if !c.Interindustry() {
		return c
	}
	if more {
		return c | chained
	}
	return c &^ chained
}

// WithSecureMessaging returns c with the given kind of secure messaging; in the
// further interindustry coding any kind but SMNone becomes SMHeaderPlain. A
// class that is not interindustry is returned unchanged.
func (c Class) WithSecureMessaging(kind SecureMessagingKind) Class {
	switch {
	case c.first():
		return c&^0x0C | Class(kind&3)<<2
	case c.further() && kind != SMNone:
		return c | 0x20
	case c.further():
		return c &^ 0x20
	}
	return c
}

// String returns CLA as the standard prints it, such as "CLA 0C".
func (c Class) String() string { return fmt.Sprintf("CLA %02X", byte(c)) }
