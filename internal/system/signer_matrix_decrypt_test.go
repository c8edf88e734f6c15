//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

//go:build cgo

package system_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/signer"
)

// A length and a content for secrets that are encrypted.
var (
	sessionKey  = []byte("a session key of TLS 1.2 and before: 48 bytes...")
	signerLabel = []byte("label")
)

func decryptRows() []signerRow {
	const section = "RSA decryption"
	var rows []signerRow
	add := func(key, name string, openssl bool, try func(x *signerTrial) error) {
		rows = append(rows, signerRow{section: section, key: key, name: name, openssl: openssl, try: try})
	}
	oaep := func(key string, o *rsa.OAEPOptions) {
		name := "OAEP, " + nameOf(o.Hash)
		if o.MGFHash != 0 && o.MGFHash != o.Hash {
			name += ", mask generation with " + nameOf(o.MGFHash)
		}
		if len(o.Label) > 0 {
			name += ", label"
		}
		add(key, name, true, func(x *signerTrial) error { return x.decrypts(o, sessionKey[:32]) })
	}
	for _, key := range []string{"RSA 2048", "RSA 3072", "RSA 4096"} {
		add(key, "PKCS #1 v1.5", true, func(x *signerTrial) error { return x.decrypts(nil, sessionKey) })
		add(key, "PKCS #1 v1.5, session key", true, func(x *signerTrial) error {
			return x.decrypts(&rsa.PKCS1v15DecryptOptions{SessionKeyLen: len(sessionKey)}, sessionKey)
		})
		oaep(key, &rsa.OAEPOptions{Hash: crypto.SHA256})
		oaep(key, &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1, Label: signerLabel})
	}
	const key = "RSA 2048"
	add(key, "PKCS #1 v1.5, by rsa.PKCS1v15DecryptOptions", false, func(x *signerTrial) error { return x.decrypts(&rsa.PKCS1v15DecryptOptions{}, sessionKey) })
	add(key, "PKCS #1 v1.5, nothing encrypted", false, func(x *signerTrial) error { return x.decrypts(nil, []byte{}) })
	add(key, "PKCS #1 v1.5, the longest plaintext", false, func(x *signerTrial) error { return x.decrypts(nil, bytes.Repeat([]byte{0}, 256-11)) })
	add(key, "PKCS #1 v1.5, wrong padding is rsa.ErrDecryption", false, func(x *signerTrial) error { return x.wrongPadding(nil) })
	add(key, "PKCS #1 v1.5, session key: wrong padding gives a random one", false, (*signerTrial).randomSessionKey)
	add(key, "PKCS #1 v1.5, session key: another length gives a random one", false, (*signerTrial).otherSessionKey)
	for _, h := range signerHashes {
		for _, mgf := range []crypto.Hash{0, crypto.SHA1, crypto.SHA512} {
			for _, label := range [][]byte{nil, signerLabel} {
				o := &rsa.OAEPOptions{Hash: h, MGFHash: mgf, Label: label}
				if mgf == h || h == crypto.SHA256 && (mgf == 0 && label == nil || mgf == crypto.SHA1 && label != nil) {
					continue // it was there
				}
				oaep(key, o)
			}
		}
	}
	oaep(key, &rsa.OAEPOptions{Hash: crypto.SHA512_256})
	oaep(key, &rsa.OAEPOptions{Hash: crypto.SHA3_256})
	oaep(key, &rsa.OAEPOptions{Hash: crypto.SHA3_256, MGFHash: crypto.SHA3_512, Label: signerLabel})
	add(key, "OAEP, SHA-256, nothing encrypted", false, func(x *signerTrial) error { return x.decrypts(&rsa.OAEPOptions{Hash: crypto.SHA256}, []byte{}) })
	add(key, "OAEP, SHA-256, the longest plaintext", false, func(x *signerTrial) error {
		return x.decrypts(&rsa.OAEPOptions{Hash: crypto.SHA256}, bytes.Repeat([]byte{0}, 256-2*32-2))
	})
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		add(key, fmt.Sprintf("OAEP, %v, a wrong ciphertext and another label are rsa.ErrDecryption", h), false, func(x *signerTrial) error { return x.wrongPadding(&rsa.OAEPOptions{Hash: h}) })
	}
	return rows
}

// decrypter returns the row's key as crypto.Decrypter.
func (x *signerTrial) decrypter() (*signer.Decrypter, *rsa.PublicKey, error) {
	key, err := x.signerKey()
	if err != nil {
		return nil, nil, err
	}
	k, ok := key.(signer.Decrypting)
	if !ok {
		return nil, nil, wrong("a key of type %T", key)
	}
	d, err := signer.NewDecrypter(k, nil)
	if err != nil {
		return nil, nil, err
	}
	return d, d.Public().(*rsa.PublicKey), nil
}

