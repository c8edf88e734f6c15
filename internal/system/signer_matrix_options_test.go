//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

//go:build cgo

package system_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"time"

	"github.com/cardoki/cardoki/signer"
)

// An unasked key must not be used.
type unasked struct{ signer.Key }

var errAsked = wrong("the key was asked")

func (unasked) Sign(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errAsked }
func (unasked) SignMessage(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errAsked
}
func (unasked) Decrypt(context.Context, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return nil, errAsked
}
func (unasked) ECDH(context.Context, *ecdh.PublicKey) ([]byte, error) { return nil, errAsked }
func (unasked) Decapsulate(context.Context, []byte) ([]byte, error)   { return nil, errAsked }

// optionRows are signer.Options.
func optionRows() []signerRow {
	const section = "Options"
	var rows []signerRow
	add := func(name string, opts func(x *signerTrial) (*signer.Options, func(error) error)) {
		for _, key := range []string{"RSA 2048", "P-256", "Ed25519"} {
			rows = append(rows, signerRow{section: section, key: key, name: name, try: func(x *signerTrial) error {
				k, err := x.signerKey()
				if err != nil {
					return err
				}
				o, judge := opts(x)
				err = nil
				for range 2 { // the first signature is special
					if err == nil {
						err = x.signsWith(signer.New(k, o), signDigest, x.defaultHash(), testMessage)
					}
				}
				if judge != nil {
					return judge(err)
				}
				return err
			}})
		}
	}
	verify := func(p signer.VerifyPolicy) func(*signerTrial) (*signer.Options, func(error) error) {
		return func(*signerTrial) (*signer.Options, func(error) error) { return &signer.Options{Verify: p}, nil }
	}
	// is makes an error the one that is wanted.
	is := func(want error) func(error) error {
		return func(err error) error {
			if !errors.Is(err, want) {
				return wrong("got error %v, want one that Is %v", err, want)
			}
			return nil
		}
	}
	add("VerifyDefault", verify(signer.VerifyDefault))
	add("VerifyAlways", verify(signer.VerifyAlways))
	add("VerifyNever", verify(signer.VerifyNever))
	add("Context that has ended: its error", func(x *signerTrial) (*signer.Options, func(error) error) {
		ctx, cancel := context.WithCancel(x.ctx)
		cancel()
		return &signer.Options{Context: ctx}, is(context.Canceled)
	})
	add("Timeout that is over: context.DeadlineExceeded", func(x *signerTrial) (*signer.Options, func(error) error) {
		return &signer.Options{Timeout: time.Nanosecond}, is(context.DeadlineExceeded)
	})
	add("Timeout that is not over", func(x *signerTrial) (*signer.Options, func(error) error) {
		return &signer.Options{Timeout: time.Minute}, nil
	})
	add("Before is told what is done, and its function the outcome", func(x *signerTrial) (*signer.Options, func(error) error) {
		before, after := 0, 0
		o := &signer.Options{Before: func(_ context.Context, op signer.Operation) (func(error), error) {
			if op.Use == signer.UseSign && op.Hash == x.defaultHash() {
				before++
			}
			return func(err error) {
				if err == nil {
					after++
				}
			}, nil
		}}
		return o, func(err error) error {
			if err == nil && (before != 2 || after != 2) {
				return wrong("two signatures: %d and %d calls", before, after)
			}
			return err
		}
	})
	refusal := errors.New("the user says no")
	add("Before refuses: its error", func(x *signerTrial) (*signer.Options, func(error) error) {
		return &signer.Options{Before: func(context.Context, signer.Operation) (func(error), error) { return nil, refusal }}, is(refusal)
	})
	return append(rows, signerRow{section: section, key: "P-256", name: "WithContext of one that has ended: its error", try: func(x *signerTrial) error {
		k, err := x.signerKey()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(x.ctx)
		cancel()
		return is(context.Canceled)(x.signsWith(signer.New(k, nil).WithContext(ctx), signDigest, crypto.SHA256, testMessage))
	}}, signerRow{section: section, key: "P-256", name: "a digest, with Hash: HashOnDevice", try: func(x *signerTrial) error { return x.signs(signOnDeviceDigest, crypto.SHA256, testMessage) }})
}

