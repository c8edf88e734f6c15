//go:build cgo

package system_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rsa"
	"fmt"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/ck"
)

func keyRows() []tokenRow {
	pairRow := func(name string, mechanism cryptoki.MechanismType, o cryptoki.KeyPairOptions, check func(x *tokenTrial, pub, priv cryptoki.Object) error) tokenRow {
		return tokenRow{"Keys: generate", name, mechanism, func(x *tokenTrial) error {
			o.SessionOnly, o.Label, o.ID = true, name, []byte(name)
			pub, priv, err := x.s.GenerateKeyPair(x.ctx, &o)
			if err != nil {
				return err
			}
			return check(x, pub, priv)
		}}
	}
	secretRow := func(name string, mechanism cryptoki.MechanismType, t cryptoki.KeyType, size int) tokenRow {
		return tokenRow{"Keys: generate", name, mechanism, func(x *tokenTrial) error {
			key, err := x.s.GenerateSecretKey(x.ctx, &cryptoki.SecretKeyOptions{Type: t, Size: size, SessionOnly: true, Encrypt: t == cryptoki.CKK_AES, Extractable: true, More: inTheClear})
			if err != nil {
				return err
			}
			a, err := x.s.Attributes(x.ctx, key, cryptoki.CKA_VALUE)
			if err != nil {
				return err
			}
			value, _ := a.Value(cryptoki.CKA_VALUE)
			if len(value) != size || bytes.Equal(value, make([]byte, size)) {
				return wrong("a key of %d bytes", len(value))
			}
			if t != cryptoki.CKK_AES {
				return nil
			}
			block, err := aes.NewCipher(value)
			if err != nil {
				return err
			}
			want := make([]byte, 16)
			block.Encrypt(want, aesTestValue[:16])
			got, err := x.s.AppendEncrypt(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_AES_ECB), key, aesTestValue[:16], 16)
			if err == nil && !bytes.Equal(got, want) {
				return wrong("another ciphertext")
			}
			return err
		}}
	}
	ecRow := func(c elliptic.Curve) tokenRow {
		return pairRow("EC "+c.Params().Name, cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.KeyPairOptions{Curve: c}, func(x *tokenTrial, pub, priv cryptoki.Object) error {
			a, err := x.s.Attributes(x.ctx, pub, cryptoki.CKA_EC_POINT)
			if err != nil {
				return err
			}
			point, _ := a.Value(cryptoki.CKA_EC_POINT)
			size := (c.Params().BitSize + 7) / 8
			if len(point) > 1+2*size {
				x.note = "point in DER"
				point = point[len(point)-1-2*size:]
			} else {
				x.note = "point bare"
			}
			public, err := ecdsa.ParseUncompressedPublicKey(c, point)
			if err != nil {
				return wrong("no point of the curve")
			}
			sig, err := x.s.AppendSign(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_ECDSA), priv, digest256(testMessage), 2*size)
			if err == nil && !verifyRaw(public, digest256(testMessage), sig) {
				return wrong("the signature is not one of the key")
			}
			return err
		})
	}
	mlkemRow := func(bits int) tokenRow {
		return pairRow(fmt.Sprintf("ML-KEM-%d", bits), cryptoki.CKM_ML_KEM_KEY_PAIR_GEN, cryptoki.KeyPairOptions{MLKEM: bits}, func(x *tokenTrial, pub, priv cryptoki.Object) error {
			a, err := x.s.Attributes(x.ctx, pub, cryptoki.CKA_VALUE)
			if err != nil {
				return err
			}
			value, _ := a.Value(cryptoki.CKA_VALUE)
			if want := map[int]int{512: 800, 768: mlkem.EncapsulationKeySize768, 1024: mlkem.EncapsulationKeySize1024}[bits]; len(value) != want {
				return wrong("a public key of %d bytes", len(value))
			}
			return nil
		})
	}
	importRow := func(name string, key crypto.PrivateKey, check func(x *tokenTrial, pub, priv cryptoki.Object) error) tokenRow {
		return tokenRow{"Keys: import", name, unlisted, func(x *tokenTrial) error {
			pub, priv, err := x.s.ImportKey(x.ctx, key, &cryptoki.KeyPairOptions{SessionOnly: true, Label: "imported", ID: []byte("imported")})
			if err != nil {
				return err
			}
			return check(x, pub, priv)
		}}
	}
	importEC := func(c elliptic.Curve) tokenRow {
		key := ecTestKey(c)
		return importRow("EC "+c.Params().Name+", sign", key, func(x *tokenTrial, pub, priv cryptoki.Object) error {
			return x.signs(cryptoki.Plain(cryptoki.CKM_ECDSA), priv, digest256(testMessage), func(sig []byte) bool { return verifyRaw(&key.PublicKey, digest256(testMessage), sig) })
		})
	}
	importSecret := func(name string, t cryptoki.KeyType) tokenRow {
		return tokenRow{"Keys: import", name, unlisted, func(x *tokenTrial) error {
			key, err := x.secret(t, aesTestValue)
			if err != nil {
				return err
			}
			return x.has(key, aesTestValue)
		}}
	}
	return []tokenRow{
		pairRow("RSA 2048", cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.KeyPairOptions{RSABits: 2048}, func(x *tokenTrial, pub, priv cryptoki.Object) error {
			a, err := x.s.Attributes(x.ctx, pub, cryptoki.CKA_MODULUS, cryptoki.CKA_PUBLIC_EXPONENT)
			if err != nil {
				return err
			}
			public := rsaPublic(a)
			if public.N.BitLen() != 2048 || public.E != 65537 {
				return wrong("RSA %d with exponent %d", public.N.BitLen(), public.E)
			}
			return x.signs(cryptoki.Plain(cryptoki.CKM_RSA_PKCS), priv, digestInfo256(testMessage), func(sig []byte) bool {
				return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest256(testMessage), sig) == nil
			})
		}),
		ecRow(elliptic.P256()), ecRow(elliptic.P384()), ecRow(elliptic.P521()),
		pairRow("Ed25519", cryptoki.CKM_EC_EDWARDS_KEY_PAIR_GEN, cryptoki.KeyPairOptions{Ed25519: true}, func(x *tokenTrial, pub, priv cryptoki.Object) error {
			point, err := x.point32(pub)
			if err != nil {
				return err
			}
			return x.signs(cryptoki.Plain(cryptoki.CKM_EDDSA), priv, testMessage, func(sig []byte) bool { return ed25519.Verify(point, testMessage, sig) })
		}),
		pairRow("X25519", cryptoki.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, cryptoki.KeyPairOptions{X25519: true}, func(x *tokenTrial, pub, priv cryptoki.Object) error {
			point, err := x.point32(pub)
			if err != nil {
				return err
			}
			public, err := ecdh.X25519().NewPublicKey(point)
			if err != nil {
				return err
			}
			want, err := x25519TestKey().ECDH(public)
			if err != nil {
				return err
			}
			return x.agrees(priv, cryptoki.CKM_ECDH1_DERIVE, x25519TestKey().PublicKey().Bytes(), want)
		}),
		mlkemRow(512), mlkemRow(768), mlkemRow(1024),
		{"Keys: generate", "ML-DSA-65", cryptoki.CKM_ML_DSA_KEY_PAIR_GEN, func(x *tokenTrial) error {
			// There is nothing for it in package cryptoki: no part here was seen to do it.
			fl, session, err := x.module()
			if err != nil {
				return err
			}
			defer fl.CloseSession(session)
			var pub, priv ck.Template
			pub.AddBytes(uint(cryptoki.CKA_PARAMETER_SET), ck.AppendUlong(nil, cryptoki.CKP_ML_DSA_65))
			_, _, rv := fl.GenerateKeyPair(session, &ck.Mechanism{Type: uint(cryptoki.CKM_ML_DSA_KEY_PAIR_GEN)}, &pub, &priv)
			if rv != 0 {
				return &cryptoki.Error{Function: "C_GenerateKeyPair", RV: cryptoki.RV(rv)}
			}
			return nil
		}},
		secretRow("AES-128", cryptoki.CKM_AES_KEY_GEN, cryptoki.CKK_AES, 16), secretRow("AES-256", cryptoki.CKM_AES_KEY_GEN, cryptoki.CKK_AES, 32),
		secretRow("generic secret of 48 bytes", cryptoki.CKM_GENERIC_SECRET_KEY_GEN, cryptoki.CKK_GENERIC_SECRET, 48),
		secretRow("ChaCha20", cryptoki.CKM_CHACHA20_KEY_GEN, cryptoki.CKK_CHACHA20, 32),

		importRow("RSA 2048, sign", rsaTestKey(), func(x *tokenTrial, pub, priv cryptoki.Object) error {
			return x.signs(cryptoki.Plain(cryptoki.CKM_RSA_PKCS), priv, digestInfo256(testMessage), func(sig []byte) bool {
				return rsa.VerifyPKCS1v15(&rsaTestKey().PublicKey, crypto.SHA256, digest256(testMessage), sig) == nil
			})
		}),
		importEC(elliptic.P256()), importEC(elliptic.P384()), importEC(elliptic.P521()),
		importRow("Ed25519, sign", ed25519TestKey(), func(x *tokenTrial, pub, priv cryptoki.Object) error {
			return x.signs(cryptoki.Plain(cryptoki.CKM_EDDSA), priv, testMessage, func(sig []byte) bool {
				return ed25519.Verify(ed25519TestKey().Public().(ed25519.PublicKey), testMessage, sig)
			})
		}),
		importRow("X25519, agree", x25519TestKey(), func(x *tokenTrial, pub, priv cryptoki.Object) error {
			return x.agreesWithX25519(priv, x25519TestKey().PublicKey())
		}),
		importSecret("AES-256, read", cryptoki.CKK_AES), importSecret("generic secret, read", cryptoki.CKK_GENERIC_SECRET),
		importSecret("ChaCha20, read", cryptoki.CKK_CHACHA20),
	}
}
