package cryptoki

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

func TestParseECParams(t *testing.T) {
	for _, tt := range []struct {
		name   string
		params string
		want   elliptic.Curve
	}{
		{"object identifier of P-256", "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", elliptic.P256()},
		{"object identifier of P-521", "\x06\x05\x2b\x81\x04\x00\x23", elliptic.P521()},
		{"name as PrintableString", "\x13\x09secp384r1", elliptic.P384()},
		{"name as UTF8String", "\x0c\x0aprime256v1", elliptic.P256()},
		{"bare name", "P-256", elliptic.P256()},
		{"object identifier with a byte after it", "\x06\x05\x2b\x81\x04\x00\x23\x00", nil},
		{"name that is cut off", "\x13\x09secp384r", nil},
		{"unknown curve", "\x13\x09secp256k1", nil},
		{"nothing", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseECParams([]byte(tt.params))
			if tt.want == nil {
				if !errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("got %v, %v, want errors.ErrUnsupported", got, err)
				}
			} else if err != nil || got != tt.want {
				t.Errorf("got %v, %v, want %s", got, err, tt.want.Params().Name)
			}
		})
	}
}

func TestParseECPoint_rawAndWrapped(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		var b cryptobyte.Builder
		b.AddASN1OctetString(raw)
		wrapped := b.BytesOrPanic()
		for name, point := range map[string][]byte{"raw": raw, "wrapped": wrapped} {
			got, err := parseECPoint(curve, point)
			if err != nil || !got.Equal(&key.PublicKey) {
				t.Errorf("%s, %s: got %v, %v", curve.Params().Name, name, got, err)
			}
		}
		off := bytes.Clone(raw)
		off[len(off)-1] ^= 1
		for name, point := range map[string][]byte{
			"not on the curve": off, "cut off": raw[:len(raw)-1], "wrapped and cut off": wrapped[:len(wrapped)-1],
			"with a byte after it": append(bytes.Clone(wrapped), 0), "nothing": nil, "infinity": {0},
		} {
			if got, err := parseECPoint(curve, point); err == nil {
				t.Errorf("%s, %s: got %v, want an error", curve.Params().Name, name, got)
			}
		}
	}
}

// derECDSA is appendECDSA by another way.
func derECDSA(rs []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(rs[:len(rs)/2]))
		b.AddASN1BigInt(new(big.Int).SetBytes(rs[len(rs)/2:]))
	})
	return b.BytesOrPanic()
}

func FuzzAppendECDSA(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xFF}, 132))
	f.Add(bytes.Repeat([]byte{0x7F}, 132))
	f.Add(bytes.Repeat([]byte{0x80}, 64))
	f.Add(append(make([]byte, 31), bytes.Repeat([]byte{1}, 33)...))
	f.Add(make([]byte, 64))
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, rs []byte) {
		got, err := appendECDSA([]byte("x"), rs)
		half := len(rs) / 2
		zero := len(bytes.Trim(rs[:half], "\x00")) == 0 || len(bytes.Trim(rs[half:], "\x00")) == 0
		if bad := zero || len(rs)%2 != 0 || len(rs) > 132; bad {
			if err == nil || string(got) != "x" {
				t.Fatalf("%x: got %x, %v, want an error", rs, got, err)
			}
			return
		}
		if want := derECDSA(rs); err != nil || !bytes.Equal(got[1:], want) {
			t.Errorf("%x: got %x, %v, want %x", rs, got, err, want)
		}
	})
}

func TestParse25519(t *testing.T) {
	raw := make([]byte, 32)
	raw[0] = 9
	wrapped := append([]byte{4, 32}, raw...)
	for _, tt := range []struct {
		name   string
		t      KeyType
		params string
		want   kind25519
	}{
		{"Ed25519 of RFC 8410", CKK_EC_EDWARDS, paramsEd25519, ed25519Kind},
		{"its name", CKK_EC_EDWARDS, "\x13\x0cedwards25519", ed25519Kind},
		{"as an ordinary EC key", CKK_EC, paramsEd25519, ed25519Kind},
		{"without parameters", CKK_EC_EDWARDS, "", ed25519Kind},
		{"X25519 of RFC 8410", CKK_EC_MONTGOMERY, paramsX25519, x25519Kind},
		{"its name, bare", CKK_EC_MONTGOMERY, "curve25519", x25519Kind},
		{"another Montgomery curve", CKK_EC_MONTGOMERY, "\x06\x03\x2b\x65\x6f", none25519},
		{"no parameters for an ordinary key", CKK_EC, "", none25519},
	} {
		if got := curve25519(tt.t, []byte(tt.params)); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	for _, k := range []kind25519{ed25519Kind, x25519Kind} {
		for _, point := range [][]byte{raw, wrapped} {
			pub, err := parse25519(k, point)
			if err != nil || pub == nil {
				t.Errorf("%X: got %v, %v", point, pub, err)
			}
		}
		for _, point := range [][]byte{raw[1:], wrapped[:33], append(wrapped, 0), {4, 0}, nil} {
			if pub, err := parse25519(k, point); err == nil {
				t.Errorf("%X: got %v, want an error", point, pub)
			}
		}
	}
}

func TestKey_agreementByAKeyThatWantsItsPINForEachUse(t *testing.T) {
	f := newFake(t)
	f.mechanisms = append(f.mechanisms, uint(CKM_ECDH1_DERIVE))
	m, p := f.start(&PoolOptions{PIN: fakePIN, Patience: -1})
	defer m.Close()
	defer p.Close()
	k := fakeKey(t, p)
	k.always = true
	peer, err := ecdh.P256().GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.ECDH(t.Context(), peer.PublicKey())
	if !errors.Is(err, ErrUnsupported) || !errors.Is(err, CKR_USER_NOT_LOGGED_IN) || !strings.Contains(err.Error(), "PIN for each use") {
		t.Errorf("got %v", err)
	}
	if f.logins != 1 {
		t.Errorf("%d logins, want one", f.logins)
	}
}
