package cryptoki_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
)

// BenchmarkKey_Sign signs with P-256 in SoftHSM2: through a Key, with a context that
// cannot end and one that can, beside the bare operation in one session.
func BenchmarkKey_Sign(b *testing.B) {
	p, _ := openPool(b, 1)
	k := generate(b, p, cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "ec", ID: []byte{1}})
	d := digest(crypto.SHA256, "x")
	b.Run("floor=C_SignInit+C_Sign", func(b *testing.B) {
		do(b, p, func(ctx context.Context, s *cryptoki.Session) error {
			found, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY)})
			if err != nil {
				return err
			}
			b.ReportAllocs()
			sig := make([]byte, 0, 64)
			for b.Loop() {
				if _, err := s.AppendSign(ctx, sig, cryptoki.Plain(cryptoki.CKM_ECDSA), found[0], d, 64); err != nil {
					return err
				}
			}
			return nil
		})
	})
	for name, ctx := range map[string]context.Context{"context=background": context.Background(), "context=cancellable": b.Context()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(ctx, d, crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSession_Attributes reads five attributes of a public key in SoftHSM2.
func BenchmarkSession_Attributes(b *testing.B) {
	p, _ := openPool(b, 1)
	generate(b, p, cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "ec", ID: []byte{1}})
	do(b, p, func(ctx context.Context, s *cryptoki.Session) error {
		found, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY)})
		if err != nil {
			return err
		}
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.Attributes(ctx, found[0], cryptoki.CKA_CLASS, cryptoki.CKA_LABEL, cryptoki.CKA_ID, cryptoki.CKA_EC_PARAMS, cryptoki.CKA_EC_POINT)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func TestSession_AppendSignAllocatesNothing(t *testing.T) {
	p, _ := openPool(t, 1)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, private, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256()})
		if err != nil {
			return err
		}
		sig := make([]byte, 0, 64)
		for name, ctx := range map[string]context.Context{"background": ctx, "cancellable": t.Context()} {
			got := testing.AllocsPerRun(50, func() {
				var d [32]byte
				if _, err := s.AppendSign(ctx, sig, cryptoki.Plain(cryptoki.CKM_ECDSA), private, d[:], 64); err != nil {
					t.Error(err)
				}
			})
			if got != 0 {
				t.Errorf("context %s: got %v allocations, want none", name, got)
			}
		}
		return nil
	})
}
