package cryptokitest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
)

// An Attribute is a type, such as CKA_LABEL, with a value in the form of PKCS#11.
type Attribute struct {
	Type  uint
	Value []byte
}

// An Object is an object that is in the token from the start.
type Object []Attribute

// A Key is an EC key pair that is in the token from the start. Its signatures are right, and made with
// one random number for ever, from which anyone can reckon the key: it is for tests only.
type Key struct {
	Label   string
	ID      []byte
	Private *ecdsa.PrivateKey // on P-224, P-256, P-384 or P-521

	NoPublic           bool // there is no public key object
	PublicOnly         bool // objects are seen without a login (CKA_PRIVATE is false)
	AlwaysAuthenticate bool // each signature wants a login of its own
	Extra              Object
}

// The numbers that are needed here.
const (
	ckaClass, ckaToken, ckaPrivate, ckaLabel              = 0x0, 0x1, 0x2, 0x3
	ckaKeyType, ckaID, ckaSensitive, ckaSign, ckaVerify   = 0x100, 0x102, 0x103, 0x108, 0x10A
	ckaExtractable, ckaECParams, ckaECPoint, ckaAlwaysAut = 0x162, 0x180, 0x181, 0x202
	ckaOrder, ckaR, ckaKInv, ckaRD                        = 0x80C0FFE0, 0x80C0FFE1, 0x80C0FFE2, 0x80C0FFE3
	ckoPublicKey, ckoPrivateKey, ckkEC                    = 2, 3, 3
	randomNumbers, loginRequired, protectedPath           = 0x1, 0x4, 0x100
	initialisedToken                                      = 0x40D // with login and the user's PIN
)

// Ulong returns an attribute with a number, CK_ULONG.
func Ulong(typ, x uint) Attribute {
	return Attribute{typ, binary.NativeEndian.AppendUint64(nil, uint64(x))}
}

// Bool returns an attribute with a truth value, CK_BBOOL.
func Bool(typ uint, x bool) Attribute {
	if x {
		return Attribute{typ, []byte{1}}
	}
	return Attribute{typ, []byte{0}}
}

var curves = map[elliptic.Curve]asn1.ObjectIdentifier{
	elliptic.P224(): {1, 3, 132, 0, 33},
	elliptic.P256(): {1, 2, 840, 10045, 3, 1, 7},
	elliptic.P384(): {1, 3, 132, 0, 34},
	elliptic.P521(): {1, 3, 132, 0, 35},
}

// objects returns the two objects of the pair. The private one has what the module
// needs for s = k^-1 (z + r d) modulo the order: r, k^-1 and r d.
func (k *Key) objects() (public, private Object, err error) {
	if k.Private == nil {
		return nil, nil, errors.New("cryptokitest: a Key without a private key")
	}
	oid, known := curves[k.Private.Curve]
	if !known {
		return nil, nil, errors.New("cryptokitest: a Key on a curve that is not known here")
	}
	params, err := asn1.Marshal(oid)
	if err != nil {
		return nil, nil, err
	}
	raw, err := k.Private.PublicKey.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("cryptokitest: %w", err)
	}
	point, err := asn1.Marshal(raw)
	if err != nil {
		return nil, nil, err
	}
	secret, err := k.Private.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("cryptokitest: %w", err)
	}
	// The random number is the key of k = 2^200 + 1: r is the x coordinate of its public key.
	order := k.Private.Params().N
	n := (order.BitLen() + 7) / 8
	number := new(big.Int).SetBit(big.NewInt(1), 200, 1)
	nonce, err := ecdsa.ParseRawPrivateKey(k.Private.Curve, number.FillBytes(make([]byte, n)))
	if err != nil {
		return nil, nil, fmt.Errorf("cryptokitest: %w", err)
	}
	at, err := nonce.PublicKey.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("cryptokitest: %w", err)
	}
	r := new(big.Int).SetBytes(at[1 : 1+(len(at)-1)/2])
	r.Mod(r, order)
	rd := new(big.Int).Mul(r, new(big.Int).SetBytes(secret))
	rd.Mod(rd, order)
	inverse := new(big.Int).ModInverse(number, order)
	bytes := func(typ uint, x *big.Int) Attribute { return Attribute{typ, x.FillBytes(make([]byte, n))} }

	common := Object{Bool(ckaToken, true), {ckaLabel, []byte(k.Label)}, {ckaID, k.ID}, Ulong(ckaKeyType, ckkEC), {ckaECParams, params}}
	public = append(Object{Ulong(ckaClass, ckoPublicKey), Bool(ckaPrivate, false), Bool(ckaVerify, true), {ckaECPoint, point}}, common...)
	private = append(Object{
		Ulong(ckaClass, ckoPrivateKey), Bool(ckaPrivate, !k.PublicOnly), Bool(ckaSign, true), Bool(ckaSensitive, true), Bool(ckaExtractable, false),
		Bool(ckaAlwaysAut, k.AlwaysAuthenticate), bytes(ckaOrder, order), bytes(ckaR, r), bytes(ckaKInv, inverse), bytes(ckaRD, rd),
	}, common...)
	return public, append(private, k.Extra...), nil
}
