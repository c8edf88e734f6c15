package cryptoki_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"io"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
)

// BenchmarkKey_Sign signs with P-256 in SoftHSM2: through a Key, with a context that
// cannot end and one that can, beside the bare operation in one session. C and peers are
// beside it in internal/peers.
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

// TestAllocations pins how many allocations an operation has in SoftHSM2.
func TestAllocations(t *testing.T) {
	p, _ := openPool(t, 2)
	k := generate(t, p, cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "ec", ID: []byte{1}})
	d := digest(crypto.SHA256, "x")
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		public, private, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256(), SessionOnly: true})
		if err != nil {
			return err
		}
		key, err := aesKey(ctx, s, make([]byte, 32))
		if err != nil {
			return err
		}
		w, err := s.EncryptTo(ctx, io.Discard, cryptoki.Parameter(cryptoki.CKM_AES_CBC, make([]byte, 16)), key)
		if err != nil {
			return err
		}
		piece, sealed := make([]byte, 64<<10), make([]byte, 0, 64)
		stream := testing.AllocsPerRun(20, func() {
			if _, err := w.Write(piece); err != nil {
				t.Error(err)
			}
		})
		if stream != 0 {
			t.Errorf("an update of 64 KiB: got %v allocations, want none", stream)
		}
		if err := w.Close(); err != nil {
			return err
		}
		var a cryptoki.Attributes
		for _, tt := range []struct {
			name string
			want float64
			f    func() error
		}{
			{"sign, all on the stack", 0, func() error {
				var in [32]byte
				var sig [64]byte
				_, err := s.AppendSign(ctx, sig[:0], cryptoki.Plain(cryptoki.CKM_ECDSA), private, in[:], 64)
				return err
			}},
			{"sign, with a context that can end", 0, func() error {
				_, err := s.AppendSign(t.Context(), sealed[:0], cryptoki.Plain(cryptoki.CKM_ECDSA), private, piece[:32], 64)
				return err
			}},
			{"encrypt with AES-GCM, all on the stack", 0, func() error {
				var nonce [12]byte
				var in [40]byte
				var out [56]byte
				_, err := s.AppendEncrypt(ctx, out[:0], cryptoki.GCM(nonce[:], in[:8], 16), key, in[:], 56)
				return err
			}},
			{"five attributes: the list and its values", 2, func() error {
				_, err := s.Attributes(ctx, public, cryptoki.CKA_CLASS, cryptoki.CKA_LABEL, cryptoki.CKA_ID, cryptoki.CKA_EC_PARAMS, cryptoki.CKA_EC_POINT)
				return err
			}},
			{"five attributes, in place of the last", 0, func() (err error) {
				a, err = s.AppendAttributes(ctx, a[:0], public, cryptoki.CKA_CLASS, cryptoki.CKA_LABEL, cryptoki.CKA_ID, cryptoki.CKA_EC_PARAMS, cryptoki.CKA_EC_POINT)
				return err
			}},
			{"a Key's signature: its DER", 1, func() error {
				_, err := k.Sign(ctx, d, crypto.SHA256)
				return err
			}},
		} {
			if got := testing.AllocsPerRun(50, func() {
				if err := tt.f(); err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
			}); got != tt.want {
				t.Errorf("%s: got %v allocations, want %v", tt.name, got, tt.want)
			}
		}

		for i := range 500 {
			if _, err := s.CreateObject(ctx, cryptoki.Attributes{
				cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.Bool(cryptoki.CKA_TOKEN, false), cryptoki.Bytes(cryptoki.CKA_OBJECT_ID, []byte{byte(i)}),
			}); err != nil {
				return err
			}
		}
		if got := testing.AllocsPerRun(5, func() {
			for _, err := range s.Objects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA)}, cryptoki.CKA_OBJECT_ID, cryptoki.CKA_CLASS) {
				if err != nil {
					t.Error(err)
				}
			}
		}); got > 16 {
			t.Errorf("500 objects: got %v allocations, want at most 16", got)
		}
		return nil
	})
}
