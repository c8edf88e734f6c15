//go:build cgo

package system_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/ck"
)

// failureRows are what must fail: the cell is how.
func failureRows() []tokenRow {
	const section = "How failures look"
	row := func(name string, try func(x *tokenTrial) error) tokenRow {
		return tokenRow{section, name, unlisted, func(x *tokenTrial) error {
			if err := try(x); err != nil {
				return err
			}
			return errors.New("nothing: it succeeds")
		}}
	}
	sign := func(x *tokenTrial, key cryptoki.Object) error {
		_, err := x.s.AppendSign(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_ECDSA), key, digest256(testMessage), 96)
		return err
	}
	return []tokenRow{
		row("sign with a key that lasts, after C_Logout", func(x *tokenTrial) error {
			o := &cryptoki.KeyPairOptions{Label: "lasting", ID: []byte("lasting")}
			_, priv, err := x.s.ImportKey(x.ctx, rsaTestKey(), o)
			if err == nil {
				defer x.destroy(o.ID)
			} else if _, priv, _, err = x.pair(rsaTestKey()); err != nil || len(x.setup.keys) == 0 {
				return err
			}
			sign := func() error {
				_, err := x.s.AppendSign(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_RSA_PKCS), priv, digestInfo256(testMessage), 256)
				return err
			}
			if err := sign(); err != nil {
				return err
			}
			if err := x.s.Logout(x.ctx); err != nil {
				return err
			}
			return errors.Join(sign(), x.login())
		}),
		row("sign, with a key that was destroyed", func(x *tokenTrial) error {
			_, priv, err := x.s.ImportKey(x.ctx, ecTestKey(elliptic.P384()), &cryptoki.KeyPairOptions{SessionOnly: true, ID: []byte("doomed")})
			if err != nil {
				return err
			}
			if err := x.s.DestroyObject(x.ctx, priv); err != nil {
				return err
			}
			return sign(x, priv)
		}),
		row("sign, with a mechanism that there is not", func(x *tokenTrial) error {
			_, priv, _, err := x.pair(ecTestKey(elliptic.P384()))
			if err != nil {
				return err
			}
			_, err = x.s.AppendSign(x.ctx, nil, cryptoki.Plain(0x8FFF1234), priv, digest256(testMessage), 96)
			return err
		}),
		row("sign, with a key of the wrong type", func(x *tokenTrial) error {
			_, priv, _, err := x.pair(ecTestKey(elliptic.P384()))
			if err != nil {
				return err
			}
			_, err = x.s.AppendSign(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_RSA_PKCS), priv, digest256(testMessage), 512)
			return err
		}),
		row("sign, with a key that may not (CKA_SIGN)", func(x *tokenTrial) error {
			o := &cryptoki.KeyPairOptions{SessionOnly: true, ID: []byte("no"), Private: cryptoki.Attributes{cryptoki.Bool(cryptoki.CKA_SIGN, false)}}
			_, priv, err := x.s.ImportKey(x.ctx, ecTestKey(elliptic.P384()), o)
			if err != nil {
				return err
			}
			return sign(x, priv)
		}),
		row("sign, into a buffer that is too small", func(x *tokenTrial) error {
			_, priv, _, err := x.pair(ecTestKey(elliptic.P384()))
			if err != nil {
				return err
			}
			_, err = x.s.AppendSign(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_ECDSA), priv, digest256(testMessage), 95)
			return err
		}),
		row("decrypt what is no ciphertext, RSA PKCS #1 v1.5", func(x *tokenTrial) error {
			return x.opens(cryptoki.Plain(cryptoki.CKM_RSA_PKCS))
		}),
		row("decrypt what is no ciphertext, RSA-OAEP", func(x *tokenTrial) error {
			return x.opens(cryptoki.OAEP(cryptoki.CKM_SHA_1, cryptoki.CKG_MGF1_SHA1, nil))
		}),
		row("decrypt what is no ciphertext, CKM_AES_CBC_PAD", func(x *tokenTrial) error {
			key, err := x.secret(cryptoki.CKK_AES, aesTestValue)
			if err != nil {
				return err
			}
			_, err = x.s.AppendDecrypt(x.ctx, nil, cryptoki.Parameter(cryptoki.CKM_AES_CBC_PAD, make([]byte, 16)), key, make([]byte, 32), 32)
			return err
		}),
		row("agree with a point that is not on the curve", func(x *tokenTrial) error {
			_, priv, _, err := x.pair(ecTestKey(elliptic.P256()))
			if err != nil {
				return err
			}
			point := append([]byte{4}, bytes.Repeat([]byte{7}, 64)...)
			_, err = x.s.DeriveKey(x.ctx, cryptoki.ECDH1(cryptoki.CKM_ECDH1_DERIVE, uint(cryptoki.CKD_NULL), point, nil), priv, readable(32))
			return err
		}),
		row("unwrap what is not wrapped, CKM_AES_KEY_WRAP", func(x *tokenTrial) error {
			key, err := x.secret(cryptoki.CKK_AES, aesTestValue)
			if err != nil {
				return err
			}
			_, err = x.s.UnwrapKey(x.ctx, cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP), key, make([]byte, 40), readable(0))
			return err
		}),
		row("Session.WrapKey, with a key that never leaves (CKA_EXTRACTABLE)", func(x *tokenTrial) error {
			return x.leaves(cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, false))
		}),
		row("C_WrapKey, with a key that never leaves", func(x *tokenTrial) error { return x.leavesModule(cryptoki.CKA_EXTRACTABLE, 0) }),
		row("Session.WrapKey, with a key that leaves under trusted keys only", func(x *tokenTrial) error {
			return x.leaves(cryptoki.Bool(cryptoki.CKA_WRAP_WITH_TRUSTED, true))
		}),
		row("C_WrapKey, with a key that leaves under trusted keys only", func(x *tokenTrial) error { return x.leavesModule(cryptoki.CKA_WRAP_WITH_TRUSTED, 1) }),
		row("make a key extractable", func(x *tokenTrial) error {
			key, err := x.secret(cryptoki.CKK_AES, aesTestValue, cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, false))
			if err != nil {
				return err
			}
			return x.s.SetAttributes(x.ctx, key, cryptoki.Attributes{cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, true)})
		}),
		row("create a key without its value", func(x *tokenTrial) error {
			_, err := x.s.CreateObject(x.ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES), cryptoki.Bool(cryptoki.CKA_TOKEN, false)})
			return err
		}),
		row("create an object that lasts, in a read-only session", func(x *tokenTrial) error {
			s, err := x.slot.OpenSession(x.ctx, false)
			if err != nil {
				return err
			}
			defer s.Close()
			o, err := s.CreateObject(x.ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.Bool(cryptoki.CKA_TOKEN, true), cryptoki.String(cryptoki.CKA_LABEL, "lasting")})
			if err == nil {
				return s.DestroyObject(x.ctx, o)
			}
			return err
		}),
		row("C_SetPIN, to a PIN of one byte", func(x *tokenTrial) error {
			change := func(old, new []byte) error {
				return x.s.SetPIN(x.ctx, givePINs(old, new))
			}
			if err := change(x.setup.pin, []byte("1")); err != nil {
				return err
			}
			return change([]byte("1"), x.setup.pin)
		}),
		row("verify a signature of the wrong length", func(x *tokenTrial) error {
			pub, _, _, err := x.pair(ecTestKey(elliptic.P384()))
			if err != nil {
				return err
			}
			// Session.Verify tells it as a wrong signature, VerifyWriter is not for CKM_ECDSA.
			err = x.s.Verify(x.ctx, cryptoki.Plain(cryptoki.CKM_ECDSA), pub, digest256(testMessage), make([]byte, 95))
			if errors.Is(err, cryptoki.ErrSignature) {
				return errors.New("ErrSignature")
			}
			return err
		}),
	}
}

