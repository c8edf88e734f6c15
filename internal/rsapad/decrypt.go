package rsapad

import (
	"crypto"
	"crypto/rsa"
	"crypto/subtle"
)

// ErrDecryption is the only thing that the Decode functions say of an EM that is
// wrong.
var ErrDecryption = rsa.ErrDecryption

// DecodePKCS1v15 returns the message in em, as long as the modulus and with its
// leading 00, that was encrypted with PKCS #1 v1.5 (RFC 8017). The message
// aliases em, which the caller clears. The error is [ErrDecryption].
//
// Whoever tells a stranger whether this failed, by an answer or by the time it
// takes, decrypts for him: use [DecodePKCS1v15SessionKey] there.
func DecodePKCS1v15(em []byte) ([]byte, error) {
	valid, index := decodePKCS1v15(em)
	if valid == 0 {
		return nil, ErrDecryption
	}
	return em[index:len(em):len(em)], nil
}

// DecodePKCS1v15SessionKey copies the message in em to key if the padding is
// right and the message has len(key) bytes. Otherwise it leaves key as it is, so
// that key is filled with random bytes before the call. It runs in constant time
// and does not tell which of the two happened. An em that is too short for the
// key leaves it as it is, too. The caller clears em.
func DecodePKCS1v15SessionKey(em, key []byte) {
	if len(em) < len(key)+11 {
		return // the lengths are no secret
	}
	valid, index := decodePKCS1v15(em)
	valid &= subtle.ConstantTimeEq(int32(len(em)-index), int32(len(key)))
	subtle.ConstantTimeCopy(valid, key, em[len(em)-len(key):])
}

// decodePKCS1v15 returns 1 and the index of the message if em is 00 02, at least
// eight bytes other than 00, 00 and the message; else it returns 0 and an index
// that means nothing. It runs in constant time.
func decodePKCS1v15(em []byte) (valid, index int) {
	if len(em) < 11 {
		return 0, 0
	}
	valid = subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeByteEq(em[1], 2)
	looking := 1
	for i := 2; i < len(em); i++ {
		zero := subtle.ConstantTimeByteEq(em[i], 0)
		index = subtle.ConstantTimeSelect(looking&zero, i, index)
		looking = subtle.ConstantTimeSelect(zero, 0, looking)
	}
	valid &= (looking ^ 1) & subtle.ConstantTimeLessOrEq(2+8, index)
	return valid, index + 1
}

// DecodeOAEP returns the message in em, as long as the modulus and with its
// leading 00, that was encrypted with RSAES-OAEP (RFC 8017). mgfHash is
// the hash of MGF1, which may be another one than hash. It works in place: em is
// overwritten, the message aliases it, and the caller clears it.
//
// The error is [ErrDecryption], or one that Is [errors.ErrUnsupported] when a
// hash is not linked into the program, or is refused where FIPS 140 is enforced.
func DecodeOAEP(em []byte, hash, mgfHash crypto.Hash, label []byte) ([]byte, error) {
	for _, h := range []crypto.Hash{hash, mgfHash} {
		if err := available(h); err != nil {
			return nil, err
		}
	}
	hLen := hash.Size()
	if len(em) < 2*hLen+2 {
		return nil, ErrDecryption
	}
	// EM = 00 || maskedSeed || maskedDB, DB = lHash || PS || 01 || M
	valid := subtle.ConstantTimeByteEq(em[0], 0)
	seed := em[1 : 1+hLen]
	db := em[1+hLen:]
	xorMGF1(seed, mgfHash, db)
	xorMGF1(db, mgfHash, seed)

	h := hash.New()
	h.Write(label)
	valid &= subtle.ConstantTimeCompare(h.Sum(nil), db[:hLen])

	rest := db[hLen:]
	looking, index, wrong := 1, 0, 0
	for i, b := range rest {
		zero := subtle.ConstantTimeByteEq(b, 0)
		one := subtle.ConstantTimeByteEq(b, 1)
		index = subtle.ConstantTimeSelect(looking&one, i, index)
		looking = subtle.ConstantTimeSelect(one, 0, looking)
		wrong |= looking & (zero ^ 1)
	}
	if valid&(looking^1)&(wrong^1) == 0 {
		return nil, ErrDecryption
	}
	return rest[index+1 : len(rest) : len(rest)], nil
}
