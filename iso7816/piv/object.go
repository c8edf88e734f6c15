package piv

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// AID is the application identifier of the PIV card application, with its
// version 1.0.
var AID = iso7816.MustParseAID("A000000308000010000100")

// aidPrefix is AID without the version: what a card must show to be a PIV card.
const aidPrefix = "\xA0\x00\x00\x03\x08\x00\x00\x10\x00"

// Tags of what is in data objects and templates (SP 800-73-5).
const (
	tagCertificate     = tlv.Tag(0x70)
	tagCertificateInfo = tlv.Tag(0x71)

	tagAID = tlv.Tag(0x4F)

	tagPublicKey      = tlv.Tag(0x7F49)
	tagModulus        = tlv.Tag(0x81)
	tagPublicExponent = tlv.Tag(0x82)
	tagPoint          = tlv.Tag(0x86)

	tagGenerate         = tlv.Tag(0xAC)
	tagGenerateAlgo     = tlv.Tag(0x80)
	tagWitness          = tlv.Tag(0x80) // in dynamic authentication
	tagChallenge        = tlv.Tag(0x81)
	tagResponse         = tlv.Tag(0x82)
	tagExponentiation   = tlv.Tag(0x85)
	tagDynamicAuth      = tlv.Tag(0x7C)
	certificateGzip     = 0x01 // bit of CertInfo
	maxCertificateBytes = 1 << 16
)

// AppendCertificateObject appends the data object that holds a certificate in
// DER, uncompressed, with its outer tag 53 (SP 800-73-5 part 1).
func AppendCertificateObject(dst []byte, der []byte) []byte {
	return tlv.AppendFunc(dst, tagData, func(dst []byte) []byte {
		dst = tlv.Append(dst, tagCertificate, der)
		dst = tlv.Append(dst, tagCertificateInfo, []byte{0})
		return tlv.Append(dst, tagErrorDetection, nil)
	})
}

// ErrNoCertificate is returned for an object that holds no certificate.
var ErrNoCertificate = errors.New("piv: no certificate")

// ParseCertificateObject returns the certificate, in DER, that a data object
// with its outer tag 53 holds. A compressed one is unpacked; one of more than
// 65,536 bytes is refused. The value of tag 70 is opaque: its tag says
// constructed, and is not.
func ParseCertificateObject(object []byte) ([]byte, error) {
	body, err := tlv.Find(object, tagData)
	if err != nil {
		return nil, fmt.Errorf("piv: certificate object: %w", err)
	}
	var der []byte
	var info byte
	for o, err := range tlv.All(body) {
		if err != nil {
			return nil, fmt.Errorf("piv: certificate object: %w", err)
		}
		switch o.Tag {
		case tagCertificate:
			der = o.Value
		case tagCertificateInfo:
			if len(o.Value) > 0 {
				info = o.Value[0]
			}
		}
	}
	if len(der) == 0 {
		return nil, ErrNoCertificate
	}
	if info&certificateGzip == 0 {
		return der, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(der))
	if err != nil {
		return nil, fmt.Errorf("piv: compressed certificate: %w", err)
	}
	der, err = io.ReadAll(io.LimitReader(z, maxCertificateBytes+1))
	if err != nil {
		return nil, fmt.Errorf("piv: compressed certificate: %w", err)
	}
	if len(der) > maxCertificateBytes {
		return nil, fmt.Errorf("piv: compressed certificate unpacks to more than %d bytes", maxCertificateBytes)
	}
	return der, nil
}

// appendPublicKey appends the contents of a public key template: modulus and
// exponent, or the point.
func appendPublicKey(dst []byte, pub crypto.PublicKey) ([]byte, error) {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		dst = tlv.Append(dst, tagModulus, pub.N.Bytes())
		return tlv.Append(dst, tagPublicExponent, big.NewInt(int64(pub.E)).Bytes()), nil
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			return dst, fmt.Errorf("piv: public key: %w", err)
		}
		return tlv.Append(dst, tagPoint, point), nil
	case ed25519.PublicKey:
		return tlv.Append(dst, tagPoint, pub), nil
	case *ecdh.PublicKey:
		if pub.Curve() == ecdh.X25519() {
			return tlv.Append(dst, tagPoint, pub.Bytes()), nil
		}
	}
	return dst, fmt.Errorf("piv: public key of type %T has no form on a card", pub)
}

// parsePublicKey reads the contents of a public key template. It refuses a key
// that is not one of algorithm a.
func parsePublicKey(a Algorithm, b []byte) (crypto.PublicKey, error) {
	row := algorithms[a]
	switch {
	case row.rsaBits > 0:
		n, err := tlv.Find(b, tagModulus)
		if err != nil {
			return nil, fmt.Errorf("piv: public key: modulus: %w", err)
		}
		e, err := tlv.Find(b, tagPublicExponent)
		if err != nil {
			return nil, fmt.Errorf("piv: public key: exponent: %w", err)
		}
		pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n)}
		exponent := new(big.Int).SetBytes(e)
		if pub.N.BitLen() != row.rsaBits || pub.N.Bit(0) == 0 {
			return nil, fmt.Errorf("piv: public key: a modulus of %d bits is not one of %v", pub.N.BitLen(), a)
		}
		if exponent.BitLen() > 31 || exponent.Bit(0) == 0 || exponent.Int64() < 3 {
			return nil, errors.New("piv: public key: RSA exponent is even, too small or too large")
		}
		pub.E = int(exponent.Int64())
		return pub, nil
	case row.curve != nil:
		point, err := tlv.Find(b, tagPoint)
		if err != nil {
			return nil, fmt.Errorf("piv: public key: point: %w", err)
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(row.curve, point)
		if err != nil {
			return nil, fmt.Errorf("piv: public key: %w", err)
		}
		return pub, nil
	case row.raw > 0:
		point, err := tlv.Find(b, tagPoint)
		if err != nil {
			return nil, fmt.Errorf("piv: public key: point: %w", err)
		}
		if len(point) != row.raw {
			return nil, fmt.Errorf("piv: public key: a point of %d bytes is not one of %v", len(point), a)
		}
		if a == AlgorithmEd25519 {
			return ed25519.PublicKey(bytes.Clone(point)), nil
		}
		return ecdh.X25519().NewPublicKey(point)
	}
	return nil, fmt.Errorf("piv: public key of %v: %w", a, errors.ErrUnsupported)
}

// algorithmOf returns the algorithm of a public key.
func algorithmOf(pub crypto.PublicKey) (Algorithm, error) {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		for a, row := range algorithms {
			if row.rsaBits > 0 && pub.N.BitLen() == row.rsaBits {
				return a, nil
			}
		}
		return 0, fmt.Errorf("piv: RSA key of %d bits: %w", pub.N.BitLen(), errors.ErrUnsupported)
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			return AlgorithmP256, nil
		case elliptic.P384():
			return AlgorithmP384, nil
		}
		return 0, fmt.Errorf("piv: EC key on %s: %w", pub.Params().Name, errors.ErrUnsupported)
	case ed25519.PublicKey:
		return AlgorithmEd25519, nil
	case *ecdh.PublicKey:
		if pub.Curve() == ecdh.X25519() {
			return AlgorithmX25519, nil
		}
	}
	return 0, fmt.Errorf("piv: key of type %T: %w", pub, errors.ErrUnsupported)
}
