//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/signer"
)

func TestPolicy(t *testing.T) {
	rsaKey, p256, p384, edKey, x25519 := newRSA(t, 2048), newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P384()), newEd25519(t), newAgreer(t, ecdh.X25519())
	sign := func(key signer.Key, opts crypto.SignerOpts) func(*signer.Options) error {
		return func(o *signer.Options) error {
			_, err := signer.New(key, o).SignMessage(nil, []byte("a digest that is as long as one"), opts)
			return err
		}
	}
	decrypt := func(o crypto.DecrypterOpts) func(*signer.Options) error {
		return func(opts *signer.Options) error {
			d, err := signer.NewDecrypter(rsaKey, opts)
			if err != nil {
				return err
			}
			oaep, _ := o.(*rsa.OAEPOptions)
			_, err = d.Decrypt(nil, encrypt(t, rsaKey.Public().(*rsa.PublicKey), []byte("p"), oaep), o)
			return err
		}
	}
	agree := func(key *memoryAgreer) func(*signer.Options) error {
		return func(opts *signer.Options) error {
			k, err := signer.NewKeyExchanger(key, opts)
			if err != nil {
				return err
			}
			_, err = k.ECDH(k.PublicKey())
			return err
		}
	}
	pss := &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
	sha2 := []crypto.Hash{crypto.SHA256, crypto.SHA384}
	notInFIPS := []string{ // what is refused there before a policy is looked at
		"no policy", "the zero policy", "the zero policy, decryption", "decryption that is not listed", "a hash that is not listed, PSS",
		"RSA of unhashed data", "PKCS #1 v1.5 decryption has none", "OAEP with a hash that is not listed", "OAEP with mask generation that is not listed",
		"key agreement on a curve that is listed", "key agreement on a curve that is not listed", "an RSA key too small to decrypt",
	}
	for _, tt := range []struct {
		name   string
		policy *signer.Policy
		use    func(*signer.Options) error
		want   string // part of the reason; empty: allowed
	}{
		{"no policy", nil, sign(rsaKey, crypto.SHA1), ""},
		{"the zero policy", &signer.Policy{}, sign(rsaKey, crypto.SHA1), ""},
		{"the zero policy, a digest of unnamed origin", &signer.Policy{}, sign(p256, crypto.Hash(0)), ""},
		{"the zero policy, decryption", &signer.Policy{}, decrypt(nil), ""},

		{"a scheme that is listed", &signer.Policy{Schemes: []signer.Scheme{signer.PSS}}, sign(rsaKey, pss), ""},
		{"a scheme that is not listed", &signer.Policy{Schemes: []signer.Scheme{signer.PSS}}, sign(rsaKey, crypto.SHA256), "RSA PKCS #1 v1.5"},
		{"no scheme at all", &signer.Policy{Schemes: []signer.Scheme{}}, sign(edKey, crypto.Hash(0)), "Ed25519"},
		{"decryption that is not listed", &signer.Policy{Schemes: []signer.Scheme{signer.OAEP}}, decrypt(nil), "RSA PKCS #1 v1.5"},

		{"a hash that is listed", &signer.Policy{Hashes: sha2}, sign(p256, crypto.SHA384), ""},
		{"a hash that is not listed", &signer.Policy{Hashes: sha2}, sign(p256, crypto.SHA1), "SHA-1"},
		{"a hash that is not listed, PSS", &signer.Policy{Hashes: sha2}, sign(rsaKey, &rsa.PSSOptions{SaltLength: 1, Hash: crypto.SHA1}), "SHA-1"},
		{"a digest of unnamed origin", &signer.Policy{Hashes: sha2}, sign(p256, crypto.Hash(0)), "not named"},
		{"RSA of unhashed data", &signer.Policy{Hashes: sha2}, sign(rsaKey, crypto.Hash(0)), "not named"},
		{"a digest of unnamed origin that is allowed", &signer.Policy{Hashes: []crypto.Hash{0}}, sign(p256, crypto.Hash(0)), ""},
		{"Ed25519 has its hash inside", &signer.Policy{Hashes: sha2}, sign(edKey, crypto.Hash(0)), ""},
		{"PKCS #1 v1.5 decryption has none", &signer.Policy{Hashes: sha2}, decrypt(nil), ""},
		{"OAEP with hashes that are listed", &signer.Policy{Hashes: sha2}, decrypt(&rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA384}), ""},
		{"OAEP with a hash that is not listed", &signer.Policy{Hashes: sha2}, decrypt(&rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA256}), "SHA-1"},
		{"OAEP with mask generation that is not listed", &signer.Policy{Hashes: sha2}, decrypt(&rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1}), "SHA-1 for mask generation"},

		{"a curve that is listed", &signer.Policy{Curves: []string{"P-256"}}, sign(p256, crypto.SHA256), ""},
		{"a curve that is not listed", &signer.Policy{Curves: []string{"P-256"}}, sign(p384, crypto.SHA256), "the curve P-384"},
		{"key agreement on a curve that is listed", &signer.Policy{Curves: []string{"X25519"}}, agree(x25519), ""},
		{"key agreement on a curve that is not listed", &signer.Policy{Curves: []string{"P-256"}}, agree(x25519), "the curve X25519"},
		{"RSA has no curve", &signer.Policy{Curves: []string{"P-256"}}, sign(rsaKey, crypto.SHA256), ""},

		{"an RSA key as small as allowed", &signer.Policy{MinRSABits: 2048}, sign(rsaKey, crypto.SHA256), ""},
		{"an RSA key too small", &signer.Policy{MinRSABits: 3072}, sign(rsaKey, crypto.SHA256), "an RSA key of 2048 bits"},
		{"an RSA key too small to decrypt", &signer.Policy{MinRSABits: 3072}, decrypt(nil), "an RSA key of 2048 bits"},
		{"an RSA key as large as allowed", &signer.Policy{MaxRSABits: 2048}, sign(rsaKey, crypto.SHA256), ""},
		{"an RSA key too large", &signer.Policy{MaxRSABits: 1024}, sign(rsaKey, crypto.SHA256), "an RSA key of 2048 bits"},
		{"ECDSA has no modulus", &signer.Policy{MinRSABits: 2048}, sign(p256, crypto.SHA256), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := rsaKey.signed.Load() + p256.signed.Load() + p384.signed.Load() + edKey.signed.Load()
			err := tt.use(&signer.Options{Policy: tt.policy})
			if slices.Contains(notInFIPS, tt.name) && refusedInFIPS(t, err) {
				return
			}
			if tt.want == "" {
				if err != nil {
					t.Errorf("got error %v, want none", err)
				}
				return
			}
			refusal, ok := errors.AsType[*signer.PolicyError](err)
			if !ok || !strings.Contains(refusal.Reason, tt.want) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want a PolicyError that says %q", err, tt.want)
			}
			if after := rsaKey.signed.Load() + p256.signed.Load() + p384.signed.Load() + edKey.signed.Load(); after != before {
				t.Error("the key was used")
			}
		})
	}
}

