//go:build cgo

package peers

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	google "github.com/google/go-pkcs11/pkcs11"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/iso7816"
	software "github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

// BenchmarkSigner compares what a crypto.Signer costs over a key that costs nothing, for
// ECDSA in ASN.1 form: over the same module that does nothing, and for cardoki also over a
// card that does nothing, and over a key that is no more than a copy of its signature.
//
// go-piv/piv-go is not here: it opens readers of PC/SC only, by cgo code of its own, and has
// no place for a card of another kind. What pcscd takes for one command is a hundred times
// what is measured here; see BenchmarkRoundTrip.
func BenchmarkSigner(b *testing.B) {
	t := openNull(b)
	digest := make([]byte, 32)
	key, err := t.pool.Key(background, cryptoki.KeyQuery{Label: "key"})
	if err != nil {
		b.Fatal(err)
	}
	public, err := t.googleObject(b, google.ClassPublicKey, "key").PublicKey()
	if err != nil {
		b.Fatal(err)
	}
	private, err := t.googleObject(b, google.ClassPrivateKey, "key").PrivateKey(public)
	if err != nil {
		b.Fatal(err)
	}
	signature, err := key.Sign(background, digest, crypto.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	raw := t.find(b, cryptoki.CKO_PRIVATE_KEY, "key").raw
	out := make([]byte, 64)
	signs := func(name string, s crypto.Signer) player {
		return player{name: name, do: times(func() error {
			got, err := s.Sign(rand.Reader, digest, crypto.SHA256)
			if err == nil && len(got) < 64 {
				err = errShort
			}
			return err
		})}
	}
	byTurns(b, 0,
		player{name: "C", outside: true, do: func(n int) error { return t.floor.Sign(t.raw, uint(cryptoki.CKM_ECDSA), raw, digest, out, n) }},
		signs("cardoki", key.Signer(nil)),
		signs("copy", signer.New(&copied{key.Public(), signature}, nil)),
		signs("piv", pivSigner(b)),
		signs("crypto11", t.crypto11Key(b, "key")),
		signs("google", private.(crypto.Signer)),
	)
}

// A copied key is a signature.
type copied struct {
	public    crypto.PublicKey
	signature []byte
}

func (k *copied) Public() crypto.PublicKey { return k.public }

func (k *copied) Sign(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	return bytes.Clone(k.signature), nil
}

// pivSigner returns the signer of a key for which no PIN is asked for, in a card that
// computes nothing. A signature is two commands: the first proves that the application is
// still selected.
func pivSigner(tb testing.TB) crypto.Signer {
	tb.Helper()
	p := &parrot{card: software.New(nil, piv.NewApplication(nil))}
	client, err := piv.Open(background, iso7816.NewChannel(p, nil), nil)
	if err != nil {
		tb.Fatal(err)
	}
	management := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 3) // that of the factory
	if err := client.AuthenticateManagementKey(background, piv.AlgorithmAES192, management); err != nil {
		tb.Fatal(err)
	}
	if _, err := client.GenerateKey(background, piv.SlotCardAuthentication, piv.AlgorithmP256, nil); err != nil {
		tb.Fatal(err)
	}
	key, err := client.Key(background, piv.SlotCardAuthentication)
	if err != nil {
		tb.Fatal(err)
	}
	p.repeats = true
	return key.Signer(nil)
}

// A parrot answers a command as the card did the last time, once it repeats, if the last one
// with the same instruction was the same command.
type parrot struct {
	card    apdu.Transmitter
	repeats bool
	last    [256]struct{ command, answer []byte }
}

// Transmit implements [apdu.Transmitter].
func (p *parrot) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	last := &p.last[command[1]]
	if p.repeats && bytes.Equal(last.command, command) {
		return append(dst, last.answer...), nil
	}
	out, err := p.card.Transmit(ctx, dst, command)
	if err == nil {
		last.command, last.answer = bytes.Clone(command), bytes.Clone(out[len(dst):])
	}
	return out, err
}

// openNull opens the module that does nothing.
func openNull(tb testing.TB) *token {
	tb.Helper()
	dir := tb.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.h"), []byte(header(tb, key, make([]byte, 32))), 0o600); err != nil {
		tb.Fatal(err)
	}
	return openToken(tb, compile(tb, dir, "null.c", "-I", dir), "null", "", nil)
}
