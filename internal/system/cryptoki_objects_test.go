//go:build cgo

package system_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
)

func objectRows() []tokenRow {
	const section = "Objects"
	row := func(name string, try func(x *tokenTrial) error) tokenRow {
		return tokenRow{section, name, unlisted, try}
	}
	return []tokenRow{
		row("find a private key by class and id", func(x *tokenTrial) error {
			_, want, _, err := x.pair(rsaTestKey())
			if err != nil {
				return err
			}
			a, err := x.s.Attributes(x.ctx, want, cryptoki.CKA_ID)
			if err != nil {
				return err
			}
			id, _ := a.Value(cryptoki.CKA_ID)
			got, err := x.s.FindObjects(x.ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY), cryptoki.Bytes(cryptoki.CKA_ID, id)})
			if err == nil && !slices.Equal(got, []cryptoki.Object{want}) {
				return wrong("found %d", len(got))
			}
			return err
		}),
		row("create data and find it by label and class", func(x *tokenTrial) error {
			want, err := x.data("one", []byte("value"))
			if err != nil {
				return err
			}
			if _, err := x.data("two", []byte("value")); err != nil {
				return err
			}
			got, err := x.s.FindObjects(x.ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.String(cryptoki.CKA_LABEL, "one")})
			if err == nil && !slices.Equal(got, []cryptoki.Object{want}) {
				return wrong("found %d", len(got))
			}
			return err
		}),
		row("find nothing", func(x *tokenTrial) error {
			got, err := x.s.FindObjects(x.ctx, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "no such object")})
			if err == nil && len(got) != 0 {
				return wrong("found %d", len(got))
			}
			return err
		}),
		row("a certificate that lasts, by id", func(x *tokenTrial) error {
			key := ecTestKey(elliptic.P256())
			der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: bigOne}, &x509.Certificate{}, key.Public(), key)
			if err != nil {
				return err
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return err
			}
			o, err := x.s.PutCertificate(x.ctx, "certificate", []byte("certificate"), cert)
			if err != nil {
				if len(x.setup.keys) == 0 {
					return err
				}
				if certs, other := x.s.Certificates(x.ctx, x.setup.keys[0].query.ID); other != nil || len(certs) != 1 {
					return wrong("%d certificates of a key that has one, %v", len(certs), other)
				}
				return err
			}
			certs, err := x.s.Certificates(x.ctx, []byte("certificate"))
			if err == nil && (len(certs) != 1 || !certs[0].Equal(cert)) {
				return wrong("%d certificates", len(certs))
			}
			return errors.Join(err, x.s.DestroyObject(x.ctx, o))
		}),
		row("attributes: one, and several in one call", func(x *tokenTrial) error {
			_, priv, public, err := x.pair(rsaTestKey())
			if err != nil {
				return err
			}
			one, err := x.s.Attributes(x.ctx, priv, cryptoki.CKA_MODULUS)
			if err != nil {
				return err
			}
			many, err := x.s.Attributes(x.ctx, priv, cryptoki.CKA_CLASS, cryptoki.CKA_KEY_TYPE, cryptoki.CKA_PRIVATE, cryptoki.CKA_MODULUS, cryptoki.CKA_PUBLIC_EXPONENT)
			if err != nil {
				return err
			}
			class, _ := many.Ulong(cryptoki.CKA_CLASS)
			keyType, _ := many.Ulong(cryptoki.CKA_KEY_TYPE)
			private, _ := many.Bool(cryptoki.CKA_PRIVATE)
			modulus := public.(*rsa.PublicKey).N.Bytes()
			if got, _ := one.Value(cryptoki.CKA_MODULUS); !bytes.Equal(got, modulus) || !rsaPublic(many).Equal(public) ||
				cryptoki.ObjectClass(class) != cryptoki.CKO_PRIVATE_KEY || cryptoki.KeyType(keyType) != cryptoki.CKK_RSA || !private {
				return wrong("%d attributes of 5", len(many))
			}
			return nil
		}),
		row("attributes: one is sensitive, one is not there, the others come", func(x *tokenTrial) error {
			_, priv, _, err := x.pair(rsaTestKey())
			if err != nil {
				return err
			}
			a, missing, err := x.s.AttributesOrWhy(x.ctx, priv, cryptoki.CKA_MODULUS, cryptoki.CKA_PRIVATE_EXPONENT, cryptoki.CKA_EC_POINT)
			return x.told(a, missing, err, cryptoki.CKA_MODULUS, cryptoki.CKA_PRIVATE_EXPONENT, cryptoki.CKA_EC_POINT)
		}),
		row("the value of a sensitive secret key", func(x *tokenTrial) error {
			key, err := x.secret(cryptoki.CKK_AES, aesTestValue, cryptoki.Bool(cryptoki.CKA_SENSITIVE, true), cryptoki.Bool(cryptoki.CKA_PRIVATE, true), cryptoki.String(cryptoki.CKA_LABEL, "label"))
			if err != nil {
				return err
			}
			a, missing, err := x.s.AttributesOrWhy(x.ctx, key, cryptoki.CKA_LABEL, cryptoki.CKA_VALUE, cryptoki.CKA_EC_POINT)
			return x.told(a, missing, err, cryptoki.CKA_LABEL, cryptoki.CKA_VALUE, cryptoki.CKA_EC_POINT)
		}),
		row("a value of 100,000 bytes", func(x *tokenTrial) error {
			if x.setup.overruns != "" {
				return errors.New(x.setup.overruns)
			}
			value := bytes.Repeat([]byte("0123456789"), 10_000)
			o, err := x.data("large", value)
			if err != nil {
				return err
			}
			return x.has(o, value)
		}),
		row("a date of a private object", func(x *tokenTrial) error { return x.dates(true) }),
		row("a date of a public object", func(x *tokenTrial) error { return x.dates(false) }),
		row("C_SetAttributeValue", func(x *tokenTrial) error {
			o, err := x.data("old", []byte("value"), cryptoki.Bool(cryptoki.CKA_MODIFIABLE, true))
			if err != nil {
				return err
			}
			if err := x.s.SetAttributes(x.ctx, o, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "new")}); err != nil {
				return err
			}
			a, err := x.s.Attributes(x.ctx, o, cryptoki.CKA_LABEL)
			if err == nil && a.Text(cryptoki.CKA_LABEL) != "new" {
				return wrong("it is as it was")
			}
			return err
		}),
		row("C_CopyObject", func(x *tokenTrial) error {
			o, err := x.data("original", []byte("value"))
			if err != nil {
				return err
			}
			copied, err := x.s.CopyObject(x.ctx, o, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "copy")})
			if err != nil {
				return err
			}
			a, err := x.s.Attributes(x.ctx, copied, cryptoki.CKA_LABEL, cryptoki.CKA_VALUE)
			if err == nil && (a.Text(cryptoki.CKA_LABEL) != "copy" || a.Text(cryptoki.CKA_VALUE) != "value") {
				return wrong("the copy is another object")
			}
			return err
		}),
		row("C_DestroyObject", func(x *tokenTrial) error {
			o, err := x.data("doomed", []byte("value"))
			if err != nil {
				return err
			}
			if err := x.s.DestroyObject(x.ctx, o); err != nil {
				return err
			}
			if got, err := x.s.FindObjects(x.ctx, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "doomed")}); err != nil || len(got) != 0 {
				return wrong("it is still there")
			}
			return nil
		}),
		row("10,000 objects, each with class, label and value", func(x *tokenTrial) error {
			const n = 10_000
			for i := range n {
				if _, err := x.data("many", []byte{byte(i >> 8), byte(i)}); err != nil {
					return err
				}
			}
			seen := map[string]bool{}
			for e, err := range x.s.Objects(x.ctx, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "many")}, cryptoki.CKA_CLASS, cryptoki.CKA_LABEL, cryptoki.CKA_VALUE) {
				if err != nil {
					return err
				}
				seen[e.Attributes.Text(cryptoki.CKA_LABEL)+e.Attributes.Text(cryptoki.CKA_VALUE)] = true
			}
			if len(seen) != n {
				return wrong("%d objects", len(seen))
			}
			return nil
		}),
		row("an object that lasts, read in exact sizes", func(x *tokenTrial) error {
			pub, priv, err := x.s.ImportKey(x.ctx, rsaTestKey(), &cryptoki.KeyPairOptions{Label: "exact", ID: []byte("exact"), Decrypt: true})
			if err != nil {
				if len(x.setup.keys) == 0 {
					return err
				}
				if _, priv, _, err = x.pair(rsaTestKey()); err != nil {
					return err
				}
			} else {
				defer x.s.DestroyObject(x.ctx, priv)
				defer x.s.DestroyObject(x.ctx, pub)
			}
			a, err := x.s.Attributes(x.ctx, priv, cryptoki.CKA_CLASS, cryptoki.CKA_KEY_TYPE, cryptoki.CKA_TOKEN, cryptoki.CKA_SIGN, cryptoki.CKA_ID, cryptoki.CKA_LABEL)
			if err != nil {
				return err
			}
			class, classThere := a.Ulong(cryptoki.CKA_CLASS)
			_, typeThere := a.Ulong(cryptoki.CKA_KEY_TYPE)
			token, _ := a.Bool(cryptoki.CKA_TOKEN)
			if sign, _ := a.Bool(cryptoki.CKA_SIGN); !classThere || !typeThere || cryptoki.ObjectClass(class) != cryptoki.CKO_PRIVATE_KEY || !token || !sign || len(a) != 6 {
				return wrong("%d attributes of 6", len(a))
			}
			return nil
		}),
	}
}

