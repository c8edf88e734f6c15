//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package rsapad

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha3"
	"errors"
	"fmt"
	"math/big"
	"testing"
)

// raw is what a device does: the private RSA operation and nothing else.
func raw(key *rsa.PrivateKey, in []byte) []byte {
	x := new(big.Int).Exp(new(big.Int).SetBytes(in), key.D, key.N)
	return x.FillBytes(make([]byte, key.Size()))
}

// encrypt is the public operation.
func encrypt(key *rsa.PrivateKey, em []byte) []byte {
	x := new(big.Int).Exp(new(big.Int).SetBytes(em), big.NewInt(int64(key.E)), key.N)
	return x.FillBytes(make([]byte, key.Size()))
}

func newKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var hashes = []crypto.Hash{
	crypto.SHA1, crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA512_224, crypto.SHA512_256,
	crypto.SHA3_224, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512,
}

func digest(hash crypto.Hash, msg string) []byte {
	h := hash.New()
	h.Write([]byte(msg))
	return h.Sum(nil)
}

func TestEncodePKCS1v15_signsLikeCryptoRSA(t *testing.T) {
	key := newKey(t, 1024)
	for _, hash := range hashes {
		t.Run(hash.String(), func(t *testing.T) {
			d := digest(hash, "message")
			em, err := EncodePKCS1v15(key.Size(), hash, d)
			if err != nil {
				t.Fatal(err)
			}
			if err := rsa.VerifyPKCS1v15(&key.PublicKey, hash, d, raw(key, em)); err != nil {
				t.Errorf("the signature does not verify: %v", err)
			}
			want, err := rsa.SignPKCS1v15(nil, key, hash, d)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(raw(key, em), want) {
				t.Error("got another signature than crypto/rsa")
			}
		})
	}
	for _, d := range [][]byte{nil, []byte("unhashed"), make([]byte, key.Size()-11)} {
		em, err := EncodePKCS1v15(key.Size(), 0, d)
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, 0, d, raw(key, em)); err != nil {
			t.Errorf("%d bytes unhashed: the signature does not verify: %v", len(d), err)
		}
	}
	d := make([]byte, 36)
	em, err := EncodePKCS1v15(key.Size(), crypto.MD5SHA1, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.MD5SHA1, d, raw(key, em)); err != nil {
		t.Errorf("MD5SHA1: the signature does not verify: %v", err)
	}
}

func TestEncode_refuses(t *testing.T) {
	d := make([]byte, 32)
	for _, tt := range []struct {
		name        string
		encode      func() ([]byte, error)
		unsupported bool
	}{
		{"a digest of another hash", func() ([]byte, error) { return EncodePKCS1v15(256, crypto.SHA384, d) }, false},
		{"a modulus that is too short", func() ([]byte, error) { return EncodePKCS1v15(19+32+10, crypto.SHA256, d) }, false},
		{"unhashed data that is too long", func() ([]byte, error) { return EncodePKCS1v15(128, 0, make([]byte, 118)) }, false},
		{"a hash without DigestInfo", func() ([]byte, error) { return EncodePKCS1v15(256, crypto.BLAKE2b_256, d) }, true},
		{"a hash that is none", func() ([]byte, error) { return EncodePKCS1v15(256, 99, d) }, true},
		{"PSS: a digest of another hash", func() ([]byte, error) { return EncodePSS(nil, 2048, crypto.SHA384, d, 32) }, false},
		{"PSS: no hash", func() ([]byte, error) { return EncodePSS(nil, 2048, 0, d, 32) }, true},
		{"PSS: a hash that is not there", func() ([]byte, error) { return EncodePSS(nil, 2048, crypto.BLAKE2b_256, d, 32) }, true},
		{"PSS: a salt that is too long", func() ([]byte, error) { return EncodePSS(nil, 2048, crypto.SHA256, d, 223) }, false},
		{"PSS: a salt that is too long by the missing bit", func() ([]byte, error) { return EncodePSS(nil, 2049, crypto.SHA256, d, 223) }, false},
		{"PSS: a negative salt", func() ([]byte, error) { return EncodePSS(nil, 2048, crypto.SHA256, d, -1) }, false},
		{"PSS: no modulus", func() ([]byte, error) { return EncodePSS(nil, 0, crypto.SHA256, d, 0) }, false},
		{"PSS: no randomness", func() ([]byte, error) {
			return EncodePSS(bytes.NewReader(d[:8]), 2048, crypto.SHA256, d, 32)
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			em, err := tt.encode()
			if err == nil || em != nil {
				t.Fatalf("got %d bytes and error %v, want only an error", len(em), err)
			}
			if got := errors.Is(err, errors.ErrUnsupported); got != tt.unsupported {
				t.Errorf("errors.Is(%v, ErrUnsupported): got %v, want %v", err, got, tt.unsupported)
			}
		})
	}
}