// policyRows are signer.Policy: what allows a use, and what refuses it before the key is asked.
func policyRows() []signerRow {
	const section = "Policy"
	sign := func(hash crypto.SignerOpts) func(x *signerTrial, k signer.Key, o *signer.Options) error {
		return func(x *signerTrial, k signer.Key, o *signer.Options) error {
			return x.signsWith(signer.New(k, o), signDigest, hash, testMessage)
		}
	}
	decrypt := func(x *signerTrial, k signer.Key, o *signer.Options) error {
		d, err := signer.NewDecrypter(k.(signer.Decrypting), o)
		if err != nil {
			return err
		}
		opts := &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1}
		ciphertext, err := encrypt(d.Public().(*rsa.PublicKey), opts, sessionKey)
		if err != nil {
			x.t.Fatal(err)
		}
		_, err = d.Decrypt(rand.Reader, ciphertext, opts)
		return err
	}
	agree := func(x *signerTrial, k signer.Key, o *signer.Options) error {
		e, err := signer.NewKeyExchanger(k.(signer.Agreeing), o)
		if err != nil {
			return err
		}
		_, err = e.ECDH(e.PublicKey())
		return err
	}
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	var rows []signerRow
	for _, r := range []struct {
		key, name string
		policy    signer.Policy
		reason    string // of the refusal
		use       func(x *signerTrial, k signer.Key, o *signer.Options) error
	}{
		{"RSA 2048", "PSS and SHA-256 allowed, of 2048 bits", signer.Policy{Schemes: []signer.Scheme{signer.PSS}, Hashes: []crypto.Hash{crypto.SHA256}, MinRSABits: 2048, MaxRSABits: 2048}, "", sign(pss)},
		{"RSA 2048", "PKCS #1 v1.5 where PSS alone is allowed", signer.Policy{Schemes: []signer.Scheme{signer.PSS}}, "RSA PKCS #1 v1.5", sign(crypto.SHA256)},
		{"RSA 2048", "SHA-1 where SHA-256 is allowed", signer.Policy{Hashes: []crypto.Hash{crypto.SHA256}}, "SHA-1", sign(crypto.SHA1)},
		{"RSA 2048", "no hash named where SHA-256 is allowed", signer.Policy{Hashes: []crypto.Hash{crypto.SHA256}}, "a digest whose hash function is not named", sign(crypto.Hash(0))},
		{"RSA 2048", "less than MinRSABits", signer.Policy{MinRSABits: 3072}, "an RSA key of 2048 bits", sign(pss)},
		{"RSA 4096", "more than MaxRSABits", signer.Policy{MaxRSABits: 3072}, "an RSA key of 4096 bits", sign(pss)},
		{"RSA 2048", "OAEP, mask generation with SHA-1 where SHA-256 is allowed", signer.Policy{Hashes: []crypto.Hash{crypto.SHA256}}, "SHA-1 for mask generation", decrypt},
		{"RSA 2048", "OAEP where signatures are allowed", signer.Policy{Schemes: []signer.Scheme{signer.PSS, signer.PKCS1v15}}, "RSA-OAEP", decrypt},
		{"P-256", "P-256 allowed", signer.Policy{Curves: []string{"P-256"}}, "", sign(crypto.SHA256)},
		{"P-256", "P-256 where P-384 is allowed", signer.Policy{Curves: []string{"P-384"}}, "the curve P-256", sign(crypto.SHA256)},
		{"P-256", "SHA-1 where SHA-256 is allowed", signer.Policy{Hashes: []crypto.Hash{crypto.SHA256}}, "SHA-1", sign(crypto.SHA1)},
		{"P-256", "key agreement where ECDSA is allowed", signer.Policy{Schemes: []signer.Scheme{signer.ECDSA}}, "ECDH", agree},
		{"X25519", "X25519 where P-256 is allowed", signer.Policy{Curves: []string{"P-256"}}, "the curve X25519", agree},
		{"Ed25519", "Ed25519 where no hash is allowed", signer.Policy{Hashes: []crypto.Hash{}}, "", sign(crypto.Hash(0))},
		{"Ed25519", "Ed25519 where ECDSA is allowed", signer.Policy{Schemes: []signer.Scheme{signer.ECDSA}}, "Ed25519", sign(crypto.Hash(0))},
	} {
		rows = append(rows, signerRow{section: section, key: r.key, name: r.name, try: func(x *signerTrial) error {
			k, err := x.signerKey()
			if err != nil {
				return err
			}
			o := &signer.Options{Policy: &r.policy}
			if r.reason == "" {
				return r.use(x, k, o)
			}
			err = r.use(x, unasked{k}, o)
			if e, ok := errors.AsType[*signer.PolicyError](err); !ok || e.Reason != r.reason {
				return wrong("got error %v, want a PolicyError with the reason %q", err, r.reason)
			}
			return err
		}})
	}
	return rows
}

