package cryptoki_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
)

// storeKey stores an AES key of 32 bytes on the token and returns it and its value.
func storeKey(t testing.TB, p *cryptoki.Pool, label string) (*cryptoki.SecretKey, []byte) {
	t.Helper()
	value := make([]byte, 32)
	rand.Read(value)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, err := s.CreateObject(ctx, cryptoki.Attributes{
			cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES),
			cryptoki.Bool(cryptoki.CKA_TOKEN, true), cryptoki.Bool(cryptoki.CKA_PRIVATE, true), cryptoki.String(cryptoki.CKA_LABEL, label),
			cryptoki.Bytes(cryptoki.CKA_ID, []byte(label)), cryptoki.Bytes(cryptoki.CKA_VALUE, value), cryptoki.Bool(cryptoki.CKA_ENCRYPT, true),
			cryptoki.Bool(cryptoki.CKA_DECRYPT, true), cryptoki.Bool(cryptoki.CKA_SIGN, true),
		})
		return err
	})
	k, err := p.SecretKey(context.Background(), cryptoki.KeyQuery{Label: label})
	if err != nil {
		t.Fatal(err)
	}
	return k, value
}

func newGCM(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm
}

func TestAEAD_isAESGCM(t *testing.T) {
	p, _ := openPool(t, 2)
	k, value := storeKey(t, p, "data")
	gcm := newGCM(t, value)
	a, err := k.AEAD(nil)
	if err != nil {
		t.Fatal(err)
	}
	if k.Type() != cryptoki.CKK_AES || k.Size() != 32 || k.Label() != "data" || string(k.ID()) != "data" {
		t.Errorf("got %v, %d bytes, %q, %q", k.Type(), k.Size(), k.Label(), k.ID())
	}
	c := a.Cipher(t.Context())
	if c.NonceSize() != gcm.NonceSize() || c.Overhead() != gcm.Overhead() {
		t.Errorf("got nonce of %d bytes and overhead of %d", c.NonceSize(), c.Overhead())
	}
	for _, n := range []int{0, 1, 16, 5000} {
		plain, nonce, aad := make([]byte, n), make([]byte, 12), []byte("header")
		rand.Read(plain)
		rand.Read(nonce)
		want := gcm.Seal([]byte("x"), nonce, plain, aad)
		if got := c.Seal([]byte("x"), nonce, plain, aad); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %x, want %x", n, got, want)
		}
		if got, err := c.Open([]byte("x"), nonce, want[1:], aad); err != nil || !bytes.Equal(got[1:], plain) {
			t.Errorf("%d bytes: opened %x, %v", n, got, err)
		}
		for name, change := range map[string]func(sealed, nonce, aad []byte) ([]byte, []byte, []byte){
			"a bit of the ciphertext": func(s, n, a []byte) ([]byte, []byte, []byte) { s[0] ^= 1; return s, n, a },
			"a bit of the tag":        func(s, n, a []byte) ([]byte, []byte, []byte) { s[len(s)-1] ^= 1; return s, n, a },
			"a bit of the nonce":      func(s, n, a []byte) ([]byte, []byte, []byte) { n[0] ^= 1; return s, n, a },
			"a bit of the header":     func(s, n, a []byte) ([]byte, []byte, []byte) { a[0] ^= 1; return s, n, a },
			"no header":               func(s, n, a []byte) ([]byte, []byte, []byte) { return s, n, nil },
			"a byte less":             func(s, n, a []byte) ([]byte, []byte, []byte) { return s[:len(s)-1], n, a },
			"fifteen bytes":           func(s, n, a []byte) ([]byte, []byte, []byte) { return s[:15], n, a },
		} {
			s, no, ad := change(slices.Clone(want[1:]), slices.Clone(nonce), slices.Clone(aad))
			if got, err := c.Open(nil, no, s, ad); !errors.Is(err, cryptoki.ErrOpen) || got != nil {
				t.Errorf("%d bytes, %s: got %x, %v, want ErrOpen alone", n, name, got, err)
			}
		}
	}
	if _, err := a.AppendSeal(t.Context(), nil, make([]byte, 11), nil, nil); err == nil {
		t.Error("a nonce of 11 bytes was taken")
	}
	// The session and the key are good after all that.
	if got := c.Seal(nil, make([]byte, 12), []byte("x"), nil); !bytes.Equal(got, gcm.Seal(nil, make([]byte, 12), []byte("x"), nil)) {
		t.Errorf("got %x", got)
	}
}

