package pcsc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// An Attribute names something that can be asked of a reader or its card, see
// [Conn.Attribute].
type Attribute uint32

// Attributes by their names in PC/SC (PC/SC part 3; reader.h). Few readers know many
// of them. Numbers are 32 bits long unless it says otherwise.
const (
	SCARD_ATTR_VENDOR_NAME            Attribute = 0x00010100 // text
	SCARD_ATTR_VENDOR_IFD_TYPE        Attribute = 0x00010101 // text: the model
	SCARD_ATTR_VENDOR_IFD_VERSION     Attribute = 0x00010102 // number, 0xMMmmbbbb: major, minor, build
	SCARD_ATTR_VENDOR_IFD_SERIAL_NO   Attribute = 0x00010103 // text
	SCARD_ATTR_CHANNEL_ID             Attribute = 0x00020110 // number, 0xDDDDCCCC: type of channel (0020 is USB), which of them
	SCARD_ATTR_ASYNC_PROTOCOL_TYPES   Attribute = 0x00030120 // number
	SCARD_ATTR_DEFAULT_CLK            Attribute = 0x00030121 // number, kHz
	SCARD_ATTR_MAX_CLK                Attribute = 0x00030122 // number, kHz
	SCARD_ATTR_DEFAULT_DATA_RATE      Attribute = 0x00030123 // number, bit/s
	SCARD_ATTR_MAX_DATA_RATE          Attribute = 0x00030124 // number, bit/s
	SCARD_ATTR_MAX_IFSD               Attribute = 0x00030125 // number, bytes
	SCARD_ATTR_SYNC_PROTOCOL_TYPES    Attribute = 0x00030126 // number
	SCARD_ATTR_POWER_MGMT_SUPPORT     Attribute = 0x00040131 // number
	SCARD_ATTR_CHARACTERISTICS        Attribute = 0x00060150 // number: 1 swallows, 2 ejects, 4 captures cards, 8 contactless
	SCARD_ATTR_CURRENT_PROTOCOL_TYPE  Attribute = 0x00080201 // number
	SCARD_ATTR_CURRENT_CLK            Attribute = 0x00080202 // number, kHz
	SCARD_ATTR_CURRENT_F              Attribute = 0x00080203 // number
	SCARD_ATTR_CURRENT_D              Attribute = 0x00080204 // number
	SCARD_ATTR_CURRENT_IFSC           Attribute = 0x00080207 // number, bytes
	SCARD_ATTR_CURRENT_IFSD           Attribute = 0x00080208 // number, bytes
	SCARD_ATTR_ICC_PRESENCE           Attribute = 0x00090300 // one byte: 0 no card, 1 not swallowed, 2 a card, 4 captured
	SCARD_ATTR_ICC_INTERFACE_STATUS   Attribute = 0x00090301 // one byte: 0 when the contacts have no power
	SCARD_ATTR_ATR_STRING             Attribute = 0x00090303 // bytes: the answer to reset
	SCARD_ATTR_ICC_TYPE_PER_ATR       Attribute = 0x00090304 // one byte: 0 unknown, 1 asynchronous, 2 synchronous
	SCARD_ATTR_MAXINPUT               Attribute = 0x0007A007 // number, bytes: the longest command for the reader
	SCARD_ATTR_DEVICE_UNIT            Attribute = 0x7FFF0001 // number: which of several readers alike
	SCARD_ATTR_DEVICE_FRIENDLY_NAME   Attribute = 0x7FFF0003 // text: the name of the reader
	SCARD_ATTR_DEVICE_SYSTEM_NAME     Attribute = 0x7FFF0004 // text
	SCARD_ATTR_SUPRESS_T1_IFS_REQUEST Attribute = 0x7FFF0007 // can be set on some readers
)

// String returns the number of a, such as "attribute 00010100".
func (a Attribute) String() string { return fmt.Sprintf("attribute %08X", uint32(a)) }

// Attribute returns the value of an attribute as the reader gives it, which is the
// caller's. It needs no card where the connection is direct, and waits while another
// program holds a transaction. The error Is SCARD_E_UNSUPPORTED_FEATURE when the reader
// does not know the attribute, or has no value for it.
func (c *Conn) Attribute(ctx context.Context, a Attribute) ([]byte, error) {
	if err := c.start(ctx, "attribute"); err != nil {
		return nil, err
	}
	defer c.lock.release()
	value, err := c.session.attribute(ctx, a)
	if errors.Is(err, SCARD_E_INSUFFICIENT_BUFFER) && (a == SCARD_ATTR_DEVICE_FRIENDLY_NAME || a == SCARD_ATTR_DEVICE_SYSTEM_NAME) {
		// pcscd gives the name itself for drivers that do not, but finds no room for it
		// after one of them (vsmartcard-vpcd 3.3) has set the length to 0, or for the
		// question about its length, which ebfe/scard asks first.
		value, err = append([]byte(c.reader), 0), nil
	}
	if err == nil && len(value) == 0 {
		err = SCARD_E_UNSUPPORTED_FEATURE // how drivers say that a name is missing
	}
	if err != nil {
		return nil, c.fail("attribute", err)
	}
	return value, nil
}

// AttributeText returns the value of an attribute that is a text, without the zero byte
// at its end. It is [Conn.Attribute] in all else.
func (c *Conn) AttributeText(ctx context.Context, a Attribute) (string, error) {
	value, err := c.Attribute(ctx, a)
	return strings.TrimRight(string(value), "\x00"), err
}

// AttributeNumber returns the value of an attribute that is a number of 1, 2 or 4 bytes
// in the byte order of the machine. It is [Conn.Attribute] in all else.
func (c *Conn) AttributeNumber(ctx context.Context, a Attribute) (uint32, error) {
	value, err := c.Attribute(ctx, a)
	switch {
	case err != nil:
		return 0, err
	case len(value) == 1:
		return uint32(value[0]), nil
	case len(value) == 2:
		return uint32(binary.NativeEndian.Uint16(value)), nil
	case len(value) == 4:
		return binary.NativeEndian.Uint32(value), nil
	}
	return 0, &Error{Op: "attribute", Reader: c.reader, Err: fmt.Errorf("%v has %d bytes and is no number", a, len(value))}
}

// SetAttribute sets an attribute, where the reader lets it be set. The value has 1 to
// 264 bytes.
func (c *Conn) SetAttribute(ctx context.Context, a Attribute, value []byte) error {
	const maxAttribute = 264 // of pcsc-lite
	if len(value) == 0 || len(value) > maxAttribute {
		return &Error{Op: "set attribute", Reader: c.reader, Err: fmt.Errorf("%v: value of %d bytes is not in 1..%d", a, len(value), maxAttribute)}
	}
	if err := c.start(ctx, "set attribute"); err != nil {
		return err
	}
	defer c.lock.release()
	if err := c.session.setAttribute(ctx, a, value); err != nil {
		return c.fail("set attribute", err)
	}
	return nil
}
