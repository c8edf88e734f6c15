package pcsc

import (
	"context"
	"runtime"

	"github.com/cardoki/cardoki/apdu"
)

// ControlCode returns the control code for a function number, as the macro
// SCARD_CTL_CODE does on this system. Function 3400 asks for the features of PC/SC part
// 10, see [Conn.Features]; 1 is the escape command of Linux drivers, 3500 that of
// Windows.
func ControlCode(function uint16) uint32 { return controlCode(runtime.GOOS, function) }

func controlCode(system string, function uint16) uint32 {
	if system == "windows" {
		const fileDeviceSmartcard = 0x31
		return fileDeviceSmartcard<<16 | uint32(function)<<2
	}
	return 0x42000000 + uint32(function)
}

// Control sends a control code with its input to the driver of the reader, not to the
// card, and appends the output to dst. The input has at most 65,535 bytes; the copies
// that are made of it are cleared. It needs no card where the connection is direct, and
// waits while another program holds a transaction.
//
// The error Is SCARD_E_UNSUPPORTED_FEATURE when the driver does not know the code.
// Drivers guard escape commands: Debian's CCID driver refuses them unless its Info.plist
// allows them. When ctx ends first, c is lost as with [Conn.Transmit], and the reader
// goes on with what it does.
func (c *Conn) Control(ctx context.Context, code uint32, dst, input []byte) ([]byte, error) {
	return c.control(ctx, "control", code, dst, input)
}

func (c *Conn) control(ctx context.Context, op string, code uint32, dst, input []byte) ([]byte, error) {
	if len(input) > maxControl {
		err := &apdu.LengthError{Field: "control input", Value: len(input), Max: maxControl}
		return dst, &Error{Op: op, Reader: c.reader, Kind: apdu.ErrNotSent, Err: err}
	}
	if err := c.start(ctx, op); err != nil {
		return dst, err
	}
	defer c.lock.release()
	out, err := c.session.control(ctx, code, dst, input)
	if err != nil {
		return dst, c.fail(op, err)
	}
	return out, nil
}