func TestSecretKey_macsAndRandomNumbers(t *testing.T) {
	p, _ := openPool(t, 2)
	k, value := storeKey(t, p, "mac")
	_ = value
	mac, err := k.AppendMAC(t.Context(), nil, cryptoki.Plain(cryptoki.CKM_AES_CMAC), []byte("message"), 16)
	if err != nil || len(mac) != 16 {
		t.Errorf("CMAC: got %x, %v", mac, err)
	}
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, err := s.CreateObject(ctx, cryptoki.Attributes{
			cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET), cryptoki.Bool(cryptoki.CKA_TOKEN, true),
			cryptoki.String(cryptoki.CKA_LABEL, "hmac"), cryptoki.Bytes(cryptoki.CKA_VALUE, value), cryptoki.Bool(cryptoki.CKA_SIGN, true),
		})
		return err
	})
	if k, err = p.SecretKey(t.Context(), cryptoki.KeyQuery{Label: "hmac"}); err != nil {
		t.Fatal(err)
	}
	mac, err = k.AppendMAC(t.Context(), []byte("x"), cryptoki.Plain(cryptoki.CKM_SHA256_HMAC), []byte("message"), 32)
	h := hmac.New(sha256.New, value)
	h.Write([]byte("message"))
	if err != nil || !bytes.Equal(mac, h.Sum([]byte("x"))) {
		t.Errorf("HMAC: got %x, %v", mac, err)
	}
	b := make([]byte, 5000)
	if n, err := io.ReadFull(p.Random(t.Context()), b); err != nil || n != len(b) || bytes.Equal(b[:32], b[len(b)-32:]) || bytes.Contains(b, make([]byte, 16)) {
		t.Errorf("random numbers: got %d bytes, %v", n, err)
	}
	for name, q := range map[string]cryptoki.KeyQuery{"one that is not there": {Label: "none"}, "two": {}} {
		if _, err := p.SecretKey(t.Context(), q); !errors.Is(err, cryptoki.ErrNotFound) && !errors.Is(err, cryptoki.ErrAmbiguous) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAEAD_nonceByTheToken(t *testing.T) {
	for _, nonce := range []cryptokitest.OwnNonce{cryptokitest.NonceAtInit, cryptokitest.NonceAtEnd, cryptokitest.CallersNonce} {
		value := make([]byte, 32)
		rand.Read(value)
		c, _, slot := startTestModule(t, &cryptokitest.Options{OwnNonce: nonce, Objects: []cryptokitest.Object{{
			cryptokitest.Ulong(uint(cryptoki.CKA_CLASS), uint(cryptoki.CKO_SECRET_KEY)), cryptokitest.Ulong(uint(cryptoki.CKA_KEY_TYPE), uint(cryptoki.CKK_AES)),
			cryptokitest.Bool(uint(cryptoki.CKA_TOKEN), true), cryptokitest.Bool(uint(cryptoki.CKA_PRIVATE), true),
			{Type: uint(cryptoki.CKA_LABEL), Value: []byte("k")}, {Type: uint(cryptoki.CKA_ID), Value: []byte{7}}, {Type: uint(cryptoki.CKA_VALUE), Value: value},
			cryptokitest.Bool(uint(cryptoki.CKA_ENCRYPT), true), cryptokitest.Bool(uint(cryptoki.CKA_DECRYPT), true),
		}}})
		p := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN))})
		defer p.Close()
		k, err := p.SecretKey(t.Context(), cryptoki.KeyQuery{Label: "k"})
		if err != nil {
			t.Fatal(err)
		}
		a, err := k.AEAD(&cryptoki.AEADOptions{TokenNonce: true})
		if err != nil {
			t.Fatal(err)
		}
		if a.NonceSize() != 0 || a.Overhead() != 28 {
			t.Errorf("got a nonce of %d bytes and an overhead of %d, want 0 and 28", a.NonceSize(), a.Overhead())
		}
		plain, aad := []byte("plaintext"), []byte("header")
		sealed, err := a.AppendSeal(t.Context(), []byte("x"), nil, plain, aad)
		if nonce == cryptokitest.CallersNonce {
			if !errors.Is(err, errors.ErrUnsupported) || string(sealed) != "x" {
				t.Errorf("a token that makes none: got %x, %v, want errors.ErrUnsupported", sealed, err)
			}
			continue
		}
		if err != nil || len(sealed) != 1+12+len(plain)+16 || bytes.Equal(sealed[1:13], make([]byte, 12)) {
			t.Fatalf("got %x, %v", sealed, err)
		}
		if got, err := a.AppendOpen(t.Context(), nil, nil, sealed[1:], aad); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("got %x, %v", got, err)
		}
		sealed[1] ^= 1
		if _, err := a.AppendOpen(t.Context(), nil, nil, sealed[1:], aad); !errors.Is(err, cryptoki.ErrOpen) {
			t.Errorf("another nonce: got %v, want ErrOpen", err)
		}
		// After a restart of everything the key is found again.
		c.LoseSessions()
		if _, err := a.AppendSeal(t.Context(), nil, nil, plain, aad); err != nil {
			t.Error(err)
		}
	}
}