// opens decrypts a random number.
func (x *tokenTrial) opens(m cryptoki.Mechanism) error {
	_, priv, public, err := x.pair(rsaTestKey())
	if err != nil {
		return err
	}
	key := public.(*rsa.PublicKey)
	n, err := rand.Int(rand.Reader, key.N)
	if err != nil {
		return err
	}
	_, err = x.s.AppendDecrypt(x.ctx, nil, m, priv, n.FillBytes(make([]byte, key.Size())), key.Size())
	return err
}

// leaves wraps a key with one more attribute.
func (x *tokenTrial) leaves(a cryptoki.Attribute) error {
	by, err := x.secret(cryptoki.CKK_AES, aesTestValue)
	if err != nil {
		return err
	}
	key, err := x.secret(cryptoki.CKK_AES, aesTestValue, cryptoki.Bool(cryptoki.CKA_SENSITIVE, true), a)
	if err != nil {
		return err
	}
	_, err = x.s.WrapKey(x.ctx, cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP), by, key, 40)
	return err
}

// leavesModule is leaves without package cryptoki, which refuses it before the module can.
func (x *tokenTrial) leavesModule(t cryptoki.AttributeType, value byte) error {
	fl, session, err := x.module()
	if err != nil {
		return err
	}
	defer fl.CloseSession(session)
	var keys [2]uint
	for i := range keys {
		var a ck.Template
		a.AddBytes(uint(cryptoki.CKA_CLASS), ck.AppendUlong(nil, uint(cryptoki.CKO_SECRET_KEY)))
		a.AddBytes(uint(cryptoki.CKA_KEY_TYPE), ck.AppendUlong(nil, uint(cryptoki.CKK_AES)))
		a.AddBytes(uint(cryptoki.CKA_VALUE), aesTestValue)
		a.AddBytes(uint(cryptoki.CKA_VALUE_LEN), ck.AppendUlong(nil, uint(len(aesTestValue))))
		if i == 0 {
			a.AddBytes(uint(cryptoki.CKA_WRAP), []byte{1})
		} else {
			a.AddBytes(uint(t), []byte{value})
		}
		r := fl.CreateObject(session, &a)
		if r.RV != 0 {
			return &cryptoki.Error{Function: r.Step.String(), RV: cryptoki.RV(r.RV)}
		}
		keys[i] = r.N
	}
	r := fl.WrapKey(session, &ck.Mechanism{Type: uint(cryptoki.CKM_AES_KEY_WRAP)}, keys[0], keys[1], make([]byte, 100))
	if r.RV != 0 {
		return &cryptoki.Error{Function: r.Step.String(), RV: cryptoki.RV(r.RV)}
	}
	return nil
}

// lastRows end the token.
func lastRows() []tokenRow {
	return []tokenRow{{"Module, slots, token, login", tokenReset, unlisted, func(x *tokenTrial) error {
		if err := x.slot.InitToken(x.ctx, "made new", cryptoki.FixedPIN(x.setup.soPIN)); err != nil {
			return err
		}
		i, err := x.slot.Token()
		if err != nil {
			return err
		}
		if i.Label != "made new" {
			return fmt.Errorf("the label is still %q", i.Label)
		}
		return nil
	}}}
}
