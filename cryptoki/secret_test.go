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
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
)

// aesKey makes an AES key of 32 bytes that is known outside too.
func aesKey(ctx context.Context, s *cryptoki.Session, value []byte) (cryptoki.Object, error) {
	return s.CreateObject(ctx, cryptoki.Attributes{
		cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES), cryptoki.Bool(cryptoki.CKA_TOKEN, false),
		cryptoki.Bytes(cryptoki.CKA_VALUE, value), cryptoki.Bool(cryptoki.CKA_ENCRYPT, true), cryptoki.Bool(cryptoki.CKA_DECRYPT, true),
		cryptoki.Bool(cryptoki.CKA_WRAP, true), cryptoki.Bool(cryptoki.CKA_UNWRAP, true), cryptoki.Bool(cryptoki.CKA_SIGN, true), cryptoki.Bool(cryptoki.CKA_VERIFY, true),
	})
}

func TestSession_encryptsWhatCryptoDecrypts(t *testing.T) {
	p, _ := openPool(t, 1)
	value, iv := make([]byte, 32), make([]byte, 16)
	rand.Read(value)
	rand.Read(iv)
	block, err := aes.NewCipher(value)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		key, err := aesKey(ctx, s, value)
		if err != nil {
			return err
		}
		for _, n := range []int{0, 1, 15, 16, 1000} {
			plain := bytes.Repeat([]byte{7}, n)
			// AES-CTR, one-shot.
			want := make([]byte, n)
			cipher.NewCTR(block, iv).XORKeyStream(want, plain)
			got, err := s.AppendEncrypt(ctx, []byte("x"), cryptoki.CTR(128, [16]byte(iv)), key, plain, n)
			if n > 0 && (err != nil || !bytes.Equal(got, append([]byte("x"), want...))) {
				t.Errorf("CTR, %d bytes: got %x, %v", n, got, err)
			}
			// AES-GCM, one-shot, both ways.
			nonce, aad := iv[:12], []byte("header")
			m := cryptoki.GCM(nonce, aad, 16)
			sealed, err := s.AppendEncrypt(ctx, nil, m, key, plain, n+16)
			if err != nil || !bytes.Equal(sealed, gcm.Seal(nil, nonce, plain, aad)) {
				t.Errorf("GCM, %d bytes: got %x, %v", n, sealed, err)
			}
			if opened, err := s.AppendDecrypt(ctx, nil, m, key, sealed, n+16); err != nil || !bytes.Equal(opened, plain) {
				t.Errorf("GCM, %d bytes: opened %x, %v", n, opened, err)
			}
			sealed[0] ^= 1
			if opened, err := s.AppendDecrypt(ctx, nil, m, key, sealed, n+16); err == nil {
				t.Errorf("GCM, a changed ciphertext: opened %x", opened)
			}
		}
		return nil
	})
}

func TestSession_streams(t *testing.T) {
	p, _ := openPool(t, 2)
	value, iv := make([]byte, 32), make([]byte, 16)
	rand.Read(value)
	rand.Read(iv)
	plain := make([]byte, 300_001)
	rand.Read(plain)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		key, err := aesKey(ctx, s, value)
		if err != nil {
			return err
		}
		m := cryptoki.Parameter(cryptoki.CKM_AES_CBC_PAD, iv)
		var sealed, opened bytes.Buffer
		w, err := s.EncryptTo(ctx, &sealed, m, key)
		if err != nil {
			return err
		}
		// Pieces of many sizes.
		for rest := plain; len(rest) > 0; {
			n := min(len(rest), 1+len(rest)/3)
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
		if _, err := w.Write([]byte{1}); err == nil {
			t.Error("Write after Close: got nil, want an error")
		}
		block, _ := aes.NewCipher(value)
		padded := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(16 - len(plain)%16)}, 16-len(plain)%16)...)
		want := make([]byte, len(padded))
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(want, padded)
		if !bytes.Equal(sealed.Bytes(), want) {
			t.Error("the ciphertext is not that of crypto/cipher")
		}
		r, err := s.DecryptTo(ctx, &opened, m, key)
		if err != nil {
			return err
		}
		if _, err := io.Copy(r, &sealed); err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
		if !bytes.Equal(opened.Bytes(), plain) {
			t.Error("the plaintext is another one")
		}

		d, err := s.Digester(ctx, cryptoki.Plain(cryptoki.CKM_SHA256))
		if err != nil {
			return err
		}
		d.Write(plain)
		sum := sha256.Sum256(plain)
		if got, err := d.Sum([]byte("x"), 32); err != nil || !bytes.Equal(got, append([]byte("x"), sum[:]...)) {
			t.Errorf("digest: got %x, %v", got, err)
		}
		if got, err := s.AppendDigest(ctx, nil, cryptoki.Plain(cryptoki.CKM_SHA256), plain, 32); err != nil || !bytes.Equal(got, sum[:]) {
			t.Errorf("digest: got %x, %v", got, err)
		}
		return nil
	})
}