// dates gives a key a date.
func (x *tokenTrial) dates(private bool) error {
	day := time.Date(2031, 2, 3, 0, 0, 0, 0, time.UTC)
	key, err := x.secret(cryptoki.CKK_AES, aesTestValue, cryptoki.Date(cryptoki.CKA_START_DATE, day), cryptoki.Bool(cryptoki.CKA_PRIVATE, private))
	if err != nil {
		return err
	}
	a, err := x.s.Attributes(x.ctx, key, cryptoki.CKA_START_DATE)
	if err != nil {
		return err
	}
	if got, ok := a.Date(cryptoki.CKA_START_DATE); !ok || !got.Equal(day) {
		return wrong("the date is gone")
	}
	return nil
}

// told checks that what is there came, and that what is missing is told apart.
func (x *tokenTrial) told(a cryptoki.Attributes, missing cryptoki.Missing, err error, there, sensitive, absent cryptoki.AttributeType) error {
	switch _, came := a.Value(there); {
	case err != nil:
		return err
	case !came:
		return wrong("%v is missing too", there)
	case missing[sensitive] == nil:
		return wrong("a sensitive value is given out")
	case missing[sensitive] != cryptoki.ErrSensitive:
		return wrong("a sensitive attribute: %v", missing[sensitive])
	case missing[absent] != cryptoki.ErrNoAttribute:
		return wrong("an attribute that is not there: %v", missing[absent])
	}
	return nil
}
