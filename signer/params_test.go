//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/signer"
)

const refused = "refused"

func TestParseSign(t *testing.T) {
	rsaKey, small := newRSA(t, 2048).Public(), newRSA(t, 1024).Public()
	odd := newRSA(t, 2049).Public()
	ecKey := newECDSA(t, elliptic.P256()).Public()
	edKey := newEd25519(t).Public()
	pss := func(salt int, hash crypto.Hash) *rsa.PSSOptions { return &rsa.PSSOptions{SaltLength: salt, Hash: hash} }
	longest := 256 - 32 - 2
	auto := longest
	if fips140.Enabled() {
		auto = 32
	}
	notInFIPS := []string{
		"RSA: MD5 and SHA-1 of old TLS", "RSA: unhashed", "RSA: the longest unhashed", "PSS: longest salt, a modulus of 8n+1 bits", "PSS: the longest salt, in numbers",
	}
	for _, tt := range []struct {
		name string
		key  crypto.PublicKey
		n    int // length of input
		opts crypto.SignerOpts
		want signer.SignParams
		err  string
	}{
		{"RSA: SHA-256", rsaKey, 32, crypto.SHA256, signer.SignParams{Scheme: signer.PKCS1v15, Hash: crypto.SHA256}, ""},
		{"RSA: SHA3-384", rsaKey, 48, crypto.SHA3_384, signer.SignParams{Scheme: signer.PKCS1v15, Hash: crypto.SHA3_384}, ""},
		{"RSA: MD5 and SHA-1 of old TLS", rsaKey, 36, crypto.MD5SHA1, signer.SignParams{Scheme: signer.PKCS1v15, Hash: crypto.MD5SHA1}, ""},
		{"RSA: unhashed", rsaKey, 5, crypto.Hash(0), signer.SignParams{Scheme: signer.PKCS1v15}, ""},
		{"RSA: the longest unhashed", rsaKey, 245, crypto.Hash(0), signer.SignParams{Scheme: signer.PKCS1v15}, ""},
		{"RSA: longer unhashed", rsaKey, 246, crypto.Hash(0), signer.SignParams{}, refused},
		{"RSA: no options", rsaKey, 32, nil, signer.SignParams{}, refused},
		{"RSA: digest too short", rsaKey, 31, crypto.SHA256, signer.SignParams{}, refused},
		{"RSA: digest too long", rsaKey, 33, crypto.SHA256, signer.SignParams{}, refused},
		{"RSA: no such hash", rsaKey, 32, crypto.Hash(99), signer.SignParams{}, "unsupported"},

		{"RSA: a hash without an identifier", rsaKey, 32, crypto.BLAKE2b_256, signer.SignParams{}, "unsupported"},

		{"PSS: salt as long as the hash", rsaKey, 32, pss(rsa.PSSSaltLengthEqualsHash, crypto.SHA256), signer.SignParams{Scheme: signer.PSS, Hash: crypto.SHA256, SaltLength: 32}, ""},
		{"PSS: longest salt", rsaKey, 32, pss(rsa.PSSSaltLengthAuto, crypto.SHA256), signer.SignParams{Scheme: signer.PSS, Hash: crypto.SHA256, SaltLength: auto}, ""},
		{"PSS: longest salt, a modulus of 8n+1 bits", odd, 32, pss(rsa.PSSSaltLengthAuto, crypto.SHA256), signer.SignParams{Scheme: signer.PSS, Hash: crypto.SHA256, SaltLength: auto}, ""},
		{"PSS: a salt of any length", rsaKey, 32, pss(17, crypto.SHA256), signer.SignParams{Scheme: signer.PSS, Hash: crypto.SHA256, SaltLength: 17}, ""},
		{"PSS: the longest salt, in numbers", rsaKey, 32, pss(longest, crypto.SHA256), signer.SignParams{Scheme: signer.PSS, Hash: crypto.SHA256, SaltLength: longest}, ""},
		{"PSS: a longer salt", rsaKey, 32, pss(longest+1, crypto.SHA256), signer.SignParams{}, refused},
		{"PSS: a negative salt", rsaKey, 32, pss(-2, crypto.SHA256), signer.SignParams{}, refused},
		{"PSS: no hash", rsaKey, 32, pss(0, 0), signer.SignParams{}, refused},
		{"PSS: no such hash", rsaKey, 32, pss(0, 99), signer.SignParams{}, "unsupported"},
		{"PSS: a hash that is not linked into the program", rsaKey, 32, pss(0, crypto.BLAKE2b_256), signer.SignParams{}, "unsupported"},
		{"PSS: another digest", rsaKey, 32, pss(0, crypto.SHA384), signer.SignParams{}, refused},
		{"PSS: a salt as long as the hash that does not fit", small, 64, pss(rsa.PSSSaltLengthEqualsHash, crypto.SHA512), signer.SignParams{}, refused},
		{"PSS: with Ed25519", edKey, 32, pss(0, crypto.SHA256), signer.SignParams{}, "unsupported"},
		{"PSS: with ECDSA", ecKey, 32, pss(0, crypto.SHA256), signer.SignParams{}, "unsupported"},

		{"ECDSA: SHA-256", ecKey, 32, crypto.SHA256, signer.SignParams{Scheme: signer.ECDSA, Hash: crypto.SHA256}, ""},
		{"ECDSA: a hash longer than the curve", ecKey, 64, crypto.SHA512, signer.SignParams{Scheme: signer.ECDSA, Hash: crypto.SHA512}, ""},
		{"ECDSA: a digest without its hash", ecKey, 32, crypto.Hash(0), signer.SignParams{Scheme: signer.ECDSA}, ""},
		{"ECDSA: no digest", ecKey, 0, crypto.Hash(0), signer.SignParams{}, refused},
		{"ECDSA: no options", ecKey, 32, nil, signer.SignParams{}, refused},
		{"ECDSA: another digest", ecKey, 32, crypto.SHA384, signer.SignParams{}, refused},

		{"Ed25519: a message", edKey, 1000, crypto.Hash(0), signer.SignParams{Scheme: signer.Ed25519}, ""},
		{"Ed25519: no message", edKey, 0, nil, signer.SignParams{Scheme: signer.Ed25519}, ""},
		{"Ed25519: with its own options", edKey, 5, &ed25519.Options{}, signer.SignParams{Scheme: signer.Ed25519}, ""},
		{"Ed25519ph", edKey, 64, &ed25519.Options{Hash: crypto.SHA512}, signer.SignParams{}, "unsupported"},
		{"Ed25519ctx", edKey, 5, &ed25519.Options{Context: "context"}, signer.SignParams{}, "unsupported"},
		{"Ed25519: a digest", edKey, 32, crypto.SHA256, signer.SignParams{}, "unsupported"},

		{"ECDSA: a key without a curve", &ecdsa.PublicKey{}, 32, crypto.SHA256, signer.SignParams{}, "unsupported"},
		{"X25519", newAgreer(t, ecdh.X25519()).Public(), 32, crypto.SHA256, signer.SignParams{}, "unsupported"},

		{"no key", nil, 32, crypto.SHA256, signer.SignParams{}, "unsupported"},
		{"a key of another type", "key", 32, crypto.SHA256, signer.SignParams{}, "unsupported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := signer.ParseSign(tt.key, make([]byte, tt.n), tt.opts)
			if slices.Contains(notInFIPS, tt.name) && refusedInFIPS(t, err) {
				return
			}
			checkError(t, err, tt.err)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("wrong parameters (-want +got):\n%s", d)
			}
		})
	}
}

