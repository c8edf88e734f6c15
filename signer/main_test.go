//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"flag"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"

	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/signer"
)

var update = flag.Bool("update", false, "write the tables of docs/security.md anew")

func TestMain(m *testing.M) { leak.Main(m) }

// This suite is also run with GODEBUG=fips140=only. The keys below stand for devices,
// which that does not concern: what they do is in outside. What their peers do that
// know nothing of it is too.
func outside(f func()) { fips140.WithoutEnforcement(f) }

// refusedInFIPS checks, where FIPS 140 is enforced, that err refuses what is not approved,
// and reports whether that is so: then the test has seen what there is to see.
func refusedInFIPS(t *testing.T, err error) bool {
	t.Helper()
	if !fips140.Enforced() {
		return false
	}
	checkError(t, err, "unsupported")
	if err != nil && !strings.Contains(err.Error(), "FIPS 140") {
		t.Errorf("got error %v, want one that names FIPS 140", err)
	}
	return true
}

// bubble is synctest.Test. In FIPS mode Go makes its first random numbers out of how long
// things take, and in a bubble the clock stands still: there they come from elsewhere.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		cryptotest.SetGlobalRandom(t, 1)
	}
	synctest.Test(t, f)
}

// A memoryKey is a signer.Key over a key in memory. It is safe for concurrent
// use.
type memoryKey struct {
	crypto.Signer
	can     signer.Ability
	signed  atomic.Int64
	disturb func(sig []byte) []byte // changes a signature, as a faulty device does
}

func (k *memoryKey) Sign(ctx context.Context, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := signer.ParseSign(k.Public(), input, opts, k.can); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = crypto.Hash(0)
	}
	k.signed.Add(1)
	var sig []byte
	var err error
	outside(func() { sig, err = k.Signer.Sign(rand.Reader, input, opts) })
	if err == nil && k.disturb != nil {
		sig = k.disturb(sig)
	}
	return sig, err
}

func (k *memoryKey) Abilities() signer.Ability { return k.can }

// A memoryHasher is a signer.Hashing over a key in memory.
type memoryHasher struct {
	*memoryKey
	hashed atomic.Int64
}

func (k *memoryHasher) SignMessage(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.hashed.Add(1)
	return k.Sign(ctx, sum(opts.HashFunc(), string(message)), opts)
}

// A memoryAgreer is a signer.Agreeing over a key in memory.
type memoryAgreer struct {
	key     *ecdh.PrivateKey
	public  crypto.PublicKey
	disturb func(secret []byte) []byte
}

func (k *memoryAgreer) Public() crypto.PublicKey { return k.public }

func (k *memoryAgreer) Sign(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, signer.ErrUnsupported
}

func (k *memoryAgreer) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var secret []byte
	var err error
	outside(func() { secret, err = k.key.ECDH(peer) })
	if err == nil && k.disturb != nil {
		secret = k.disturb(secret)
	}
	return secret, err
}

func newAgreer(t testing.TB, curve ecdh.Curve) *memoryAgreer {
	t.Helper()
	key := generate(t, curve)
	return &memoryAgreer{key: key, public: key.PublicKey()}
}

// generate returns a key of a device, or of a peer.
func generate(t testing.TB, curve ecdh.Curve) (key *ecdh.PrivateKey) {
	t.Helper()
	var err error
	outside(func() { key, err = curve.GenerateKey(rand.Reader) })
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A memoryKEM is a signer.Decapsulating over a key in memory.
type memoryKEM struct {
	key     crypto.Decapsulator
	disturb func(shared []byte) []byte
}

func (k *memoryKEM) Public() crypto.PublicKey { return k.key.Encapsulator() }

func (k *memoryKEM) Decapsulate(ctx context.Context, ciphertext []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	shared, err := k.key.Decapsulate(ciphertext)
	if err == nil && k.disturb != nil {
		shared = k.disturb(shared)
	}
	return shared, err
}

// A memoryDecrypter is a signer.Decrypting over a key in memory.
type memoryDecrypter struct {
	memoryKey
	key *rsa.PrivateKey
}

func (k *memoryDecrypter) Decrypt(ctx context.Context, ciphertext []byte, opts crypto.DecrypterOpts) (plaintext []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := signer.ParseDecrypt(k.Public(), ciphertext, opts)
	if err != nil {
		return nil, err
	}
	opts = &rsa.PKCS1v15DecryptOptions{SessionKeyLen: p.SessionKeyLen}
	if p.Scheme == signer.OAEP {
		opts = &rsa.OAEPOptions{Hash: p.Hash, MGFHash: p.MGFHash, Label: p.Label}
	}
	outside(func() { plaintext, err = k.key.Decrypt(rand.Reader, ciphertext, opts) })
	return plaintext, err
}

var (
	_ signer.Able          = (*memoryKey)(nil)
	_ signer.Hashing       = (*memoryHasher)(nil)
	_ signer.Decrypting    = (*memoryDecrypter)(nil)
	_ signer.Agreeing      = (*memoryAgreer)(nil)
	_ signer.Decapsulating = (*memoryKEM)(nil)
)

func newRSA(t testing.TB, bits int) *memoryDecrypter {
	t.Helper()
	var key *rsa.PrivateKey
	var err error
	outside(func() { key, err = rsa.GenerateKey(rand.Reader, bits) })
	if err != nil {
		t.Fatal(err)
	}
	return &memoryDecrypter{memoryKey{Signer: key}, key}
}

func newECDSA(t testing.TB, curve elliptic.Curve) *memoryKey {
	t.Helper()
	var key *ecdsa.PrivateKey
	var err error
	outside(func() { key, err = ecdsa.GenerateKey(curve, rand.Reader) })
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
// for one that Is ErrUnsupported, "refused" for one that Is ErrInvalid, anything else
// for one that is neither.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case (err == nil) != (want == ""):
		t.Errorf("got error %v, want %q", err, want)
	case errors.Is(err, signer.ErrUnsupported) != (want == "unsupported"):
		t.Errorf("got error %v, want %q", err, want)
	case errors.Is(err, signer.ErrInvalid) != (want == refused):
		t.Errorf("got error %v, want %q", err, want)
	case errors.Is(err, signer.ErrUnsupported) && !errors.Is(err, errors.ErrUnsupported):
		t.Errorf("got error %v, want one that Is errors.ErrUnsupported too", err)
	}
}

func hexInt(t *testing.T, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return n
}

// An answering key decrypts everything to the same.
type answering struct {
	*memoryDecrypter
	answer []byte
	err    error
}

func (k answering) Decrypt(context.Context, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return append([]byte(nil), k.answer...), k.err
}
