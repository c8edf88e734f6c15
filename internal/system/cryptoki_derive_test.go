//go:build cgo

package system_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/ck"
)

func deriveRows() []tokenRow {
	const section = "Derive, encapsulate"
	var rows []tokenRow
	row := func(name string, m cryptoki.MechanismType, try func(x *tokenTrial) error) {
		rows = append(rows, tokenRow{section, name, m, try})
	}
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		row("CKM_ECDH1_DERIVE, "+c.Params().Name, cryptoki.CKM_ECDH1_DERIVE, func(x *tokenTrial) error { return x.agreesOn(c, cryptoki.CKM_ECDH1_DERIVE) })
	}
	row("CKM_ECDH1_COFACTOR_DERIVE, P-256", cryptoki.CKM_ECDH1_COFACTOR_DERIVE, func(x *tokenTrial) error { return x.agreesOn(elliptic.P256(), cryptoki.CKM_ECDH1_COFACTOR_DERIVE) })
	row("CKM_ECDH1_DERIVE, P-256, CKD_SHA256_KDF", cryptoki.CKM_ECDH1_DERIVE, func(x *tokenTrial) error {
		_, priv, public, err := x.pair(ecTestKey(elliptic.P256()))
		if err != nil {
			return err
		}
		peer, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		own, err := public.(*ecdsa.PublicKey).ECDH()
		if err != nil {
			return err
		}
		secret, err := peer.ECDH(own)
		if err != nil {
			return err
		}
		key, err := x.s.DeriveKey(x.ctx, cryptoki.ECDH1(cryptoki.CKM_ECDH1_DERIVE, uint(cryptoki.CKD_SHA256_KDF), peer.PublicKey().Bytes(), []byte("shared")), priv, readable(32))
		if err != nil {
			return err
		}
		return x.has(key, digest256(append(append(secret, 0, 0, 0, 1), "shared"...))) // ANSI X9.63
	})
	row("CKM_ECDH1_DERIVE, X25519", cryptoki.CKM_ECDH1_DERIVE, func(x *tokenTrial) error {
		_, priv, public, err := x.pair(x25519TestKey())
		if err != nil {
			return err
		}
		return x.agreesWithX25519(priv, public.(*ecdh.PublicKey))
	})
	for _, i := range []int{2, 4} {
		h := &tokenHashes[i]
		for _, salt := range [][]byte{nil, []byte("salt")} {
			name := fmt.Sprintf("CKM_HKDF_DERIVE, %v", h.hash)
			if salt != nil {
				name += ", with a salt"
			}
			row(name, cryptoki.CKM_HKDF_DERIVE, func(x *tokenTrial) error {
				base, err := x.secret(cryptoki.CKK_GENERIC_SECRET, aesTestValue)
				if err != nil {
					return err
				}
				want, err := hkdf.Key(h.new, aesTestValue, salt, "info", 77)
				if err != nil {
					return err
				}
				key, err := x.s.DeriveKey(x.ctx, cryptoki.HKDF(h.digest, salt, []byte("info")), base, readable(77))
				if err != nil {
					return err
				}
				return x.has(key, want)
			})
		}
	}
	row("CKM_PKCS5_PBKD2, HMAC with SHA-256", cryptoki.CKM_PKCS5_PBKD2, func(x *tokenTrial) error {
		want, err := pbkdf2.Key(sha256.New, "password", []byte("salt"), 1000, 40)
		if err != nil {
			return err
		}
		key, err := x.s.DeriveKey(x.ctx, cryptoki.PBKDF2(cryptoki.CKP_PKCS5_PBKD2_HMAC_SHA256, []byte("password"), []byte("salt"), 1000), cryptoki.Object{}, readable(40))
		if err != nil {
			return err
		}
		return x.has(key, want)
	})
	row("parameter of CKM_PKCS5_PBKD2 with the password's length", unlisted, func(x *tokenTrial) error { return x.pbkdf2(ck.PBKDF2) })
	row("parameter of CKM_PKCS5_PBKD2 with a pointer to the password's length", unlisted, func(x *tokenTrial) error { return x.pbkdf2(ck.PBKDF2Pointer) })
	for _, bits := range []int{512, 768, 1024} {
		row(fmt.Sprintf("CKM_ML_KEM, ML-KEM-%d", bits), cryptoki.CKM_ML_KEM, func(x *tokenTrial) error { return x.encapsulates(bits) })
	}
	return rows
}

