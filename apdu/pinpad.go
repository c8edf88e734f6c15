package apdu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A PINPad is a [Transmitter] at a reader with a keypad (PC/SC part 10): the user enters
// the PIN there, the reader puts it into the command, and it never reaches this computer.
//
// The methods return the response of the card, whatever its status; an error that Is one
// of [ErrPINPadTimeout] to [ErrPINPadRefused] when there was no entry, and the card was
// not asked; and one that Is [errors.ErrUnsupported] and [ErrNotSent] when the reader can
// not do it. They wait as long as the reader does. When ctx ends first the connection is
// retired; the reader still waits for the user, and a PIN that is entered then is used.
type PINPad interface {
	VerifyPIN(ctx context.Context, v *PINVerify) (Response, error)
	ModifyPIN(ctx context.Context, m *PINModify) (Response, error)
}

// A PINEncoding says how the digits of a PIN become bytes.
type PINEncoding byte

// The encodings of PC/SC part 10.
const (
	PINBinary PINEncoding = 0 // one byte a digit, 00 to 09
	PINBCD    PINEncoding = 1 // two digits a byte
	PINASCII  PINEncoding = 2 // one byte a digit, 30 to 39
)

// A PINValidation is a set of what ends the entry of a PIN.
type PINValidation byte

// The conditions of PC/SC part 10.
const (
	PINMaxReached PINValidation = 1 // as many digits as there may be
	PINKeyPressed PINValidation = 2 // the validation key
	PINTimedOut   PINValidation = 4 // the time is over
)

// NoPINMessage as a number of messages shows none.
const NoPINMessage = -1

// A PINEntry says what a reader asks the user for and how it puts the PIN into the
// command: the fields that PIN_VERIFY_STRUCTURE and PIN_MODIFY_STRUCTURE of PC/SC part 10
// have in common. Positions are counted from the first byte of the command's data field.
type PINEntry struct {
	// Command is the command APDU with everything but the PIN: header, Lc, and the data
	// field filled up with its padding, 4 to 261 bytes.
	Command []byte

	Encoding       PINEncoding
	RightJustified bool // within the block
	Position       int  // of the block, in bits: a multiple of 8 up to 120, or up to 15
	BlockSize      int  // of the block in bytes, 0 to 15; 0 when the PIN is as long as it is
	LengthPosition int  // where the length of the PIN goes, in bits, as Position
	LengthSize     int  // bits of that length, 0 to 15; 0 when the command does not tell it

	MinLen, MaxLen int // digits, 0 to 255

	TimeOut  time.Duration // until the first key, in whole seconds up to 255 s; 0 is the reader's choice
	TimeOut2 time.Duration // after a key, likewise

	// Validation is what ends the entry; 0 means the validation key.
	Validation PINValidation
	// Messages is how many messages the reader shows; 0 leaves it to the reader, and
	// [NoPINMessage] shows none.
	Messages int
	// Language of the messages, by its number at Microsoft; 0 means 0409, English.
	Language uint16
}

// A PINVerify asks for one PIN on the reader: see [PINPad].
type PINVerify struct {
	PINEntry
	Message byte // index of the message
}

// A PINModify asks for a new PIN on the reader: see [PINPad].
type PINModify struct {
	PINEntry
	OffsetOld int  // where the present PIN goes, in bytes, 0 to 255
	OffsetNew int  // where the new one goes
	Confirm   bool // ask twice for the new PIN
	EnterOld  bool // ask for the present PIN too
	Message   [3]byte
}

// A PINEntryError reports a field of a PINEntry that cannot be put into the structure.
type PINEntryError struct {
	Field  string
	Value  int
	Reason string
}

// Error returns the field, its value and what is wrong with it.
func (e *PINEntryError) Error() string {
	return fmt.Sprintf("apdu: PIN entry: %s = %d: %s", e.Field, e.Value, e.Reason)
}

// AppendBinary appends PIN_VERIFY_STRUCTURE with its numbers least significant byte
// first, as PC/SC part 10 says; drivers that once took the byte order of the host
// recognise it. The error is a [*PINEntryError].
func (v *PINVerify) AppendBinary(dst []byte) ([]byte, error) {
	out, err := v.head(dst)
	if err != nil {
		return dst, err
	}
	out = v.sizes(out)
	out = v.conditions(out)
	out = append(out, v.Message, 0, 0, 0) // bTeoPrologue is the driver's
	return v.tail(out), nil
}

// AppendBinary appends PIN_MODIFY_STRUCTURE, as that of [PINVerify] does.
func (m *PINModify) AppendBinary(dst []byte) ([]byte, error) {
	out, err := m.head(dst)
	if err != nil {
		return dst, err
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"OffsetOld", m.OffsetOld}, {"OffsetNew", m.OffsetNew}} {
		if f.value < 0 || f.value > 255 {
			return dst, &PINEntryError{f.name, f.value, "not in 0..255 bytes"}
		}
		out = append(out, byte(f.value))
	}
	out = m.sizes(out)
	var confirm byte
	if m.Confirm {
		confirm |= 1
	}
	if m.EnterOld {
		confirm |= 2
	}
	out = append(out, confirm)
	out = m.conditions(out)
	out = append(out, m.Message[:]...)
	out = append(out, 0, 0, 0)
	return m.tail(out), nil
}

