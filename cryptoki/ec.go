package cryptoki

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
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

// A kind25519 is one of the two uses of Curve25519, which have key types of their own.
type kind25519 int

const (
	none25519 kind25519 = iota
	ed25519Kind
	x25519Kind
)

// The forms of CKA_EC_PARAMS for Curve25519, RFC 8410 and PKCS#11.
var (
	paramsEd25519 = "\x06\x03\x2b\x65\x70"
	paramsX25519  = "\x06\x03\x2b\x65\x6e"

	names25519 = map[string]kind25519{
		paramsEd25519: ed25519Kind, "\x13\x0cedwards25519": ed25519Kind, "edwards25519": ed25519Kind, "\x13\x07ed25519": ed25519Kind,
		"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01": ed25519Kind, // GnuPG's
		paramsX25519: x25519Kind, "\x13\x0acurve25519": x25519Kind, "curve25519": x25519Kind, "\x13\x06x25519": x25519Kind,
		"\x06\x0a\x2b\x06\x01\x04\x01\x97\x55\x01\x05\x01": x25519Kind,
	}
)

// curve25519 returns which use of Curve25519 a key is for. NSS gives Edwards keys no
// parameters.
func curve25519(t KeyType, params []byte) kind25519 {
	if k := names25519[string(params)]; k != none25519 {
		return k
	}
	if len(params) == 0 && t == CKK_EC_EDWARDS {
		return ed25519Kind
	}
	return none25519
}

// parse25519 returns the public key in CKA_EC_POINT: 32 bytes, bare or in a DER OCTET
// STRING.
func parse25519(k kind25519, b []byte) (crypto.PublicKey, error) {
	point := b
	if len(b) != ed25519.PublicKeySize {
		in := cryptobyte.String(b)
		var inner cryptobyte.String
		if !in.ReadASN1(&inner, asn1.OCTET_STRING) || !in.Empty() || len(inner) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("cryptoki: CKA_EC_POINT of %d bytes is not a point of Curve25519", len(b))
		}
		point = inner
	}
	if k == ed25519Kind {
		return ed25519.PublicKey(bytes.Clone(point)), nil
	}
	return ecdh.X25519().NewPublicKey(point)
}
