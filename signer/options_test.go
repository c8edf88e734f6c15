package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"
	"time"

	"github.com/cardoki/cardoki/signer"
)

// A slowKey waits for its context, as a key does that nobody touches.
type slowKey struct{ *memoryDecrypter }

func (k slowKey) Sign(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (k slowKey) Decrypt(ctx context.Context, _ []byte, _ crypto.DecrypterOpts) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

type slowAgreer struct{ *memoryAgreer }

func (k slowAgreer) ECDH(ctx context.Context, _ *ecdh.PublicKey) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

type slowKEM struct{ *memoryKEM }

func (k slowKEM) Decapsulate(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func newKEM(t testing.TB) *memoryKEM {
	t.Helper()
	key, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	return &memoryKEM{key: key}
}

// uses are all that can be done with a key, each with the options and the context of
// WithContext, where that is not nil.
func uses(t *testing.T, rsaKey signer.Decrypting, agreer signer.Agreeing, kem signer.Decapsulating) map[string]func(*signer.Options, context.Context) error {
	t.Helper()
	ciphertext, err := rsa.EncryptOAEP(crypto.SHA256.New(), rand.Reader, rsaKey.Public().(*rsa.PublicKey), []byte("plaintext"), nil)
	if err != nil {
		t.Fatal(err)
	}
	peer := generate(t, agreer.Public().(*ecdh.PublicKey).Curve())
	_, encapsulated := kem.Public().(crypto.Encapsulator).Encapsulate()
	return map[string]func(*signer.Options, context.Context) error{
		"Sign": func(o *signer.Options, ctx context.Context) error {
			s := signer.New(rsaKey, o)
			if ctx != nil {
				s = s.WithContext(ctx)
			}
			_, err := s.SignMessage(nil, []byte("message"), crypto.SHA256)
			return err
		},
		"Decrypt": func(o *signer.Options, ctx context.Context) error {
			d, err := signer.NewDecrypter(rsaKey, o)
			if err != nil {
				return err
			}
			if ctx != nil {
				d = d.WithContext(ctx)
			}
			_, err = d.Decrypt(nil, ciphertext, &rsa.OAEPOptions{Hash: crypto.SHA256})
			return err
		},
		"ECDH": func(o *signer.Options, ctx context.Context) error {
			k, err := signer.NewKeyExchanger(agreer, o)
			if err != nil {
				return err
			}
			if ctx != nil {
				k = k.WithContext(ctx)
			}
			_, err = k.ECDH(peer.PublicKey())
			return err
		},
		"Decapsulate": func(o *signer.Options, ctx context.Context) error {
			k, err := signer.NewDecapsulator(kem, o)
			if err != nil {
				return err
			}
			if ctx != nil {
				k = k.WithContext(ctx)
			}
			_, err = k.Decapsulate(encapsulated)
			return err
		},
	}
}

func TestOptions_endUses(t *testing.T) {
	gone := errors.New("the program ends")
	ended := func() context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(gone)
		return ctx
	}
	// All are made outside of the bubbles: crypto/rsa keeps what it computes.
	for name, use := range uses(t, slowKey{newRSA(t, 2048)}, slowAgreer{newAgreer(t, ecdh.P256())}, slowKEM{newKEM(t)}) {
		for _, tt := range []struct {
			name string
			opts func(*testing.T) *signer.Options
			own  func() context.Context
			want error
			took time.Duration
		}{
			{"by the context of the options", func(t *testing.T) *signer.Options { return &signer.Options{Context: ended()} }, nil, gone, 0},
			{"by a context of its own", func(t *testing.T) *signer.Options { return nil }, ended, gone, 0},
			{"by the context of the options, with one of its own", func(t *testing.T) *signer.Options { return &signer.Options{Context: ended()} },
				context.Background, gone, 0},
			{"by its own context, with one of the options", func(t *testing.T) *signer.Options {
				ctx, cancel := context.WithCancel(context.Background())
				t.Cleanup(cancel)
				return &signer.Options{Context: ctx}
			}, ended, gone, 0},
			{"by the timeout", func(t *testing.T) *signer.Options { return &signer.Options{Timeout: time.Minute} }, nil, context.DeadlineExceeded, time.Minute},
			{"by the timeout, with both contexts", func(t *testing.T) *signer.Options {
				ctx, cancel := context.WithCancel(context.Background())
				t.Cleanup(cancel)
				return &signer.Options{Context: ctx, Timeout: time.Minute}
			}, context.Background, context.DeadlineExceeded, time.Minute},
		} {
			t.Run(name+" ends "+tt.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var own context.Context
					if tt.own != nil {
						own = tt.own()
					}
					start := time.Now()
					err := use(tt.opts(t), own)
					if !errors.Is(err, tt.want) {
						t.Errorf("got error %v, want %v", err, tt.want)
					}
					if took := time.Since(start); took != tt.took {
						t.Errorf("it took %v, want %v", took, tt.took)
					}
				})
			})
		}
	}
}