func TestSession_aStreamThatIsGivenUpCostsItsSession(t *testing.T) {
	p, _ := openPool(t, 1)
	broken := errors.New("disk full")
	for range 3 { // the pool goes on
		var failed error
		do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
			key, err := aesKey(ctx, s, make([]byte, 32))
			if err != nil {
				return err
			}
			w, err := s.EncryptTo(ctx, writerFunc(func([]byte) (int, error) { return 0, broken }), cryptoki.Parameter(cryptoki.CKM_AES_CBC_PAD, make([]byte, 16)), key)
			if err != nil {
				return err
			}
			_, failed = w.Write(make([]byte, 1000))
			if err := w.Close(); !errors.Is(err, broken) {
				t.Errorf("Close: got %v", err)
			}
			return nil
		})
		if !errors.Is(failed, broken) {
			t.Errorf("got %v, want %v", failed, broken)
		}
		do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
			d, err := s.Digester(ctx, cryptoki.Plain(cryptoki.CKM_SHA256))
			if err != nil {
				return err
			}
			d.Write([]byte("x"))
			d.Close()
			if _, err := d.Sum(nil, 32); err == nil {
				t.Error("Sum after Close: got nil, want an error")
			}
			return nil
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestSession_MAC(t *testing.T) {
	p, _ := openPool(t, 1)
	secret, message := []byte("0123456789abcdef0123456789abcdef"), bytes.Repeat([]byte("message "), 10_000)
	mac := hmac.New(sha256.New, secret)
	mac.Write(message)
	want := mac.Sum(nil)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		key, err := s.CreateObject(ctx, cryptoki.Attributes{
			cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET),
			cryptoki.Bool(cryptoki.CKA_TOKEN, false), cryptoki.Bytes(cryptoki.CKA_VALUE, secret), cryptoki.Bool(cryptoki.CKA_SIGN, true), cryptoki.Bool(cryptoki.CKA_VERIFY, true),
		})
		if err != nil {
			return err
		}
		m := cryptoki.Plain(cryptoki.CKM_SHA256_HMAC)
		if got, err := s.AppendSign(ctx, nil, m, key, message, 32); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %x, %v", got, err)
		}
		w, err := s.SignWriter(ctx, m, key)
		if err != nil {
			return err
		}
		w.Write(message)
		if got, err := w.Sum(nil, 32); err != nil || !bytes.Equal(got, want) {
			t.Errorf("in parts: got %x, %v", got, err)
		}
		for _, tt := range []struct {
			mac []byte
			err error
		}{{want, nil}, {append(want[:31:31], want[31]^1), cryptoki.ErrSignature}, {want[:31], cryptoki.ErrSignature}} {
			if err := s.Verify(ctx, m, key, message, tt.mac); !errors.Is(err, tt.err) {
				t.Errorf("Verify: got %v, want %v", err, tt.err)
			}
			v, err := s.VerifyWriter(ctx, m, key)
			if err != nil {
				return err
			}
			v.Write(message)
			if err := v.Verify(tt.mac); !errors.Is(err, tt.err) {
				t.Errorf("in parts: got %v, want %v", err, tt.err)
			}
		}
		return nil
	})
}

