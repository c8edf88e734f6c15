//go:build cgo

package system_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"errors"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/ck"
)

// oddRows are calls with parameters that are not what they must be. Whatever comes of it, it is no
// panic.
func oddRows() []tokenRow {
	const section = "Odd parameters"
	row := func(name string, try func(x *tokenTrial) error) tokenRow {
		return tokenRow{section, name, unlisted, try}
	}
	encrypt := func(name string, m cryptoki.Mechanism) tokenRow {
		return row("encrypt: "+name, func(x *tokenTrial) error {
			key, err := x.secret(cryptoki.CKK_AES, aesTestValue)
			if err != nil {
				return err
			}
			_, err = x.s.AppendEncrypt(x.ctx, nil, m, key, testMessage[:32], 64)
			return err
		})
	}
	sign := func(name string, key crypto.PrivateKey, m cryptoki.Mechanism) tokenRow {
		return row("sign: "+name, func(x *tokenTrial) error {
			_, priv, _, err := x.pair(key)
			if err != nil {
				return err
			}
			_, err = x.s.AppendSign(x.ctx, nil, m, priv, digest256(testMessage), 256)
			return err
		})
	}
	derive := func(name string, m cryptoki.Mechanism) tokenRow {
		return row("derive: "+name, func(x *tokenTrial) error {
			_, priv, _, err := x.pair(ecTestKey(elliptic.P256()))
			if err != nil {
				return err
			}
			_, err = x.s.DeriveKey(x.ctx, m, priv, readable(32))
			return err
		})
	}
	return []tokenRow{
		encrypt("CKM_AES_CBC_PAD without an IV", cryptoki.Plain(cryptoki.CKM_AES_CBC_PAD)),
		encrypt("CKM_AES_CBC_PAD with an IV of 3 bytes", cryptoki.Parameter(cryptoki.CKM_AES_CBC_PAD, []byte("abc"))),
		encrypt("CKM_AES_GCM without a parameter", cryptoki.Plain(cryptoki.CKM_AES_GCM)),
		encrypt("CKM_AES_GCM with a parameter of 3 bytes", cryptoki.Parameter(cryptoki.CKM_AES_GCM, []byte("abc"))),
		encrypt("CKM_AES_GCM without a nonce", cryptoki.GCM(nil, nil, 16)),
		encrypt("CKM_AES_GCM with a tag of 99 bytes", cryptoki.GCM(testMessage[:12], nil, 99)),
		encrypt("CKM_AES_CTR with a counter of no bits", cryptoki.CTR(0, [16]byte{})),
		encrypt("CKM_AES_CTR with a counter of 999 bits", cryptoki.CTR(999, [16]byte{})),
		sign("CKM_RSA_PKCS_PSS without a parameter", rsaTestKey(), cryptoki.Plain(cryptoki.CKM_RSA_PKCS_PSS)),
		sign("CKM_RSA_PKCS_PSS with a salt of 9,999 bytes", rsaTestKey(), cryptoki.PSS(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 9999)),
		sign("CKM_RSA_PKCS_PSS with hash 0", rsaTestKey(), cryptoki.PSS(0, 0, 0)),
		sign("CKM_ECDSA with the parameter of another", ecTestKey(elliptic.P256()), cryptoki.PSS(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 32).WithType(cryptoki.CKM_ECDSA)),
		row("decrypt: CKM_RSA_PKCS_OAEP without a parameter", func(x *tokenTrial) error {
			_, priv, public, err := x.pair(rsaTestKey())
			if err != nil {
				return err
			}
			n := public.(*rsa.PublicKey).Size()
			_, err = x.s.AppendDecrypt(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_RSA_PKCS_OAEP), priv, make([]byte, n), n)
			return err
		}),
		row("decrypt: nothing at all", func(x *tokenTrial) error {
			_, priv, _, err := x.pair(rsaTestKey())
			if err != nil {
				return err
			}
			_, err = x.s.AppendDecrypt(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_RSA_PKCS), priv, nil, 0)
			return err
		}),
		derive("CKM_ECDH1_DERIVE without a parameter", cryptoki.Plain(cryptoki.CKM_ECDH1_DERIVE)),
		derive("CKM_ECDH1_DERIVE without a public key", cryptoki.ECDH1(cryptoki.CKM_ECDH1_DERIVE, uint(cryptoki.CKD_NULL), nil, nil)),
		derive("CKM_ECDH1_DERIVE with half a public key", cryptoki.ECDH1(cryptoki.CKM_ECDH1_DERIVE, uint(cryptoki.CKD_NULL), make([]byte, 33), nil)),
		derive("CKM_HKDF_DERIVE without a parameter", cryptoki.Plain(cryptoki.CKM_HKDF_DERIVE)),
		row("derive: CKM_PKCS5_PBKD2 without a parameter", func(x *tokenTrial) error {
			_, err := x.s.DeriveKey(x.ctx, cryptoki.Plain(cryptoki.CKM_PKCS5_PBKD2), cryptoki.Object{}, readable(32))
			return err
		}),
		row("unwrap: nothing at all", func(x *tokenTrial) error {
			by, err := x.secret(cryptoki.CKK_AES, aesTestValue)
			if err != nil {
				return err
			}
			_, err = x.s.UnwrapKey(x.ctx, cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP), by, nil, readable(0))
			return err
		}),
		row("generate: an AES key of 5 bytes", func(x *tokenTrial) error {
			_, err := x.s.GenerateSecretKey(x.ctx, &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, Size: 5, SessionOnly: true})
			return err
		}),
		row("create: a class of one byte", func(x *tokenTrial) error {
			_, err := x.s.CreateObject(x.ctx, cryptoki.Attributes{cryptoki.Bytes(cryptoki.CKA_CLASS, []byte{4}), cryptoki.Bytes(cryptoki.CKA_VALUE, aesTestValue)})
			return err
		}),
		row("create: no attributes", func(x *tokenTrial) error {
			_, err := x.s.CreateObject(x.ctx, nil)
			return err
		}),
		row("find: a class of one byte", func(x *tokenTrial) error {
			_, err := x.s.FindObjects(x.ctx, cryptoki.Attributes{cryptoki.Bytes(cryptoki.CKA_CLASS, []byte{4})})
			return err
		}),
		row("find: an empty class", func(x *tokenTrial) error {
			_, err := x.s.FindObjects(x.ctx, cryptoki.Attributes{cryptoki.Bytes(cryptoki.CKA_CLASS, nil)})
			return err
		}),
		row("C_GetAttributeValue: a buffer that is too short", func(x *tokenTrial) error { return x.overruns() }),
		row("C_SetAttributeValue: no attributes", func(x *tokenTrial) error {
			o, err := x.data("object", nil)
			if err != nil {
				return err
			}
			return x.s.SetAttributes(x.ctx, o, nil)
		}),
		row("C_SeedRandom: no seed", func(x *tokenTrial) error { return x.s.SeedRandom(x.ctx, nil) }),
		row("C_GenerateRandom: no bytes", func(x *tokenTrial) error { return x.s.Random(x.ctx, nil) }),
		row("digest: no data", func(x *tokenTrial) error {
			got, err := x.s.AppendDigest(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_SHA256), nil, 32)
			if want := sha256.Sum256(nil); err == nil && !bytes.Equal(got, want[:]) {
				return wrong("another digest")
			}
			return err
		}),
		row("what never comes to the module: no attributes asked for, a key of another session, 65 attributes", func(x *tokenTrial) error {
			o, err := x.data("object", nil)
			if err != nil {
				return err
			}
			if _, err := x.s.Attributes(x.ctx, o); err == nil {
				return wrong("no attributes")
			}
			if _, err := x.s.AppendSign(x.ctx, nil, cryptoki.Mechanism{}, cryptoki.Object{}, nil, 0); !errors.Is(err, cryptoki.ErrStale) {
				return wrong("the zero Object: %v", err)
			}
			if _, err := x.s.CreateObject(x.ctx, make(cryptoki.Attributes, 65)); err == nil {
				return wrong("65 attributes")
			}
			return nil
		}),
	}
}

