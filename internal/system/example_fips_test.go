//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package system_test

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
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

// An outsideCard is a card that the mode of this process does not concern.
type outsideCard struct{ *card.Card }

func (c outsideCard) Transmit(ctx context.Context, dst, command []byte) (response []byte, err error) {
	fips140.WithoutEnforcement(func() { response, err = c.Card.Transmit(ctx, dst, command) })
	return response, err
}

// A fipsUse is one thing done with a key where FIPS 140 is enforced.
type fipsUse struct {
	name   string
	card   func(ctx context.Context, client *piv.Client) error // nil: cards have no such thing
	module func(ctx context.Context, pool *cryptoki.Pool) error
}

// fipsUses are the rows of the table.
func fipsUses() []fipsUse {
	row := func(name string, algorithm piv.Algorithm, pair *cryptoki.KeyPairOptions, use func(context.Context, signer.Key) error) fipsUse {
		r := fipsUse{name: name, card: func(ctx context.Context, client *piv.Client) error {
			if _, err := client.GenerateKey(ctx, piv.SlotAuthentication, algorithm, nil); err != nil {
				return err
			}
			key, err := client.Key(ctx, piv.SlotAuthentication)
			if err != nil {
				return err
			}
			return use(ctx, key)
		}}
		if pair != nil {
			r.module = func(ctx context.Context, pool *cryptoki.Pool) error {
				o := *pair
				o.Label, o.ID = name, []byte(name)
				err := pool.Do(ctx, func(s *cryptoki.Session) error {
					_, _, err := s.GenerateKeyPair(ctx, &o)
					return err
				})
				if err != nil {
					return err
				}
				key, err := pool.Key(ctx, cryptoki.KeyQuery{ID: o.ID})
				if err != nil {
					return err
				}
				return use(ctx, key)
			}
		}
		return r
	}
	management := func(algorithm piv.Algorithm) func(context.Context, *piv.Client) error {
		return func(ctx context.Context, client *piv.Client) error {
			key := make([]byte, 24)
			rand.Read(key)
			fips140.WithoutEnforcement(func() { // to give the card such a key
				if err := client.SetManagementKey(ctx, algorithm, key, false); err != nil {
					panic(err)
				}
			})
			err := client.AuthenticateManagementKey(ctx, algorithm, key)
			fips140.WithoutEnforcement(func() {
				if err := client.AuthenticateManagementKey(ctx, algorithm, key); err != nil {
					panic(err)
				}
				if err := client.SetManagementKey(ctx, piv.AlgorithmAES192, managementKey, false); err != nil {
					panic(err)
				}
			})
			return err
		}
	}
	rsaPair := &cryptoki.KeyPairOptions{RSABits: 2048, Decrypt: true}
	return []fipsUse{
		{"management key of AES", management(piv.AlgorithmAES192), nil},
		{"management key of triple DES", management(piv.AlgorithmTDESLegacy), nil},
		row("RSA 2048: signature, PKCS #1 v1.5 and PSS", piv.AlgorithmRSA2048, rsaPair, func(ctx context.Context, key signer.Key) error {
			return errors.Join(signsRSA(ctx, key, crypto.SHA256), signsRSA(ctx, key, &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}))
		}),
		row("RSA 2048: signature with SHA-1", piv.AlgorithmRSA2048, rsaPair, func(ctx context.Context, key signer.Key) error {
			_, err := key.Sign(ctx, make([]byte, 20), crypto.SHA1)
			return err
		}),
		row("RSA 2048: OAEP with SHA-256", piv.AlgorithmRSA2048, rsaPair, decryptsRSA(&rsa.OAEPOptions{Hash: crypto.SHA256})),
		row("RSA 2048: OAEP with SHA-1", piv.AlgorithmRSA2048, rsaPair, decryptsRSA(&rsa.OAEPOptions{Hash: crypto.SHA1})),
		row("RSA 2048: decryption, PKCS #1 v1.5", piv.AlgorithmRSA2048, rsaPair, decryptsRSA(nil)),
		row("RSA 1024: signature", piv.AlgorithmRSA1024Legacy, nil, func(ctx context.Context, key signer.Key) error { return signsRSA(ctx, key, crypto.SHA256) }),
		row("P-256: signature and key agreement", piv.AlgorithmP256, &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Derive: true}, func(ctx context.Context, key signer.Key) error {
			digest := sha256.Sum256([]byte("message"))
			sig, err := key.Sign(ctx, digest[:], crypto.SHA256)
			if err == nil && !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], sig) {
				err = errors.New("the signature does not verify")
			}
			peer, keyErr := ecdh.P256().GenerateKey(rand.Reader)
			if err := errors.Join(err, keyErr); err != nil {
				return err
			}
			_, err = key.(signer.Agreeing).ECDH(ctx, peer.PublicKey())
			return err
		}),
		row("Ed25519: signature", piv.AlgorithmEd25519, &cryptoki.KeyPairOptions{Ed25519: true}, func(ctx context.Context, key signer.Key) error {
			sig, err := key.Sign(ctx, []byte("message"), crypto.Hash(0))
			if err == nil && !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte("message"), sig) {
				err = errors.New("the signature does not verify")
			}
			return err
		}),
		row("X25519", piv.AlgorithmX25519, nil, func(context.Context, signer.Key) error { return nil }),
	}
}

