package rsapad

import (
	"crypto"
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
	return nil
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
