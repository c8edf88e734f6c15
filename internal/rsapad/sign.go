package rsapad

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

// oids are the object identifiers of the hash functions, as the content of their
// DER encoding (RFC 8017, appendix B.1, and the NIST register for SHA-3).
var oids = map[crypto.Hash]string{
	crypto.MD5:        "\x2A\x86\x48\x86\xF7\x0D\x02\x05",
	crypto.SHA1:       "\x2B\x0E\x03\x02\x1A",
	crypto.SHA224:     "\x60\x86\x48\x01\x65\x03\x04\x02\x04",
	crypto.SHA256:     "\x60\x86\x48\x01\x65\x03\x04\x02\x01",
	crypto.SHA384:     "\x60\x86\x48\x01\x65\x03\x04\x02\x02",
	crypto.SHA512:     "\x60\x86\x48\x01\x65\x03\x04\x02\x03",
	crypto.SHA512_224: "\x60\x86\x48\x01\x65\x03\x04\x02\x05",
	crypto.SHA512_256: "\x60\x86\x48\x01\x65\x03\x04\x02\x06",
	crypto.SHA3_224:   "\x60\x86\x48\x01\x65\x03\x04\x02\x07",
	crypto.SHA3_256:   "\x60\x86\x48\x01\x65\x03\x04\x02\x08",
	crypto.SHA3_384:   "\x60\x86\x48\x01\x65\x03\x04\x02\x09",
	crypto.SHA3_512:   "\x60\x86\x48\x01\x65\x03\x04\x02\x0A",
}

// DigestInfo returns the DER encoding of DigestInfo, which PKCS #1 v1.5 signs in
// place of the bare digest (RFC 8017). For hash 0 and [crypto.MD5SHA1],
// which have none, it returns a copy of digest.
//
// It returns an error when digest has not the length of hash, and one that Is
// [errors.ErrUnsupported] when hash is not known here.
func DigestInfo(hash crypto.Hash, digest []byte) ([]byte, error) {
	if hash == 0 {
		return append([]byte(nil), digest...), nil
	}
	oid, known := oids[hash]
	if !known && hash != crypto.MD5SHA1 {
		return nil, fmt.Errorf("rsapad: no DigestInfo for hash function %v: %w", hash, errors.ErrUnsupported)
	}
	if len(digest) != hash.Size() {
		return nil, fmt.Errorf("rsapad: a digest of %d bytes is not one of %v, which has %d", len(digest), hash, hash.Size())
	}
	if hash == crypto.MD5SHA1 {
		return append([]byte(nil), digest...), nil
	}
	// SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING }, every length below 128.
	n := len(oid)
	b := make([]byte, 0, 10+n+len(digest))
	b = append(b, 0x30, byte(8+n+len(digest)), 0x30, byte(4+n), 0x06, byte(n))
	b = append(b, oid...)
	b = append(b, 0x05, 0x00, 0x04, byte(len(digest)))
	return append(b, digest...), nil
}

// EncodePKCS1v15 returns the k bytes of EM that a signature with PKCS #1 v1.5 is
// made of, k being the length of the modulus in bytes (RFC 8017). With hash
// 0 digest is signed as it is, without DigestInfo.
//
// It returns the errors of [DigestInfo], and one when EM does not fit k bytes.
func EncodePKCS1v15(k int, hash crypto.Hash, digest []byte) ([]byte, error) {
	t, err := DigestInfo(hash, digest)
	if err != nil {
		return nil, err
	}
	if k < len(t)+11 {
		return nil, fmt.Errorf("rsapad: a PKCS #1 v1.5 signature of %d bytes does not fit a modulus of %d bytes", len(t), k)
	}
	em := make([]byte, k)
	em[1] = 1
	for i := 2; i < k-len(t)-1; i++ {
		em[i] = 0xFF
	}
	copy(em[k-len(t):], t)
	return em, nil
}

// EncodePSS returns the EM that a signature with RSASSA-PSS is made of, with MGF1
// of the same hash (RFC 8017, 9.1.1). EM has modulusBits-1 bits; it is returned
// with leading zeros as long as the modulus, in bytes. The salt of saltLen bytes
// comes from random; nil means [crypto/rand.Reader].
//
// It returns an error when digest has not the length of hash, when the salt does
// not fit, when random fails, and one that Is [errors.ErrUnsupported] when hash
// is not linked into the program, or is refused where FIPS 140 is enforced.
func EncodePSS(random io.Reader, modulusBits int, hash crypto.Hash, digest []byte, saltLen int) ([]byte, error) {
	if err := available(hash); err != nil {
		return nil, err
	}
	hLen := hash.Size()
	if len(digest) != hLen {
		return nil, fmt.Errorf("rsapad: a digest of %d bytes is not one of %v, which has %d", len(digest), hash, hLen)
	}
	emBits := modulusBits - 1
	emLen := (emBits + 7) / 8
	if saltLen < 0 || saltLen > emLen-hLen-2 {
		return nil, fmt.Errorf("rsapad: a PSS salt of %d bytes with %v does not fit a modulus of %d bits", saltLen, hash, modulusBits)
	}
	if random == nil {
		random = rand.Reader
	}
	// EM = maskedDB || H || BC, DB = PS || 01 || salt
	padded := make([]byte, (modulusBits+7)/8)
	em := padded[len(padded)-emLen:]
	db := em[:emLen-hLen-1]
	h := em[emLen-hLen-1 : emLen-1]
	salt := db[len(db)-saltLen:]
	if _, err := io.ReadFull(random, salt); err != nil {
		return nil, fmt.Errorf("rsapad: no random salt: %w", err)
	}
	d := hash.New()
	var zeros [8]byte
	d.Write(zeros[:])
	d.Write(digest)
	d.Write(salt)
	d.Sum(h[:0])
	db[len(db)-saltLen-1] = 1
	xorMGF1(db, hash, h)
	db[0] &= 0xFF >> (8*emLen - emBits)
	em[emLen-1] = 0xBC
	return padded, nil
}