func TestEncodePSS_verifiesWithCryptoRSA(t *testing.T) {
	// 1025 bits: EM is one byte shorter than the modulus.
	for _, bits := range []int{1024, 1025, 1026, 1031} {
		key := newKey(t, bits)
		for _, hash := range hashes {
			longest := (bits-1+7)/8 - hash.Size() - 2
			for _, salt := range []int{0, 1, hash.Size(), longest} {
				if salt > longest {
					continue
				}
				d := digest(hash, "message")
				em, err := EncodePSS(rand.Reader, bits, hash, d, salt)
				if err != nil {
					t.Fatal(err)
				}
				if len(em) != key.Size() {
					t.Errorf("%d bits: got EM of %d bytes, want %d", bits, len(em), key.Size())
				}
				opts := &rsa.PSSOptions{SaltLength: salt}
				if salt == 0 {
					opts.SaltLength = rsa.PSSSaltLengthAuto
				}
				if err := rsa.VerifyPSS(&key.PublicKey, hash, d, raw(key, em), opts); err != nil {
					t.Errorf("%d bits, %v, salt of %d: the signature does not verify: %v", bits, hash, salt, err)
				}
			}
		}
	}
}

func TestDecodePKCS1v15_decryptsWhatCryptoRSAEncrypts(t *testing.T) {
	key := newKey(t, 1024)
	for _, n := range []int{0, 1, 16, 48, key.Size() - 11} {
		msg := make([]byte, n)
		rand.Read(msg)
		ct, err := rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, msg)
		if err != nil {
			t.Fatal(err)
		}
		em := raw(key, ct)
		got, err := DecodePKCS1v15(em)
		if err != nil || !bytes.Equal(got, msg) {
			t.Errorf("%d bytes: got %d bytes and error %v", n, len(got), err)
		}
		if cap(got) != len(got) {
			t.Errorf("%d bytes: got capacity %d", n, cap(got))
		}
		session := make([]byte, n)
		DecodePKCS1v15SessionKey(em, session)
		if !bytes.Equal(session, msg) {
			t.Errorf("%d bytes: got another session key", n)
		}
	}
}

// emPKCS1 is a well formed EM of 128 bytes with a message of n bytes.
func emPKCS1(n int) []byte {
	em := bytes.Repeat([]byte{0xA5}, 128)
	em[0], em[1] = 0, 2
	em[len(em)-n-1] = 0
	return em
}

func TestDecodePKCS1v15_refusesBadPaddingAtEveryByte(t *testing.T) {
	const n = 48
	untouched := bytes.Repeat([]byte{0x11}, n)
	check := func(what string, em []byte, wantKey bool) {
		t.Helper()
		got, err := DecodePKCS1v15(em)
		if wantKey != (err == nil && len(got) == n) {
			t.Errorf("%s: got %d bytes and error %v, want the message %v", what, len(got), err, wantKey)
		}
		if err != nil && err != ErrDecryption {
			t.Errorf("%s: got error %v, want ErrDecryption itself", what, err)
		}
		key := bytes.Clone(untouched)
		DecodePKCS1v15SessionKey(em, key)
		if replaced := !bytes.Equal(key, untouched); replaced != wantKey {
			t.Errorf("%s: session key replaced: got %v, want %v", what, replaced, wantKey)
		}
	}
	check("well padded", emPKCS1(n), true)
	good := emPKCS1(n)
	for i := range len(good) {
		em := bytes.Clone(good)
		switch {
		case i < 2: // any other value
			for v := range 256 {
				if em[i] = byte(v); em[i] != good[i] {
					check(fmt.Sprintf("byte %d is %02X", i, v), em, false)
				}
			}
		case i < len(good)-n-1: // a zero ends the padding too early
			em[i] = 0
			check(fmt.Sprintf("byte %d is 00", i), em, false)
		case i == len(good)-n-1: // no zero
			em[i] = 0xFF
			check("no zero after the padding", em, false)
		default: // the message may be anything
			em[i] = 0
			check("a zero in the message", em, true)
		}
	}
	for n := range 11 {
		if _, err := DecodePKCS1v15(make([]byte, n)); err != ErrDecryption {
			t.Errorf("%d bytes: got error %v, want ErrDecryption", n, err)
		}
	}
	key := bytes.Clone(untouched)
	DecodePKCS1v15SessionKey(emPKCS1(n)[128-n-10:], key)
	DecodePKCS1v15SessionKey(nil, key)
	DecodePKCS1v15SessionKey(emPKCS1(n-1), key)
	DecodePKCS1v15SessionKey(emPKCS1(n+1), key)
	if !bytes.Equal(key, untouched) {
		t.Error("a message of another length replaced the session key")
	}
}