func TestSession_wrapsUnderPolicy(t *testing.T) {
	p, _ := openPool(t, 1)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		make := func(o cryptoki.SecretKeyOptions) cryptoki.Object {
			t.Helper()
			o.Type, o.Size, o.SessionOnly = cryptoki.CKK_AES, 32, true
			key, err := s.GenerateSecretKey(ctx, &o)
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
		by := make(cryptoki.SecretKeyOptions{Label: "wrapper", Wrap: true, Unwrap: true})
		free := make(cryptoki.SecretKeyOptions{Label: "free", Extractable: true, Encrypt: true, Decrypt: true})
		bound := make(cryptoki.SecretKeyOptions{Label: "bound", Encrypt: true})
		trusted := make(cryptoki.SecretKeyOptions{Label: "trusted only", Extractable: true, WrapWithTrusted: true})

		for _, m := range []cryptoki.Mechanism{cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP), cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP_PAD)} {
			wrapped, err := s.WrapKey(ctx, m, by, free, 64)
			if err != nil {
				return err
			}
			again, err := s.UnwrapKey(ctx, m, by, wrapped, &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, SessionOnly: true, Encrypt: true, Decrypt: true})
			if err != nil {
				return err
			}
			iv := cryptoki.Parameter(cryptoki.CKM_AES_CBC, bytes.Repeat([]byte{1}, 16))
			one, err1 := s.AppendEncrypt(ctx, nil, iv, free, bytes.Repeat([]byte{2}, 32), 32)
			two, err2 := s.AppendEncrypt(ctx, nil, iv, again, bytes.Repeat([]byte{2}, 32), 32)
			if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
				t.Errorf("%v: it came back as another key: %v, %v", m.Type(), err1, err2)
			}
		}
		for _, tt := range []struct {
			name  string
			m     cryptoki.Mechanism
			by    cryptoki.Object
			key   cryptoki.Object
			is    error
			words string
		}{
			{"a key that never leaves", cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP), by, bound, cryptoki.CKR_KEY_UNEXTRACTABLE, "never leaves the token"},
			{"a key for trusted ones only", cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP), by, trusted, cryptoki.CKR_KEY_NOT_WRAPPABLE, "trusted key"},
			{"a mechanism that hides nothing well", cryptoki.Parameter(cryptoki.CKM_AES_CBC, make16()), by, free, cryptoki.ErrNotWrapped, "does not protect"},
			{"a mechanism that is none for keys", cryptoki.Plain(cryptoki.CKM_SHA256), by, free, cryptoki.ErrNotWrapped, "does not protect"},
		} {
			_, err := s.WrapKey(ctx, tt.m, tt.by, tt.key, 64)
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%s: got %v, want %v in words %q", tt.name, err, tt.is, tt.words)
			}
		}
		policies, err := s.Exportable(ctx)
		if err != nil {
			return err
		}
		got := map[string]string{}
		for _, p := range policies {
			got[p.Label] = p.String()
		}
		if len(got) < 2 || !strings.Contains(got["free"], "any key that wraps") || !strings.Contains(got["trusted only"], "trusted key only") || got["bound"] != "" {
			t.Errorf("got %q", got)
		}
		policy, err := s.Policy(ctx, bound)
		if err != nil || !policy.NeverExtractable || !policy.AlwaysSensitive || !policy.Local || policy.String() != "never could leave the token" {
			t.Errorf("got %+v, %v", policy, err)
		}
		return nil
	})
}

func make16() []byte { return make([]byte, 16) }

func TestSession_changesAttributes(t *testing.T) {
	p, _ := openPool(t, 1)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		key, err := s.GenerateSecretKey(ctx, &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, Size: 16, Label: "old", SessionOnly: true})
		if err != nil {
			return err
		}
		if err := s.SetAttributes(ctx, key, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "new")}); err != nil {
			return err
		}
		copied, err := s.CopyObject(ctx, key, cryptoki.Attributes{cryptoki.String(cryptoki.CKA_LABEL, "copy")})
		if err != nil {
			return err
		}
		for o, want := range map[cryptoki.Object]string{key: "new", copied: "copy"} {
			if a, err := s.Attributes(ctx, o, cryptoki.CKA_LABEL); err != nil || a.Text(cryptoki.CKA_LABEL) != want {
				t.Errorf("got %q, %v; want %q", a.Text(cryptoki.CKA_LABEL), err, want)
			}
		}
		if err := s.SetAttributes(ctx, key, cryptoki.Attributes{cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, true)}); err == nil {
			t.Error("a key was made extractable")
		}
		return nil
	})
}
