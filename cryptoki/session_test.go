package cryptoki_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
)

func TestSession_objectsAndAttributes(t *testing.T) {
	p, _ := openPool(t, 1)
	long := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		o, err := s.CreateObject(ctx, cryptoki.Attributes{
			cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.Bool(cryptoki.CKA_TOKEN, true),
			cryptoki.Bool(cryptoki.CKA_PRIVATE, false), cryptoki.String(cryptoki.CKA_LABEL, "data"),
			cryptoki.Bytes(cryptoki.CKA_VALUE, long),
		})
		if err != nil {
			return err
		}
		// CKA_MODULUS is not there, which hides nothing else.
		a, err := s.Attributes(ctx, o, cryptoki.CKA_CLASS, cryptoki.CKA_MODULUS, cryptoki.CKA_VALUE, cryptoki.CKA_TOKEN, cryptoki.CKA_LABEL)
		if err != nil {
			return err
		}
		if v, ok := a.Ulong(cryptoki.CKA_CLASS); !ok || cryptoki.ObjectClass(v) != cryptoki.CKO_DATA {
			t.Errorf("CKA_CLASS: got %v, %v, want CKO_DATA", cryptoki.ObjectClass(v), ok)
		}
		if v, ok := a.Bool(cryptoki.CKA_TOKEN); !ok || !v {
			t.Errorf("CKA_TOKEN: got %v, %v, want true", v, ok)
		}
		if got := a.Text(cryptoki.CKA_LABEL); got != "data" {
			t.Errorf("CKA_LABEL: got %q, want data", got)
		}
		if v, _ := a.Value(cryptoki.CKA_VALUE); !bytes.Equal(v, long) {
			t.Errorf("CKA_VALUE: got %d bytes, want the %d that were stored", len(v), len(long))
		}
		if v, ok := a.Value(cryptoki.CKA_MODULUS); ok {
			t.Errorf("CKA_MODULUS: got %x, want none", v)
		}
		if _, ok := a.Ulong(cryptoki.CKA_LABEL); ok {
			t.Error("CKA_LABEL was taken for a number")
		}
		if _, err := s.Attributes(ctx, o); err == nil {
			t.Error("a question for no attribute was asked")
		}
		if err := s.DestroyObject(ctx, o); err != nil {
			return err
		}
		_, err = s.Attributes(ctx, o, cryptoki.CKA_LABEL)
		if !errors.Is(err, cryptoki.CKR_OBJECT_HANDLE_INVALID) {
			t.Errorf("a destroyed object: got %v, want CKR_OBJECT_HANDLE_INVALID", err)
		}
		return nil
	})
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, private, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "k"})
		if err != nil {
			return err
		}
		a, err := s.Attributes(ctx, private, cryptoki.CKA_VALUE, cryptoki.CKA_SENSITIVE, cryptoki.CKA_EXTRACTABLE, cryptoki.CKA_PRIVATE, cryptoki.CKA_TOKEN, cryptoki.CKA_NEVER_EXTRACTABLE)
		if err != nil {
			return err
		}
		if _, ok := a.Value(cryptoki.CKA_VALUE); ok {
			t.Error("the value of a sensitive key was given")
		}
		for _, want := range []struct {
			t cryptoki.AttributeType
			v bool
		}{
			{cryptoki.CKA_SENSITIVE, true}, {cryptoki.CKA_EXTRACTABLE, false}, {cryptoki.CKA_PRIVATE, true},
			{cryptoki.CKA_TOKEN, true}, {cryptoki.CKA_NEVER_EXTRACTABLE, true},
		} {
			if v, ok := a.Bool(want.t); !ok || v != want.v {
				t.Errorf("%v: got %v, %v, want %v", want.t, v, ok, want.v)
			}
		}
		return nil
	})
}

