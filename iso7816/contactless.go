package iso7816

import "fmt"

// A Contactless says what kind of contactless card an ATR stands for, as readers
// make it up for cards that have none (PC/SC part 3).
type Contactless byte

// The kinds.
const (
	// NotContactless is every ATR of another form.
	NotContactless Contactless = iota
	// ContactlessCard is a card of ISO/IEC 14443-4, which takes APDUs. Its
	// historical bytes are those of the ATS (type A), or say what [ATR.ATQB]
	// returns (type B). A card with contacts may have an ATR of this form too.
	ContactlessCard
	// ContactlessStorage is a storage card: a memory with commands of its own,
	// for which the reader translates. See [ATR.StorageCard].
	ContactlessStorage
)

// String returns the kind in words.
func (c Contactless) String() string {
	switch c {
	case NotContactless:
		return "not contactless"
	case ContactlessCard:
		return "contactless card, ISO/IEC 14443-4"
	case ContactlessStorage:
		return "contactless storage card"
	}
	return fmt.Sprintf("Contactless(%d)", byte(c))
}

// Contactless returns what kind of contactless card the form of a stands for.
func (a *ATR) Contactless() Contactless {
	if !a.contactlessForm() {
		return NotContactless
	}
	if _, ok := a.StorageCard(); ok {
		return ContactlessStorage
	}
	return ContactlessCard
}

// contactlessForm reports whether TS, T0 and the interface bytes are those of PC/SC part 3:
// 3B 8n 80 01.
func (a *ATR) contactlessForm() bool {
	return a.historical == 4 && a.b[0] == 0x3B && a.b[1]&0xF0 == 0x80 && a.b[2] == 0x80 && a.b[3] == 0x01
}

// An ATQB is what the ATR tells of a card of ISO/IEC 14443-4 type B.
type ATQB struct {
	ApplicationData [4]byte // of ATQB
	ProtocolInfo    [3]byte // of ATQB
	MBLI            byte    // maximum buffer length index of the answer to ATTRIB, 0 to 15
}

// ATQB returns the historical bytes as they are made for a card of type B. The
// ATR does not tell the types apart: ATQB returns false when the historical
// bytes have another form than that of type B, but for some cards of type A it
// returns true.
func (a *ATR) ATQB() (ATQB, bool) {
	h := a.HistoricalBytes()
	if a.Contactless() != ContactlessCard || len(h) != 8 || h[7]&0x0F != 0 {
		return ATQB{}, false
	}
	return ATQB{[4]byte(h), [3]byte(h[4:]), h[7] >> 4}, true
}

// A StorageCard is what the ATR of a contactless storage card tells.
type StorageCard struct {
	Standard StorageStandard
	Name     StorageCardName
}

// storageAID begins the historical bytes of storage cards: category 80 and,
// despite it, a BER-TLV application identifier, of 12 bytes, with the RID of the
// PC/SC workgroup.
var storageAID = [...]byte{0x80, 0x4F, 0x0C, 0xA0, 0x00, 0x00, 0x03, 0x06}

// StorageCard returns what a tells of a contactless storage card, and false when
// it is not the ATR of one.
func (a *ATR) StorageCard() (StorageCard, bool) {
	h := a.HistoricalBytes()
	if !a.contactlessForm() || len(h) != 15 || [len(storageAID)]byte(h) != storageAID {
		return StorageCard{}, false
	}
	return StorageCard{StorageStandard(h[8]), StorageCardName(h[9])<<8 | StorageCardName(h[10])}, true
}

// ATR returns the ATR that readers make up for a storage card.
func (c StorageCard) ATR() ATR {
	var h [15]byte
	copy(h[:], storageAID[:])
	h[8], h[9], h[10] = byte(c.Standard), byte(c.Name>>8), byte(c.Name)
	a, err := NewATR(DirectConvention, []InterfaceBytes{{}, {}, {Protocol: 1}}, h[:])
	if err != nil {
		panic(err) // the form fits whatever the fields are
	}
	return a
}

// String returns the name and the standard.
func (c StorageCard) String() string { return fmt.Sprintf("%v, %v", c.Name, c.Standard) }

// A StorageStandard is the standard that a storage card follows, as far as it
// does (PC/SC part 3, supplement).
type StorageStandard byte