func TestParseSign_abilities(t *testing.T) {
	edKey := newEd25519(t).Public()
	const ph, ctx = signer.AbilityEd25519ph, signer.AbilityEd25519ctx
	long := strings.Repeat("c", 256)
	for _, tt := range []struct {
		name string
		n    int // length of input
		opts crypto.SignerOpts
		can  signer.Ability
		want signer.SignParams
		err  string
	}{
		{"Ed25519ph", 64, &ed25519.Options{Hash: crypto.SHA512}, ph, signer.SignParams{Scheme: signer.Ed25519, Hash: crypto.SHA512}, ""},
		{"Ed25519ph by the hash alone", 64, crypto.SHA512, ph, signer.SignParams{Scheme: signer.Ed25519, Hash: crypto.SHA512}, ""},
		{"Ed25519ph of a digest too short", 63, crypto.SHA512, ph, signer.SignParams{}, refused},
		{"Ed25519ph with another hash", 32, &ed25519.Options{Hash: crypto.SHA256}, ph, signer.SignParams{}, "unsupported"},
		{"Ed25519ph with a context", 64, &ed25519.Options{Hash: crypto.SHA512, Context: "c"}, ph | ctx, signer.SignParams{Scheme: signer.Ed25519, Hash: crypto.SHA512, Context: "c"}, ""},
		{"Ed25519ph with a context, by a key without contexts", 64, &ed25519.Options{Hash: crypto.SHA512, Context: "c"}, ph, signer.SignParams{}, "unsupported"},
		{"Ed25519ctx", 5, &ed25519.Options{Context: "c"}, ctx, signer.SignParams{Scheme: signer.Ed25519, Context: "c"}, ""},
		{"Ed25519ctx with the longest context", 5, &ed25519.Options{Context: long[:255]}, ctx, signer.SignParams{Scheme: signer.Ed25519, Context: long[:255]}, ""},
		{"Ed25519ctx with a longer context", 5, &ed25519.Options{Context: long}, ctx, signer.SignParams{}, refused},
		{"Ed25519ctx by a key that only does ph", 5, &ed25519.Options{Context: "c"}, ph, signer.SignParams{}, "unsupported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := signer.ParseSign(edKey, make([]byte, tt.n), tt.opts, tt.can)
			if tt.want.Hash == 0 && tt.want.Context != "" && refusedInFIPS(t, err) {
				return
			}
			checkError(t, err, tt.err)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("wrong parameters (-want +got):\n%s", d)
			}
		})
	}
}