func encrypt(public *rsa.PublicKey, opts crypto.DecrypterOpts, plaintext []byte) ([]byte, error) {
	if o, ok := opts.(*rsa.OAEPOptions); ok {
		return rsa.EncryptOAEPWithOptions(rand.Reader, public, plaintext, o)
	}
	return rsa.EncryptPKCS1v15(rand.Reader, public, plaintext)
}

// decrypts decrypts what the standard library has encrypted, and openssl.
func (x *signerTrial) decrypts(opts crypto.DecrypterOpts, plaintext []byte) error {
	d, public, err := x.decrypter()
	if err != nil {
		return err
	}
	ciphertext, err := encrypt(public, opts, plaintext)
	if err != nil {
		x.t.Fatal(err)
	}
	got, err := d.Decrypt(rand.Reader, ciphertext, opts)
	if err != nil {
		if got != nil {
			return wrong("a plaintext besides the error %v", err)
		}
		return err
	}
	if !bytes.Equal(got, plaintext) {
		return wrong("another plaintext")
	}
	if !x.row.openssl {
		return nil
	}
	o, _ := opts.(*rsa.OAEPOptions)
	if ciphertext, err = x.opensslEncrypts(public, plaintext, o); err != nil {
		return wrong("openssl: %v", err)
	}
	if got, err = d.Decrypt(rand.Reader, ciphertext, opts); err != nil || !bytes.Equal(got, plaintext) {
		return wrong("what openssl has encrypted: %v", err)
	}
	return nil
}

// wrongPadding decrypts what is not for this key, and what has another label.
func (x *signerTrial) wrongPadding(o *rsa.OAEPOptions) error {
	d, public, err := x.decrypter()
	if err != nil {
		return err
	}
	opts, others := crypto.DecrypterOpts(nil), []*rsa.OAEPOptions{}
	if o != nil {
		opts = o
		others = append(others, &rsa.OAEPOptions{Hash: o.Hash, Label: signerLabel})
	}
	ciphertext, err := encrypt(otherKey(public).(*rsa.PublicKey), opts, sessionKey)
	if err != nil {
		x.t.Fatal(err)
	}
	ciphertexts := [][]byte{ciphertext}
	for _, other := range others {
		if ciphertext, err = encrypt(public, other, sessionKey); err != nil {
			x.t.Fatal(err)
		}
		ciphertexts = append(ciphertexts, ciphertext)
	}
	for _, ciphertext := range ciphertexts {
		got, err := d.Decrypt(rand.Reader, ciphertext, opts)
		if err == nil || got != nil {
			return wrong("a plaintext of %d bytes, error %v", len(got), err)
		}
		if !errors.Is(err, rsa.ErrDecryption) {
			return err
		}
	}
	return nil
}

// randomSessionKey decrypts what is not for this key, where that is to be hidden.
func (x *signerTrial) randomSessionKey() error {
	return x.hidden(func(public *rsa.PublicKey) ([]byte, error) {
		return rsa.EncryptPKCS1v15(rand.Reader, otherKey(public).(*rsa.PublicKey), sessionKey)
	})
}

// otherSessionKey decrypts a key of another length.
func (x *signerTrial) otherSessionKey() error {
	return x.hidden(func(public *rsa.PublicKey) ([]byte, error) {
		return rsa.EncryptPKCS1v15(rand.Reader, public, sessionKey[:32])
	})
}

func (x *signerTrial) hidden(encrypt func(*rsa.PublicKey) ([]byte, error)) error {
	d, public, err := x.decrypter()
	if err != nil {
		return err
	}
	ciphertext, err := encrypt(public)
	if err != nil {
		x.t.Fatal(err)
	}
	opts := &rsa.PKCS1v15DecryptOptions{SessionKeyLen: len(sessionKey)}
	a, err := d.Decrypt(rand.Reader, ciphertext, opts)
	if err != nil {
		return err
	}
	b, err := d.Decrypt(rand.Reader, ciphertext, opts)
	if err != nil {
		return err
	}
	if len(a) != len(sessionKey) || len(b) != len(sessionKey) || bytes.Equal(a, b) || bytes.Equal(a[:16], sessionKey[:16]) {
		return wrong("keys of %d and %d bytes that are not random", len(a), len(b))
	}
	return nil
}
