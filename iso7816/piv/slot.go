package piv

import (
	"fmt"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// A Slot is a key reference, P2 of GENERAL AUTHENTICATE (SP 800-73-5 part 1).
type Slot byte

// The slots that have names. Those from [SlotRetired1] to [SlotRetired20] hold
// key management keys of the past.
const (
	SlotAuthentication     Slot = 0x9A // PIV Authentication: logging in; PIN once
	SlotSignature          Slot = 0x9C // Digital Signature: signing documents; PIN for each signature
	SlotKeyManagement      Slot = 0x9D // Key Management: decryption and key agreement; PIN once
	SlotCardAuthentication Slot = 0x9E // Card Authentication: doors; no PIN
	SlotRetired1           Slot = 0x82
	SlotRetired20          Slot = 0x95
	SlotAttestation        Slot = 0xF9 // YubiKey: the key that attests where others were made
)

// Key references that are not slots.
const (
	referenceGlobalPIN  = 0x00
	referencePIN        = 0x80
	referencePUK        = 0x81
	referenceManagement = 0x9B
)

// Valid reports whether s is one of the 24 slots of the standard, or
// [SlotAttestation].
func (s Slot) Valid() bool {
	_, err := s.object()
	return err == nil
}

// String returns the hexadecimal number and the name, such as "9A (PIV
// Authentication)".
func (s Slot) String() string {
	switch s {
	case SlotAuthentication:
		return "9A (PIV Authentication)"
	case SlotSignature:
		return "9C (Digital Signature)"
	case SlotKeyManagement:
		return "9D (Key Management)"
	case SlotCardAuthentication:
		return "9E (Card Authentication)"
	case SlotAttestation:
		return "F9 (Attestation)"
	}
	if s >= SlotRetired1 && s <= SlotRetired20 {
		return fmt.Sprintf("%02X (Retired Key Management %d)", byte(s), s-SlotRetired1+1)
	}
	return fmt.Sprintf("%02X", byte(s))
}

// object returns the tag of the certificate's data object.
func (s Slot) object() (tlv.Tag, error) {
	switch s {
	case SlotAuthentication:
		return 0x5FC105, nil
	case SlotSignature:
		return 0x5FC10A, nil
	case SlotKeyManagement:
		return 0x5FC10B, nil
	case SlotCardAuthentication:
		return 0x5FC101, nil
	case SlotAttestation:
		return 0x5FFF01, nil
	}
	if s >= SlotRetired1 && s <= SlotRetired20 {
		return 0x5FC10D + tlv.Tag(s-SlotRetired1), nil
	}
	return 0, fmt.Errorf("piv: %02X is not a slot; they are 9A, 9C, 9D, 9E, 82 to 95 and F9", byte(s))
}

// A PINPolicy says when a key needs the PIN. The values are YubiKey's.
type PINPolicy byte

// The PIN policies.
const (
	PINPolicyDefault PINPolicy = 0 // what the standard says of the slot
	PINPolicyNever   PINPolicy = 1
	PINPolicyOnce    PINPolicy = 2 // once, until the card is reset or another application selected
	PINPolicyAlways  PINPolicy = 3 // directly before each use
)

// String returns "default", "never", "once" or "always".
func (p PINPolicy) String() string {
	return word(byte(p), "default", "never", "once", "always")
}

// A TouchPolicy says when a key needs a touch of the card, by which a YubiKey knows
// that somebody is there. The values are YubiKey's.
type TouchPolicy byte

// The touch policies.
const (
	TouchPolicyDefault TouchPolicy = 0 // never
	TouchPolicyNever   TouchPolicy = 1
	TouchPolicyAlways  TouchPolicy = 2 // for each use
	TouchPolicyCached  TouchPolicy = 3 // unless there was one in the last 15 seconds
)

// String returns "default", "never", "always" or "cached".
func (p TouchPolicy) String() string {
	return word(byte(p), "default", "never", "always", "cached")
}

// word returns the word of a small number, or the number.
func word(n byte, words ...string) string {
	if int(n) < len(words) {
		return words[n]
	}
	return fmt.Sprint(n)
}

// pinPolicy returns what the standard says of the slot (SP 800-73-5 part 1).
func (s Slot) pinPolicy() PINPolicy {
	switch s {
	case SlotSignature:
		return PINPolicyAlways
	case SlotCardAuthentication, SlotAttestation:
		return PINPolicyNever
	}
	return PINPolicyOnce
}
