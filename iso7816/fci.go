package iso7816

import (
	"fmt"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// An FCI is what a card tells of a file: file control information, which is file
// control parameters (FCP), file management data (FMD) or both (ISO/IEC
// 7816-4:2013). A field that the card does not tell is zero, or -1 where zero
// is a value. Slices alias Raw.
type FCI struct {
	Raw []byte // what the card answered, whole

	Size        int            // bytes of data in the file without structural information, tag 80; -1
	TotalSize   int            // bytes of data in the file with it, tag 81; -1
	Descriptor  FileDescriptor // tag 82
	FileID      uint16         // tag 83
	HasFileID   bool
	DFName      []byte    // tag 84, such as an AID
	Proprietary []byte    // tag 85 or A5, the value: what the application defines
	ShortEFID   int       // tag 88, 1 to 30; 0 when the EF has none; -1 when the card does not tell
	LifeCycle   LifeCycle // tag 8A
}

// A FileDescriptor describes a file (ISO/IEC 7816-4:2013). The zero value
// tells nothing.
type FileDescriptor struct {
	Byte            byte // file descriptor byte
	DataCoding      byte // data coding byte
	MaxRecordLength int  // longest record, in bytes; 0 when not told
	Records         int  // number of records; 0 when not told
	known           bool
}

// Known reports whether the card told the descriptor.
func (d FileDescriptor) Known() bool { return d.known }

// Shareable reports whether several logical channels may use the file.
func (d FileDescriptor) Shareable() bool { return d.Byte&0x40 != 0 }

// DF reports whether the file is a dedicated file.
func (d FileDescriptor) DF() bool { return d.Byte&0xBF == 0x38 }

// Structure returns the structure of an EF.
func (d FileDescriptor) Structure() Structure {
	if d.DF() || d.Byte&0x80 != 0 {
		return 0
	}
	return Structure(d.Byte & 0x07)
}

// A Structure is the structure of an elementary file, bits 3 to 1 of the file
// descriptor byte.
type Structure byte

// The structures. 0 is no information.
const (
	Transparent       Structure = 1 // bytes, read by READ BINARY
	LinearFixed       Structure = 2 // records of one length
	LinearFixedTLV    Structure = 3
	LinearVariable    Structure = 4 // records of several lengths
	LinearVariableTLV Structure = 5
	Cyclic            Structure = 6
	CyclicTLV         Structure = 7
)

// String returns the name of the structure in lower case.
func (s Structure) String() string {
	if s > 7 {
		return fmt.Sprintf("Structure(%d)", byte(s))
	}
	return [...]string{"no structure told", "transparent", "linear fixed", "linear fixed, TLV records", "linear variable", "linear variable, TLV records", "cyclic", "cyclic, TLV records"}[s]
}

// A LifeCycle is the life cycle status byte (ISO/IEC 7816-4:2013).
type LifeCycle byte

// String returns the name of the state in lower case.
func (l LifeCycle) String() string {
	switch {
	case l == 0:
		return "no state told"
	case l == 1:
		return "creation"
	case l == 3:
		return "initialization"
	case l&0xFD == 5:
		return "operational, activated"
	case l&0xFD == 4:
		return "operational, deactivated"
	case l&0xFC == 12:
		return "termination"
	}
	return fmt.Sprintf("proprietary state %02X", byte(l))
}

// Tags of file control information.
const (
	tagFCP = tlv.Tag(0x62)
	tagFMD = tlv.Tag(0x64)
	tagFCI = tlv.Tag(0x6F)
)

// ParseFCI reads what a card answers to SELECT. It never fails: what it does not
// understand, it leaves to [FCI.Raw], as the forms that cards use are many.
func ParseFCI(b []byte) FCI {
	f := FCI{Raw: b, Size: -1, TotalSize: -1, ShortEFID: -1}
	for o, err := range tlv.All(b) {
		if err != nil {
			break
		}
		switch o.Tag {
		case tagFCI, tagFCP, tagFMD:
			f.parse(o.Value, o.Tag == tagFCI)
		}
	}
	return f
}

// parse reads the objects of a template. An FCI may hold the other templates.
func (f *FCI) parse(b []byte, nested bool) {
	for o, err := range tlv.All(b) {
		if err != nil {
			return
		}
		switch v := o.Value; {
		case nested && (o.Tag == tagFCP || o.Tag == tagFMD):
			f.parse(v, false)
		case o.Tag == 0x80:
			f.Size = number(v)
		case o.Tag == 0x81:
			f.TotalSize = number(v)
		case o.Tag == 0x82 && len(v) > 0:
			f.Descriptor = parseDescriptor(v)
		case o.Tag == 0x83 && len(v) == 2:
			f.FileID, f.HasFileID = uint16(v[0])<<8|uint16(v[1]), true
		case o.Tag == 0x84:
			f.DFName = v
		case o.Tag == 0x85, o.Tag == 0xA5:
			f.Proprietary = v
		case o.Tag == 0x88 && len(v) == 0:
			f.ShortEFID = 0
		case o.Tag == 0x88 && len(v) == 1:
			f.ShortEFID = int(v[0] >> 3)
		case o.Tag == 0x8A && len(v) == 1:
			f.LifeCycle = LifeCycle(v[0])
		}
	}
}

// number returns a big-endian number of at most 4 bytes, or -1.
func number(b []byte) int {
	if len(b) == 0 || len(b) > 4 || len(b) == 4 && b[0] >= 0x80 {
		return -1
	}
	n := 0
	for _, v := range b {
		n = n<<8 | int(v)
	}
	return n
}

func parseDescriptor(v []byte) FileDescriptor {
	d := FileDescriptor{Byte: v[0], known: true}
	if len(v) > 1 {
		d.DataCoding = v[1]
	}
	switch len(v) {
	case 3:
		d.MaxRecordLength = int(v[2])
	case 4, 5, 6:
		d.MaxRecordLength = int(v[2])<<8 | int(v[3])
		if len(v) > 4 {
			d.Records = max(number(v[4:]), 0)
		}
	}
	return d
}
