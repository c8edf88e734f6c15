package iso7816

import "github.com/cardoki/cardoki/iso7816/tlv"

// ExtendedLengthInformation tells how long the APDUs may be that a card with
// extended length fields takes and gives.
type ExtendedLengthInformation struct {
	MaxCommand  int // longest command APDU, header and length fields included, in bytes
	MaxResponse int // longest response APDU, status bytes included, in bytes
}

// The tags of the data objects in EF.ATR/INFO.
const (
	tagExtendedLength  tlv.Tag = 0x7F66
	tagHistoricalBytes tlv.Tag = 0x5F52
	tagInteger         tlv.Tag = 0x02
)

// ParseExtendedLengthInformation decodes the value of the data object 7F66: two
// integers, tag 02, the first for commands and the second for responses. Other
// objects are skipped. The error is a [*SyntaxError].
func ParseExtendedLengthInformation(b []byte) (ExtendedLengthInformation, error) {
	var found [2]int
	n := 0
	for rest := b; len(rest) > 0 && n < 2; {
		o, after, err := tlv.Next(rest)
		if err != nil {
			return ExtendedLengthInformation{}, tlvError("extended length information", err, len(b)-len(rest))
		}
		if o.Tag == tagInteger {
			v, ok := positive(o.Value)
			if !ok {
				return ExtendedLengthInformation{}, &SyntaxError{
					What: "extended length information", Offset: len(b) - len(after) - len(o.Value), Reason: "integer not in 1..2147483647",
				}
			}
			found[n] = v
			n++
		}
		rest = after
	}
	if n < 2 {
		return ExtendedLengthInformation{}, &SyntaxError{What: "extended length information", Offset: len(b), Reason: "fewer than two integers"}
	}
	return ExtendedLengthInformation{found[0], found[1]}, nil
}

// positive decodes a big-endian integer in 1..2147483647.
func positive(b []byte) (n int, ok bool) {
	var v uint64
	for _, c := range b {
		if v = v<<8 | uint64(c); v > 1<<31-1 {
			return 0, false
		}
	}
	return int(v), v > 0
}

// AppendExtendedLengthInformation appends the data object 7F66 to dst, each
// integer with two bytes, or more where it needs them. It panics if a length is
// not in 1..2147483647.
func AppendExtendedLengthInformation(dst []byte, e ExtendedLengthInformation) []byte {
	return tlv.AppendFunc(dst, tagExtendedLength, func(dst []byte) []byte {
		for _, n := range [...]int{e.MaxCommand, e.MaxResponse} {
			if n < 1 || n > 1<<31-1 {
				panic("iso7816: the extended length information has a length that is not in 1..2147483647")
			}
			if n > 0xFFFF {
				dst = tlv.Append(dst, tagInteger, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			} else {
				dst = tlv.Append(dst, tagInteger, []byte{byte(n >> 8), byte(n)})
			}
		}
		return dst
	})
}

// ATRInfo is what the file EF.ATR/INFO tells of a card. All slices alias what
// was parsed.
type ATRInfo struct {
	// Objects are the BER-TLV data objects, for [tlv.FindPadded] to look for
	// others in.
	Objects []byte
	// HistoricalBytes is the object 5F52, nil when there is none.
	HistoricalBytes []byte

	CardServiceData    CardServiceData           // object 43
	CardCapabilities   CardCapabilities          // object 47; no tables when there is none
	ExtendedLength     ExtendedLengthInformation // object 7F66
	HasCardServiceData bool
	HasExtendedLength  bool
}

// ParseATRInfo decodes the contents of EF.ATR/INFO (ISO/IEC 7816-4). Padding of
// 00 and FF is skipped, and so are objects that it does not know. A category
// indicator byte of 80 in front is skipped too, as some cards have it.
//
// The error is a [*SyntaxError]; the result then holds what was read before.
func ParseATRInfo(b []byte) (ATRInfo, error) {
	const what = "EF.ATR/INFO"
	offset := 0
	if len(b) > 0 && b[0] == byte(CategoryCompactTLV) {
		offset = 1 // no object here has the tag 80
	}
	info := ATRInfo{Objects: b[offset:]}
	for rest := info.Objects; ; {
		for len(rest) > 0 && (rest[0] == 0 || rest[0] == 0xFF) {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return info, nil
		}
		o, after, err := tlv.Next(rest)
		if err != nil {
			return info, tlvError(what, err, len(b)-len(rest))
		}
		switch o.Tag {
		case 0x43:
			if len(o.Value) != 1 {
				err = &SyntaxError{What: "card service data", Reason: "not one byte"}
				break
			}
			info.CardServiceData, info.HasCardServiceData = CardServiceData(o.Value[0]), true
		case 0x47:
			info.CardCapabilities, err = ParseCardCapabilities(o.Value)
		case tagHistoricalBytes:
			info.HistoricalBytes = o.Value
		case tagExtendedLength:
			info.ExtendedLength, err = ParseExtendedLengthInformation(o.Value)
			info.HasExtendedLength = err == nil
		}
		if e, ok := err.(*SyntaxError); ok {
			e.What += " in " + what
			e.Offset += len(b) - len(after) - len(o.Value)
			return info, e
		}
		rest = after
	}
}

// tlvError turns an error of package tlv into one of this package.
func tlvError(what string, err error, offset int) error {
	if e, ok := err.(*tlv.SyntaxError); ok {
		return &SyntaxError{What: what, Offset: offset + e.Offset, Reason: e.Reason}
	}
	return err
}
