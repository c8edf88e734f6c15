//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

//go:build cgo

package system_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/ck"
)

// A testCipher is a mechanism that encrypts, as Go does it.
type testCipher struct {
	name    string
	m       cryptoki.Mechanism
	keyType cryptoki.KeyType
	plain   []byte
	sealed  []byte // by Go
	tag     bool   // a change is noticed
}

func testCiphers() []testCipher {
	block, err := aes.NewCipher(aesTestValue)
	if err != nil {
		panic(err)
	}
	iv, aad := []byte("0123456789abcdef"), []byte("header")
	even := testMessage[:32]
	ecb := make([]byte, 32)
	block.Encrypt(ecb, even)
	block.Encrypt(ecb[16:], even[16:])
	cbc := make([]byte, 32)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(cbc, even)
	pad := 16 - len(testMessage)%16
	padded := append(bytes.Clone(testMessage), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	ctr := make([]byte, len(testMessage))
	cipher.NewCTR(block, iv).XORKeyStream(ctr, testMessage)
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	short, err := cipher.NewGCMWithTagSize(block, 13)
	if err != nil {
		panic(err)
	}
	long, err := cipher.NewGCMWithNonceSize(block, 16)
	if err != nil {
		panic(err)
	}
	chacha, err := chacha20poly1305.New(aesTestValue)
	if err != nil {
		panic(err)
	}
	nonce := iv[:12]
	return []testCipher{
		{"CKM_AES_ECB", cryptoki.Plain(cryptoki.CKM_AES_ECB), cryptoki.CKK_AES, even, ecb, false},
		{"CKM_AES_CBC", cryptoki.Parameter(cryptoki.CKM_AES_CBC, iv), cryptoki.CKK_AES, even, cbc, false},
		{"CKM_AES_CBC_PAD", cryptoki.Parameter(cryptoki.CKM_AES_CBC_PAD, iv), cryptoki.CKK_AES, testMessage, padded, false},
		{"CKM_AES_CTR", cryptoki.CTR(128, [16]byte(iv)), cryptoki.CKK_AES, testMessage, ctr, false},
		{"CKM_AES_GCM", cryptoki.GCM(nonce, aad, 16), cryptoki.CKK_AES, testMessage, gcm.Seal(nil, nonce, testMessage, aad), true},
		{"CKM_AES_GCM, tag of 13 bytes", cryptoki.GCM(nonce, aad, 13), cryptoki.CKK_AES, testMessage, short.Seal(nil, nonce, testMessage, aad), true},
		{"CKM_AES_GCM, nonce of 16 bytes", cryptoki.GCM(iv, aad, 16), cryptoki.CKK_AES, testMessage, long.Seal(nil, iv, testMessage, aad), true},
		{"CKM_AES_CCM", cryptoki.CCM(len(testMessage), nonce, aad, 16), cryptoki.CKK_AES, testMessage, sealCCM(aesTestValue, nonce, testMessage, aad, 16), true},
		{"CKM_CHACHA20_POLY1305", cryptoki.ChaCha20Poly1305(nonce, aad), cryptoki.CKK_CHACHA20, testMessage, chacha.Seal(nil, nonce, testMessage, aad), true},
	}
}

func encryptRows() []tokenRow {
	const section = "Encrypt and decrypt"
	var rows []tokenRow
	asymmetric := func(name string, m cryptoki.Mechanism, plain []byte, seal func(*rsa.PublicKey) ([]byte, error), open func(sealed []byte) ([]byte, error)) {
		rows = append(rows, tokenRow{section, name, m.Type(), func(x *tokenTrial) error { return x.rsaCipher(m, plain, seal, open) }})
	}
	key := rsaTestKey()
	zeros := []byte{0, 0, 1, 2, 3, 0, 0} // which must come back
	asymmetric("CKM_RSA_PKCS, encrypt", cryptoki.Plain(cryptoki.CKM_RSA_PKCS), zeros,
		func(pub *rsa.PublicKey) ([]byte, error) { return rsa.EncryptPKCS1v15(rand.Reader, pub, zeros) },
		func(sealed []byte) ([]byte, error) { return rsa.DecryptPKCS1v15(nil, key, sealed) })
	number := make([]byte, key.Size())
	copy(number[1:], testMessage)
	asymmetric("CKM_RSA_X_509, encrypt", cryptoki.Plain(cryptoki.CKM_RSA_X_509), number,
		func(pub *rsa.PublicKey) ([]byte, error) {
			n := new(big.Int).Exp(new(big.Int).SetBytes(number), big.NewInt(int64(pub.E)), pub.N)
			return n.FillBytes(make([]byte, pub.Size())), nil
		},
		func(sealed []byte) ([]byte, error) {
			return new(big.Int).Exp(new(big.Int).SetBytes(sealed), key.D, key.N).FillBytes(make([]byte, key.Size())), nil
		})
	for _, i := range []int{0, 2, 4, 5} {
		h := &tokenHashes[i]
		for _, label := range [][]byte{nil, []byte("label")} {
			name := fmt.Sprintf("CKM_RSA_PKCS_OAEP, %v", h.hash)
			if label != nil {
				name += " with a label"
			}
			asymmetric(name, cryptoki.OAEP(h.digest, h.mgf, label), zeros,
				func(pub *rsa.PublicKey) ([]byte, error) {
					return rsa.EncryptOAEP(h.new(), rand.Reader, pub, zeros, label)
				},
				func(sealed []byte) ([]byte, error) { return rsa.DecryptOAEP(h.new(), nil, key, sealed, label) })
		}
	}
	for _, c := range testCiphers() {
		rows = append(rows, tokenRow{section, c.name, c.m.Type(), func(x *tokenTrial) error { return x.cipher(&c) }})
	}
	for _, c := range testCiphers() {
		switch c.m.Type() {
		case cryptoki.CKM_AES_CBC_PAD, cryptoki.CKM_AES_CTR, cryptoki.CKM_AES_GCM:
			if len(c.sealed)%16 == 13-1 { // the short tag: once is enough
				continue
			}
			rows = append(rows, tokenRow{section, c.name + ", in parts", c.m.Type(), func(x *tokenTrial) error { return x.cipherInParts(&c) }})
		}
	}
	rows = append(rows, tokenRow{section, "C_MessageSignInit", unlisted, func(x *tokenTrial) error {
		fl, session, err := x.module()
		if err != nil {
			return err
		}
		defer fl.CloseSession(session)
		rv := fl.MessageSignInit(session, &ck.Mechanism{Type: uint(cryptoki.CKM_SHA256_RSA_PKCS)}, 1)
		return &cryptoki.Error{Function: "C_MessageSignInit", RV: cryptoki.RV(rv)}
	}})
	rows = append(rows, tokenRow{section, "CKM_AES_GCM by messages, many under one init", cryptoki.CKM_AES_GCM, func(x *tokenTrial) error { return x.messages() }})
	return rows
}

func (x *tokenTrial) rsaCipher(m cryptoki.Mechanism, plain []byte, seal func(*rsa.PublicKey) ([]byte, error), open func([]byte) ([]byte, error)) error {
	pub, priv, public, err := x.pair(rsaTestKey())
	if err != nil {
		return err
	}
	rsaPublic := public.(*rsa.PublicKey)
	sealed, err := seal(rsaPublic)
	if err != nil {
		return err
	}
	opened, err := x.s.AppendDecrypt(x.ctx, nil, m, priv, sealed, rsaPublic.Size())
	if err != nil {
		return err
	}
	if !bytes.Equal(opened, plain) {
		return wrong("another plaintext")
	}
	if sealed, err = x.s.AppendEncrypt(x.ctx, nil, m, pub, plain, rsaPublic.Size()); err != nil {
		if len(x.setup.keys) > 0 {
			e, _ := errors.AsType[*cryptoki.Error](err)
			if e != nil {
				return x.works("decrypts only: %s (%s)", e.RV.String(), e.Function[2:])
			}
		}
		return err
	}
	if !rsaPublic.Equal(&rsaTestKey().PublicKey) {
		return nil
	}
	if opened, err = open(sealed); err != nil || !bytes.Equal(opened, plain) {
		return wrong("Go does not decrypt what it encrypts: %v", err)
	}
	return nil
}

func (x *tokenTrial) cipher(c *testCipher) error {
	key, err := x.secret(c.keyType, aesTestValue)
	if err != nil {
		return err
	}
	sealed, err := x.s.AppendEncrypt(x.ctx, nil, c.m, key, c.plain, len(c.sealed))
	if err != nil {
		return err
	}
	if !bytes.Equal(sealed, c.sealed) {
		return wrong("another ciphertext")
	}
	opened, err := x.s.AppendDecrypt(x.ctx, nil, c.m, key, sealed, len(sealed))
	if err != nil {
		return err
	}
	if !bytes.Equal(opened, c.plain) {
		return wrong("another plaintext")
	}
	if !c.tag {
		return nil
	}
	sealed[3] ^= 1
	_, err = x.s.AppendDecrypt(x.ctx, nil, c.m, key, sealed, len(sealed))
	if err == nil {
		return wrong("a changed ciphertext is taken")
	}
	if e, ok := errors.AsType[*cryptoki.Error](err); ok {
		return x.works("a changed one is %s", e.RV.String())
	}
	return err
}

func (x *tokenTrial) cipherInParts(c *testCipher) error {
	key, err := x.secret(c.keyType, aesTestValue)
	if err != nil {
		return err
	}
	crypt := func(in []byte, start func(w io.Writer) (*cryptoki.CryptWriter, error)) ([]byte, error) {
		var out bytes.Buffer
		w, err := start(&out)
		if err != nil {
			return nil, err
		}
		for len(in) > 0 {
			n := min(len(in), 7+len(in)/3)
			if _, err := w.Write(in[:n]); err != nil {
				return nil, err
			}
			in = in[n:]
		}
		err = w.Close()
		if again := w.Close(); err == nil && again != nil {
			return nil, wrong("a second Close: %v", again)
		}
		return out.Bytes(), err
	}
	sealed, err := crypt(c.plain, func(w io.Writer) (*cryptoki.CryptWriter, error) { return x.s.EncryptTo(x.ctx, w, c.m, key) })
	if err != nil {
		return err
	}
	if !bytes.Equal(sealed, c.sealed) {
		return wrong("another ciphertext")
	}
	opened, err := crypt(sealed, func(w io.Writer) (*cryptoki.CryptWriter, error) { return x.s.DecryptTo(x.ctx, w, c.m, key) })
	if err != nil {
		return err
	}
	if !bytes.Equal(opened, c.plain) {
		return wrong("another plaintext")
	}
	return nil
}

// messages seals and opens by the functions for messages of PKCS#11 3.0.
func (x *tokenTrial) messages() error {
	key, err := x.secret(cryptoki.CKK_AES, aesTestValue)
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
	sealer, err := x.s.MessageSealer(x.ctx, key, nil)
	if err != nil {
		return err
	}
	nonce := make([]byte, 12)
	var sealed [][]byte
	for i := range 3 {
		nonce[11] = byte(i)
		c, err := sealer.Append(x.ctx, nil, nonce, testMessage, []byte("header"))
		if err != nil {
			return err
		}
		if !bytes.Equal(c, gcm.Seal(nil, nonce, testMessage, []byte("header"))) {
			return wrong("another ciphertext")
		}
		sealed = append(sealed, c)
	}
	if err := sealer.Close(x.ctx); err != nil {
		return err
	}
	opener, err := x.s.MessageOpener(x.ctx, key, nil)
	if err != nil {
		return err
	}
	for i, c := range sealed {
		nonce[11] = byte(i)
		if got, err := opener.Append(x.ctx, nil, nonce, c, []byte("header")); err != nil || !bytes.Equal(got, testMessage) {
			return wrong("another plaintext, %v", err)
		}
	}
	sealed[2][3] ^= 1
	if _, err := opener.Append(x.ctx, nil, nonce, sealed[2], []byte("header")); !errors.Is(err, cryptoki.ErrOpen) {
		return wrong("a changed one: %v", err)
	}
	return opener.Close(x.ctx)
}
