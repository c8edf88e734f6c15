//go:build cgo

package system_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/cardoki/cardoki/cryptoki"
)

// A tokenHash is a hash in all that PKCS#11 has for it.
type tokenHash struct {
	hash                             crypto.Hash
	new                              func() hash.Hash
	digest, hmac, rsa, rsaPSS, ecdsa cryptoki.MechanismType
	mgf                              uint
}

var tokenHashes = []tokenHash{
	{crypto.SHA1, sha1.New, cryptoki.CKM_SHA_1, cryptoki.CKM_SHA_1_HMAC, cryptoki.CKM_SHA1_RSA_PKCS, cryptoki.CKM_SHA1_RSA_PKCS_PSS, cryptoki.CKM_ECDSA_SHA1, cryptoki.CKG_MGF1_SHA1},
	{crypto.SHA224, sha256.New224, cryptoki.CKM_SHA224, cryptoki.CKM_SHA224_HMAC, cryptoki.CKM_SHA224_RSA_PKCS, cryptoki.CKM_SHA224_RSA_PKCS_PSS, cryptoki.CKM_ECDSA_SHA224, cryptoki.CKG_MGF1_SHA224},
	{crypto.SHA256, sha256.New, cryptoki.CKM_SHA256, cryptoki.CKM_SHA256_HMAC, cryptoki.CKM_SHA256_RSA_PKCS, cryptoki.CKM_SHA256_RSA_PKCS_PSS, cryptoki.CKM_ECDSA_SHA256, cryptoki.CKG_MGF1_SHA256},
	{crypto.SHA384, sha512.New384, cryptoki.CKM_SHA384, cryptoki.CKM_SHA384_HMAC, cryptoki.CKM_SHA384_RSA_PKCS, cryptoki.CKM_SHA384_RSA_PKCS_PSS, cryptoki.CKM_ECDSA_SHA384, cryptoki.CKG_MGF1_SHA384},
	{crypto.SHA512, sha512.New, cryptoki.CKM_SHA512, cryptoki.CKM_SHA512_HMAC, cryptoki.CKM_SHA512_RSA_PKCS, cryptoki.CKM_SHA512_RSA_PKCS_PSS, cryptoki.CKM_ECDSA_SHA512, cryptoki.CKG_MGF1_SHA512},
	{crypto.SHA3_256, func() hash.Hash { return sha3.New256() }, cryptoki.CKM_SHA3_256, cryptoki.CKM_SHA3_256_HMAC, cryptoki.CKM_SHA3_256_RSA_PKCS, cryptoki.CKM_SHA3_256_RSA_PKCS_PSS, cryptoki.CKM_ECDSA_SHA3_256, cryptoki.CKG_MGF1_SHA3_256},
}

func (h *tokenHash) sum(b []byte) []byte {
	d := h.new()
	d.Write(b)
	return d.Sum(nil)
}

// A testSignature is a mechanism that signs, as Go does it.
type testSignature struct {
	name   string
	m      cryptoki.Mechanism
	key    crypto.Signer
	input  []byte
	sign   func() ([]byte, error) // by Go, in the form of the token
	verify func(public crypto.PublicKey, sig []byte) bool
}

