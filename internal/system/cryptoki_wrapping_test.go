//go:build cgo

package system_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/cardoki/cardoki/cryptoki"
)

// A wrappedForm is a key in a form that a module may give it.
type wrappedForm struct {
	words   string
	wrapped []byte
}

func wrapRows() []tokenRow {
	const section = "Wrap and unwrap"
	var rows []tokenRow
	row := func(name string, m cryptoki.MechanismType, try func(x *tokenTrial) error) {
		rows = append(rows, tokenRow{section, name, m, try})
	}
	key := []byte("the key that is wrapped, 40 bytes long..")
	symmetric := func(m cryptoki.Mechanism, key []byte, forms ...wrappedForm) {
		row(fmt.Sprintf("%v, a secret of %d bytes", m.Type(), len(key)), m.Type(), func(x *tokenTrial) error {
			by, err := x.secret(cryptoki.CKK_AES, aesTestValue)
			if err != nil {
				return err
			}
			secret, err := x.secret(cryptoki.CKK_GENERIC_SECRET, key)
			if err != nil {
				return err
			}
			wrapped, err := x.s.WrapKey(x.ctx, m, by, secret, 100)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(forms, func(f wrappedForm) bool { return bytes.Equal(f.wrapped, wrapped) })
			if i < 0 {
				return wrong("another form than that of the standard")
			}
			if forms[i].words == "with zeros" { // and they stay
				return wrong("it comes back with zeros at its end")
			}
			x.note = forms[i].words
			again, err := x.s.UnwrapKey(x.ctx, m, by, wrapped, readable(0))
			if err != nil {
				return err
			}
			return x.has(again, key)
		})
	}
	symmetric(cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP), key, wrappedForm{"", keyWrap(aesTestValue, key, false)})
	symmetric(cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP_KWP), key[:37], wrappedForm{"", keyWrap(aesTestValue, key[:37], true)})
	// PKCS#11 2.40 pads as PKCS #7 does; others took it for RFC 5649.
	zeros, filled := append(bytes.Clone(key[:37]), 0, 0, 0), append(bytes.Clone(key[:37]), 3, 3, 3)
	pads := []wrappedForm{{"as RFC 5649 pads", keyWrap(aesTestValue, key[:37], true)}, {"as PKCS #7 pads", keyWrap(aesTestValue, filled, false)}, {"with zeros", keyWrap(aesTestValue, zeros, true)}}
	symmetric(cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP_PAD), key[:37], pads...)
	symmetric(cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP_PAD), key, wrappedForm{"as RFC 5649 pads", keyWrap(aesTestValue, key, true)},
		wrappedForm{"as PKCS #7 pads", keyWrap(aesTestValue, append(bytes.Clone(key), 8, 8, 8, 8, 8, 8, 8, 8), false)})
	block, err := aes.NewCipher(aesTestValue)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	symmetric(cryptoki.GCM(testMessage[:12], nil, 16), key, wrappedForm{"", gcm.Seal(nil, testMessage[:12], key, nil)})
	for _, m := range []cryptoki.MechanismType{cryptoki.CKM_AES_KEY_WRAP_KWP, cryptoki.CKM_AES_KEY_WRAP_PAD} {
		row(m.String()+", a private EC key", m, func(x *tokenTrial) error {
			by, err := x.secret(cryptoki.CKK_AES, aesTestValue)
			if err != nil {
				return err
			}
			own := ecTestKey(elliptic.P256())
			o := &cryptoki.KeyPairOptions{SessionOnly: true, ID: []byte("wrapped"), Private: cryptoki.Attributes{cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, true)}}
			_, priv, err := x.s.ImportKey(x.ctx, own, o)
			if err != nil {
				return err
			}
			if _, err := x.s.WrapKey(x.ctx, cryptoki.Plain(m), by, priv, 400); err != nil {
				return err
			}
			der, err := x509.MarshalPKCS8PrivateKey(own)
			if err != nil {
				return err
			}
			o = &cryptoki.KeyPairOptions{Curve: elliptic.P256(), SessionOnly: true, ID: []byte("wrapped")}
			again, err := x.s.UnwrapPrivateKey(x.ctx, cryptoki.Plain(m), by, keyWrap(aesTestValue, der, true), o)
			if err != nil {
				return err
			}
			return x.signs(cryptoki.Plain(cryptoki.CKM_ECDSA), again, digest256(testMessage), func(sig []byte) bool { return verifyRaw(&own.PublicKey, digest256(testMessage), sig) })
		})
	}
	for _, i := range []int{0, 2} {
		h := &tokenHashes[i]
		m := cryptoki.OAEP(h.digest, h.mgf, nil)
		row(fmt.Sprintf("CKM_RSA_PKCS_OAEP, %v, a secret of 40 bytes", h.hash), m.Type(), func(x *tokenTrial) error {
			pub, priv, public, err := x.pair(rsaTestKey())
			if err != nil {
				return err
			}
			secret, err := x.secret(cryptoki.CKK_GENERIC_SECRET, key)
			if err != nil {
				return err
			}
			wrapped, err := x.s.WrapKey(x.ctx, m, pub, secret, public.(*rsa.PublicKey).Size())
			if err != nil {
				return err
			}
			if got, err := rsa.DecryptOAEP(h.new(), nil, rsaTestKey(), wrapped, nil); err != nil || !bytes.Equal(got, key) {
				return wrong("Go does not open it: %v", err)
			}
			again, err := x.s.UnwrapKey(x.ctx, m, priv, wrapped, readable(0))
			if err != nil {
				return err
			}
			return x.has(again, key)
		})
		both := cryptoki.RSAAESWrap(256, h.digest, h.mgf, nil)
		row(fmt.Sprintf("CKM_RSA_AES_KEY_WRAP, %v, a secret of 40 bytes", h.hash), both.Type(), func(x *tokenTrial) error {
			pub, priv, public, err := x.pair(rsaTestKey())
			if err != nil {
				return err
			}
			secret, err := x.secret(cryptoki.CKK_GENERIC_SECRET, key)
			if err != nil {
				return err
			}
			wrapped, err := x.s.WrapKey(x.ctx, both, pub, secret, 1000)
			if err != nil {
				return err
			}
			n := public.(*rsa.PublicKey).Size()
			aesKey, err := rsa.DecryptOAEP(h.new(), nil, rsaTestKey(), wrapped[:min(n, len(wrapped))], nil)
			if err != nil || !bytes.Equal(wrapped[n:], keyWrap(aesKey, key, true)) {
				return wrong("Go does not open it: %v", err)
			}
			again, err := x.s.UnwrapKey(x.ctx, both, priv, wrapped, readable(0))
			if err != nil {
				return err
			}
			return x.has(again, key)
		})
	}
	return rows
}