// requestRows are what no key is asked for.
func requestRows() []signerRow {
	const section = "Refused before the key is asked"
	var rows []signerRow
	add := func(key, name string, try func(k unasked) error) {
		rows = append(rows, signerRow{section: section, key: key, name: name, try: func(x *signerTrial) error {
			k, err := x.signerKey()
			if err != nil {
				return err
			}
			return try(unasked{k})
		}})
	}
	sign := func(n int, opts crypto.SignerOpts) func(unasked) error {
		return func(k unasked) error {
			_, err := signer.New(k, nil).Sign(rand.Reader, make([]byte, n), opts)
			return err
		}
	}
	message := func(opts crypto.SignerOpts) func(unasked) error {
		return func(k unasked) error {
			_, err := signer.New(k, nil).SignMessage(rand.Reader, testMessage, opts)
			return err
		}
	}
	decrypt := func(n int, opts crypto.DecrypterOpts) func(unasked) error {
		return func(k unasked) error {
			d, err := signer.NewDecrypter(k, nil)
			if err != nil {
				return err
			}
			_, err = d.Decrypt(rand.Reader, make([]byte, n), opts)
			return err
		}
	}
	exchange := func(k unasked) error {
		_, err := signer.NewKeyExchanger(k, nil)
		return err
	}
	const unknown = crypto.Hash(99)
	add("RSA 2048", "a digest, no options", sign(32, nil))
	add("RSA 2048", "a digest of 31 bytes with SHA-256", sign(31, crypto.SHA256))
	add("RSA 2048", "246 bytes, no hash named", sign(246, crypto.Hash(0)))
	add("RSA 2048", "a hash function that nobody knows", sign(32, unknown))
	add("RSA 2048", "a message, a hash function that nobody knows", message(unknown))
	add("RSA 2048", "PKCS #1 v1.5 with BLAKE2b-256", sign(32, crypto.BLAKE2b_256))
	add("RSA 2048", "PSS without a hash", sign(32, &rsa.PSSOptions{}))
	add("RSA 2048", "PSS with a salt of -2 bytes", sign(32, &rsa.PSSOptions{SaltLength: -2, Hash: crypto.SHA256}))
	add("RSA 2048", "PSS with a salt that is a byte too long", sign(32, &rsa.PSSOptions{SaltLength: 256 - 32 - 2 + 1, Hash: crypto.SHA256}))
	add("P-256", "a digest, no options", sign(32, nil))
	add("P-256", "a digest of 31 bytes with SHA-256", sign(31, crypto.SHA256))
	add("P-256", "no digest", sign(0, crypto.Hash(0)))
	add("P-256", "RSA-PSS", sign(32, &rsa.PSSOptions{Hash: crypto.SHA256}))
	add("Ed25519", "a digest of SHA-256", sign(32, crypto.SHA256))
	add("Ed25519", "a message, SHA-256", message(crypto.SHA256))
	add("Ed25519", "a context of 256 bytes", sign(32, &ed25519.Options{Context: string(make([]byte, 256))}))
	add("X25519", "a signature", sign(32, crypto.SHA256))
	add("RSA 2048", "a ciphertext of 255 bytes", decrypt(255, nil))
	add("RSA 2048", "a session key that does not fit", decrypt(256, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 246}))
	add("RSA 2048", "OAEP without a hash", decrypt(256, &rsa.OAEPOptions{}))
	add("RSA 2048", "OAEP, mask generation with a hash function that nobody knows", decrypt(256, &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: unknown}))
	add("RSA 2048", "decryption with options of another package", decrypt(256, "options"))
	add("P-256", "decryption", decrypt(256, nil))
	add("RSA 2048", "key agreement", exchange)
	add("Ed25519", "key agreement", exchange)
	add("P-256", "decapsulation", func(k unasked) error {
		_, err := signer.NewDecapsulator(k, nil)
		return err
	})
	return rows
}
