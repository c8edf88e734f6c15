package piv

import (
	"context"
	"fmt"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// A CCC is the card capability container (SP 800-73-5 part 1; GSC-IS). On today's cards
// only the identifier says something.
type CCC struct {
	CardIdentifier      []byte // up to 21 bytes
	ContainerVersion    []byte
	GrammarVersion      []byte
	ApplicationsURL     []byte
	PKCS15              []byte
	RegisteredDataModel []byte // 10
	AccessControlRules  []byte
	CardAPDUs           []byte
	RedirectionTag      []byte
	CapabilityTuples    []byte
	StatusTuples        []byte
	NextCCC             []byte
	Other               []byte // elements that are not known here, as they were
}

func (c *CCC) fields() []field {
	return []field{
		{tag: 0xF0, value: &c.CardIdentifier}, {tag: 0xF1, value: &c.ContainerVersion}, {tag: 0xF2, value: &c.GrammarVersion},
		{tag: 0xF3, value: &c.ApplicationsURL}, {tag: 0xF4, value: &c.PKCS15}, {tag: 0xF5, value: &c.RegisteredDataModel},
		{tag: 0xF6, value: &c.AccessControlRules}, {tag: 0xF7, value: &c.CardAPDUs}, {tag: 0xFA, value: &c.RedirectionTag},
		{tag: 0xFB, value: &c.CapabilityTuples}, {tag: 0xFC, value: &c.StatusTuples}, {tag: 0xFD, value: &c.NextCCC},
	}
}

// ParseCCC decodes the data object with its outer tag 53. Slices alias it.
func ParseCCC(object []byte) (*CCC, error) {
	c := &CCC{}
	var err error
	c.Other, err = parseFields("CCC", object, c.fields())
	return c, err
}

// AppendTo appends the data object with its outer tag 53; fields that are nil are
// empty there.
func (c *CCC) AppendTo(dst []byte) []byte { return appendFields(dst, c.fields(), c.Other) }

// A KeyHistory tells of the retired key management keys (SP 800-73-5 part 1).
type KeyHistory struct {
	OnCard  int    // keys whose certificates are on the card, from slot 82 on
	OffCard int    // keys whose certificates are elsewhere, from slot 95 downwards
	URL     []byte // where the certificates of the latter are; nil when there are none
	Other   []byte // elements that are not known here, as they were
}

// ParseKeyHistory decodes the data object with its outer tag 53. Slices alias it.
func ParseKeyHistory(object []byte) (*KeyHistory, error) {
	k := &KeyHistory{}
	var on, off []byte
	var err error
	if k.Other, err = parseFields("key history", object, k.fields(&on, &off)); err != nil {
		return nil, err
	}
	if len(on) != 1 || len(off) != 1 || int(on[0])+int(off[0]) > 20 {
		return nil, fmt.Errorf("piv: key history: it does not tell of up to 20 keys")
	}
	k.OnCard, k.OffCard = int(on[0]), int(off[0])
	return k, nil
}

func (k *KeyHistory) fields(on, off *[]byte) []field {
	return []field{{tag: 0xC1, value: on}, {tag: 0xC2, value: off}, {tag: 0xF3, value: &k.URL, optional: true}}
}

// AppendTo appends the data object with its outer tag 53. It panics when the numbers
// are not of up to 20 keys.
func (k *KeyHistory) AppendTo(dst []byte) []byte {
	if k.OnCard < 0 || k.OffCard < 0 || k.OnCard+k.OffCard > 20 {
		panic(fmt.Sprintf("piv: a key history of %d and %d keys", k.OnCard, k.OffCard))
	}
	on, off := []byte{byte(k.OnCard)}, []byte{byte(k.OffCard)}
	return appendFields(dst, k.fields(&on, &off), k.Other)
}

// A SecurityObject holds the hashes of other data objects, signed (SP 800-73-5 part 1;
// ICAO 9303). Nothing is verified here.
type SecurityObject struct {
	Containers []HashedContainer
	Signed     []byte // CMS SignedData over an LDSSecurityObject
	Other      []byte // elements that are not known here, as they were
}

// A HashedContainer says which data group of the security object stands for which
// container.
type HashedContainer struct {
	DataGroup byte
	Container uint16 // such as DB00, the CCC, and 3000, the CHUID
}

// ParseSecurityObject decodes the data object with its outer tag 53. Slices alias it.
func ParseSecurityObject(object []byte) (*SecurityObject, error) {
	s := &SecurityObject{}
	var mapping []byte
	var err error
	if s.Other, err = parseFields("security object", object, s.fields(&mapping)); err != nil {
		return nil, err
	}
	if len(mapping)%3 != 0 {
		return nil, fmt.Errorf("piv: security object: a mapping of %d bytes, not of three for each data group", len(mapping))
	}
	for ; len(mapping) > 0; mapping = mapping[3:] {
		s.Containers = append(s.Containers, HashedContainer{mapping[0], uint16(mapping[1])<<8 | uint16(mapping[2])})
	}
	return s, nil
}

func (s *SecurityObject) fields(mapping *[]byte) []field {
	return []field{{tag: 0xBA, value: mapping}, {tag: 0xBB, value: &s.Signed}}
}

// AppendTo appends the data object with its outer tag 53.
func (s *SecurityObject) AppendTo(dst []byte) []byte {
	var mapping []byte
	for _, c := range s.Containers {
		mapping = append(mapping, c.DataGroup, byte(c.Container>>8), byte(c.Container))
	}
	return appendFields(dst, s.fields(&mapping), s.Other)
}

// PrintedInformation is what is printed on the card (SP 800-73-5 part 1). Fields that
// are nil are absent.
type PrintedInformation struct {
	Name                []byte
	EmployeeAffiliation []byte
	ExpirationDate      []byte // such as 2032DEC02
	SerialNumber        []byte // agency card serial number
	Issuer              []byte
	Organization1       []byte // organization affiliation, first line
	Organization2       []byte // second line
	Other               []byte // elements that are not known here, as they were
}

func (p *PrintedInformation) fields() []field {
	return []field{
		{tag: 0x01, value: &p.Name, optional: true}, {tag: 0x02, value: &p.EmployeeAffiliation, optional: true},
		{tag: 0x04, value: &p.ExpirationDate, optional: true}, {tag: 0x05, value: &p.SerialNumber, optional: true},
		{tag: 0x06, value: &p.Issuer, optional: true}, {tag: 0x07, value: &p.Organization1, optional: true},
		{tag: 0x08, value: &p.Organization2, optional: true},
	}
}

// ParsePrintedInformation decodes the data object with its outer tag 53. Slices alias
// it.
func ParsePrintedInformation(object []byte) (*PrintedInformation, error) {
	p := &PrintedInformation{}
	var err error
	p.Other, err = parseFields("printed information", object, p.fields())
	return p, err
}

// AppendTo appends the data object with its outer tag 53.
func (p *PrintedInformation) AppendTo(dst []byte) []byte {
	return appendFields(dst, p.fields(), p.Other)
}

// read reads and parses a data object.
func read[T any](ctx context.Context, c *Client, tag tlv.Tag, parse func([]byte) (*T, error)) (*T, error) {
	object, err := c.Object(ctx, tag)
	if err != nil {
		return nil, err
	}
	return parse(object)
}

// CHUID reads the card holder unique identifier. Where a card lacks it, or one of the
// objects below, the error Is [ErrNoObject].
func (c *Client) CHUID(ctx context.Context) (*CHUID, error) {
	return read(ctx, c, ObjectCHUID, ParseCHUID)
}

// CCC reads the card capability container.
func (c *Client) CCC(ctx context.Context) (*CCC, error) { return read(ctx, c, ObjectCCC, ParseCCC) }

// KeyHistory reads the key history object.
func (c *Client) KeyHistory(ctx context.Context) (*KeyHistory, error) {
	return read(ctx, c, ObjectKeyHistory, ParseKeyHistory)
}

// SecurityObject reads the security object.
func (c *Client) SecurityObject(ctx context.Context) (*SecurityObject, error) {
	return read(ctx, c, ObjectSecurity, ParseSecurityObject)
}

// PrintedInformation reads the printed information, which needs [Client.VerifyPIN]
// first.
func (c *Client) PrintedInformation(ctx context.Context) (*PrintedInformation, error) {
	return read(ctx, c, ObjectPrintedInformation, ParsePrintedInformation)
}