// What ParseSign accepts, crypto/rsa, crypto/ecdsa and crypto/ed25519 can do, and
// what it refuses as too long, they refuse too.
func TestParseSign_agreesWithCryptoRSA(t *testing.T) {
	// 1025 bits are one bit more than full bytes: EM is a byte shorter. SHA-512
	// with a salt of its length does not fit either. FIPS 140 wants 2048 bits.
	for _, bits := range []int{1024, 1025, 1026, 2048} {
		key := newRSA(t, bits).key
		for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			digest := make([]byte, hash.Size())
			salts := []int{rsa.PSSSaltLengthAuto, rsa.PSSSaltLengthEqualsHash}
			for salt := 1; salt < 128; salt += 1 + 3*(bits/2048) {
				salts = append(salts, salt)
			}
			for _, salt := range salts {
				opts := &rsa.PSSOptions{SaltLength: salt, Hash: hash}
				p, err := signer.ParseSign(&key.PublicKey, digest, opts)
				sig, rsaErr := rsa.SignPSS(rand.Reader, key, hash, digest, opts)
				if (err == nil) != (rsaErr == nil) {
					t.Errorf("%d bits, %v, salt %d: ParseSign says %v, crypto/rsa %v", bits, hash, salt, err, rsaErr)
					continue
				}
				if err != nil {
					continue
				}
				if err := rsa.VerifyPSS(&key.PublicKey, hash, digest, sig, &rsa.PSSOptions{SaltLength: p.SaltLength, Hash: hash}); p.SaltLength > 0 && err != nil {
					t.Errorf("%d bits, %v, salt %d: ParseSign says a salt of %d bytes, crypto/rsa made another", bits, hash, salt, p.SaltLength)
				}
			}
			_, err := signer.ParseSign(&key.PublicKey, digest, hash)
			if _, rsaErr := rsa.SignPKCS1v15(nil, key, hash, digest); (err == nil) != (rsaErr == nil) {
				t.Errorf("%d bits, %v, PKCS #1 v1.5: ParseSign says %v, crypto/rsa %v", bits, hash, err, rsaErr)
			}
		}
	}
}

