package iso7816

import (
	"fmt"
	"strings"
)

// CardServiceData is the card service data byte: how applications are selected,
// and how the files that describe the card are read (ISO/IEC 7816-4:2013,
// 12.1.1).
type CardServiceData byte

// The bits of the card service data byte.
const (
	SelectsByFullDFName    CardServiceData = 0x80 // applications by their full DF name
	SelectsByPartialDFName CardServiceData = 0x40 // and by the first bytes of it
	ObjectsInEFDIR         CardServiceData = 0x20 // BER-TLV data objects in EF.DIR
	ObjectsInEFATR         CardServiceData = 0x10 // BER-TLV data objects in EF.ATR/INFO
	WithoutMF              CardServiceData = 0x01 // the card has no MF
)

// A FileAccess says how EF.DIR and EF.ATR/INFO are read.
type FileAccess byte

// The access services. Other values are reserved.
const (
	AccessByReadRecord FileAccess = 0
	AccessByGetData    FileAccess = 2
	AccessByReadBinary FileAccess = 4
)

// String names the command.
func (a FileAccess) String() string {
	switch a {
	case AccessByReadRecord:
		return "READ RECORD"
	case AccessByGetData:
		return "GET DATA"
	case AccessByReadBinary:
		return "READ BINARY"
	}
	return "a reserved command"
}

// Has reports whether all the given bits are set.
func (c CardServiceData) Has(bits CardServiceData) bool { return c&bits == bits }

// Access returns how EF.DIR and EF.ATR/INFO are read.
func (c CardServiceData) Access() FileAccess { return FileAccess(c >> 1 & 7) }

// String returns what the byte tells, in words.
func (c CardServiceData) String() string {
	s := flags(byte(c), "no selection by DF name", []flag{
		{byte(SelectsByFullDFName), "selection by full DF name"},
		{byte(SelectsByPartialDFName), "by partial DF name"},
		{byte(ObjectsInEFDIR), "objects in EF.DIR"},
		{byte(ObjectsInEFATR), "objects in EF.ATR/INFO"},
	})
	mf := "with MF"
	if c.Has(WithoutMF) {
		mf = "without MF"
	}
	return fmt.Sprintf("%s, read by %v, card %s", s, c.Access(), mf)
}

// CardCapabilities are the software function tables of a card (ISO/IEC
// 7816-4:2013). Tables that are not there are zero.
type CardCapabilities struct {
	Tables     int               // how many there are, 1 to 3
	Selection  SelectionMethods  // first software function table
	DataCoding DataCoding        // second: the data coding byte
	Functions  SoftwareFunctions // third: chaining, length fields, logical channels
}

// ParseCardCapabilities decodes the value of the card capabilities, one to three
// bytes. The error is a [*SyntaxError].
func ParseCardCapabilities(b []byte) (CardCapabilities, error) {
	if len(b) < 1 || len(b) > 3 {
		return CardCapabilities{}, &SyntaxError{What: "card capabilities", Offset: min(len(b), 3), Reason: "not one to three bytes"}
	}
	var t [3]byte
	copy(t[:], b)
	return CardCapabilities{len(b), SelectionMethods(t[0]), DataCoding(t[1]), SoftwareFunctions(t[2])}, nil
}

// AppendTo appends the c.Tables bytes of c to dst. It panics if c.Tables is not
// in 0..3.
func (c CardCapabilities) AppendTo(dst []byte) []byte {
	t := [3]byte{byte(c.Selection), byte(c.DataCoding), byte(c.Functions)}
	return append(dst, t[:c.Tables]...)
}

// String returns what the tables tell, in words.
func (c CardCapabilities) String() string {
	parts := make([]string, 0, 3)
	for i, s := range [...]fmt.Stringer{c.Selection, c.DataCoding, c.Functions} {
		if i < c.Tables {
			parts = append(parts, s.String())
		}
	}
	return strings.Join(parts, ", ")
}

// SelectionMethods is the first software function table: how files and records
// are selected.
type SelectionMethods byte

// The selection methods.
const (
	DFByFullName      SelectionMethods = 0x80
	DFByPartialName   SelectionMethods = 0x40
	DFByPath          SelectionMethods = 0x20
	DFByFileID        SelectionMethods = 0x10
	ImplicitDF        SelectionMethods = 0x08
	ShortEFIdentifier SelectionMethods = 0x04
	RecordNumber      SelectionMethods = 0x02
	RecordIdentifier  SelectionMethods = 0x01
)