func TestOptions_Before(t *testing.T) {
	rsaKey, agreer, kem := newRSA(t, 2048), newAgreer(t, ecdh.P384()), newKEM(t)
	want := map[string]string{
		"Sign":        "sign with RSA PKCS #1 v1.5 and SHA-256, 2048 bits",
		"Decrypt":     "decrypt with RSA-OAEP and SHA-256, 2048 bits",
		"ECDH":        "agree on a secret with ECDH, P-384",
		"Decapsulate": "decapsulate with ML-KEM, ML-KEM-768",
	}
	for name, use := range uses(t, rsaKey, agreer, kem) {
		t.Run(name+" is announced, and its outcome", func(t *testing.T) {
			var op signer.Operation
			outcome := errors.New("not called")
			err := use(&signer.Options{Before: func(ctx context.Context, o signer.Operation) (func(error), error) {
				op = o
				return func(err error) { outcome = err }, ctx.Err()
			}}, nil)
			if err != nil || outcome != nil {
				t.Errorf("got error %v and outcome %v, want none", err, outcome)
			}
			if op.String() != want[name] {
				t.Errorf("got %q, want %q", op, want[name])
			}
		})
		t.Run(name+" fails, and the outcome says so", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var outcome error
			err := use(&signer.Options{Context: ctx, Before: func(context.Context, signer.Operation) (func(error), error) {
				return func(err error) { outcome = err }, nil
			}}, nil)
			if !errors.Is(err, context.Canceled) || !errors.Is(outcome, context.Canceled) {
				t.Errorf("got error %v and outcome %v, want context.Canceled", err, outcome)
			}
		})
		t.Run(name+" is refused by the user", func(t *testing.T) {
			no := errors.New("the user said no")
			signed := rsaKey.signed.Load()
			err := use(&signer.Options{Before: func(context.Context, signer.Operation) (func(error), error) { return nil, no }}, nil)
			if err != no || rsaKey.signed.Load() != signed {
				t.Errorf("got error %v and %d signatures, want %v and none", err, rsaKey.signed.Load()-signed, no)
			}
		})
		t.Run(name+" needs nothing after", func(t *testing.T) {
			if err := use(&signer.Options{Before: func(context.Context, signer.Operation) (func(error), error) { return nil, nil }}, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the policy or the options refuse is not announced.
func TestOptions_Before_isNotCalledForWhatIsRefused(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	s := signer.New(key, &signer.Options{
		Policy: &signer.Policy{Curves: []string{"P-384"}},
		Before: func(context.Context, signer.Operation) (func(error), error) {
			t.Error("it was announced")
			return nil, nil
		},
	})
	for _, n := range []int{31, 32} {
		if _, err := s.Sign(nil, make([]byte, n), crypto.SHA256); err == nil {
			t.Error("got no error")
		}
	}
}

func TestHashOnDevice(t *testing.T) {
	msg := []byte("message")
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	rsaKey, ecKey, edKey := newRSA(t, 2048), newECDSA(t, elliptic.P256()), newEd25519(t)
	edKey.can = signer.AbilityEd25519ph
	for _, tt := range []struct {
		name   string
		key    *memoryKey
		opts   crypto.SignerOpts
		hashed int64
		err    string
	}{
		{"RSA PKCS #1 v1.5", &rsaKey.memoryKey, crypto.SHA384, 1, ""},
		{"RSA-PSS", &rsaKey.memoryKey, pss, 1, ""},
		{"ECDSA", ecKey, crypto.SHA256, 1, ""},
		{"Ed25519, which hashes anyway", edKey, crypto.Hash(0), 0, ""},
		{"Ed25519ph", edKey, crypto.SHA512, 1, ""},
		{"ECDSA with a digest of unnamed origin", ecKey, crypto.Hash(0), 0, "unsupported"},
		{"ECDSA without options", ecKey, nil, 0, refused},
		{"ECDSA with PSS", ecKey, pss, 0, "unsupported"},
		{"Ed25519 with another hash", edKey, crypto.SHA256, 0, "unsupported"},
		{"no such hash", ecKey, crypto.Hash(99), 0, "unsupported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &memoryHasher{memoryKey: tt.key}
			s := signer.New(h, &signer.Options{Hash: signer.HashOnDevice, Verify: signer.VerifyAlways})
			sig, err := s.SignMessage(nil, msg, tt.opts)
			checkError(t, err, tt.err)
			if n := h.hashed.Load(); n != tt.hashed {
				t.Errorf("the device hashed %d times, want %d", n, tt.hashed)
			}
			if err != nil {
				return
			}
			if plain, err := signer.New(tt.key, nil).SignMessage(nil, msg, tt.opts); err != nil || tt.opts == crypto.SHA384 && !bytes.Equal(plain, sig) {
				t.Errorf("the host's hash gives another signature, or error %v", err)
			}
			if tt.hashed > 0 {
				_, err = signer.New(tt.key, &signer.Options{Hash: signer.HashOnDevice}).SignMessage(nil, msg, tt.opts)
				checkError(t, err, "unsupported") // a key that cannot hash
				_, err = s.Sign(nil, make([]byte, tt.opts.HashFunc().Size()), tt.opts)
				checkError(t, err, "unsupported") // a digest from elsewhere
			}
			tt.key.disturb = flip
			defer func() { tt.key.disturb = nil }()
			if _, err := s.SignMessage(nil, msg, tt.opts); !errors.Is(err, signer.ErrBadSignature) {
				t.Errorf("disturbed: got error %v, want ErrBadSignature", err)
			}
		})
	}
	t.Run("without verification the hash need not be here", func(t *testing.T) {
		s := signer.New(&noHash{newECDSA(t, elliptic.P256())}, &signer.Options{Hash: signer.HashOnDevice, Verify: signer.VerifyNever})
		if sig, err := s.SignMessage(nil, msg, crypto.BLAKE2b_256); err != nil || string(sig) != "signature" {
			t.Errorf("got %q, %v", sig, err)
		}
		s = signer.New(&noHash{newECDSA(t, elliptic.P256())}, &signer.Options{Hash: signer.HashOnDevice})
		_, err := s.SignMessage(nil, msg, crypto.BLAKE2b_256)
		checkError(t, err, "unsupported")
	})
}

// A noHash is a key that hashes with what this program does not have.
type noHash struct{ *memoryKey }

func (*noHash) SignMessage(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("signature"), nil
}
