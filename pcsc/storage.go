package pcsc

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
)

// A CardStandard is the standard that a storage card follows (PC/SC part 3, byte SS).
type CardStandard byte

// The standards that PC/SC part 3 numbers.
const (
	StandardUnknown         CardStandard = 0x00
	StandardISO14443A1      CardStandard = 0x01 // ISO/IEC 14443 type A, part 1
	StandardISO14443A2      CardStandard = 0x02
	StandardISO14443A3      CardStandard = 0x03 // MIFARE Classic and Ultralight among others
	StandardISO14443B1      CardStandard = 0x05 // ISO/IEC 14443 type B, part 1
	StandardISO14443B2      CardStandard = 0x06
	StandardISO14443B3      CardStandard = 0x07
	StandardISO15693_1      CardStandard = 0x09 // ISO/IEC 15693, part 1
	StandardISO15693_2      CardStandard = 0x0A
	StandardISO15693_3      CardStandard = 0x0B
	StandardISO15693_4      CardStandard = 0x0C
	StandardContactI2C      CardStandard = 0x0D // with contacts, as the three after it
	StandardContactExtended CardStandard = 0x0E
	StandardContact2WBP     CardStandard = 0x0F
	StandardContact3WBP     CardStandard = 0x10
	StandardFeliCa          CardStandard = 0x11
	StandardLowFrequency    CardStandard = 0x40
)

// Contactless reports whether cards of the standard have no contacts.
func (s CardStandard) Contactless() bool {
	return s != StandardUnknown && (s < StandardContactI2C || s > StandardContact3WBP)
}

// A StorageATR is what the answer to reset says that a reader makes up for a storage card:
// one with memory but without a processor that knows APDUs.
type StorageATR struct {
	Standard CardStandard
	Name     uint16 // of the card in the list of PC/SC part 3: 0001 MIFARE Standard 1K, 0002 4K, 0003 Ultralight, …
}

// ParseStorageATR decodes the answer to reset of a storage card (PC/SC part 3). It
// reports false for any other.
func ParseStorageATR(atr []byte) (StorageATR, bool) {
	historical, ok := contactlessATR(atr)
	// Category 80, application identifier of tag 4F: the RID of the PC/SC workgroup,
	// SS, two bytes for the name, four for later use.
	prefix := []byte{0x80, 0x4F, 0x0C, 0xA0, 0x00, 0x00, 0x03, 0x06}
	if !ok || len(historical) < len(prefix)+3 || !bytes.HasPrefix(historical, prefix) {
		return StorageATR{}, false
	}
	b := historical[len(prefix):]
	return StorageATR{Standard: CardStandard(b[0]), Name: uint16(b[1])<<8 | uint16(b[2])}, true
}

// contactlessATR returns the historical bytes of an answer to reset in the form that
// PC/SC part 3 has readers make up for contactless cards: 3B 8n 80 01, n bytes, TCK.
func contactlessATR(atr []byte) ([]byte, bool) {
	if len(atr) < 5 || atr[0] != 0x3B || atr[1]&0xF0 != 0x80 || atr[2] != 0x80 || atr[3] != 0x01 || len(atr) != 5+int(atr[1]&0x0F) {
		return nil, false
	}
	var check byte
	for _, b := range atr[1:] {
		check ^= b
	}
	n := len(atr) - 1
	return atr[4:n:n], check == 0
}

// ContactlessATR reports whether an answer to reset is one that PC/SC part 3 has readers
// make up for contactless cards. A card with contacts may give the same by itself, if
// its only protocols are T=0 and T=1 with the values that hold by default; a storage
// card with contacts is told apart.
func ContactlessATR(atr []byte) bool {
	if s, ok := ParseStorageATR(atr); ok {
		return s.Standard.Contactless()
	}
	_, ok := contactlessATR(atr)
	return ok
}

// Contactless reports whether the card in r seems to have no contacts, by its answer to
// reset: see [ContactlessATR]. [Conn.Contactless] asks the reader too.
func (r Reader) Contactless() bool { return ContactlessATR(r.ATR) }

// Contactless reports whether the card is contactless: when the reader says so in
// SCARD_ATTR_CHARACTERISTICS, else by the answer to reset, see [ContactlessATR]. The
// name of the reader says nothing.
func (c *Conn) Contactless(ctx context.Context) (bool, error) {
	const contactless = 8
	n, err := c.AttributeNumber(ctx, SCARD_ATTR_CHARACTERISTICS)
	if err == nil && n&contactless != 0 {
		return true, nil
	}
	if e, ok := err.(*Error); ok && e.Kind != nil {
		return false, err // the connection is no good
	}
	return ContactlessATR(c.ATR()), nil
}

// A StatusError reports a command of PC/SC part 3 that did not succeed. It wraps Status.
type StatusError struct {
	Op     string // the command, such as "LOAD KEYS"
	Status apdu.Status
}

// Error returns the command and what came of it.
func (e *StatusError) Error() string {
	return fmt.Sprintf("pcsc: %s: %v", e.Op, e.Status)
}

// Unwrap returns the status word.
func (e *StatusError) Unwrap() error { return e.Status }

// pseudo is the class of commands that the reader answers itself (PC/SC part 3).
const pseudo apdu.Class = 0xFF