func testSignatures() []testSignature {
	var all []testSignature
	add := func(name string, m cryptoki.Mechanism, key crypto.Signer, input []byte, sign func() ([]byte, error), verify func(public crypto.PublicKey, sig []byte) bool) {
		all = append(all, testSignature{name, m, key, input, sign, verify})
	}
	key := rsaTestKey()
	pkcs1 := func(name string, m cryptoki.Mechanism, h *tokenHash, input []byte) {
		add(name, m, key, input, func() ([]byte, error) { return rsa.SignPKCS1v15(nil, key, h.hash, h.sum(testMessage)) }, func(public crypto.PublicKey, sig []byte) bool {
			return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), h.hash, h.sum(testMessage), sig) == nil
		})
	}
	pss := func(name string, m cryptoki.Mechanism, h *tokenHash, input []byte) {
		o := &rsa.PSSOptions{SaltLength: h.hash.Size(), Hash: h.hash}
		add(name, m, key, input, func() ([]byte, error) { return rsa.SignPSS(rand.Reader, key, h.hash, h.sum(testMessage), o) }, func(public crypto.PublicKey, sig []byte) bool {
			return rsa.VerifyPSS(public.(*rsa.PublicKey), h.hash, h.sum(testMessage), sig, o) == nil
		})
	}
	ec := func(name string, m cryptoki.Mechanism, c elliptic.Curve, digest, input []byte) {
		k := ecTestKey(c)
		add(name, m, k, input, func() ([]byte, error) {
			der, err := ecdsa.SignASN1(rand.Reader, k, digest)
			if err != nil {
				return nil, err
			}
			raw, _ := rawSignature(der, (c.Params().BitSize+7)/8)
			return raw, nil
		}, func(public crypto.PublicKey, sig []byte) bool {
			return verifyRaw(public.(*ecdsa.PublicKey), digest, sig)
		})
	}
	ed := func(name string, m cryptoki.Mechanism, o *ed25519.Options, input []byte) {
		k := ed25519TestKey()
		add(name, m, k, input, func() ([]byte, error) { return k.Sign(nil, input, o) }, func(public crypto.PublicKey, sig []byte) bool {
			return ed25519.VerifyWithOptions(public.(ed25519.PublicKey), input, sig, o) == nil
		})
	}
	sha := &tokenHashes[2]
	pkcs1("CKM_RSA_PKCS", cryptoki.Plain(cryptoki.CKM_RSA_PKCS), sha, digestInfo256(testMessage))
	raw := func() []byte {
		em := append(bytes.Repeat([]byte{0xFF}, key.Size()), 0)
		em = append(em, digestInfo256(testMessage)...)
		em = em[len(em)-key.Size():]
		em[0], em[1] = 0, 1
		return em
	}()
	pkcs1("CKM_RSA_X_509", cryptoki.Plain(cryptoki.CKM_RSA_X_509), sha, raw)
	for i := range tokenHashes {
		h := &tokenHashes[i]
		pkcs1(h.rsa.String(), cryptoki.Plain(h.rsa), h, testMessage)
	}
	for i := range tokenHashes {
		h := &tokenHashes[i]
		pss(fmt.Sprintf("CKM_RSA_PKCS_PSS, %v", h.hash), cryptoki.PSS(h.digest, h.mgf, h.hash.Size()), h, h.sum(testMessage))
	}
	for i := range tokenHashes {
		h := &tokenHashes[i]
		m := cryptoki.PSS(h.digest, h.mgf, h.hash.Size())
		pss(h.rsaPSS.String(), m.WithType(h.rsaPSS), h, testMessage)
	}
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		ec("CKM_ECDSA, "+c.Params().Name, cryptoki.Plain(cryptoki.CKM_ECDSA), c, digest256(testMessage), digest256(testMessage))
	}
	for i := range tokenHashes {
		h := &tokenHashes[i]
		ec(h.ecdsa.String(), cryptoki.Plain(h.ecdsa), elliptic.P384(), h.sum(testMessage), testMessage)
	}
	ed("CKM_EDDSA, Ed25519", cryptoki.Plain(cryptoki.CKM_EDDSA), &ed25519.Options{}, testMessage)
	ed("CKM_EDDSA, Ed25519ctx", cryptoki.EdDSA(false, []byte("context")), &ed25519.Options{Context: "context"}, testMessage)
	digest := sha512.Sum512(testMessage)
	ed("CKM_EDDSA, Ed25519ph", cryptoki.EdDSA(true, nil), &ed25519.Options{Hash: crypto.SHA512}, digest[:])
	return all
}

func signRows() []tokenRow {
	var rows []tokenRow
	for _, sig := range testSignatures() {
		rows = append(rows, tokenRow{"Sign and verify", sig.name, sig.m.Type(), func(x *tokenTrial) error { return x.signature(&sig) }})
	}
	for _, sig := range testSignatures() {
		if sig.name == "CKM_SHA256_RSA_PKCS" || sig.name == "CKM_ECDSA_SHA256" {
			rows = append(rows, tokenRow{"Sign and verify", sig.name + ", in parts", sig.m.Type(), func(x *tokenTrial) error { return x.signatureInParts(&sig) }})
		}
	}
	long := slices.Repeat(aesTestValue, 2) // SoftHSM2 wants a key for HMAC to be as long as the hash
	mac := func(name string, m cryptoki.Mechanism, keyType cryptoki.KeyType, want []byte) {
		rows = append(rows, tokenRow{"Sign and verify", name, m.Type(), func(x *tokenTrial) error {
			value := aesTestValue
			if keyType == cryptoki.CKK_GENERIC_SECRET {
				value = long
			}
			key, err := x.secret(keyType, value)
			if err != nil {
				return err
			}
			return x.mac(m, key, want)
		}})
	}
	for i := range tokenHashes {
		h := &tokenHashes[i]
		d := hmac.New(h.new, long)
		d.Write(testMessage)
		mac(h.hmac.String(), cryptoki.Plain(h.hmac), cryptoki.CKK_GENERIC_SECRET, d.Sum(nil))
		if h.hash == crypto.SHA256 {
			mac("CKM_SHA256_HMAC_GENERAL, 16 bytes", cryptoki.Number(cryptoki.CKM_SHA256_HMAC_GENERAL, 16), cryptoki.CKK_GENERIC_SECRET, d.Sum(nil)[:16])
		}
	}
	mac("CKM_AES_CMAC", cryptoki.Plain(cryptoki.CKM_AES_CMAC), cryptoki.CKK_AES, cmac(aesTestValue, testMessage))
	mac("CKM_AES_CMAC_GENERAL, 8 bytes", cryptoki.Number(cryptoki.CKM_AES_CMAC_GENERAL, 8), cryptoki.CKK_AES, cmac(aesTestValue, testMessage)[:8])

	return rows
}

