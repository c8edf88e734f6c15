package rsapad

import (
	"crypto"
	"crypto/fips140"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// available returns an error when hash cannot be computed in this program.
func available(hash crypto.Hash) error {
	if !hash.Available() {
		return fmt.Errorf("rsapad: hash function %v is not linked into this program: %w", hash, errors.ErrUnsupported)
	}
	if fips140.Enforced() && !approved(hash) {
		return fmt.Errorf("rsapad: hash function %v where FIPS 140 is enforced (GODEBUG=fips140=only): %w", hash, errors.ErrUnsupported)
	}
	return nil
}

// approved reports whether the standard library computes hash where FIPS 140 is enforced.
// It panics for others there.
func approved(hash crypto.Hash) bool {
	switch hash {
	case crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA512_224, crypto.SHA512_256,
		crypto.SHA3_224, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512:
		return true
	}
	return false
}

// xorMGF1 XORs the mask that MGF1 makes of seed into out (RFC 8017).
func xorMGF1(out []byte, hash crypto.Hash, seed []byte) {
	h := hash.New()
	mask := make([]byte, 0, hash.Size())
	var counter [4]byte
	for n := uint32(0); len(out) > 0; n++ {
		binary.BigEndian.PutUint32(counter[:], n)
		h.Reset()
		h.Write(seed)
		h.Write(counter[:])
		mask = h.Sum(mask[:0])
		out = out[subtle.XORBytes(out, out, mask):]
	}
	clear(mask[:cap(mask)])
}