func TestDecodeOAEP_decryptsWhatCryptoRSAEncrypts(t *testing.T) {
	key := newKey(t, 2048)
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		for _, mgf := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA512} {
			longest := key.Size() - 2*hash.Size() - 2
			for _, n := range []int{0, 1, 32, longest} {
				msg := make([]byte, n)
				rand.Read(msg)
				opts := &rsa.OAEPOptions{Hash: hash, MGFHash: mgf, Label: []byte("label")}
				ct, err := rsa.EncryptOAEPWithOptions(rand.Reader, &key.PublicKey, msg, opts)
				if err != nil {
					t.Fatal(err)
				}
				em := raw(key, ct)
				got, err := DecodeOAEP(bytes.Clone(em), hash, mgf, opts.Label)
				if err != nil || !bytes.Equal(got, msg) || cap(got) != len(got) {
					t.Errorf("%v, MGF1 %v, %d bytes: got %d bytes, capacity %d, error %v", hash, mgf, n, len(got), cap(got), err)
				}
				if _, err := DecodeOAEP(em, hash, mgf, []byte("other label")); err != ErrDecryption {
					t.Errorf("another label: got error %v, want ErrDecryption", err)
				}
			}
		}
	}
}

// encodeOAEP is the encoding of RFC 8017, with a data block that may be
// wrong.
func encodeOAEP(first byte, db []byte, hash crypto.Hash) []byte {
	em := make([]byte, 1+hash.Size()+len(db))
	em[0] = first
	seed := em[1 : 1+hash.Size()]
	rand.Read(seed)
	masked := em[1+hash.Size():]
	copy(masked, db)
	xorMGF1(masked, hash, seed)
	xorMGF1(seed, hash, masked)
	return em
}

func TestDecodeOAEP_refusesBadPaddingAtEveryByte(t *testing.T) {
	const hash = crypto.SHA256
	const size, n = 128 - 1 - 32, 20
	good := make([]byte, size)
	copy(good, digest(hash, "label"))
	good[size-n-1] = 1
	rand.Read(good[size-n:])

	got, err := DecodeOAEP(encodeOAEP(0, good, hash), hash, hash, []byte("label"))
	if err != nil || !bytes.Equal(got, good[size-n:]) {
		t.Fatalf("well padded: got %d bytes and error %v, want %d", len(got), err, n)
	}
	for v := 1; v < 256; v++ {
		if _, err := DecodeOAEP(encodeOAEP(byte(v), good, hash), hash, hash, []byte("label")); err != ErrDecryption {
			t.Errorf("first byte %02X: got error %v, want ErrDecryption", v, err)
		}
	}
	for i := range size - n {
		for _, flip := range []byte{1, 2, 0x80, 0xFF} {
			db := bytes.Clone(good)
			db[i] ^= flip
			m, err := DecodeOAEP(encodeOAEP(0, db, hash), hash, hash, []byte("label"))
			// 00 turned into 01 in the padding ends it earlier: another message,
			// and well padded.
			earlier := i >= 32 && i < size-n-1 && flip == 1
			switch {
			case earlier && (err != nil || len(m) != size-i-1):
				t.Errorf("byte %d of DB flipped by %02X: got %d bytes and error %v, want %d bytes", i, flip, len(m), err, size-i-1)
			case !earlier && err != ErrDecryption:
				t.Errorf("byte %d of DB flipped by %02X: got error %v, want ErrDecryption", i, flip, err)
			}
		}
	}
	none := make([]byte, size)
	copy(none, digest(hash, "label"))
	if _, err := DecodeOAEP(encodeOAEP(0, none, hash), hash, hash, []byte("label")); err != ErrDecryption {
		t.Errorf("padding that never ends: got error %v, want ErrDecryption", err)
	}
	for n := range 2*32 + 2 {
		if _, err := DecodeOAEP(make([]byte, n), hash, hash, nil); err != ErrDecryption {
			t.Errorf("%d bytes: got error %v, want ErrDecryption", n, err)
		}
	}
	for _, h := range []crypto.Hash{0, crypto.BLAKE2b_256, 99} {
		if _, err := DecodeOAEP(make([]byte, 256), h, crypto.SHA1, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("hash %v: got error %v, want one that Is ErrUnsupported", h, err)
		}
		if _, err := DecodeOAEP(make([]byte, 256), crypto.SHA1, h, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("MGF1 hash %v: got error %v, want one that Is ErrUnsupported", h, err)
		}
	}
}

// FuzzDecode: no EM makes the decoders panic, and they agree with each other.
func FuzzDecode(f *testing.F) {
	f.Add(emPKCS1(48))
	f.Add([]byte{0, 2})
	f.Fuzz(func(t *testing.T, em []byte) {
		msg, err := DecodePKCS1v15(em)
		if err != nil && err != ErrDecryption {
			t.Fatalf("got error %v, want ErrDecryption", err)
		}
		if err == nil {
			key := make([]byte, len(msg))
			DecodePKCS1v15SessionKey(em, key)
			if !bytes.Equal(key, msg) {
				t.Fatal("the session key is another message")
			}
		}
		if _, err := DecodeOAEP(em, crypto.SHA1, crypto.SHA256, nil); err != nil && err != ErrDecryption {
			t.Fatalf("got error %v, want ErrDecryption", err)
		}
	})
}