// Has reports whether all the given methods are supported.
func (s SelectionMethods) Has(methods SelectionMethods) bool { return s&methods == methods }

// String returns the methods in words.
func (s SelectionMethods) String() string {
	return flags(byte(s), "no selection method", []flag{
		{byte(DFByFullName), "DF by full name"},
		{byte(DFByPartialName), "DF by partial name"},
		{byte(DFByPath), "DF by path"},
		{byte(DFByFileID), "DF by file identifier"},
		{byte(ImplicitDF), "implicit DF selection"},
		{byte(ShortEFIdentifier), "short EF identifier"},
		{byte(RecordNumber), "record number"},
		{byte(RecordIdentifier), "record identifier"},
	})
}

// DataCoding is the second software function table, the data coding byte.
type DataCoding byte

// A WriteBehaviour says what a write function does to bits that are set.
type WriteBehaviour byte

// The behaviours of write functions.
const (
	OneTimeWrite     WriteBehaviour = 0
	ProprietaryWrite WriteBehaviour = 1
	WriteOR          WriteBehaviour = 2
	WriteAND         WriteBehaviour = 3
)

// String returns the behaviour in the words of the standard.
func (w WriteBehaviour) String() string {
	switch w {
	case OneTimeWrite:
		return "one-time write"
	case ProprietaryWrite:
		return "proprietary write"
	case WriteOR:
		return "write OR"
	case WriteAND:
		return "write AND"
	}
	return fmt.Sprintf("WriteBehaviour(%d)", byte(w))
}

// TLVFiles reports whether EFs of TLV structure are supported.
func (d DataCoding) TLVFiles() bool { return d&0x80 != 0 }

// Write returns the behaviour of write functions.
func (d DataCoding) Write() WriteBehaviour { return WriteBehaviour(d >> 5 & 3) }

// TagFF reports whether FF is valid as the first byte of a BER-TLV tag; else it
// is padding.
func (d DataCoding) TagFF() bool { return d&0x10 != 0 }

// DataUnitSize returns the size of a data unit, in which offsets in transparent
// EFs count, in quartets: 2 is one byte. It is a power of 2 up to 32,768.
func (d DataCoding) DataUnitSize() int { return 1 << (d & 0x0F) }

// String returns the byte in words.
func (d DataCoding) String() string {
	s := d.Write().String()
	if d.TLVFiles() {
		s = "EFs of TLV structure, " + s
	}
	if d.TagFF() {
		s += ", tags may begin with FF"
	}
	if d.DataUnitSize() == 2 {
		return s + ", data units of one byte"
	}
	return fmt.Sprintf("%s, data units of %d quartets", s, d.DataUnitSize())
}

// SoftwareFunctions is the third software function table: command chaining,
// length fields and logical channels.
type SoftwareFunctions byte

// The software functions.
const (
	CommandChaining          SoftwareFunctions = 0x80
	ExtendedLengths          SoftwareFunctions = 0x40 // extended Lc and Le fields
	ExtendedLengthInEFATR    SoftwareFunctions = 0x20 // extended length information in EF.ATR/INFO
	ChannelsAssignedByCard   SoftwareFunctions = 0x10 // logical channel numbers are chosen by the card
	ChannelsAssignedByReader SoftwareFunctions = 0x08 // they are chosen by the interface device
)

// Has reports whether all the given functions are supported.
func (f SoftwareFunctions) Has(functions SoftwareFunctions) bool { return f&functions == functions }

// MaxChannels returns the maximum number of logical channels, the basic one
// included: 1 to 7, or 8 for "8 or more". It is 1 when nobody assigns channels.
func (f SoftwareFunctions) MaxChannels() int {
	if f&(ChannelsAssignedByCard|ChannelsAssignedByReader) == 0 {
		return 1
	}
	return int(f&7) + 1
}

// String returns the functions in words.
func (f SoftwareFunctions) String() string {
	s := flags(byte(f), "no chaining, short lengths", []flag{
		{byte(CommandChaining), "command chaining"},
		{byte(ExtendedLengths), "extended Lc and Le"},
		{byte(ExtendedLengthInEFATR), "extended length information in EF.ATR/INFO"},
		{byte(ChannelsAssignedByCard), "logical channels assigned by the card"},
		{byte(ChannelsAssignedByReader), "logical channels assigned by the interface device"},
	})
	switch n := f.MaxChannels(); n {
	case 1:
		return s + ", one logical channel"
	case 8:
		return s + ", 8 or more logical channels"
	default:
		return fmt.Sprintf("%s, %d logical channels", s, n)
	}
}
