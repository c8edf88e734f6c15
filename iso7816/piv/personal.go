package piv

import "github.com/cardoki/cardoki/iso7816/tlv"

// chuid returns a Card Holder Unique Identifier with the given GUID. The FASC-N is
// the one for cards that no federal agency issued: agency code 9999 and so on
// (SP 800-73-5 part 1).
func chuid(guid []byte) []byte {
	return tlv.AppendFunc(nil, tagData, func(b []byte) []byte {
		b = tlv.Append(b, 0x30, nonFederalFASCN)
		b = tlv.Append(b, tagGUID, guid)
		b = tlv.Append(b, 0x35, []byte("20991231")) // expiration date
		b = tlv.Append(b, 0x3E, nil)                // issuer's signature
		return tlv.Append(b, tagErrorDetection, nil)
	})
}

// nonFederalFASCN is 9999-9999-999999-0-1-0000000000300001, as cards from no agency
// carry it.
var nonFederalFASCN = []byte{
	0xD4, 0xE7, 0x39, 0xDA, 0x73, 0x9C, 0xED, 0x39, 0xCE, 0x73, 0x9D, 0x83, 0x68,
	0x58, 0x21, 0x08, 0x42, 0x10, 0x84, 0x21, 0xC8, 0x42, 0x10, 0xC3, 0xEB,
}

// ccc returns a Card Capability Container that promises nothing beyond PIV.
func ccc(id []byte) []byte {
	identifier := append([]byte{0xA0, 0x00, 0x00, 0x01, 0x16, 0xFF, 0x02}, id[:14]...)
	return tlv.AppendFunc(nil, tagData, func(b []byte) []byte {
		b = tlv.Append(b, 0xF0, identifier)
		b = tlv.Append(b, 0xF1, []byte{0x21})
		b = tlv.Append(b, 0xF2, []byte{0x21})
		b = tlv.Append(b, 0xF3, nil)
		b = tlv.Append(b, 0xF4, []byte{0x00})
		b = tlv.Append(b, 0xF5, []byte{0x10})
		for tag := tlv.Tag(0xF6); tag <= 0xFD; tag++ {
			b = tlv.Append(b, tag, nil)
		}
		return tlv.Append(b, tagErrorDetection, nil)
	})
}