var storageStandards = [...]string{
	0x00: "standard not told",
	0x01: "ISO/IEC 14443 A, part 1",
	0x02: "ISO/IEC 14443 A, part 2",
	0x03: "ISO/IEC 14443 A, part 3",
	0x05: "ISO/IEC 14443 B, part 1",
	0x06: "ISO/IEC 14443 B, part 2",
	0x07: "ISO/IEC 14443 B, part 3",
	0x09: "ISO/IEC 15693, part 1",
	0x0A: "ISO/IEC 15693, part 2",
	0x0B: "ISO/IEC 15693, part 3",
	0x0C: "ISO/IEC 15693, part 4",
	0x0D: "contact card, ISO/IEC 7816-10 I2C",
	0x0E: "contact card, ISO/IEC 7816-10 extended I2C",
	0x0F: "contact card, ISO/IEC 7816-10 2WBP",
	0x10: "contact card, ISO/IEC 7816-10 3WBP",
	0x11: "FeliCa",
}

// String returns the name of the standard.
func (s StorageStandard) String() string {
	if int(s) < len(storageStandards) && storageStandards[s] != "" {
		return storageStandards[s]
	}
	return fmt.Sprintf("standard %02X", byte(s))
}

// A StorageCardName is the product that a storage card is (PC/SC part 3,
// supplement). Readers also use numbers of their makers, from F000 on.
type StorageCardName uint16

// Names that programs ask for.
const (
	MIFAREClassic1K   StorageCardName = 0x0001
	MIFAREClassic4K   StorageCardName = 0x0002
	MIFAREUltralight  StorageCardName = 0x0003 // NTAG cards too
	MIFAREMini        StorageCardName = 0x0026
	MIFAREUltralightC StorageCardName = 0x003A
	FeliCa            StorageCardName = 0x003B
)

var storageCardNames = [...]string{
	0x01: "MIFARE Classic 1K", 0x02: "MIFARE Classic 4K", 0x03: "MIFARE Ultralight", 0x04: "SLE55R_XXXX",
	0x06: "SR176", 0x07: "SRI X4K", 0x08: "AT88RF020", 0x09: "AT88SC0204CRF", 0x0A: "AT88SC0808CRF",
	0x0B: "AT88SC1616CRF", 0x0C: "AT88SC3216CRF", 0x0D: "AT88SC6416CRF", 0x0E: "SRF55V10P", 0x0F: "SRF55V02P",
	0x10: "SRF55V10S", 0x11: "SRF55V02S", 0x12: "TAG IT", 0x13: "LRI512", 0x14: "ICODE SLI", 0x15: "TEMPSENS",
	0x16: "I.CODE1", 0x17: "PicoPass 2K", 0x18: "PicoPass 2KS", 0x19: "PicoPass 16K", 0x1A: "PicoPass 16KS",
	0x1B: "PicoPass 16K(8x2)", 0x1C: "PicoPass 16KS(8x2)", 0x1D: "PicoPass 32KS(16+16)", 0x1E: "PicoPass 32KS(16+8x2)",
	0x1F: "PicoPass 32KS(8x2+16)", 0x20: "PicoPass 32KS(8x2+8x2)", 0x21: "LRI64", 0x22: "I.CODE UID",
	0x23: "I.CODE EPC", 0x24: "LRI12", 0x25: "LRI128", 0x26: "MIFARE Mini", 0x27: "my-d move (SLE 66R01P)",
	0x28: "my-d NFC (SLE 66RxxP)", 0x29: "my-d proximity 2 (SLE 66RxxS)", 0x2A: "my-d proximity enhanced (SLE 55RxxE)",
	0x2B: "my-d light (SRF 55V01P)", 0x2C: "PJM Stack Tag (SRF 66V10ST)", 0x2D: "PJM Item Tag (SRF 66V10IT)",
	0x2E: "PJM Light (SRF 66V01ST)", 0x2F: "Jewel Tag", 0x30: "Topaz NFC Tag", 0x31: "AT88SC0104CRF",
	0x32: "AT88SC0404CRF", 0x33: "AT88RF01C", 0x34: "AT88RF04C", 0x35: "i-Code SL2", 0x36: "MIFARE Plus SL1 2K",
	0x37: "MIFARE Plus SL1 4K", 0x38: "MIFARE Plus SL2 2K", 0x39: "MIFARE Plus SL2 4K", 0x3A: "MIFARE Ultralight C",
	0x3B: "FeliCa", 0x3C: "Melexis Sensor Tag (MLX90129)", 0x3D: "MIFARE Ultralight EV1",
}

// String returns the name, such as "MIFARE Classic 1K".
func (n StorageCardName) String() string {
	switch {
	case int(n) < len(storageCardNames) && storageCardNames[n] != "":
		return storageCardNames[n]
	case n == 0:
		return "name not told"
	case n >= 0xF000:
		return fmt.Sprintf("reader's own name %04X", uint16(n))
	}
	return fmt.Sprintf("storage card %04X", uint16(n))
}