// overruns asks for a value with too little room. What is behind that room, in the same buffer, is
// that of an attribute that the object does not have.
func (x *tokenTrial) overruns() error {
	fl, session, err := x.module()
	if err != nil {
		return err
	}
	defer fl.CloseSession(session)
	var a ck.Template
	a.AddBytes(uint(cryptoki.CKA_CLASS), ck.AppendUlong(nil, uint(cryptoki.CKO_DATA)))
	a.AddBytes(uint(cryptoki.CKA_VALUE), bytes.Repeat([]byte{7}, 1000))
	r := fl.CreateObject(session, &a)
	if r.RV != 0 {
		return &cryptoki.Error{Function: r.Step.String(), RV: cryptoki.RV(r.RV)}
	}
	a.Reset()
	a.Ask(uint(cryptoki.CKA_MODULUS), 2000)
	first, _ := a.Value(0) // as long as the room for it
	a.Reset()
	a.Ask(uint(cryptoki.CKA_VALUE), 16)
	a.Ask(uint(cryptoki.CKA_MODULUS), 1900)
	rv := fl.GetAttributeValue(session, r.N, &a)
	if bytes.Contains(first, []byte{7}) && !bytes.Equal(first[16:1000], make([]byte, 984)) {
		return wrong("it writes past the end")
	}
	if rv != 0 {
		return &cryptoki.Error{Function: "C_GetAttributeValue", RV: cryptoki.RV(rv)}
	}
	return errors.New("nothing: it succeeds")
}