// pbkdf2 tries one form of the parameter. The wrong one ends some processes.
func (x *tokenTrial) pbkdf2(form ck.ParameterKind) error {
	fl, session, err := x.module()
	if err != nil {
		return err
	}
	defer fl.CloseSession(session)
	var a ck.Template
	a.AddBytes(uint(cryptoki.CKA_CLASS), ck.AppendUlong(nil, uint(cryptoki.CKO_SECRET_KEY)))
	a.AddBytes(uint(cryptoki.CKA_KEY_TYPE), ck.AppendUlong(nil, uint(cryptoki.CKK_GENERIC_SECRET)))
	a.AddBytes(uint(cryptoki.CKA_VALUE_LEN), ck.AppendUlong(nil, 32))
	a.AddBytes(uint(cryptoki.CKA_SENSITIVE), []byte{0})
	a.AddBytes(uint(cryptoki.CKA_EXTRACTABLE), []byte{1})
	r := fl.GenerateKey(session, &ck.Mechanism{
		Type: uint(cryptoki.CKM_PKCS5_PBKD2), Kind: form, A: 1000, B: cryptoki.CKP_PKCS5_PBKD2_HMAC_SHA256, C: uint(cryptoki.CKZ_SALT_SPECIFIED), Data: []byte("salt"), Data2: []byte("password"),
	}, &a)
	if r.RV != 0 {
		return &cryptoki.Error{Function: r.Step.String(), RV: cryptoki.RV(r.RV)}
	}
	want, err := pbkdf2.Key(sha256.New, "password", []byte("salt"), 1000, 32)
	if err != nil {
		return err
	}
	a.Reset()
	a.Ask(uint(cryptoki.CKA_VALUE), 32)
	if rv := fl.GetAttributeValue(session, r.N, &a); rv != 0 {
		return &cryptoki.Error{Function: "C_GetAttributeValue", RV: cryptoki.RV(rv)}
	}
	if got, _ := a.Value(0); !bytes.Equal(got, want) {
		return wrong("another key")
	}
	return nil
}

// agrees derives the secret shared with a point.
func (x *tokenTrial) agrees(priv cryptoki.Object, m cryptoki.MechanismType, point, want []byte) error {
	key, err := x.s.DeriveKey(x.ctx, cryptoki.ECDH1(m, uint(cryptoki.CKD_NULL), point, nil), priv, readable(len(want)))
	if err != nil {
		return err
	}
	return x.has(key, want)
}

func (x *tokenTrial) agreesWithX25519(priv cryptoki.Object, public *ecdh.PublicKey) error {
	peer, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	want, err := peer.ECDH(public)
	if err != nil {
		return err
	}
	return x.agrees(priv, cryptoki.CKM_ECDH1_DERIVE, peer.PublicKey().Bytes(), want)
}

func (x *tokenTrial) agreesOn(c elliptic.Curve, m cryptoki.MechanismType) error {
	_, priv, public, err := x.pair(ecTestKey(c))
	if err != nil {
		return err
	}
	own, err := public.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		return err
	}
	peer, err := own.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	want, err := peer.ECDH(own)
	if err != nil {
		return err
	}
	return x.agrees(priv, m, peer.PublicKey().Bytes(), want)
}

// encapsulates lets Go open what the token encapsulates, and the other way round. For ML-KEM-512,
// which Go does not have, the token opens its own.
func (x *tokenTrial) encapsulates(bits int) error {
	pub, priv, err := x.s.GenerateKeyPair(x.ctx, &cryptoki.KeyPairOptions{MLKEM: bits, SessionOnly: true})
	if err != nil {
		return err
	}
	m := cryptoki.Plain(cryptoki.CKM_ML_KEM)
	key, sealed, err := x.s.Encapsulate(x.ctx, m, pub, readable(32), mlkem.CiphertextSize1024)
	if err != nil {
		return err
	}
	a, err := x.s.Attributes(x.ctx, key, cryptoki.CKA_VALUE)
	if err != nil {
		return err
	}
	secret, _ := a.Value(cryptoki.CKA_VALUE)
	again, err := x.s.Decapsulate(x.ctx, m, priv, sealed, readable(32))
	if err != nil {
		return err
	}
	if err := x.has(again, secret); err != nil {
		return err
	}
	a, err = x.s.Attributes(x.ctx, pub, cryptoki.CKA_VALUE)
	if err != nil {
		return err
	}
	value, _ := a.Value(cryptoki.CKA_VALUE)
	var to interface {
		Encapsulate() (shared, sealed []byte)
	}
	switch bits {
	case 512:
		return x.works("not compared with Go, which has it not")
	case 768:
		to, err = mlkem.NewEncapsulationKey768(value)
	case 1024:
		to, err = mlkem.NewEncapsulationKey1024(value)
	}
	if err != nil {
		return err
	}
	secret, sealed = to.Encapsulate()
	if again, err = x.s.Decapsulate(x.ctx, m, priv, sealed, readable(32)); err != nil {
		return err
	}
	return x.has(again, secret)
}
