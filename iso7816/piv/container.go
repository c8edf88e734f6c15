package piv

import (
	"fmt"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// Tags of the data objects of a PIV card, for [Client.Object] and [Client.PutObject]
// (SP 800-73-5 part 1). Those of certificates belong to slots, see [Slot.Object].
const (
	ObjectCHUID              tlv.Tag = 0x5FC102 // card holder unique identifier
	ObjectCCC                tlv.Tag = 0x5FC107 // card capability container
	ObjectFingerprints       tlv.Tag = 0x5FC103 // needs the PIN
	ObjectSecurity           tlv.Tag = 0x5FC106 // hashes of the others, signed
	ObjectFacialImage        tlv.Tag = 0x5FC108 // needs the PIN
	ObjectPrintedInformation tlv.Tag = 0x5FC109 // needs the PIN
	ObjectKeyHistory         tlv.Tag = 0x5FC10C
	ObjectIrisImages         tlv.Tag = 0x5FC121 // needs the PIN
	ObjectSMCertificate      tlv.Tag = 0x5FC122 // of the signer of the secure messaging certificate
	ObjectPairingCode        tlv.Tag = 0x5FC123 // needs the PIN
	ObjectDiscovery          tlv.Tag = 0x7E
	ObjectBiometricGroup     tlv.Tag = 0x7F61 // biometric information templates group template
)

// objectNames are what traces call the objects.
var objectNames = map[tlv.Tag]string{
	ObjectCHUID:              "card holder unique identifier",
	ObjectCCC:                "card capability container",
	ObjectFingerprints:       "fingerprints",
	ObjectSecurity:           "security object",
	ObjectFacialImage:        "facial image",
	ObjectPrintedInformation: "printed information",
	ObjectKeyHistory:         "key history object",
	ObjectIrisImages:         "iris images",
	ObjectSMCertificate:      "secure messaging certificate signer",
	ObjectPairingCode:        "pairing code",
	ObjectDiscovery:          "discovery object",
	ObjectBiometricGroup:     "biometric information templates",
}

// Object returns the tag of the data object that holds the certificate of a slot. The
// error says which slots there are.
func (s Slot) Object() (tlv.Tag, error) { return s.object() }

// Tags around and at the end of the elements of a data object.
const (
	tagData           = tlv.Tag(0x53) // the value of every data object but the discovery object and 7F61
	tagErrorDetection = tlv.Tag(0xFE)
)

// A field is one element of a data object.
type field struct {
	tag      tlv.Tag
	value    *[]byte
	optional bool // left out when it is nil
}

// parseFields reads the elements of a data object with its outer tag 53 into the
// fields; those that it does not know come back as they are. Their values are not walked:
// some tags look constructed and are not.
func parseFields(what string, object []byte, fields []field) (other []byte, err error) {
	outer, after, err := tlv.Next(object)
	if err != nil {
		return nil, fmt.Errorf("piv: %s: %w", what, err)
	}
	if outer.Tag != tagData || len(after) != 0 {
		return nil, fmt.Errorf("piv: %s: it is not one data object with the tag 53", what)
	}
elements:
	for rest := outer.Value; len(rest) > 0; {
		e, next, err := tlv.Next(rest)
		if err != nil {
			return nil, fmt.Errorf("piv: %s: at offset %d: %w", what, len(object)-len(rest), err)
		}
		raw := rest[:len(rest)-len(next)]
		rest = next
		if e.Tag == tagErrorDetection && len(e.Value) == 0 {
			continue
		}
		for _, f := range fields {
			if f.tag == e.Tag && *f.value == nil {
				*f.value = e.Value[:len(e.Value):len(e.Value)]
				if *f.value == nil {
					*f.value = []byte{}
				}
				continue elements
			}
		}
		other = append(other, raw...)
	}
	return other, nil
}

// appendFields appends the data object that parseFields reads.
func appendFields(dst []byte, fields []field, other []byte) []byte {
	return tlv.AppendFunc(dst, tagData, func(b []byte) []byte {
		for _, f := range fields {
			if !f.optional || *f.value != nil {
				b = tlv.Append(b, f.tag, *f.value)
			}
		}
		b = append(b, other...)
		return tlv.Append(b, tagErrorDetection, nil)
	})
}