// head checks e and appends what both structures begin with: bTimerOut to
// bmPINLengthFormat.
func (e *PINEntry) head(dst []byte) ([]byte, error) {
	const bytesUnit, lengthBytesUnit, right = 0x80, 0x10, 0x04
	timeOut, err := seconds("TimeOut", e.TimeOut)
	if err != nil {
		return dst, err
	}
	timeOut2, err := seconds("TimeOut2", e.TimeOut2)
	if err != nil {
		return dst, err
	}
	position, inBytes, err := bitPosition("Position", e.Position)
	if err != nil {
		return dst, err
	}
	lengthPosition, lengthInBytes, err := bitPosition("LengthPosition", e.LengthPosition)
	if err != nil {
		return dst, err
	}
	if err := e.check(); err != nil {
		return dst, err
	}
	format := byte(e.Encoding) | position<<3
	if inBytes {
		format |= bytesUnit
	}
	if e.RightJustified {
		format |= right
	}
	var length byte
	if e.LengthSize > 0 {
		length = lengthPosition
		if lengthInBytes {
			length |= lengthBytesUnit
		}
	}
	return append(dst, timeOut, timeOut2, format, byte(e.LengthSize<<4|e.BlockSize), length), nil
}

func seconds(field string, d time.Duration) (byte, error) {
	s := d / time.Second
	if d%time.Second != 0 || s < 0 || s > 255 {
		return 0, &PINEntryError{field, int(d), "not a whole number of seconds in 0..255"}
	}
	return byte(s), nil
}

// bitPosition returns a position of 4 bits with its unit. Whole bytes are given as
// such.
func bitPosition(field string, bits int) (position byte, inBytes bool, err error) {
	switch {
	case bits >= 0 && bits%8 == 0 && bits <= 15*8:
		return byte(bits / 8), true, nil
	case bits > 0 && bits <= 15:
		return byte(bits), false, nil
	}
	return 0, false, &PINEntryError{field, bits, "neither whole bytes up to 120 bits nor up to 15 bits"}
}

func (e *PINEntry) check() error {
	for _, f := range []struct {
		name            string
		value, min, max int
	}{
		{"length of Command", len(e.Command), HeaderSize, HeaderSize + 1 + MaxShortNc + 1},
		{"Encoding", int(e.Encoding), 0, int(PINASCII)},
		{"BlockSize", e.BlockSize, 0, 15},
		{"LengthSize", e.LengthSize, 0, 15},
		{"MinLen", e.MinLen, 0, 255},
		{"MaxLen", e.MaxLen, e.MinLen, 255},
		{"Validation", int(e.Validation), 0, 7},
		{"Messages", e.Messages, NoPINMessage, 3},
	} {
		if f.value < f.min || f.value > f.max {
			return &PINEntryError{f.name, f.value, fmt.Sprintf("not in %d..%d", f.min, f.max)}
		}
	}
	if len(e.Command) > HeaderSize {
		nc := int(e.Command[HeaderSize])
		if end := (e.Position+7)/8 + e.BlockSize; nc > 0 && e.BlockSize > 0 && end > nc {
			return &PINEntryError{"BlockSize", e.BlockSize, fmt.Sprintf("the block ends after %d bytes, and Lc of Command is %d", end, nc)}
		}
	}
	return nil
}

// sizes appends wPINMaxExtraDigit: 0xXXYY with the minimum in XX.
func (e *PINEntry) sizes(dst []byte) []byte {
	return binary.LittleEndian.AppendUint16(dst, uint16(e.MinLen)<<8|uint16(e.MaxLen))
}

// conditions appends bEntryValidationCondition, bNumberMessage and wLangId.
func (e *PINEntry) conditions(dst []byte) []byte {
	validation, messages, language := e.Validation, byte(e.Messages), e.Language
	if validation == 0 {
		validation = PINKeyPressed
	}
	switch e.Messages {
	case 0:
		messages = 0xFF
	case NoPINMessage:
		messages = 0
	}
	if language == 0 {
		language = 0x0409
	}
	return binary.LittleEndian.AppendUint16(append(dst, byte(validation), messages), language)
}

// tail appends ulDataLength and abData.
func (e *PINEntry) tail(dst []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(e.Command))), e.Command...)
}

// Why the entry of a PIN on a reader ended without one: which a PIN pad returns.
// The card was not asked, so that no try is used up.
var (
	ErrPINPadTimeout   = errors.New("apdu: nobody entered the PIN in time")
	ErrPINPadCancelled = errors.New("apdu: the user cancelled the entry of the PIN")
	ErrPINPadMismatch  = errors.New("apdu: the two entries of the new PIN differ")
	ErrPINPadLength    = errors.New("apdu: the PIN is too short or too long")
	ErrPINPadRefused   = errors.New("apdu: the reader refuses a parameter of the PIN entry")
)
