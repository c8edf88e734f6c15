//go:build cgo

package system_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/rsapad"
)

// What the standard library does not have: key wrap, CCM and CMAC, made of crypto/aes.

var bigOne = big.NewInt(1)

// keyWrap wraps key by AES key wrap (RFC 3394), or with padding (RFC 5649).
func keyWrap(kek, key []byte, padded bool) []byte {
	block, err := aes.NewCipher(kek)
	if err != nil {
		panic(err)
	}
	iv := bytes.Repeat([]byte{0xA6}, 8)
	if padded {
		iv = binary.BigEndian.AppendUint32([]byte{0xA6, 0x59, 0x59, 0xA6}, uint32(len(key)))
		key = append(bytes.Clone(key), make([]byte, (8-len(key)%8)%8)...)
	}
	out := append(bytes.Clone(iv), key...)
	n := len(key) / 8
	if n == 1 {
		block.Encrypt(out, out)
		return out
	}
	for j := range 6 {
		for i := 1; i <= n; i++ {
			b := append(bytes.Clone(out[:8]), out[8*i:8*i+8]...)
			block.Encrypt(b, b)
			binary.BigEndian.PutUint64(out, binary.BigEndian.Uint64(b)^uint64(n*j+i))
			copy(out[8*i:], b[8:])
		}
	}
	return out
}

// sealCCM encrypts with CCM (NIST SP 800-38C).
func sealCCM(key, nonce, plain, aad []byte, macLen int) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	l := 15 - len(nonce)
	first := make([]byte, 16)
	first[0] = byte((macLen-2)/2<<3 | (l - 1))
	if len(aad) > 0 {
		first[0] |= 0x40
	}
	copy(first[1:], nonce)
	for i, n := 0, len(plain); i < l; i, n = i+1, n>>8 {
		first[15-i] = byte(n)
	}
	blocks := first
	pad := func() { blocks = append(blocks, make([]byte, (16-len(blocks)%16)%16)...) }
	if len(aad) > 0 {
		blocks = append(binary.BigEndian.AppendUint16(blocks, uint16(len(aad))), aad...)
		pad()
	}
	blocks = append(blocks, plain...)
	pad()
	mac := make([]byte, 16)
	for ; len(blocks) > 0; blocks = blocks[16:] {
		subtle.XORBytes(mac, mac, blocks[:16])
		block.Encrypt(mac, mac)
	}
	counter := make([]byte, 16)
	counter[0] = byte(l - 1)
	copy(counter[1:], nonce)
	stream := cipher.NewCTR(block, counter)
	stream.XORKeyStream(mac, mac) // counter 0
	out := make([]byte, len(plain))
	stream.XORKeyStream(out, plain)
	return append(out, mac[:macLen]...)
}

// cmac returns AES-CMAC (NIST SP 800-38B).
func cmac(key, message []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	double := func(b []byte) []byte {
		out := new(big.Int).Lsh(new(big.Int).SetBytes(b), 1).FillBytes(make([]byte, 17))[1:]
		if b[0]&0x80 != 0 {
			out[15] ^= 0x87
		}
		return out
	}
	zero := make([]byte, 16)
	block.Encrypt(zero, zero)
	last := double(zero)
	m := bytes.Clone(message)
	if len(m) == 0 || len(m)%16 != 0 {
		last = double(last)
		m = append(m, 0x80)
		m = append(m, make([]byte, (16-len(m)%16)%16)...)
	}
	subtle.XORBytes(m[len(m)-16:], m[len(m)-16:], last)
	mac := make([]byte, 16)
	for ; len(m) > 0; m = m[16:] {
		subtle.XORBytes(mac, mac, m[:16])
		block.Encrypt(mac, mac)
	}
	return mac
}

// The examples of the standards.
func TestCryptoki_referencesAreThoseOfTheStandards(t *testing.T) {
	h := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"RFC 3394 4.1", keyWrap(h("000102030405060708090A0B0C0D0E0F"), h("00112233445566778899AABBCCDDEEFF"), false), "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
		{"RFC 5649 6", keyWrap(h("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"), h("c37b7e6492584340bed12207808941155068f738"), true), "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{"RFC 5649 6, one block", keyWrap(h("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"), h("466f7250617369"), true), "afbeb0f07dfbf5419200f2ccb50bb24f"},
		{"SP 800-38C example 1", sealCCM(h("404142434445464748494a4b4c4d4e4f"), h("10111213141516"), h("20212223"), h("0001020304050607"), 4), "7162015b4dac255d"},
		{"RFC 4493 example 1", cmac(h("2b7e151628aed2a6abf7158809cf4f3c"), nil), "bb1d6929e95937287fa37d129b756746"},
		{"RFC 4493 example 2", cmac(h("2b7e151628aed2a6abf7158809cf4f3c"), h("6bc1bee22e409f96e93d7e117393172a")), "070a16b46b4d4144f79bdd9dd04a287c"},
	} {
		if hex.EncodeToString(tt.got) != tt.want {
			t.Errorf("%s: got %x, want %s", tt.name, tt.got, tt.want)
		}
	}
}

// verifyRaw verifies r and s, each as long as the order.
func verifyRaw(pub *ecdsa.PublicKey, digest, sig []byte) bool {
	size := (pub.Curve.Params().BitSize + 7) / 8
	if len(sig) != 2*size {
		return false
	}
	return ecdsa.Verify(pub, digest, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
}

// rawSignature is Ecdsa-Sig-Value as r and s, each of size bytes; false if that can't be.
func rawSignature(der []byte, size int) ([]byte, bool) {
	r, s := new(big.Int), new(big.Int)
	in := cryptobyte.String(der)
	var inner cryptobyte.String
	if !in.ReadASN1(&inner, asn1.SEQUENCE) || !in.Empty() || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) || !inner.Empty() ||
		r.Sign() < 0 || s.Sign() < 0 || r.BitLen() > 8*size || s.BitLen() > 8*size {
		return nil, false
	}
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), true
}

func rsaPublic(a cryptoki.Attributes) *rsa.PublicKey {
	n, _ := a.Value(cryptoki.CKA_MODULUS)
	e, _ := a.Value(cryptoki.CKA_PUBLIC_EXPONENT)
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
}

// digestInfo256 is what CKM_RSA_PKCS signs.
func digestInfo256(message []byte) []byte {
	info, err := rsapad.DigestInfo(crypto.SHA256, digest256(message))
	if err != nil {
		panic(err)
	}
	return info
}
