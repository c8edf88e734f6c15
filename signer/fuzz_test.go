package signer_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"testing"

	"github.com/cardoki/cardoki/signer"
)

// Whatever a program asks for is refused, or comes to parameters that fit the key.
func FuzzParseSign(f *testing.F) {
	keys := []crypto.PublicKey{newRSA(f, 2048).Public(), newECDSA(f, elliptic.P256()).Public(), newEd25519(f).Public()}
	f.Add(uint8(0), make([]byte, 32), uint(crypto.SHA256), -1, "", uint(0))
	f.Add(uint8(0), make([]byte, 32), uint(crypto.SHA256), 0, "", uint(0))
	f.Add(uint8(1), make([]byte, 48), uint(crypto.SHA384), -3, "", uint(0))
	f.Add(uint8(2), make([]byte, 64), uint(crypto.SHA512), 0, "context", uint(3))
	f.Fuzz(func(t *testing.T, which uint8, input []byte, hash uint, salt int, context string, can uint) {
		for _, opts := range []crypto.SignerOpts{crypto.Hash(hash), &rsa.PSSOptions{SaltLength: salt, Hash: crypto.Hash(hash)}, &ed25519.Options{Hash: crypto.Hash(hash), Context: context}} {
			pub := keys[int(which)%len(keys)]
			p, err := signer.ParseSign(pub, input, opts, signer.Ability(can))
			if err != nil {
				if p != (signer.SignParams{}) {
					t.Errorf("got parameters %+v with error %v", p, err)
				}
				continue
			}
			if p.Hash != crypto.Hash(hash) || p.Hash != 0 && len(input) != p.Hash.Size() {
				t.Errorf("%T: a digest of %d bytes passes for one of %v", opts, len(input), p.Hash)
			}
			if p.SaltLength < 0 || p.Scheme == signer.PSS && p.SaltLength+p.Hash.Size()+2 > 256 {
				t.Errorf("a salt of %d bytes passes", p.SaltLength)
			}
			if p.Scheme == signer.Ed25519 && (p.Hash != 0 && can&uint(signer.AbilityEd25519ph) == 0 || p.Context != "" && can&uint(signer.AbilityEd25519ctx) == 0) {
				t.Errorf("%+v passes for a key that can %b", p, can)
			}
		}
	})
}
