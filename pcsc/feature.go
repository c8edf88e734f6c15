package pcsc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
)

// A Feature names something that a reader can do besides carrying commands (PC/SC part
// 10).
type Feature byte

// Features by their names in PC/SC part 10.
const (
	FEATURE_VERIFY_PIN_START         Feature = 0x01
	FEATURE_VERIFY_PIN_FINISH        Feature = 0x02
	FEATURE_MODIFY_PIN_START         Feature = 0x03
	FEATURE_MODIFY_PIN_FINISH        Feature = 0x04
	FEATURE_GET_KEY_PRESSED          Feature = 0x05
	FEATURE_VERIFY_PIN_DIRECT        Feature = 0x06
	FEATURE_MODIFY_PIN_DIRECT        Feature = 0x07
	FEATURE_MCT_READER_DIRECT        Feature = 0x08
	FEATURE_MCT_UNIVERSAL            Feature = 0x09
	FEATURE_IFD_PIN_PROPERTIES       Feature = 0x0A
	FEATURE_ABORT                    Feature = 0x0B
	FEATURE_SET_SPE_MESSAGE          Feature = 0x0C
	FEATURE_VERIFY_PIN_DIRECT_APP_ID Feature = 0x0D
	FEATURE_MODIFY_PIN_DIRECT_APP_ID Feature = 0x0E
	FEATURE_WRITE_DISPLAY            Feature = 0x0F
	FEATURE_GET_KEY                  Feature = 0x10
	FEATURE_IFD_DISPLAY_PROPERTIES   Feature = 0x11
	FEATURE_GET_TLV_PROPERTIES       Feature = 0x12
	FEATURE_CCID_ESC_COMMAND         Feature = 0x13
	FEATURE_EXECUTE_PACE             Feature = 0x20
)

var featureNames = map[Feature]string{
	FEATURE_VERIFY_PIN_START: "VERIFY_PIN_START", FEATURE_VERIFY_PIN_FINISH: "VERIFY_PIN_FINISH",
	FEATURE_MODIFY_PIN_START: "MODIFY_PIN_START", FEATURE_MODIFY_PIN_FINISH: "MODIFY_PIN_FINISH",
	FEATURE_GET_KEY_PRESSED: "GET_KEY_PRESSED", FEATURE_VERIFY_PIN_DIRECT: "VERIFY_PIN_DIRECT",
	FEATURE_MODIFY_PIN_DIRECT: "MODIFY_PIN_DIRECT", FEATURE_MCT_READER_DIRECT: "MCT_READER_DIRECT",
	FEATURE_MCT_UNIVERSAL: "MCT_UNIVERSAL", FEATURE_IFD_PIN_PROPERTIES: "IFD_PIN_PROPERTIES",
	FEATURE_ABORT: "ABORT", FEATURE_SET_SPE_MESSAGE: "SET_SPE_MESSAGE",
	FEATURE_VERIFY_PIN_DIRECT_APP_ID: "VERIFY_PIN_DIRECT_APP_ID", FEATURE_MODIFY_PIN_DIRECT_APP_ID: "MODIFY_PIN_DIRECT_APP_ID",
	FEATURE_WRITE_DISPLAY: "WRITE_DISPLAY", FEATURE_GET_KEY: "GET_KEY",
	FEATURE_IFD_DISPLAY_PROPERTIES: "IFD_DISPLAY_PROPERTIES", FEATURE_GET_TLV_PROPERTIES: "GET_TLV_PROPERTIES",
	FEATURE_CCID_ESC_COMMAND: "CCID_ESC_COMMAND", FEATURE_EXECUTE_PACE: "EXECUTE_PACE",
}

// String returns the name of f, such as "FEATURE_VERIFY_PIN_DIRECT", or its number.
func (f Feature) String() string {
	if name, ok := featureNames[f]; ok {
		return "FEATURE_" + name
	}
	return fmt.Sprintf("feature %02X", byte(f))
}

// Features are the features of a reader, each with the control code that reaches it,
// for [Conn.Control].
type Features map[Feature]uint32

// ParseFeatures decodes the answer to CM_IOCTL_GET_FEATURE_REQUEST: a list of tag,
// length 4 and control code with its most significant byte first. Of a tag that comes
// twice the first counts.
func ParseFeatures(b []byte) (Features, error) {
	features := Features{}
	for offset := 0; offset < len(b); offset += 6 {
		if len(b)-offset < 6 || b[offset+1] != 4 {
			return nil, fmt.Errorf("pcsc: malformed list of features at offset %d of %d: not a tag, the length 4 and four bytes", offset, len(b))
		}
		if _, ok := features[Feature(b[offset])]; !ok {
			features[Feature(b[offset])] = binary.BigEndian.Uint32(b[offset+2:])
		}
	}
	return features, nil
}

// Features asks the reader for its features (CM_IOCTL_GET_FEATURE_REQUEST). A reader
// that does not know the question has none, which is no error.
func (c *Conn) Features(ctx context.Context) (Features, error) {
	const getFeatureRequest = 3400
	out, err := c.control(ctx, "features", ControlCode(getFeatureRequest), nil, nil)
	switch {
	case err == nil:
	case errors.Is(err, SCARD_E_UNSUPPORTED_FEATURE),
		errors.Is(err, SCARD_E_INVALID_PARAMETER),                                   // pcscd, for drivers of version 2
		errors.Is(err, Code(1)), errors.Is(err, Code(22)), errors.Is(err, Code(50)): // Windows: no such function
		return nil, nil
	default:
		return nil, err
	}
	features, err := ParseFeatures(out)
	if err != nil {
		return nil, &Error{Op: "features", Reader: c.reader, Err: err}
	}
	return features, nil
}

