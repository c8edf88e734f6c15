//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

//go:build cgo

package system_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/cryptoki"
)

// useRows are what package cryptoki makes of all that: crypto.Signer and its kin.
func useRows() []tokenRow {
	const section = "Key of package cryptoki, by what the token can"
	var rows []tokenRow
	keyRow := func(name string, key crypto.PrivateKey, try func(x *tokenTrial, k *cryptoki.Key) error) {
		rows = append(rows, tokenRow{section, name, unlisted, func(x *tokenTrial) error { return x.withKey(key, try) }})
	}
	rows = append(rows, tokenRow{section, "a key that wants the PIN for each use (CKA_ALWAYS_AUTHENTICATE)", unlisted, func(x *tokenTrial) error {
		return x.alwaysAuthenticates()
	}})
	rows = append(rows, tokenRow{section, "AES-256 as cipher.AEAD", unlisted, func(x *tokenTrial) error { return x.aead() }})
	rows = append(rows, tokenRow{section, "ML-KEM-768: decapsulate", unlisted, func(x *tokenTrial) error { return x.decapsulates() }})
	keyRow("RSA: signs after somebody's C_Logout", rsaTestKey(), func(x *tokenTrial, k *cryptoki.Key) error {
		return x.signsAfterLogout(func() error {
			sig, err := k.Sign(x.ctx, digest256(testMessage), crypto.SHA256)
			if err == nil && rsa.VerifyPKCS1v15(k.Public().(*rsa.PublicKey), crypto.SHA256, digest256(testMessage), sig) != nil {
				return wrong("a signature that does not verify")
			}
			return err
		})
	})
	keyRow("EC P-256: signs after somebody's C_Logout", ecTestKey(elliptic.P256()), func(x *tokenTrial, k *cryptoki.Key) error {
		return x.signsAfterLogout(func() error {
			sig, err := k.Sign(x.ctx, digest256(testMessage), crypto.SHA256)
			if err == nil && !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest256(testMessage), sig) {
				return wrong("a signature that does not verify")
			}
			return err
		})
	})
	keyRow("RSA: PKCS #1 v1.5, SHA-256 and SHA-512", rsaTestKey(), func(x *tokenTrial, k *cryptoki.Key) error {
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA512} {
			digest := hashOf(h, testMessage)
			sig, err := k.Signer(nil).Sign(rand.Reader, digest, h)
			if err != nil {
				return err
			}
			if rsa.VerifyPKCS1v15(k.Public().(*rsa.PublicKey), h, digest, sig) != nil {
				return wrong("a signature that does not verify")
			}
		}
		return nil
	})
	keyRow("RSA: PSS, SHA-256 and SHA-512", rsaTestKey(), func(x *tokenTrial, k *cryptoki.Key) error {
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA512} {
			digest, o := hashOf(h, testMessage), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
			sig, err := k.Signer(nil).Sign(rand.Reader, digest, o)
			if err != nil {
				return err
			}
			if rsa.VerifyPSS(k.Public().(*rsa.PublicKey), h, digest, sig, o) != nil {
				return wrong("a signature that does not verify")
			}
		}
		return nil
	})
	keyRow("RSA: decrypt PKCS #1 v1.5 and OAEP, SHA-1, SHA-256, with a label", rsaTestKey(), func(x *tokenTrial, k *cryptoki.Key) error {
		public := k.Public().(*rsa.PublicKey)
		for _, o := range []crypto.DecrypterOpts{&rsa.PKCS1v15DecryptOptions{}, &rsa.OAEPOptions{Hash: crypto.SHA1}, &rsa.OAEPOptions{Hash: crypto.SHA256}, &rsa.OAEPOptions{Hash: crypto.SHA256, Label: []byte("label")}} {
			var sealed []byte
			var err error
			if oaep, is := o.(*rsa.OAEPOptions); is {
				sealed, err = rsa.EncryptOAEP(oaep.Hash.New(), rand.Reader, public, testMessage, oaep.Label)
			} else {
				sealed, err = rsa.EncryptPKCS1v15(rand.Reader, public, testMessage)
			}
			if err != nil {
				return err
			}
			opened, err := k.Decrypt(x.ctx, sealed, o)
			if err != nil {
				return fmt.Errorf("%T: %w", o, err)
			}
			if !bytes.Equal(opened, testMessage) {
				return wrong("another plaintext")
			}
		}
		return nil
	})
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		keyRow("EC "+c.Params().Name+": ECDSA", ecTestKey(c), func(x *tokenTrial, k *cryptoki.Key) error {
			sig, err := k.Signer(nil).Sign(rand.Reader, digest256(testMessage), crypto.SHA256)
			if err == nil && !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest256(testMessage), sig) {
				return wrong("a signature that does not verify")
			}
			return err
		})
	}
	keyRow("EC P-256: ECDH", ecTestKey(elliptic.P256()), func(x *tokenTrial, k *cryptoki.Key) error {
		peer, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		own, err := k.Public().(*ecdsa.PublicKey).ECDH()
		if err != nil {
			return err
		}
		return agreement(x, k, own, peer)
	})
	keyRow("X25519", x25519TestKey(), func(x *tokenTrial, k *cryptoki.Key) error {
		peer, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		return agreement(x, k, k.Public().(*ecdh.PublicKey), peer)
	})
	keyRow("Ed25519", ed25519TestKey(), func(x *tokenTrial, k *cryptoki.Key) error {
		sig, err := k.Signer(nil).Sign(rand.Reader, testMessage, crypto.Hash(0))
		if err == nil && !ed25519.Verify(k.Public().(ed25519.PublicKey), testMessage, sig) {
			return wrong("a signature that does not verify")
		}
		return err
	})
	return rows
}