func TestMessageCipher(t *testing.T) {
	value := make([]byte, 32)
	rand.Read(value)
	_, _, slot := startTestModule(t, nil)
	ctx := context.Background()
	s, err := slot.OpenSession(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key, err := aesKey(ctx, s, value)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := s.MessageSealer(ctx, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	open, err := s.MessageOpener(ctx, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 40 {
		plain, nonce, aad := bytes.Repeat([]byte{9}, n), make([]byte, 12), bytes.Repeat([]byte("a"), n)
		nonce[0] = byte(n)
		sealed, err := seal.Append(ctx, []byte("x"), nonce, plain, aad)
		if err != nil || len(sealed) != 1+n+16 {
			t.Fatalf("%d bytes: got %x, %v", n, sealed, err)
		}
		if got, err := open.Append(ctx, nil, nonce, sealed[1:], aad); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: got %x, %v", n, got, err)
		}
		for i, at := range []int{1, len(sealed) - 1} { // the first byte, and one of the tag
			sealed[at] ^= 1
			room := bytes.Repeat([]byte{7}, 64)
			got, err := open.Append(ctx, room[:3], nonce, sealed[1:], aad)
			if !errors.Is(err, cryptoki.ErrOpen) || len(got) != 3 || bytes.Contains(room[3:], []byte{9}) {
				t.Errorf("%d bytes, changed %d: got %x in %x, %v, want ErrOpen and nothing", n, i, got, room, err)
			}
			sealed[at] ^= 1
		}
		// Memory that is shared is copied: the result over the input, or over the additional data.
		shared := append(bytes.Repeat([]byte{9}, n), make([]byte, 16)...)
		if got, err := seal.Append(ctx, shared[:0], nonce, shared[:n], aad); err != nil || !bytes.Equal(got, sealed[1:]) {
			t.Errorf("%d bytes, in place: got %x, %v, want %x", n, got, err, sealed[1:])
		}
		shared = append(bytes.Clone(aad), make([]byte, 64)...)
		if got, err := open.Append(ctx, shared[:0], nonce, sealed[1:], shared[:n]); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes, over the additional data: got %x, %v", n, got, err)
		}
		if got, err := open.Append(t.Context(), nil, nonce, sealed[1:], aad); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes, with a context that can end: got %x, %v", n, got, err)
		}
	}
	if _, err := open.Append(ctx, nil, make([]byte, 12), make([]byte, 15), nil); !errors.Is(err, cryptoki.ErrOpen) {
		t.Errorf("shorter than the tag: got %v, want ErrOpen", err)
	}
	dst, plain, nonce := make([]byte, 0, 2000), make([]byte, 1024), make([]byte, 12)
	if n := testing.AllocsPerRun(100, func() { seal.Append(ctx, dst, nonce, plain, plain[:16]) }); n != 0 {
		t.Errorf("%v allocations a message, want none", n)
	}
	if err := errors.Join(seal.Close(ctx), open.Close(ctx), seal.Close(ctx)); err != nil {
		t.Error(err)
	}
	if _, err := seal.Append(ctx, nil, nonce, plain, nil); !errors.Is(err, cryptoki.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
}

func TestPool_KeysHidesNone(t *testing.T) {
	keys := testKeys(t)
	keys[1].NoPublic = true
	_, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys})
	p := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN))})
	defer p.Close()
	var found []string
	strange := 0
	for k, err := range p.Keys(t.Context(), cryptoki.KeyQuery{}) {
		if err != nil {
			strange++
			continue
		}
		found = append(found, k.Label())
	}
	if strange != 1 || !slices.Equal(found, []string{"right"}) {
		t.Errorf("got %q and %d strange ones, want right and one", found, strange)
	}
}