// useFeature sends input to a feature of the reader.
func (c *Conn) useFeature(ctx context.Context, op string, f Feature, input []byte) ([]byte, error) {
	features, err := c.Features(ctx)
	if err != nil {
		return nil, err
	}
	code, ok := features[f]
	if !ok {
		return nil, &Error{Op: op, Reader: c.reader, Kind: apdu.ErrNotSent, Err: fmt.Errorf("the reader has no %v: %w", f, errors.ErrUnsupported)}
	}
	return c.control(ctx, op, code, nil, input)
}

// ReaderProperties are what a reader tells of itself for the entry of PINs and for long
// commands (PC/SC part 10). Numbers that the reader does not tell are zero.
type ReaderProperties struct {
	LCDLines, LCDColumns int                // of the display; 0 without one
	EntryValidation      apdu.PINValidation // how the entry of a PIN can end
	TimeOut2             bool               // apdu.PINEntry.TimeOut2 is told from TimeOut
	MinPINSize           int                // shortest PIN, in characters
	MaxPINSize           int                // longest PIN, in characters
	FirmwareID           string
	PPDU                 byte // bit 1: pseudo-APDUs through FEATURE_CCID_ESC_COMMAND, bit 2: through Transmit
	// MaxAPDUDataSize is the most bytes of data in a command; 0 when the reader takes
	// no extended length, -1 when it does not tell.
	MaxAPDUDataSize     int
	VendorID, ProductID uint16 // of USB
}

// parseProperties decodes the answer to FEATURE_GET_TLV_PROPERTIES: a list of tag,
// length and value with its least significant byte first. Tags that are not known, and
// values of a strange length, are passed over.
func parseProperties(b []byte) (ReaderProperties, error) {
	p := ReaderProperties{MaxAPDUDataSize: -1}
	size := len(b)
	for len(b) > 0 {
		if len(b) < 2 || len(b)-2 < int(b[1]) {
			return p, fmt.Errorf("malformed list of properties at offset %d of %d", size-len(b), size)
		}
		tag, value := b[0], b[2:2+int(b[1])]
		b = b[2+len(value):]
		if tag == 8 {
			p.FirmwareID = string(value)
			continue
		}
		var n uint32
		switch len(value) {
		case 1:
			n = uint32(value[0])
		case 2:
			n = uint32(binary.LittleEndian.Uint16(value))
		case 4:
			n = binary.LittleEndian.Uint32(value)
		default:
			continue
		}
		switch tag {
		case 1: // wLcdLayout
			p.LCDLines, p.LCDColumns = int(n>>8&0xFF), int(n&0xFF)
		case 2: // bEntryValidationCondition
			p.EntryValidation = apdu.PINValidation(n)
		case 3: // bTimeOut2
			p.TimeOut2 = n != 0
		case 4: // wLcdMaxCharacters
			p.LCDColumns = int(n & 0xFFFF)
		case 5: // wLcdMaxLines
			p.LCDLines = int(n & 0xFFFF)
		case 6: // bMinPINSize
			p.MinPINSize = int(n & 0xFF)
		case 7: // bMaxPINSize
			p.MaxPINSize = int(n & 0xFF)
		case 9: // bPPDUSupport
			p.PPDU = byte(n)
		case 10: // dwMaxAPDUDataSize
			p.MaxAPDUDataSize = int(n & 0x7FFFFFFF)
		case 11: // wIdVendor
			p.VendorID = uint16(n)
		case 12: // wIdProduct
			p.ProductID = uint16(n)
		}
	}
	return p, nil
}

// Properties asks the reader for its properties: FEATURE_GET_TLV_PROPERTIES, and
// FEATURE_IFD_PIN_PROPERTIES for what that left open. A reader without either gives an
// error that Is [errors.ErrUnsupported].
func (c *Conn) Properties(ctx context.Context) (ReaderProperties, error) {
	features, err := c.Features(ctx)
	if err != nil {
		return ReaderProperties{}, err
	}
	tlv, hasTLV := features[FEATURE_GET_TLV_PROPERTIES]
	pin, hasPIN := features[FEATURE_IFD_PIN_PROPERTIES]
	p := ReaderProperties{MaxAPDUDataSize: -1}
	fail := func(err error) (ReaderProperties, error) {
		return ReaderProperties{}, &Error{Op: "properties", Reader: c.reader, Err: err}
	}
	if !hasTLV && !hasPIN {
		return fail(fmt.Errorf("the reader does not tell its properties: %w", errors.ErrUnsupported))
	}
	if hasTLV {
		out, err := c.control(ctx, "properties", tlv, nil, nil)
		if err != nil {
			return ReaderProperties{}, err
		}
		if p, err = parseProperties(out); err != nil {
			return fail(err)
		}
	}
	if !hasPIN {
		return p, nil
	}
	out, err := c.control(ctx, "properties", pin, nil, nil)
	if err != nil {
		return ReaderProperties{}, err
	}
	if len(out) < 4 { // PIN_PROPERTIES_STRUCTURE: wLcdLayout, bEntryValidationCondition, bTimeOut2
		return fail(fmt.Errorf("structure of %d bytes for FEATURE_IFD_PIN_PROPERTIES, want 4", len(out)))
	}
	if p.LCDLines == 0 && p.LCDColumns == 0 {
		p.LCDLines, p.LCDColumns = int(out[1]), int(out[0])
	}
	if p.EntryValidation == 0 {
		p.EntryValidation = apdu.PINValidation(out[2])
	}
	p.TimeOut2 = p.TimeOut2 || out[3] != 0
	return p, nil
}
