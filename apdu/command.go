package apdu

// Sizes of the fields of a command, in bytes.
const (
	HeaderSize      = 4     // CLA INS P1 P2
	MaxShortNc      = 255   // longest data field of a short command
	MaxShortNe      = 256   // longest response data field a short command can expect
	MaxExtendedNc   = 65535 // longest data field of an extended command
	MaxExtendedNe   = 65536 // longest response data field an extended command can expect
	MaxCommandSize  = HeaderSize + 3 + MaxExtendedNc + 2
	MaxResponseSize = MaxExtendedNe + 2
)

// A Command is a command APDU: header, data field and the length of the
// response data field that is expected (ISO/IEC 7816-3:2006, 12.1.3).
//
// Nc, the number of data bytes, is len(Data). Ne is a number of bytes, not the
// encoded Le: 0 means that no response data is expected, 256 is Le = 00 in a
// short command, and 65,536 is Le = 0000 in an extended one.
type Command struct {
	Class       Class
	Instruction Instruction
	P1, P2      byte
	Data        []byte // at most 65,535 bytes
	Ne          int    // 0 to 65,536 bytes
	// Extended asks for extended length fields where short ones would do. It
	// has no effect where neither Lc nor Le is present: case 1 has one form.
	Extended bool
}

// Case returns the form of c by its name in ISO/IEC 7816-3:2006, 12.1.3: "1",
// "2S", "3S", "4S" with short length fields, "2E", "3E", "4E" with extended ones.
func (c *Command) Case() string {
	ext := c.extended()
	switch {
	case len(c.Data) == 0 && c.Ne == 0:
		return "1"
	case len(c.Data) == 0 && ext:
		return "2E"
	case len(c.Data) == 0:
		return "2S"
	case c.Ne == 0 && ext:
		return "3E"
	case c.Ne == 0:
		return "3S"
	case ext:
		return "4E"
	}
	return "4S"
}

func (c *Command) extended() bool {
	return c.Extended || len(c.Data) > MaxShortNc || c.Ne > MaxShortNe
}

// Size returns the length of the encoding of c, in bytes.
func (c *Command) Size() int {
	n := HeaderSize + len(c.Data)
	switch ext := c.extended(); {
	case len(c.Data) > 0 && c.Ne > 0 && ext:
		n += 3 + 2
	case (len(c.Data) > 0 || c.Ne > 0) && ext:
		n += 3
	case len(c.Data) > 0 && c.Ne > 0:
		n += 1 + 1
	case len(c.Data) > 0 || c.Ne > 0:
		n++
	}
	return n
}

// AppendBinary appends the encoding of c to dst and returns the extended slice.
// It uses short length fields when len(c.Data) <= 255 and c.Ne <= 256, and
// extended ones otherwise or when c.Extended is set (ISO/IEC 7816-3:2006,
// 12.1.3). It returns an error wrapping [ErrLength] when Data is longer than
// 65,535 bytes or Ne is not in 0..65,536; dst is then returned unchanged.
// Appending never allocates when dst has room for [Command.Size] bytes.
func (c *Command) AppendBinary(dst []byte) ([]byte, error) {
	if len(c.Data) > MaxExtendedNc {
		return dst, &LengthError{Field: "Nc", Value: len(c.Data), Max: MaxExtendedNc}
	}
	if c.Ne < 0 || c.Ne > MaxExtendedNe {
		return dst, &LengthError{Field: "Ne", Value: c.Ne, Max: MaxExtendedNe}
	}
	nc := len(c.Data)
	dst = append(dst, byte(c.Class), byte(c.Instruction), c.P1, c.P2)
	if !c.extended() {
		if nc > 0 {
			dst = append(dst, byte(nc))
			dst = append(dst, c.Data...)
		}
		if c.Ne > 0 {
			dst = append(dst, byte(c.Ne)) // 256 becomes 00
		}
		return dst, nil
	}
	switch {
	case nc > 0:
		dst = append(dst, 0, byte(nc>>8), byte(nc))
		dst = append(dst, c.Data...)
		if c.Ne > 0 {
			dst = append(dst, byte(c.Ne>>8), byte(c.Ne)) // 65,536 becomes 0000
		}
	case c.Ne > 0:
		dst = append(dst, 0, byte(c.Ne>>8), byte(c.Ne))
	}
	return dst, nil
}

// ParseCommand decodes a command APDU. The Data of the result aliases b. Le = 00
// means Ne = 256, or 65,536 for 0000 in the extended form. Every byte of b is
// accounted for: whatever is not one of the seven forms is refused with a
// [*SyntaxError] (ISO/IEC 7816-3:2006, 12.1.3).
func ParseCommand(b []byte) (c Command, err error) {
	// A Command and an error are more than the registers for results hold. This
	// function is inlined, so that the Command is written once, where it is wanted.
	err = c.parse(b)
	return
}

// parse sets c, which is zero, to what b encodes. On an error it leaves c alone.
func (c *Command) parse(b []byte) error {
	if len(b) < HeaderSize {
		return commandError(len(b), "shorter than the 4-byte header")
	}
	switch {
	case len(b) == HeaderSize: // 1
	case len(b) == HeaderSize+1: // 2S
		c.Ne = shortNe(b[4])
	case b[4] != 0: // 3S, 4S
		nc, body := int(b[4]), b[5:]
		switch len(body) - nc {
		case 0:
		case 1:
			c.Ne = shortNe(body[nc])
		default:
			return shortError(b)
		}
		c.Data = body[:nc:nc]
	case len(b) < 7:
		return extendedError(b)
	default: // 2E, 3E, 4E
		nc, body := int(b[5])<<8|int(b[6]), b[7:]
		switch {
		case len(body) == 0:
			nc, c.Ne = 0, extendedNe(b[5], b[6])
		case nc == 0:
			return extendedError(b)
		case len(body) == nc:
		case len(body) == nc+2:
			c.Ne = extendedNe(body[nc], body[nc+1])
		default:
			return extendedError(b)
		}
		if nc > 0 {
			c.Data = body[:nc:nc]
		}
		c.Extended = true
	}
	c.Class, c.Instruction, c.P1, c.P2 = Class(b[0]), Instruction(b[1]), b[2], b[3]
	return nil
}

func shortNe(le byte) int { return 1 + int(le-1) } // 00 is 256

func extendedNe(hi, lo byte) int { return 1 + int((uint16(hi)<<8|uint16(lo))-1) }

// shortError says why a command with a short Lc is refused.
func shortError(b []byte) error {
	nc := int(b[4])
	if len(b) < 5+nc {
		return commandError(len(b), "short Lc: body shorter than Lc")
	}
	return commandError(5+nc+1, "short Lc: more than one byte after the data")
}

// extendedError says why a command with the marker of the extended form is
// refused.
func extendedError(b []byte) error {
	if len(b) < 7 {
		return commandError(len(b), "extended length marker 00 followed by one byte only")
	}
	nc := int(b[5])<<8 | int(b[6])
	switch {
	case nc == 0:
		return commandError(5, "extended Lc of zero with bytes after it")
	case len(b) < 7+nc:
		return commandError(len(b), "extended Lc: body shorter than Lc")
	case len(b) == 7+nc+1:
		return commandError(7+nc, "extended Lc: one byte after the data, Le has two")
	}
	return commandError(7+nc+2, "extended Lc: more than two bytes after the data")
}