func agreement(x *tokenTrial, k *cryptoki.Key, own *ecdh.PublicKey, peer *ecdh.PrivateKey) error {
	want, err := peer.ECDH(own)
	if err != nil {
		return err
	}
	got, err := k.ECDH(x.ctx, peer.PublicKey())
	if err == nil && !bytes.Equal(got, want) {
		return wrong("another secret")
	}
	return err
}

func hashOf(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// withKey puts a key into the token that lasts, or finds one of its kind there, and gives it to
// f as a pool does.
func (x *tokenTrial) withKey(private crypto.PrivateKey, f func(x *tokenTrial, k *cryptoki.Key) error) error {
	query := cryptoki.KeyQuery{ID: []byte("lasting")}
	o := &cryptoki.KeyPairOptions{Label: "lasting", ID: query.ID}
	switch private.(type) {
	case *rsa.PrivateKey:
		o.Decrypt = true
	case *ecdsa.PrivateKey:
		o.Derive = true
	}
	_, _, err := x.s.ImportKey(x.ctx, private, o)
	if err == nil {
		defer x.destroy(query.ID)
	} else {
		found := false
		for _, k := range x.setup.keys {
			if p, ok := private.(crypto.Signer); ok && sameKind(k.public, p.Public()) {
				query, found = k.query, true
			}
		}
		if !found {
			return err
		}
	}
	pool := x.slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN(x.setup.pin), ReadWrite: !x.setup.readOnly, Size: 1})
	defer pool.Close()
	k, err := pool.Key(x.ctx, query)
	if err != nil {
		return err
	}
	return f(x, k)
}

