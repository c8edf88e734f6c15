//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/signer"
)

func TestMain(m *testing.M) { leak.Main(m) }

// A memoryKey is a signer.Key over a key in memory. It is safe for concurrent
// use.
type memoryKey struct {
	crypto.Signer
	signed  atomic.Int64
	disturb func(sig []byte) []byte // changes a signature, as a faulty device does
}

func (k *memoryKey) Sign(ctx context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := signer.ParseSign(k.Public(), input, opts); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = crypto.Hash(0)
	}
	k.signed.Add(1)
	sig, err := k.Signer.Sign(rand.Reader, input, opts)
	if err == nil && k.disturb != nil {
		sig = k.disturb(sig)
	}
	return sig, err
}

// A memoryDecrypter is a signer.Decrypting over a key in memory.
type memoryDecrypter struct {
	memoryKey
	key *rsa.PrivateKey
}

func (k *memoryDecrypter) Decrypt(ctx context.Context, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := signer.ParseDecrypt(k.Public(), ciphertext, opts)
	if err != nil {
		return nil, err
	}
	if p.Scheme == signer.OAEP {
		return k.key.Decrypt(rand.Reader, ciphertext, &rsa.OAEPOptions{Hash: p.Hash, MGFHash: p.MGFHash, Label: p.Label})
	}
	return k.key.Decrypt(rand.Reader, ciphertext, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: p.SessionKeyLen})
}

var (
	_ signer.Key        = (*memoryKey)(nil)
	_ signer.Decrypting = (*memoryDecrypter)(nil)
)

func newRSA(t testing.TB, bits int) *memoryDecrypter {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return &memoryDecrypter{memoryKey{Signer: key}, key}
}

func newECDSA(t testing.TB, curve elliptic.Curve) *memoryKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &memoryKey{Signer: key}
}

func newEd25519(t testing.TB) *memoryKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &memoryKey{Signer: key}
}

// checkError checks err against what a row wants: empty for none, "unsupported"
// for one that Is ErrUnsupported, anything else for one that is not.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case (err == nil) != (want == ""):
		t.Errorf("got error %v, want %q", err, want)
	case errors.Is(err, signer.ErrUnsupported) != (want == "unsupported"):
		t.Errorf("got error %v, want %q", err, want)
	case errors.Is(err, signer.ErrUnsupported) && !errors.Is(err, errors.ErrUnsupported):
		t.Errorf("got error %v, want one that Is errors.ErrUnsupported too", err)
	}
}