func signsRSA(ctx context.Context, key signer.Key, opts crypto.SignerOpts) error {
	digest := sha256.Sum256([]byte("message"))
	_, err := signer.New(key, nil).Sign(nil, digest[:], opts) // and it is verified
	return errors.Join(err, ctx.Err())
}

func decryptsRSA(opts *rsa.OAEPOptions) func(context.Context, signer.Key) error {
	return func(ctx context.Context, key signer.Key) (err error) {
		public := key.Public().(*rsa.PublicKey)
		var ciphertext []byte
		how := crypto.DecrypterOpts(&rsa.PKCS1v15DecryptOptions{})
		fips140.WithoutEnforcement(func() { // a stranger did
			if opts != nil {
				how = opts
				ciphertext, err = rsa.EncryptOAEPWithOptions(rand.Reader, public, []byte("plaintext"), opts)
			} else {
				ciphertext, err = rsa.EncryptPKCS1v15(rand.Reader, public, []byte("plaintext"))
			}
		})
		if err != nil {
			return err
		}
		plaintext, err := key.(signer.Decrypting).Decrypt(ctx, ciphertext, how)
		if err == nil && string(plaintext) != "plaintext" {
			err = errors.New("got another plaintext")
		}
		return err
	}
}

// TestFIPSKeys makes the table of docs/security.md of what keys on cards and tokens do in
// a process where FIPS 140 is enforced.
func TestFIPSKeys(t *testing.T) {
	if os.Getenv(roleVariable) == "" {
		system.Need(t, "softhsm2-util", "softhsm2")
		p := startProcess(t, "TestFIPSKeys", "fips", "GODEBUG=fips140=only")
		var table string
		reported := p.report.Decode(&table)
		if err := p.wait(); err != nil || reported != nil {
			t.Fatalf("%v, %v", reported, err)
		}
		comparePart(t, "security.md", "keys in FIPS mode", table)
		return
	}
	if !fips140.Enforced() {
		t.Fatal("FIPS 140 is not enforced")
	}
	pool := openToken(t, system.StartSoftHSM(t), "cardoki test")
	c := outsideCard{card.New(nil, newApplication())}
	client, err := piv.Open(t.Context(), iso7816.NewChannel(c, nil), &piv.Options{PIN: givePIN})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.AuthenticateManagementKey(t.Context(), piv.AlgorithmAES192, managementKey); err != nil {
		t.Fatal(err)
	}
	outcome := func(name string, err error) string {
		switch {
		case err == nil:
			return "yes"
		case strings.Contains(err.Error(), "FIPS 140"):
			return "refused"
		}
		t.Errorf("%s: got error %v, want none or one that names FIPS 140", name, err)
		return "?"
	}
	var table strings.Builder
	table.WriteString("\n| | PIV card | PKCS#11, SoftHSM2 |\n|---|---|---|\n")
	for _, use := range fipsUses() {
		onToken := ""
		if use.module != nil {
			onToken = outcome(use.name, use.module(t.Context(), pool))
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", use.name, outcome(use.name, use.card(t.Context(), client)), onToken)
	}
	if err := reporter().Encode(table.String()); err != nil {
		t.Fatal(err)
	}
}

// comparePart compares what is between two comments of a page in docs with what was made,
// or writes it there.
func comparePart(t *testing.T, page, name, made string) {
	t.Helper()
	path := filepath.Join(root, "docs", page)
	text := mustRead(t, path)
	head, rest, ok := strings.Cut(text, "<!-- "+name)
	comment, rest, ok2 := strings.Cut(rest, "-->\n")
	there, tail, ok3 := strings.Cut(rest, "<!-- end of "+name+" -->")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("docs/%s has no part %q", page, name)
	}
	if *update {
		if err := os.WriteFile(path, []byte(head+"<!-- "+name+comment+"-->\n"+made+"<!-- end of "+name+" -->"+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(there, made); d != "" {
		t.Errorf("docs/%s is out of date (-there +made):\n%s\ngo test ./internal/system -run %s -update makes it anew", page, d, t.Name())
	}
}
