package cryptoki_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/system"
)

// misbehaving opens a session with a token of the library of cryptokitest.
func misbehaving(t *testing.T, library string, o *cryptokitest.Options) (*cryptokitest.Module, *cryptoki.Session) {
	t.Helper()
	m, err := cryptokitest.Start(library, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	module, err := cryptoki.Open(m.Path(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { module.Close() })
	slot, err := module.FindToken("cryptokitest")
	if err != nil {
		t.Fatal(err)
	}
	s, err := slot.OpenSession(context.Background(), true)
	if err == nil {
		err = s.Login(context.Background(), cryptoki.CKU_USER, cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN)))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return m, s
}

// contexts are the two ways that a call takes: with the caller's slices, and with copies.
func contexts(t *testing.T) map[string]context.Context {
	return map[string]context.Context{"a context that cannot end": context.Background(), "a context that can end": t.Context()}
}

func TestSession_operatesOnTheCallersSlices(t *testing.T) {
	library, err := cryptokitest.Build(t.TempDir())
	system.Supported(t, err)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("and leaves the nonce alone", func(t *testing.T) { testNonce(t, library) })
	t.Run("and leaves nothing of what failed", func(t *testing.T) { testNothingLeft(t, library) })
	t.Run("and bears it when output lies over input", func(t *testing.T) { testInPlace(t, library) })
}

func testNonce(t *testing.T, library string) {
	for _, own := range []cryptokitest.OwnNonce{cryptokitest.NonceAtInit, cryptokitest.NonceAtEnd} {
		_, s := misbehaving(t, library, &cryptokitest.Options{OwnNonce: own})
		for name, ctx := range contexts(t) {
			key, err := aesKey(ctx, s, make([]byte, 32))
			if err != nil {
				t.Fatal(err)
			}
			nonce, aad := make([]byte, 12), []byte("header")
			if _, err := s.AppendEncrypt(ctx, nil, cryptoki.GCM(nonce, aad, 16), key, []byte("plaintext"), 25); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !bytes.Equal(nonce, make([]byte, 12)) || string(aad) != "header" {
				t.Errorf("%s: nonce %x, additional data %q after the call, want them as they were", name, nonce, aad)
			}
		}
	}
}

func testNothingLeft(t *testing.T, library string) {
	for name, ctx := range contexts(t) {
		m, s := misbehaving(t, library, nil)
		key, err := aesKey(ctx, s, make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		mech := cryptoki.GCM(make([]byte, 12), nil, 16)
		sealed, err := s.AppendEncrypt(ctx, nil, mech, key, []byte("plaintext"), 25)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.SetFaults(cryptokitest.Fault{Function: "C_Decrypt", Late: true, RV: uint(cryptoki.CKR_FUNCTION_FAILED)}); err != nil {
			t.Fatal(err)
		}
		dst := append(make([]byte, 0, 64), "before"...)
		got, err := s.AppendDecrypt(ctx, dst, mech, key, sealed, 40)
		if !errors.Is(err, cryptoki.CKR_FUNCTION_FAILED) || string(got) != "before" {
			t.Errorf("%s: got %q, %v, want what was there before, and CKR_FUNCTION_FAILED", name, got, err)
		}
		if rest := dst[len(dst):cap(dst)]; !bytes.Equal(rest, make([]byte, len(rest))) {
			t.Errorf("%s: %q is left behind the result", name, rest)
		}
	}
}

// testInPlace lets the output lie over the input: the module writes a byte for each that it
// reads.
func testInPlace(t *testing.T, library string) {
	_, s := misbehaving(t, library, nil)
	ctx := context.Background()
	key, err := aesKey(ctx, s, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	plain, mech := []byte("0123456789abcdefghijklmnopqrstuvwxyz"), cryptoki.GCM(make([]byte, 12), nil, 16)
	want, err := s.AppendEncrypt(ctx, nil, mech, key, plain, len(plain)+16)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct{ output, input int }{{0, 0}, {0, 5}, {5, 0}, {20, 0}, {0, 60}, {60, 0}} {
		buf := make([]byte, 200)
		copy(buf[at.input:], plain)
		got, err := s.AppendEncrypt(ctx, buf[:at.output], mech, key, buf[at.input:at.input+len(plain)], len(plain)+16)
		if err != nil || !bytes.Equal(got[at.output:], want) {
			t.Errorf("output at %d, input at %d: got %x, %v, want %x", at.output, at.input, got[at.output:], err, want)
		}
	}
}

// TestSession_streamsTheCallersBytes writes a buffer that the writer at the end changes, as
// it may when the stream has its bytes.
func TestSession_streamsTheCallersBytes(t *testing.T) {
	p, _ := openPool(t, 2)
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, ctx := range contexts(t) {
		do(t, p, func(_ context.Context, s *cryptoki.Session) error {
			key, err := aesKey(ctx, s, make([]byte, 32))
			if err != nil {
				return err
			}
			plain := bytes.Repeat([]byte{1, 2, 3}, 100_000)
			want := make([]byte, len(plain))
			cipher.NewCTR(block, make([]byte, 16)).XORKeyStream(want, plain)
			var got []byte
			w, err := s.EncryptTo(ctx, writerFunc(func(b []byte) (int, error) {
				got = append(got, b...)
				clear(b)
				return len(b), nil
			}), cryptoki.CTR(128, [16]byte{}), key)
			if err != nil {
				return err
			}
			if _, err := w.Write(plain); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: the ciphertext is wrong", name)
			}
			if !bytes.Equal(plain, bytes.Repeat([]byte{1, 2, 3}, 100_000)) {
				t.Errorf("%s: what was written has changed", name)
			}
			return nil
		})
	}
}

func TestSession_AppendAttributes(t *testing.T) {
	p, _ := openPool(t, 1)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		object := func(label string) cryptoki.Object {
			o, err := s.CreateObject(ctx, cryptoki.Attributes{
				cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.Bool(cryptoki.CKA_TOKEN, false),
				cryptoki.String(cryptoki.CKA_LABEL, label), cryptoki.Bytes(cryptoki.CKA_VALUE, bytes.Repeat([]byte(label), 1000)),
			})
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		one, two := object("the first"), object("another")
		first, err := s.Attributes(ctx, one, cryptoki.CKA_LABEL, cryptoki.CKA_CLASS)
		if err != nil {
			return err
		}
		all, err := s.AppendAttributes(ctx, first, two, cryptoki.CKA_LABEL, cryptoki.CKA_MODULUS, cryptoki.CKA_VALUE)
		if err != nil {
			return err
		}
		if all.Text(cryptoki.CKA_LABEL) != "the first" || len(all) != 4 || string(all[2].Value) != "another" || len(all[3].Value) != 7000 {
			t.Errorf("appended: got %d attributes, %q, want those of the first object and two of the other", len(all), all)
		}
		// In the place of the last: shorter, longer, and more.
		again, err := s.AppendAttributes(ctx, first[:0], two, cryptoki.CKA_LABEL, cryptoki.CKA_CLASS)
		if err != nil || again.Text(cryptoki.CKA_LABEL) != "another" || &again[0] != &first[0] {
			t.Errorf("in place: got %q, %v", again, err)
		}
		again, err = s.AppendAttributes(ctx, again[:0], one, cryptoki.CKA_CLASS, cryptoki.CKA_LABEL, cryptoki.CKA_TOKEN)
		if class, ok := again.Ulong(cryptoki.CKA_CLASS); err != nil || again.Text(cryptoki.CKA_LABEL) != "the first" || !ok || class != uint(cryptoki.CKO_DATA) || len(again) != 3 {
			t.Errorf("in place, three: got %q, %v", again, err)
		}
		if token, ok := again.Bool(cryptoki.CKA_TOKEN); !ok || token {
			t.Errorf("CKA_TOKEN: got %v, %v, want false", token, ok)
		}
		// One kind of attribute after the other.
		for _, tt := range []cryptoki.AttributeType{cryptoki.CKA_LABEL, cryptoki.CKA_APPLICATION, cryptoki.CKA_LABEL} {
			if got, err := s.Attributes(ctx, one, tt); err != nil || len(got) != 1 || got[0].Type != tt || got.Text(cryptoki.CKA_LABEL) != map[bool]string{true: "the first"}[tt == cryptoki.CKA_LABEL] {
				t.Errorf("%v: got %q, %v", tt, got, err)
			}
		}
		// An error leaves what there was.
		if got, err := s.AppendAttributes(ctx, all[:2], cryptoki.Object{}, cryptoki.CKA_LABEL); !errors.Is(err, cryptoki.ErrStale) || len(got) != 2 {
			t.Errorf("a strange object: got %d attributes, %v", len(got), err)
		}
		return nil
	})
}

// TestSession_ObjectsKeepTheirAttributes has more objects than are read in one call, and looks
// at the first when the last were read, and something else was.
func TestSession_ObjectsKeepTheirAttributes(t *testing.T) {
	p, _ := openPool(t, 1)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		const n = 600
		for i := range n {
			_, err := s.CreateObject(ctx, cryptoki.Attributes{
				cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.Bool(cryptoki.CKA_TOKEN, false),
				cryptoki.String(cryptoki.CKA_LABEL, fmt.Sprint("label ", i)), cryptoki.Bytes(cryptoki.CKA_VALUE, bytes.Repeat([]byte{byte(i)}, i*5)),
			})
			if err != nil {
				return err
			}
		}
		var all []cryptoki.Entry
		for e, err := range s.Objects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA)}, cryptoki.CKA_LABEL, cryptoki.CKA_VALUE) {
			if err != nil {
				return err
			}
			if len(all)%100 == 0 { // the session is free
				if _, err := s.Attributes(ctx, e.Object, cryptoki.CKA_VALUE, cryptoki.CKA_APPLICATION); err != nil {
					return err
				}
				for range s.Objects(ctx, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "label 1")}, cryptoki.CKA_VALUE) {
				}
			}
			all = append(all, e)
		}
		if len(all) != n {
			t.Errorf("got %d objects, want %d", len(all), n)
		}
		seen := map[string]bool{}
		for _, e := range all {
			var i int
			label := e.Attributes.Text(cryptoki.CKA_LABEL)
			if _, err := fmt.Sscanf(label, "label %d", &i); err != nil || seen[label] {
				t.Errorf("label %q, which is none, or the second", label)
			}
			seen[label] = true
			if v, ok := e.Attributes.Value(cryptoki.CKA_VALUE); i > 0 && (!ok || !bytes.Equal(v, bytes.Repeat([]byte{byte(i)}, i*5))) {
				t.Errorf("%s: got a value of %d bytes, %v, want %d of its own", label, len(v), ok, i*5)
			}
		}
		return nil
	})
}
