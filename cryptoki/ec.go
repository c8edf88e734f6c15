package cryptoki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A curve is a named curve and the forms of CKA_EC_PARAMS that stand for it.
type namedCurve struct {
	curve elliptic.Curve
	oid   string   // DER
	names []string // RFC 5480, SEC 2, ANSI X9.62
}

var namedCurves = []namedCurve{
	{elliptic.P224(), "\x06\x05\x2b\x81\x04\x00\x21", []string{"secp224r1", "p-224"}},
	{elliptic.P256(), "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", []string{"secp256r1", "prime256v1", "p-256"}},
	{elliptic.P384(), "\x06\x05\x2b\x81\x04\x00\x22", []string{"secp384r1", "p-384"}},
	{elliptic.P521(), "\x06\x05\x2b\x81\x04\x00\x23", []string{"secp521r1", "p-521"}},
}

// parseECParams returns the curve that CKA_EC_PARAMS names: by an object identifier,
// or by a name, as a DER PrintableString or UTF8String or as bare text.
func parseECParams(b []byte) (elliptic.Curve, error) {
	name := string(b)
	in := cryptobyte.String(b)
	var value cryptobyte.String
	var tag asn1.Tag
	if in.ReadAnyASN1(&value, &tag) && in.Empty() && (tag == asn1.PrintableString || tag == asn1.UTF8String) {
		name = string(value)
	}
	for _, c := range namedCurves {
		if string(b) == c.oid {
			return c.curve, nil
		}
		for _, n := range c.names {
			if strings.EqualFold(n, name) {
				return c.curve, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: the curve with parameters %x", ErrUnsupported, b[:min(len(b), 32)])
}

func ecParams(c elliptic.Curve) ([]byte, error) {
	for _, known := range namedCurves {
		if c == known.curve {
			return []byte(known.oid), nil
		}
	}
	return nil, fmt.Errorf("%w: this elliptic curve", ErrUnsupported)
}

// parseECPoint returns the public key in CKA_EC_POINT, which is a DER OCTET STRING
// around the uncompressed point, or the bare point. Both begin with 04; the length
// tells them apart.
func parseECPoint(curve elliptic.Curve, b []byte) (*ecdsa.PublicKey, error) {
	point := b
	if len(b) != 1+2*coordinateSize(curve) {
		in := cryptobyte.String(b)
		var inner cryptobyte.String
		if !in.ReadASN1(&inner, asn1.OCTET_STRING) || !in.Empty() {
			return nil, fmt.Errorf("cryptoki: CKA_EC_POINT of %d bytes is not a point of this curve", len(b))
		}
		point = inner
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("cryptoki: CKA_EC_POINT is not a point of this curve")
	}
	return pub, nil
}

// coordinateSize returns the length in bytes of a coordinate, and of r and s, since
// all these curves have an order as long as their field.
func coordinateSize(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }

// appendECDSA appends r and s, each half of rs, as Ecdsa-Sig-Value of RFC 3279.
func appendECDSA(dst, rs []byte) ([]byte, error) {
	r, s := trimZeros(rs[:len(rs)/2]), trimZeros(rs[len(rs)/2:])
	if len(rs)%2 != 0 || len(r) == 0 || len(s) == 0 || len(rs) > 2*66 {
		return dst, errors.New("cryptoki: the module gave an ECDSA signature that is none")
	}
	nr, ns := len(r)+int(r[0]>>7), len(s)+int(s[0]>>7)
	n := 2 + nr + 2 + ns // at most 138: one or two bytes of length
	dst = append(dst, 0x30)
	if n > 127 {
		dst = append(dst, 0x81)
	}
	dst = append(dst, byte(n))
	dst = appendInteger(dst, r, nr)
	return appendInteger(dst, s, ns), nil
}

// appendInteger appends the positive INTEGER b with n bytes of content.
func appendInteger(dst, b []byte, n int) []byte {
	dst = append(dst, 0x02, byte(n))
	if n > len(b) {
		dst = append(dst, 0)
	}
	return append(dst, b...)
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b
}