// aead seals and opens with a key that lasts.
func (x *tokenTrial) aead() error {
	id := []byte("aead")
	if _, err := x.secret(cryptoki.CKK_AES, aesTestValue, cryptoki.Bool(cryptoki.CKA_TOKEN, true), cryptoki.Bytes(cryptoki.CKA_ID, id)); err != nil {
		return err
	}
	defer x.destroy(id)
	pool := x.slot.NewPool(&cryptoki.PoolOptions{Size: 1, PIN: cryptoki.FixedPIN(x.setup.pin)})
	defer pool.Close()
	k, err := pool.SecretKey(x.ctx, cryptoki.KeyQuery{ID: id})
	if err != nil {
		return err
	}
	a, err := k.AEAD(nil)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(aesTestValue)
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	nonce := testMessage[:12]
	sealed, err := a.AppendSeal(x.ctx, nil, nonce, testMessage, []byte("header"))
	if err != nil {
		return err
	}
	if !bytes.Equal(sealed, gcm.Seal(nil, nonce, testMessage, []byte("header"))) {
		return wrong("another ciphertext")
	}
	if opened, err := a.Cipher(x.ctx).Open(nil, nonce, sealed, []byte("header")); err != nil || !bytes.Equal(opened, testMessage) {
		return wrong("another plaintext, %v", err)
	}
	sealed[3] ^= 1
	if _, err := a.AppendOpen(x.ctx, nil, nonce, sealed, []byte("header")); !errors.Is(err, cryptoki.ErrOpen) {
		return wrong("a changed one: %v", err)
	}
	return nil
}

// decapsulates lets a key that lasts open what Go encapsulates.
func (x *tokenTrial) decapsulates() error {
	id := []byte("mlkem")
	if _, _, err := x.s.GenerateKeyPair(x.ctx, &cryptoki.KeyPairOptions{MLKEM: 768, ID: id}); err != nil {
		return err
	}
	defer x.destroy(id)
	pool := x.slot.NewPool(&cryptoki.PoolOptions{Size: 1, PIN: cryptoki.FixedPIN(x.setup.pin)})
	defer pool.Close()
	k, err := pool.Key(x.ctx, cryptoki.KeyQuery{ID: id})
	if err != nil {
		return err
	}
	public, ok := k.Public().(*mlkem.EncapsulationKey768)
	if !ok {
		return wrong("a public key of type %T", k.Public())
	}
	want, sealed := public.Encapsulate()
	got, err := k.Decapsulate(x.ctx, sealed)
	if err == nil && !bytes.Equal(got, want) {
		return wrong("another secret")
	}
	return err
}

// alwaysAuthenticates signs twice with a key that wants the PIN each time.
func (x *tokenTrial) alwaysAuthenticates() error {
	query := x.setup.always
	if query.ID == nil {
		query.ID = []byte("always")
		o := &cryptoki.KeyPairOptions{ID: query.ID, Private: cryptoki.Attributes{cryptoki.Bool(cryptoki.CKA_ALWAYS_AUTHENTICATE, true)}}
		if _, _, err := x.s.ImportKey(x.ctx, ecTestKey(elliptic.P256()), o); err != nil {
			return err
		}
		defer x.destroy(query.ID)
	}
	asked := 0
	pool := x.slot.NewPool(&cryptoki.PoolOptions{Size: 1, PIN: func(_ context.Context, r cryptoki.PINRequest) ([]byte, error) {
		if r.User == cryptoki.CKU_CONTEXT_SPECIFIC {
			asked++
		}
		return bytes.Clone(x.setup.pin), nil
	}})
	defer pool.Close()
	k, err := pool.Key(x.ctx, query)
	if err != nil {
		return err
	}
	for range 2 {
		sig, err := k.Sign(x.ctx, digest256(testMessage), crypto.SHA256)
		if err != nil {
			return err
		}
		if !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest256(testMessage), sig) {
			return wrong("a signature that does not verify")
		}
	}
	return x.works("asked for it %d times for 2 signatures", asked)
}

// signsAfterLogout signs before and after somebody else logs out.
func (x *tokenTrial) signsAfterLogout(sign func() error) error {
	if err := sign(); err != nil {
		return err
	}
	if err := x.s.Logout(x.ctx); err != nil {
		return err
	}
	err := sign()
	return errors.Join(err, x.login())
}
