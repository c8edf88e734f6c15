package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/mlkem"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/signer"
)

// An ecKey signs and agrees, as EC keys of most devices do.
type ecKey struct {
	*memoryKey
	key *ecdh.PrivateKey
}

func (k ecKey) ECDH(_ context.Context, peer *ecdh.PublicKey) ([]byte, error) { return k.key.ECDH(peer) }

func newECKey(t testing.TB, curve elliptic.Curve) ecKey {
	t.Helper()
	key := newECDSA(t, curve)
	agreeing, err := key.Signer.(*ecdsa.PrivateKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return ecKey{key, agreeing}
}

func agreers(t testing.TB) map[string]signer.Agreeing {
	return map[string]signer.Agreeing{
		"P-256, which signs too": newECKey(t, elliptic.P256()), "P-384, which signs too": newECKey(t, elliptic.P384()), "P-521, which signs too": newECKey(t, elliptic.P521()),
		"P-256": newAgreer(t, ecdh.P256()), "P-384": newAgreer(t, ecdh.P384()), "P-521": newAgreer(t, ecdh.P521()), "X25519": newAgreer(t, ecdh.X25519()),
	}
}

func TestKeyExchanger(t *testing.T) {
	for name, key := range agreers(t) {
		t.Run(name, func(t *testing.T) {
			k, err := signer.NewKeyExchanger(key, nil)
			if name == "X25519" && refusedInFIPS(t, err) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			peer := generate(t, k.Curve())
			want, err := peer.ECDH(k.PublicKey())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := k.ECDH(peer.PublicKey()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("ECDH: got another secret, or error %v", err)
			}

			// RFC 9180 by the standard library, which knows nothing of devices.
			private, err := hpke.NewDHKEMPrivateKey(k)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := hpke.Seal(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), []byte("plaintext"))
			if err != nil {
				t.Fatal(err)
			}
			if opened, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), sealed); err != nil || string(opened) != "plaintext" {
				t.Errorf("HPKE: got %q, %v", opened, err)
			}
		})
	}
}

func TestKeyExchanger_refuses(t *testing.T) {
	p256 := newECDSA(t, elliptic.P256())
	for _, tt := range []struct {
		name string
		pub  crypto.PublicKey
		err  string
	}{
		{"P-224", newECDSA(t, elliptic.P224()).Public(), "unsupported"},
		{"Ed25519", newEd25519(t).Public(), "unsupported"},
		{"a key without a curve", &ecdsa.PublicKey{}, "unsupported"},
		{"no key", nil, "unsupported"},
		{"P-256", p256.Public(), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := signer.NewKeyExchanger(&memoryAgreer{public: tt.pub}, nil)
			checkError(t, err, tt.err)
		})
	}
	t.Run("a peer on another curve", func(t *testing.T) {
		k, err := signer.NewKeyExchanger(newAgreer(t, ecdh.P384()), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = k.ECDH(newAgreer(t, ecdh.P256()).key.PublicKey())
		checkError(t, err, refused)
		_, err = k.ECDH(nil)
		checkError(t, err, refused)
	})
	t.Run("a secret of the wrong length", func(t *testing.T) {
		for name, key := range agreers(t) {
			m, ok := key.(*memoryAgreer)
			if !ok {
				continue
			}
			m.disturb = func(secret []byte) []byte { return secret[1:] }
			k, err := signer.NewKeyExchanger(m, nil)
			if name == "X25519" && refusedInFIPS(t, err) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			secret, err := k.ECDH(k.PublicKey())
			if err == nil || secret != nil {
				t.Errorf("%s: got %d bytes and error %v", name, len(secret), err)
			}
		}
	})
	t.Run("a secret of all zeros", func(t *testing.T) {
		key := newAgreer(t, ecdh.X25519())
		key.disturb = func(secret []byte) []byte { return make([]byte, len(secret)) }
		k, err := signer.NewKeyExchanger(key, nil)
		if refusedInFIPS(t, err) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		secret, err := k.ECDH(k.PublicKey())
		if err == nil || secret != nil {
			t.Errorf("got %d bytes and error %v", len(secret), err)
		}
	})
}

func kems(t testing.TB) map[string]*memoryKEM {
	t.Helper()
	key, err := mlkem.GenerateKey1024()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*memoryKEM{"ML-KEM-768": newKEM(t), "ML-KEM-1024": {key: key}}
}

func TestDecapsulator(t *testing.T) {
	for name, key := range kems(t) {
		t.Run(name, func(t *testing.T) {
			k, err := signer.NewDecapsulator(key, nil)
			if err != nil {
				t.Fatal(err)
			}
			want, ciphertext := k.Encapsulator().Encapsulate()
			if got, err := k.Decapsulate(ciphertext); err != nil || !bytes.Equal(got, want) {
				t.Errorf("Decapsulate: got another shared key, or error %v", err)
			}
			for _, n := range []int{0, len(ciphertext) - 1, len(ciphertext) + 1} {
				_, err := k.Decapsulate(make([]byte, n))
				checkError(t, err, refused)
			}
			private, err := hpke.NewMLKEMPrivateKey(k)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := hpke.Seal(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil, []byte("plaintext"))
			if err != nil {
				t.Fatal(err)
			}
			if opened, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), nil, sealed); err != nil || string(opened) != "plaintext" {
				t.Errorf("HPKE: got %q, %v", opened, err)
			}
			key.disturb = func(shared []byte) []byte { return shared[1:] }
			if shared, err := k.Decapsulate(ciphertext); err == nil || shared != nil {
				t.Errorf("a shared key too short: got %d bytes and error %v", len(shared), err)
			}
		})
	}
	_, err := signer.NewDecapsulator(notKEM{newECDSA(t, elliptic.P256())}, nil)
	checkError(t, err, "unsupported")
}

// The two halves of a hybrid key can be on a device.
func TestDecapsulator_hybrid(t *testing.T) {
	pq, err := signer.NewDecapsulator(newKEM(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	classic, err := signer.NewKeyExchanger(newAgreer(t, ecdh.P256()), nil)
	if err != nil {
		t.Fatal(err)
	}
	private, err := hpke.NewHybridPrivateKey(pq, classic)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := hpke.Seal(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil, []byte("plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), nil, sealed); err != nil || string(opened) != "plaintext" {
		t.Errorf("HPKE: got %q, %v", opened, err)
	}
}

// A notKEM claims to decapsulate with a key that cannot.
type notKEM struct{ *memoryKey }

func (notKEM) Decapsulate(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("not reached")
}
