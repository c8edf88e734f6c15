package piv

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A CHUID is the card holder unique identifier (SP 800-73-5 part 1). Fields that are nil
// are absent.
type CHUID struct {
	FASCN                    FASCN    // federal agency smart credential number
	OrganizationalIdentifier []byte   // 4 bytes
	DUNS                     []byte   // 9 bytes
	GUID                     [16]byte // card identification number: a UUID
	ExpirationDate           string   // YYYYMMDD
	CardholderUUID           []byte   // 16 bytes
	Signature                []byte   // CMS over the rest; empty on cards that nobody signed
	Other                    []byte   // elements that are not known here, as they were
}

// fields returns the elements; fascn, guid and date stand for those of other types.
func (c *CHUID) fields(fascn, guid, date *[]byte) []field {
	return []field{
		{tag: 0x30, value: fascn},
		{tag: 0x32, value: &c.OrganizationalIdentifier, optional: true},
		{tag: 0x33, value: &c.DUNS, optional: true},
		{tag: tagGUID, value: guid},
		{tag: 0x35, value: date},
		{tag: 0x36, value: &c.CardholderUUID, optional: true},
		{tag: 0x3E, value: &c.Signature},
	}
}

// ParseCHUID decodes the data object with its outer tag 53. Slices alias it. What a card
// leaves out is zero; the FASC-N and the GUID have 25 and 16 bytes where they are there,
// and one of them is.
func ParseCHUID(object []byte) (*CHUID, error) {
	c := &CHUID{}
	var fascn, guid, date []byte
	var err error
	if c.Other, err = parseFields("CHUID", object, c.fields(&fascn, &guid, &date)); err != nil {
		return nil, err
	}
	if !either(len(fascn), 0, len(c.FASCN)) || !either(len(guid), 0, len(c.GUID)) || len(fascn)+len(guid) == 0 {
		return nil, fmt.Errorf("piv: CHUID: a FASC-N of %d bytes and a GUID of %d, not %d and %d", len(fascn), len(guid), len(c.FASCN), len(c.GUID))
	}
	copy(c.FASCN[:], fascn)
	copy(c.GUID[:], guid)
	c.ExpirationDate = string(date)
	return c, nil
}

func either(n, a, b int) bool { return n == a || n == b }

// AppendTo appends the data object with its outer tag 53.
func (c *CHUID) AppendTo(dst []byte) []byte {
	fascn, guid, date := c.FASCN[:], c.GUID[:], []byte(c.ExpirationDate)
	return appendFields(dst, c.fields(&fascn, &guid, &date), c.Other)
}

// Expires returns the day after which the card is not valid, in UTC.
func (c *CHUID) Expires() (time.Time, error) {
	t, err := time.Parse("20060102", c.ExpirationDate)
	if err != nil {
		return time.Time{}, errors.New("piv: CHUID: the expiration date is not YYYYMMDD")
	}
	return t, nil
}

// A FASCN is a federal agency smart credential number as it stands on the card: 40
// characters of five bits, four of BCD and one of odd parity (SP 800-73-5; TIG SCEPACS).
type FASCN [25]byte

// FASCNFields are the numbers in a [FASCN], as decimal digits.
type FASCNFields struct {
	Agency               string // 4 digits
	System               string // 4
	Credential           string // 6
	CredentialSeries     string // 1
	IndividualCredential string // 1
	Person               string // 10
	OrganizationCategory string // 1
	OrganizationID       string // 4
	PersonOrgAssociation string // 1
}

// Characters of a FASC-N that are no digits.
const (
	fascnStart     = 0xB
	fascnSeparator = 0xD
	fascnEnd       = 0xF
)

// parts returns the fields with their lengths, and whether a separator follows.
func (f *FASCNFields) parts() []fascnPart {
	return []fascnPart{
		{&f.Agency, 4, true}, {&f.System, 4, true}, {&f.Credential, 6, true}, {&f.CredentialSeries, 1, true}, {&f.IndividualCredential, 1, true},
		{&f.Person, 10, false}, {&f.OrganizationCategory, 1, false}, {&f.OrganizationID, 4, false}, {&f.PersonOrgAssociation, 1, false},
	}
}

type fascnPart struct {
	digits    *string
	n         int
	separator bool
}

// Fields decodes f. It refuses wrong parity, a wrong check character and anything that
// is not a digit where one belongs.
func (f FASCN) Fields() (FASCNFields, error) {
	var chars [40]byte
	var check byte
	for i := range chars {
		var c, ones byte
		for bit := range 5 {
			n := i*5 + bit
			b := f[n/8] >> (7 - n%8) & 1
			ones ^= b
			c |= b << bit
		}
		if ones != 1 {
			return FASCNFields{}, fmt.Errorf("piv: FASC-N: character %d has the wrong parity", i+1)
		}
		chars[i] = c & 0xF
		if i < 39 {
			check ^= chars[i]
		}
	}
	fail := func(i int) (FASCNFields, error) {
		return FASCNFields{}, fmt.Errorf("piv: FASC-N: character %d is not what belongs there", i+1)
	}
	if chars[0] != fascnStart {
		return fail(0)
	}
	var r FASCNFields
	i := 1
	for _, p := range r.parts() {
		var digits strings.Builder
		for range p.n {
			if chars[i] > 9 {
				return fail(i)
			}
			digits.WriteByte('0' + chars[i])
			i++
		}
		*p.digits = digits.String()
		if p.separator {
			if chars[i] != fascnSeparator {
				return fail(i)
			}
			i++
		}
	}
	if chars[i] != fascnEnd {
		return fail(i)
	}
	if chars[i+1] != check {
		return FASCNFields{}, errors.New("piv: FASC-N: the check character is wrong")
	}
	return r, nil
}

// NewFASCN encodes the numbers. The error names one that is not of its length in
// decimal digits.
func NewFASCN(fields FASCNFields) (FASCN, error) {
	chars := []byte{fascnStart}
	for _, p := range fields.parts() {
		if len(*p.digits) != p.n || strings.Trim(*p.digits, "0123456789") != "" {
			return FASCN{}, fmt.Errorf("piv: FASC-N: %q is not of %d digits", *p.digits, p.n)
		}
		for _, d := range []byte(*p.digits) {
			chars = append(chars, d-'0')
		}
		if p.separator {
			chars = append(chars, fascnSeparator)
		}
	}
	chars = append(chars, fascnEnd)
	var check byte
	for _, c := range chars {
		check ^= c
	}
	chars = append(chars, check)
	var f FASCN
	for i, c := range chars {
		parity := byte(1)
		for bit := range 5 {
			b := c >> bit & 1
			if bit == 4 {
				b = parity
			}
			parity ^= b
			n := i*5 + bit
			f[n/8] |= b << (7 - n%8)
		}
	}
	return f, nil
}

// String returns the numbers with dashes between, or the bytes in hexadecimal when they
// make no FASC-N.
func (f FASCN) String() string {
	r, err := f.Fields()
	if err != nil {
		return fmt.Sprintf("%X", f[:])
	}
	var s []string
	for _, p := range r.parts() {
		s = append(s, *p.digits)
	}
	return strings.Join(s, "-")
}
