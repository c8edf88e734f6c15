package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/signer"
)

// kind names the type of a key.
func kind(key signer.Key) string {
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", public.N.BitLen())
	case *ecdsa.PublicKey:
		return public.Params().Name
	case *ecdh.PublicKey:
		return fmt.Sprint(public.Curve())
	case ed25519.PublicKey:
		return "Ed25519"
	case crypto.Encapsulator:
		return fmt.Sprintf("ML-KEM, a public key of %d bytes", len(public.Bytes()))
	}
	return "of a type that is not known here"
}

// digests are the hash functions that are compared with Go's.
var digests = []struct {
	mechanism cryptoki.MechanismType
	hash      crypto.Hash
}{{cryptoki.CKM_SHA_1, crypto.SHA1}, {cryptoki.CKM_SHA224, crypto.SHA224}, {cryptoki.CKM_SHA256, crypto.SHA256}, {cryptoki.CKM_SHA384, crypto.SHA384}, {cryptoki.CKM_SHA512, crypto.SHA512}}

// tryDigests tries what needs no key.
func tryDigests(x *tester, pool *cryptoki.Pool, slot *cryptoki.Slot) error {
	list, err := slot.Mechanisms()
	if err != nil {
		return err
	}
	has := map[cryptoki.MechanismType]bool{}
	for _, m := range list {
		has[m] = true
	}
	message := randomBytes(1000)
	var operations []operation
	for _, d := range digests {
		if has[d.mechanism] {
			operations = append(operations, operation{d.hash.String(), func(ctx context.Context) error {
				h := d.hash.New()
				h.Write(message)
				return pool.Do(ctx, func(s *cryptoki.Session) error {
					got, err := s.AppendDigest(ctx, nil, cryptoki.Plain(d.mechanism), message, d.hash.Size())
					return verdict(err, func() bool { return bytes.Equal(got, h.Sum(nil)) })
				})
			}})
		}
	}
	operations = append(operations, operation{"random numbers", func(ctx context.Context) error {
		return pool.Do(ctx, func(s *cryptoki.Session) error {
			a, b := make([]byte, 32), make([]byte, 32)
			err := s.Random(ctx, a)
			if err == nil {
				err = s.Random(ctx, b)
			}
			return verdict(err, func() bool { return !bytes.Equal(a, b) })
		})
	}})
	x.report.keys()
	x.report.key("no key", x.try(operations, false))
	return nil
}

// pairs are the key pairs that are made.
var pairs = []struct {
	name string
	opts cryptoki.KeyPairOptions
}{
	{"RSA 2048", cryptoki.KeyPairOptions{RSABits: 2048, Decrypt: true}}, {"RSA 3072", cryptoki.KeyPairOptions{RSABits: 3072, Decrypt: true}}, {"RSA 4096", cryptoki.KeyPairOptions{RSABits: 4096, Decrypt: true}},
	{"P-256", cryptoki.KeyPairOptions{Curve: elliptic.P256(), Derive: true}}, {"P-384", cryptoki.KeyPairOptions{Curve: elliptic.P384(), Derive: true}}, {"P-521", cryptoki.KeyPairOptions{Curve: elliptic.P521(), Derive: true}},
	{"Ed25519", cryptoki.KeyPairOptions{Ed25519: true}}, {"X25519", cryptoki.KeyPairOptions{X25519: true}},
}

// makeOnToken makes keys that end with their session, and tries them.
func makeOnToken(x *tester, pool *cryptoki.Pool) error {
	x.report.line("\nMade for a session, and gone with it:")
	x.report.keys()
	for _, p := range pairs {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		o := p.opts
		o.SessionOnly, o.Label, o.ID = true, "selftest "+p.name, randomBytes(16)
		err := pool.Do(x.ctx, func(s *cryptoki.Session) error {
			_, private, err := s.GenerateKeyPair(x.ctx, &o)
			if err != nil {
				x.report.key(p.name, &tally{refused: []string{"generation: " + x.report.why(err)}})
				return nil
			}
			key, err := pool.Key(x.ctx, cryptoki.KeyQuery{Label: o.Label, ID: o.ID})
			if err != nil {
				x.report.key(p.name, &tally{failed: []string{x.report.why(err)}})
			} else {
				x.report.key(p.name, x.try(operations(key), false))
			}
			return s.DestroyObject(x.ctx, private)
		})
		if err != nil {
			return errors.New(x.report.why(err))
		}
	}
	return pool.Do(x.ctx, func(s *cryptoki.Session) error { return tryAES(x, s) })
}

// tryAES gives the token AES and HMAC keys that Go has too.
func tryAES(x *tester, s *cryptoki.Session) error {
	value := randomBytes(32)
	defer clear(value)
	block, err := aes.NewCipher(value)
	if err != nil {
		return err
	}
	iv, message := randomBytes(16), randomBytes(64)
	give := func(t cryptoki.KeyType, m cryptoki.Mechanism, use func(context.Context, []byte, cryptoki.Mechanism, cryptoki.Object, []byte, int) ([]byte, error), want []byte) func(context.Context) error {
		return func(ctx context.Context) error {
			key, err := s.CreateObject(ctx, cryptoki.Attributes{
				cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, t), cryptoki.Bytes(cryptoki.CKA_VALUE, value),
				cryptoki.Bool(cryptoki.CKA_TOKEN, false), cryptoki.Bool(cryptoki.CKA_ENCRYPT, t == cryptoki.CKK_AES), cryptoki.Bool(cryptoki.CKA_SIGN, t != cryptoki.CKK_AES),
			})
			if err != nil {
				return err
			}
			got, err := use(ctx, nil, m, key, message, len(message)+32)
			err = verdict(err, func() bool { return bytes.Equal(got, want) })
			return errors.Join(err, s.DestroyObject(ctx, key))
		}
	}
	cbc, ctr := make([]byte, len(message)), make([]byte, len(message))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(cbc, message)
	cipher.NewCTR(block, iv).XORKeyStream(ctr, message)
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, value)
	mac.Write(message)
	x.report.key("AES 256, HMAC", x.try([]operation{
		{"AES-CBC", give(cryptoki.CKK_AES, cryptoki.Parameter(cryptoki.CKM_AES_CBC, iv), s.AppendEncrypt, cbc)},
		{"AES-CTR", give(cryptoki.CKK_AES, cryptoki.CTR(128, [16]byte(iv)), s.AppendEncrypt, ctr)},
		{"AES-GCM", give(cryptoki.CKK_AES, cryptoki.GCM(iv[:12], nil, 16), s.AppendEncrypt, gcm.Seal(nil, iv[:12], message, nil))},
		{"HMAC with SHA-256", give(cryptoki.CKK_GENERIC_SECRET, cryptoki.Plain(cryptoki.CKM_SHA256_HMAC), s.AppendSign, mac.Sum(nil))},
	}, false))
	return nil
}