// brainpoolP256t1 of RFC 5639, whose a is -3: the arithmetic of elliptic.CurveParams
// is that of such curves. Some tokens have it.
func brainpoolP256t1(t *testing.T) elliptic.Curve {
	n := func(s string) *big.Int { return hexInt(t, s) }
	return &elliptic.CurveParams{
		Name: "brainpoolP256t1", BitSize: 256,
		P:  n("A9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377"),
		N:  n("A9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7"),
		B:  n("662C61C430D84EA4FE66A7733D0B76B7BF93EBC4AF2F49256AE58101FEE92B04"),
		Gx: n("A3E8EB3CC1CFE7B7732213B23A656149AFA142C47AAFBC2B79A191562E1305F4"),
		Gy: n("2D996C823439C56D7F7B22E14644417E69BCB6DE39D027001DABE8F35B25C9BE"),
	}
}

func TestSigner_signsOnOtherCurves(t *testing.T) {
	curve := brainpoolP256t1(t)
	for _, key := range []*memoryKey{newECDSA(t, curve), newECDSA(t, elliptic.P224()), newECDSA(t, elliptic.P521())} {
		name := key.Public().(*ecdsa.PublicKey).Params().Name
		s := signer.New(key, &signer.Options{Verify: signer.VerifyAlways, Policy: &signer.Policy{Curves: []string{name}}})
		_, err := s.SignMessage(nil, []byte("message"), crypto.SHA512)
		if name == curve.Params().Name && refusedInFIPS(t, err) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		key.disturb = flip
		if _, err := s.SignMessage(nil, []byte("message"), crypto.SHA512); !errors.Is(err, signer.ErrBadSignature) {
			t.Errorf("%s, disturbed: got error %v, want ErrBadSignature", name, err)
		}
	}
}

func TestSigner_Ed25519variants(t *testing.T) {
	key := newEd25519(t)
	key.can = signer.AbilityEd25519ph | signer.AbilityEd25519ctx
	s := signer.New(key, &signer.Options{Verify: signer.VerifyAlways})
	pub, msg := s.Public().(ed25519.PublicKey), []byte("message")
	for _, opts := range []*ed25519.Options{{}, {Context: "c"}, {Hash: crypto.SHA512}, {Hash: crypto.SHA512, Context: "c"}} {
		sig, err := s.SignMessage(nil, msg, opts)
		if opts.Hash == 0 && opts.Context != "" && refusedInFIPS(t, err) {
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", opts, err)
			continue
		}
		signed := msg
		if opts.Hash != 0 {
			signed = sum(opts.Hash, string(msg))
		}
		if err := ed25519.VerifyWithOptions(pub, signed, sig, opts); err != nil {
			t.Errorf("%+v: %v", opts, err)
		}
		// A device that ignores the variant is found out.
		key.disturb = func([]byte) []byte { return ed25519.Sign(key.Signer.(ed25519.PrivateKey), []byte("other")) }
		if _, err := s.SignMessage(nil, msg, opts); !errors.Is(err, signer.ErrBadSignature) {
			t.Errorf("%+v by a device that signs something else: got error %v, want ErrBadSignature", opts, err)
		}
		key.disturb = nil
	}
}