func TestParseDecrypt(t *testing.T) {
	key := newRSA(t, 2048).Public()
	for _, tt := range []struct {
		name string
		key  crypto.PublicKey
		n    int // length of the ciphertext
		opts crypto.DecrypterOpts
		want signer.DecryptParams
		err  string
	}{
		{"no options are PKCS #1 v1.5", key, 256, nil, signer.DecryptParams{Scheme: signer.PKCS1v15}, ""},
		{"PKCS #1 v1.5", key, 256, &rsa.PKCS1v15DecryptOptions{}, signer.DecryptParams{Scheme: signer.PKCS1v15}, ""},
		{"a session key", key, 256, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 48}, signer.DecryptParams{Scheme: signer.PKCS1v15, SessionKeyLen: 48}, ""},
		{"the longest session key", key, 256, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 245}, signer.DecryptParams{Scheme: signer.PKCS1v15, SessionKeyLen: 245}, ""},
		{"a longer session key", key, 256, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 246}, signer.DecryptParams{}, refused},
		{"a negative session key", key, 256, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: -1}, signer.DecryptParams{}, refused},
		{"OAEP", key, 256, &rsa.OAEPOptions{Hash: crypto.SHA256}, signer.DecryptParams{Scheme: signer.OAEP, Hash: crypto.SHA256, MGFHash: crypto.SHA256}, ""},
		{"OAEP with all its options", key, 256, &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1, Label: []byte("label")}, signer.DecryptParams{Scheme: signer.OAEP, Hash: crypto.SHA256, MGFHash: crypto.SHA1, Label: []byte("label")}, ""},
		{"OAEP without a hash", key, 256, &rsa.OAEPOptions{}, signer.DecryptParams{}, "unsupported"},
		{"OAEP with no such hash", key, 256, &rsa.OAEPOptions{Hash: 99}, signer.DecryptParams{}, "unsupported"},
		{"OAEP with no such hash in MGF1", key, 256, &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: 99}, signer.DecryptParams{}, "unsupported"},
		{"OAEP with a hash that does not fit", newRSA(t, 1024).Public(), 128, &rsa.OAEPOptions{Hash: crypto.SHA512}, signer.DecryptParams{}, refused},
		{"a ciphertext too short", key, 255, nil, signer.DecryptParams{}, refused},
		{"a ciphertext too long", key, 257, nil, signer.DecryptParams{}, refused},
		{"options of another type", key, 256, "options", signer.DecryptParams{}, "unsupported"},
		{"ECDSA", newECDSA(t, elliptic.P256()).Public(), 128, nil, signer.DecryptParams{}, "unsupported"},
		{"no key", nil, 128, nil, signer.DecryptParams{}, "unsupported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := signer.ParseDecrypt(tt.key, make([]byte, tt.n), tt.opts)
			if (tt.want.Scheme == signer.PKCS1v15 || tt.want.MGFHash == crypto.SHA1) && refusedInFIPS(t, err) {
				return
			}
			checkError(t, err, tt.err)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("wrong parameters (-want +got):\n%s", d)
			}
		})
	}
}

func TestScheme_String(t *testing.T) {
	for s, want := range map[signer.Scheme]string{
		signer.PKCS1v15: "RSA PKCS #1 v1.5", signer.PSS: "RSA-PSS", signer.OAEP: "RSA-OAEP", signer.ECDSA: "ECDSA", signer.Ed25519: "Ed25519", signer.ECDH: "ECDH", signer.MLKEM: "ML-KEM", 99: "Scheme(99)",
	} {
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