// sendPseudo sends a command of PC/SC part 3, once more with the right Ne after 6CXX.
// The data is the caller's. What was sent is wiped.
func sendPseudo(ctx context.Context, t apdu.Transmitter, op string, c apdu.Command) ([]byte, error) {
	for again := false; ; {
		command, err := c.AppendBinary(nil)
		if err != nil {
			return nil, fmt.Errorf("pcsc: %s: %w", op, err)
		}
		out, err := t.Transmit(ctx, nil, command)
		clear(command)
		if err != nil {
			return nil, err
		}
		r, err := apdu.ParseResponse(out)
		switch {
		case err != nil:
			return nil, fmt.Errorf("pcsc: %s: %w", op, err)
		case r.Status.OK():
			return r.Data, nil
		}
		if ne := r.Status.ExactNe(); ne > 0 && c.Ne > 0 && ne != c.Ne && !again {
			c.Ne, again = ne, true
			continue
		}
		return r.Data, &StatusError{Op: op, Status: r.Status}
	}
}

// UID asks for the identifier of a contactless card, by GET DATA of PC/SC part 3: UID
// of type A, PUPI of type B, IDm of FeliCa, mostly 4, 7, 8 or 10 bytes. It is no secret
// and no proof: anybody can imitate it, and many cards make up a new one each time.
//
// The reader answers, not the card. A reader with contacts may pass the command on to
// its card, which refuses it. The error is a [*StatusError] or that of t.
func UID(ctx context.Context, t apdu.Transmitter) ([]byte, error) {
	return sendPseudo(ctx, t, "GET DATA", apdu.Command{Class: pseudo, Instruction: apdu.InsGetData, Ne: apdu.MaxShortNe})
}

// ContactlessHistoricalBytes asks for the historical bytes in the ATS of a card of ISO/IEC
// 14443 type A; readers give for type B what belongs to its ATTRIB. It is [UID] in all
// else.
func ContactlessHistoricalBytes(ctx context.Context, t apdu.Transmitter) ([]byte, error) {
	return sendPseudo(ctx, t, "GET DATA", apdu.Command{Class: pseudo, Instruction: apdu.InsGetData, P1: 1, Ne: apdu.MaxShortNe})
}

// A StorageCard sends the commands that PC/SC part 3 has for storage cards. Addresses
// are the card's: the number of a block of 16 bytes for MIFARE Classic, of a page of 4
// for Ultralight. It is used by one goroutine at a time, as its Transmitter is. Errors
// are [*StatusError] or those of the Transmitter.
type StorageCard struct {
	t apdu.Transmitter
}

// NewStorageCard returns a StorageCard that sends through t, such as a [*Conn].
func NewStorageCard(t apdu.Transmitter) *StorageCard { return &StorageCard{t} }

// A KeyStructure says where the reader keeps a key, P1 of LOAD KEYS.
type KeyStructure byte

// The places for a key that is sent as it is.
const (
	KeyVolatile    KeyStructure = 0x00 // until the reader loses power
	KeyNonVolatile KeyStructure = 0x20 // for good
)

// LoadKey gives the reader a key under a number, for [StorageCard.Authenticate]. The key
// is the caller's, and the copy that is sent is wiped. The service and the driver see
// it, and a driver that logs may write it down.
func (s *StorageCard) LoadKey(ctx context.Context, where KeyStructure, number byte, key []byte) error {
	_, err := sendPseudo(ctx, s.t, "LOAD KEYS", apdu.Command{Class: pseudo, Instruction: 0x82, P1: byte(where), P2: number, Data: key})
	return err
}

// A KeyType tells the two keys of a sector of MIFARE Classic apart.
type KeyType byte

// The types of keys.
const (
	KeyA KeyType = 0x60
	KeyB KeyType = 0x61
)

// Authenticate proves a key of the reader to the card, for the sector of an address
// (GENERAL AUTHENTICATE).
func (s *StorageCard) Authenticate(ctx context.Context, address uint16, key KeyType, number byte) error {
	const version = 1
	data := []byte{version, byte(address >> 8), byte(address), byte(key), number}
	_, err := sendPseudo(ctx, s.t, "GENERAL AUTHENTICATE", apdu.Command{Class: pseudo, Instruction: 0x86, Data: data})
	return err
}

// ReadBinary reads n bytes from an address, 1 to 256. Data that comes with a warning,
// such as 6282, is returned together with the error.
func (s *StorageCard) ReadBinary(ctx context.Context, address uint16, n int) ([]byte, error) {
	if n < 1 || n > apdu.MaxShortNe {
		return nil, &apdu.LengthError{Field: "Ne", Value: n, Max: apdu.MaxShortNe}
	}
	return sendPseudo(ctx, s.t, "READ BINARY", apdu.Command{Class: pseudo, Instruction: apdu.InsReadBinary, P1: byte(address >> 8), P2: byte(address), Ne: n})
}

// UpdateBinary writes 1 to 255 bytes to an address.
func (s *StorageCard) UpdateBinary(ctx context.Context, address uint16, data []byte) error {
	if len(data) < 1 || len(data) > apdu.MaxShortNc {
		return &apdu.LengthError{Field: "Nc", Value: len(data), Max: apdu.MaxShortNc}
	}
	_, err := sendPseudo(ctx, s.t, "UPDATE BINARY", apdu.Command{Class: pseudo, Instruction: apdu.InsUpdateBinary, P1: byte(address >> 8), P2: byte(address), Data: data})
	return err
}
