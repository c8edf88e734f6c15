package iso7816

import (
	"fmt"
	"strings"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// A Category is the category indicator byte, the first of the historical bytes.
// It says how the others are coded (ISO/IEC 7816-4:2013, 12.1.1).
type Category byte

// The categories. 81 to 8F are reserved; all other values are proprietary.
const (
	CategoryStatus           Category = 0x00 // COMPACT-TLV, and a status indicator in the last three bytes
	CategoryDIRDataReference Category = 0x10 // a DIR data reference follows
	CategoryCompactTLV       Category = 0x80 // COMPACT-TLV, a status indicator among the objects
)

// String returns the category and its meaning, such as "80 COMPACT-TLV".
func (c Category) String() string {
	meaning := "proprietary"
	switch {
	case c == CategoryStatus:
		meaning = "COMPACT-TLV and status indicator"
	case c == CategoryDIRDataReference:
		meaning = "DIR data reference"
	case c == CategoryCompactTLV:
		meaning = "COMPACT-TLV"
	case c > 0x80 && c <= 0x8F:
		meaning = "reserved"
	}
	return fmt.Sprintf("%02X %s", byte(c), meaning)
}

// The tags of the data objects in historical bytes. The same objects have 40
// plus the tag in BER-TLV.
const (
	tagCountryCode       = 0x1
	tagIssuerID          = 0x2
	tagCardServiceData   = 0x3
	tagInitialAccessData = 0x4
	tagCardIssuerData    = 0x5
	tagPreIssuingData    = 0x6
	tagCardCapabilities  = 0x7
	tagStatusIndicator   = 0x8
	tagAID               = 0xF
)

var historicalNames = [16]string{
	tagCountryCode:       "country code",
	tagIssuerID:          "issuer identification number",
	tagCardServiceData:   "card service data",
	tagInitialAccessData: "initial access data",
	tagCardIssuerData:    "card issuer's data",
	tagPreIssuingData:    "pre-issuing data",
	tagCardCapabilities:  "card capabilities",
	tagStatusIndicator:   "status indicator",
	tagAID:               "application identifier",
}

// HistoricalBytes are what a card tells of itself in the historical bytes of its
// ATR or ATS. All slices alias what was parsed.
type HistoricalBytes struct {
	Bytes    []byte // all of them; empty when there are none, and then Category means nothing
	Category Category
	// Objects has the COMPACT-TLV data objects, for [tlv.AllCompact] to walk. It
	// is empty in categories that have none.
	Objects []byte
	// DIRDataReference is the second byte in category 10; its coding is not
	// interindustry. Some cards have more bytes after it.
	DIRDataReference byte
}

// ParseHistoricalBytes decodes historical bytes, which may be none and are at
// most 15 in an ATR.
//
// Many cards have bytes here that are not what their category says. Then the
// error is a [*SyntaxError], and the result holds what is sound: of the objects,
// all before the malformed one. Reserved and proprietary categories are no
// error.
func ParseHistoricalBytes(b []byte) (HistoricalBytes, error) {
	if len(b) == 0 {
		return HistoricalBytes{}, nil
	}
	h := HistoricalBytes{Bytes: b, Category: Category(b[0])}
	objects := b[1:]
	switch h.Category {
	default:
		return h, nil
	case CategoryDIRDataReference:
		if len(b) < 2 {
			return h, historicalError(len(b), "category 10 without a DIR data reference")
		}
		h.DIRDataReference = b[1]
		return h, nil
	case CategoryStatus:
		if len(b) < 4 {
			return h, historicalError(len(b), "category 00 without the three bytes of a status indicator")
		}
		objects = objects[:len(objects)-3]
	case CategoryCompactTLV:
	}
	for rest := objects; len(rest) > 0; {
		_, after, err := tlv.NextCompact(rest)
		if err != nil {
			sound := len(objects) - len(rest)
			h.Objects = objects[:sound:sound]
			return h, historicalError(1+sound, "COMPACT-TLV data object longer than the historical bytes")
		}
		rest = after
	}
	h.Objects = objects[:len(objects):len(objects)]
	return h, nil
}

func historicalError(offset int, reason string) error {
	return &SyntaxError{What: "historical bytes", Offset: offset, Reason: reason}
}

// Object returns the value of the first COMPACT-TLV data object with the given
// tag, 0 to 15. The result aliases h.
func (h *HistoricalBytes) Object(tag byte) (value []byte, ok bool) {
	for rest := h.Objects; len(rest) > 0; {
		o, after, err := tlv.NextCompact(rest)
		if err != nil {
			break // ParseHistoricalBytes keeps sound objects only
		}
		if o.Tag == tag {
			return o.Value, true
		}
		rest = after
	}
	return nil, false
}

// CountryCode returns the country code of ISO 3166-1, three digits in BCD, and
// optional national data, as they are coded.
func (h *HistoricalBytes) CountryCode() (value []byte, ok bool) { return h.Object(tagCountryCode) }

// IssuerIdentificationNumber returns the issuer identification number of
// ISO/IEC 7812-1 and optional issuer data, as they are coded.
func (h *HistoricalBytes) IssuerIdentificationNumber() (value []byte, ok bool) {
	return h.Object(tagIssuerID)
}

// CardServiceData returns the card service data byte, if there is one.
func (h *HistoricalBytes) CardServiceData() (CardServiceData, bool) {
	if v, ok := h.Object(tagCardServiceData); ok && len(v) == 1 {
		return CardServiceData(v[0]), true
	}
	return 0, false
}

// InitialAccessData returns the bytes that tell how to get the initial data
// string of the card.
func (h *HistoricalBytes) InitialAccessData() (value []byte, ok bool) {
	return h.Object(tagInitialAccessData)
}

// CardIssuerData returns the card issuer's data, whose coding is the issuer's.
func (h *HistoricalBytes) CardIssuerData() (value []byte, ok bool) {
	return h.Object(tagCardIssuerData)
}

// PreIssuingData returns the pre-issuing data, such as the manufacturer, the
// integrated circuit and the operating system, whose coding is the
// manufacturer's.
func (h *HistoricalBytes) PreIssuingData() (value []byte, ok bool) {
	return h.Object(tagPreIssuingData)
}

// CardCapabilities returns the card capabilities, if there are any.
func (h *HistoricalBytes) CardCapabilities() (CardCapabilities, bool) {
	v, ok := h.Object(tagCardCapabilities)
	if !ok {
		return CardCapabilities{}, false
	}
	c, err := ParseCardCapabilities(v)
	return c, err == nil
}

// AID returns the application identifier of an application that is selected
// already, if it has 5 bytes or more.
func (h *HistoricalBytes) AID() (AID, bool) {
	v, ok := h.Object(tagAID)
	if !ok {
		return AID{}, false
	}
	aid, err := AIDFromBytes(v)
	return aid, err == nil
}

// Status returns the status indicator: the last three bytes in category 00, the
// last object in category 80 if its tag is 8.
func (h *HistoricalBytes) Status() (StatusIndicator, bool) {
	switch h.Category {
	case CategoryStatus:
		if n := len(h.Bytes); n >= 4 {
			return parseStatusIndicator(h.Bytes[n-3:])
		}
	case CategoryCompactTLV:
		var last tlv.CompactObject
		for rest := h.Objects; len(rest) > 0; {
			o, after, err := tlv.NextCompact(rest)
			if err != nil {
				break
			}
			last, rest = o, after
		}
		if last.Tag == tagStatusIndicator && 1+len(h.Objects) == len(h.Bytes) {
			return parseStatusIndicator(last.Value)
		}
	}
	return StatusIndicator{}, false
}

// String returns what the bytes tell, in words and on one line.
func (h HistoricalBytes) String() string {
	if len(h.Bytes) == 0 {
		return "none"
	}
	parts := []string{h.Category.String()}
	switch h.Category {
	case CategoryDIRDataReference:
		parts[0] += fmt.Sprintf(" %02X", h.DIRDataReference)
	case CategoryStatus, CategoryCompactTLV:
		for o, err := range tlv.AllCompact(h.Objects) {
			if err != nil {
				break // ParseHistoricalBytes keeps sound objects only
			}
			parts = append(parts, describe(o))
		}
		if s, ok := h.Status(); ok && h.Category == CategoryStatus {
			parts = append(parts, "status indicator: "+s.String())
		}
	default:
		parts[0] += fmt.Sprintf(" %X", h.Bytes[1:])
	}
	return strings.Join(parts, "; ")
}

func describe(o tlv.CompactObject) string {
	name := historicalNames[o.Tag]
	if name == "" {
		name = fmt.Sprintf("object %X", o.Tag)
	}
	value := fmt.Sprintf("%X", o.Value)
	switch o.Tag {
	case tagCardServiceData:
		if len(o.Value) == 1 {
			value = CardServiceData(o.Value[0]).String()
		}
	case tagCardCapabilities:
		if c, err := ParseCardCapabilities(o.Value); err == nil {
			value = c.String()
		}
	case tagStatusIndicator:
		if s, ok := parseStatusIndicator(o.Value); ok {
			value = s.String()
		}
	}
	if value == "" {
		value = "empty"
	}
	return name + ": " + value
}

// A StatusIndicator is the life cycle status and the processing status of a
// card, as of the end of its reset.
type StatusIndicator struct {
	LifeCycle    LifeCycle   // 0 when it is not told
	Status       apdu.Status // SW1-SW2
	HasLifeCycle bool
	HasStatus    bool
}

func parseStatusIndicator(b []byte) (s StatusIndicator, ok bool) {
	if len(b) == 1 || len(b) == 3 {
		s.LifeCycle, s.HasLifeCycle = LifeCycle(b[0]), true
		b = b[1:]
		ok = true
	}
	if len(b) == 2 {
		s.Status, s.HasStatus = apdu.Status(b[0])<<8|apdu.Status(b[1]), true
		ok = true
	}
	return s, ok
}

// String returns the indicator in words.
func (s StatusIndicator) String() string {
	var parts []string
	if s.HasLifeCycle {
		parts = append(parts, s.LifeCycle.String())
	}
	if s.HasStatus {
		parts = append(parts, s.Status.String())
	}
	return strings.Join(parts, ", ")
}