// signature signs in the token and verifies here, and the other way round.
func (x *tokenTrial) signature(sig *testSignature) error {
	pub, priv, public, err := x.pair(sig.key)
	if err != nil {
		return err
	}
	if err := x.signs(sig.m, priv, sig.input, func(s []byte) bool { return sig.verify(public, s) }); err != nil {
		return err
	}
	return x.verifies(sig, pub, priv, public)
}

// verifies lets the token verify a right signature and a wrong one.
func (x *tokenTrial) verifies(sig *testSignature, pub, priv cryptoki.Object, public crypto.PublicKey) error {
	right, err := sig.sign()
	if err != nil {
		return err
	}
	if public, ok := public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(sig.key.Public()) { // a key of the token's own
		if right, err = x.s.AppendSign(x.ctx, nil, sig.m, priv, sig.input, signatureRoom(sig.m.Type())); err != nil {
			return err
		}
	}
	if err := x.s.Verify(x.ctx, sig.m, pub, sig.input, right); err != nil {
		if errors.Is(err, cryptoki.ErrSignature) {
			return wrong("a right signature does not verify")
		}
		return err
	}
	right[len(right)/2] ^= 1
	switch err := x.s.Verify(x.ctx, sig.m, pub, sig.input, right); {
	case err == nil:
		return wrong("a wrong signature verifies")
	case !errors.Is(err, cryptoki.ErrSignature):
		if e, ok := errors.AsType[*cryptoki.Error](err); ok {
			return x.works("a wrong one is %s", e.RV.String())
		}
		return err
	}
	return nil
}

// signatureInParts is signature by SignWriter and VerifyWriter.
func (x *tokenTrial) signatureInParts(sig *testSignature) error {
	pub, priv, public, err := x.pair(sig.key)
	if err != nil {
		return err
	}
	w, err := x.s.SignWriter(x.ctx, sig.m, priv)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(sig.input)); err != nil {
		return err
	}
	got, err := w.Sum(nil, 512)
	if err != nil {
		return err
	}
	if !sig.verify(public, got) {
		return wrong("a signature that does not verify")
	}
	for _, flip := range []byte{0, 1} {
		got[7] ^= flip
		v, err := x.s.VerifyWriter(x.ctx, sig.m, pub)
		if err != nil {
			return err
		}
		if _, err := v.Write(sig.input); err != nil {
			return err
		}
		if err := v.Verify(got); flip == 0 && err != nil || flip == 1 && !errors.Is(err, cryptoki.ErrSignature) {
			return fmt.Errorf("verify: %w", err)
		}
	}
	return nil
}

// mac makes and verifies a MAC, one-shot and in parts.
func (x *tokenTrial) mac(m cryptoki.Mechanism, key cryptoki.Object, want []byte) error {
	got, err := x.s.AppendSign(x.ctx, nil, m, key, testMessage, len(want))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return wrong("another MAC")
	}
	w, err := x.s.SignWriter(x.ctx, m, key)
	if err != nil {
		return fmt.Errorf("in parts: %w", err)
	}
	for _, piece := range [][]byte{testMessage[:1], testMessage[1:20], testMessage[20:]} {
		if _, err := w.Write(piece); err != nil {
			return fmt.Errorf("in parts: %w", err)
		}
	}
	if got, err := w.Sum(nil, len(want)); err != nil || !bytes.Equal(got, want) {
		return wrong("another MAC in parts, %v", err)
	}
	if err := x.s.Verify(x.ctx, m, key, testMessage, want); err != nil {
		return err
	}
	got[0] ^= 1
	if err := x.s.Verify(x.ctx, m, key, testMessage, got); !errors.Is(err, cryptoki.ErrSignature) {
		return wrong("a wrong MAC: %v", err)
	}
	return nil
}