func TestSession_FindObjectsIsBounded(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	slot, err := openModule(t, hsm, &cryptoki.Options{MaxObjects: 70}).FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s, err := slot.OpenSession(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 71 {
		found, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA)})
		if err != nil || len(found) != n {
			t.Fatalf("got %d objects, %v, want %d", len(found), err, n)
		}
		_, err = s.CreateObject(ctx, cryptoki.Attributes{
			cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.Bool(cryptoki.CKA_TOKEN, false),
			cryptoki.Bool(cryptoki.CKA_PRIVATE, false), cryptoki.String(cryptoki.CKA_LABEL, fmt.Sprint(n)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.FindObjects(ctx, nil); err == nil || !strings.Contains(err.Error(), "MaxObjects") {
		t.Errorf("71 objects with a bound of 70: got %v, want an error that names MaxObjects", err)
	}
	found, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "42")})
	if err != nil || len(found) != 1 {
		t.Errorf("after that: got %d objects, %v, want 1", len(found), err)
	}
}

func TestSession_refusesASecondGoroutine(t *testing.T) {
	p, _ := openPool(t, 1)
	var refused, good int
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, private, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256()})
		if err != nil {
			return err
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					_, err := s.AppendSign(ctx, nil, cryptoki.Plain(cryptoki.CKM_ECDSA), private, make([]byte, 32), 64)
					mu.Lock()
					switch {
					case err == nil:
						good++
					case errors.Is(err, cryptoki.ErrConcurrent):
						refused++
					default:
						t.Error(err)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return nil
	})
	if good == 0 || refused == 0 {
		t.Errorf("got %d signatures and %d refusals, want some of both", good, refused)
	}
}

func TestSession_refusesObjectsOfAnother(t *testing.T) {
	p, _ := openPool(t, 1)
	var o cryptoki.Object
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, private, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256()})
		o = private
		return err
	})
	ctx := context.Background()
	s, err := p.Slot().OpenSession(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.AppendSign(ctx, nil, cryptoki.Plain(cryptoki.CKM_ECDSA), o, make([]byte, 32), 64); !errors.Is(err, cryptoki.ErrStale) {
		t.Errorf("sign: got %v, want ErrStale", err)
	}
	if _, err := s.Attributes(ctx, o, cryptoki.CKA_LABEL); !errors.Is(err, cryptoki.ErrStale) {
		t.Errorf("attributes: got %v, want ErrStale", err)
	}
	if err := s.DestroyObject(ctx, cryptoki.Object{}); !errors.Is(err, cryptoki.ErrStale) {
		t.Errorf("destroy of nothing: got %v, want ErrStale", err)
	}
}

func TestSession_GenerateKeyPairRefusesWhatItCannotMake(t *testing.T) {
	p, _ := openPool(t, 1)
	ctx := context.Background()
	for name, o := range map[string]cryptoki.KeyPairOptions{
		"neither curve nor size":  {},
		"both":                    {Curve: elliptic.P256(), RSABits: 2048},
		"RSA of 1,024 bits":       {RSABits: 1024},
		"decryption with EC":      {Curve: elliptic.P256(), Decrypt: true},
		"an agreement with RSA":   {RSABits: 2048, Derive: true},
		"attributes beyond bound": {Curve: elliptic.P256(), Public: make(cryptoki.Attributes, 0)},
	} {
		if name == "attributes beyond bound" {
			for i := range 70 {
				o.Public = append(o.Public, cryptoki.Bool(cryptoki.CKA_VENDOR_DEFINED+cryptoki.AttributeType(i), true))
			}
		}
		err := p.Do(ctx, func(s *cryptoki.Session) error {
			_, _, err := s.GenerateKeyPair(ctx, &o)
			return err
		})
		if err == nil || !strings.HasPrefix(err.Error(), "cryptoki: ") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}

func TestSession_randomBytesDiffer(t *testing.T) {
	p, _ := openPool(t, 1)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		a, b := make([]byte, 32), make([]byte, 32)
		if err := errors.Join(s.Random(ctx, a), s.Random(ctx, b)); err != nil {
			return err
		}
		if bytes.Equal(a, b) {
			t.Error("got the same bytes twice")
		}
		return nil
	})
}
