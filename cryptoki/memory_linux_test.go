//go:build cgo

package cryptoki

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/internal/system"
)

// memoryMode, in the environment, makes the test binary a program that uses secrets in every way with a
// module that does nothing, and then searches its own memory for them.
const memoryMode = "CARDOKI_TEST_CRYPTOKI_MEMORY"

// A giving module does nothing but give the secret wherever it gives anything.
type giving struct {
	ck.FunctionList
	hidden []byte // masked
}

func (g *giving) GetTokenInfo(uint) (ck.TokenInfo, ck.RV) {
	return ck.TokenInfo{Flags: uint(CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED)}, 0
}

// give writes the secret to out.
func (g *giving) give(out []byte, f ck.Function) ck.Result {
	secret := leak.Masked(g.hidden)
	defer clear(secret)
	return ck.Result{N: uint(copy(out, secret)), Step: f}
}

func (g *giving) Decrypt(_ uint, _ *ck.Mechanism, _ uint, _, out []byte) ck.Result {
	return g.give(out, ck.Decrypt)
}
func (g *giving) DecryptUpdate(_ uint, _, out []byte) ck.Result { return g.give(out, ck.DecryptUpdate) }
func (g *giving) DecryptFinal(_ uint, out []byte) ck.Result     { return g.give(out, ck.DecryptFinal) }
func (g *giving) GenerateRandom(_ uint, out []byte) ck.RV       { return g.give(out, ck.GenerateRandom).RV }
func (g *giving) GetAttributeValue(_, _ uint, t *ck.Template) ck.RV {
	secret := leak.Masked(g.hidden)
	defer clear(secret)
	for i := range t.Len() {
		t.Answer(i, secret)
	}
	return 0
}

// useSecrets gives the module the secret as PIN, key, plaintext and password, and takes it
// from there.
func useSecrets(ctx context.Context, m *Module, hidden []byte) error {
	slot := &Slot{m: m, id: 1}
	s, err := slot.OpenSession(ctx, true)
	if err != nil {
		return err
	}
	defer s.Close()
	pin := func(context.Context, PINRequest) ([]byte, error) { return leak.Masked(hidden), nil }
	with := func(f func(secret []byte) error) {
		secret := leak.Masked(hidden)
		defer clear(secret)
		err = errors.Join(err, f(secret))
	}
	key := Object{1, s.stamp}
	cbc, gcm := Parameter(CKM_AES_CBC_PAD, make([]byte, 16)), GCM(make([]byte, 12), nil, 16)
	for range 3 {
		err = errors.Join(err, s.Login(ctx, CKU_SO, pin), s.InitPIN(ctx, pin), slot.InitToken(ctx, "label", pin))
		if t, e := slot.Token(); e == nil && t.PINInitialized() {
			err = errors.Join(err, s.Login(ctx, CKU_USER, pin), s.SetPIN(ctx, pin))
		}
		with(func(value []byte) error {
			a := Attributes{Ulong(CKA_CLASS, CKO_SECRET_KEY), Bytes(CKA_VALUE, value), Bytes(CKA_ID, bytes.Repeat([]byte("id"), 500))}
			_, err := s.CreateObject(ctx, a)
			_, err2 := s.CopyObject(ctx, key, a)
			return errors.Join(err, err2, s.SetAttributes(ctx, key, a))
		})
		with(func(seed []byte) error {
			private := make(ed25519.PrivateKey, ed25519.PrivateKeySize) // by hand: crypto/ed25519 would keep copies
			defer clear(private)
			copy(private, seed)
			_, _, err := s.ImportKey(ctx, private, nil)
			return err
		})
		with(func(password []byte) error {
			_, err := s.DeriveKey(ctx, PBKDF2(CKP_PKCS5_PBKD2_HMAC_SHA256, password, []byte("salt"), 1000), Object{}, &SecretKeyOptions{})
			return err
		})
		with(func(value []byte) error {
			_, err := s.UnwrapKey(ctx, Plain(CKM_AES_KEY_WRAP), key, value, &SecretKeyOptions{More: Attributes{Bytes(CKA_VALUE, value)}})
			return err
		})
		with(func(text []byte) error {
			_, err := s.AppendEncrypt(ctx, nil, gcm, key, text, 64)
			_, err2 := s.AppendSign(ctx, nil, Plain(CKM_SHA256_HMAC), key, text, 32)
			_, err3 := s.AppendDigest(ctx, nil, Plain(CKM_SHA256), text, 32)
			return errors.Join(err, err2, err3, s.Verify(ctx, Plain(CKM_SHA256_HMAC), key, text, make([]byte, 32)), s.SeedRandom(ctx, text))
		})
		with(func(text []byte) error {
			w, err := s.EncryptTo(ctx, io.Discard, cbc, key)
			if err != nil {
				return err
			}
			_, err = w.Write(text)
			return errors.Join(err, w.Close())
		})
		with(func(out []byte) error {
			opened, err := s.AppendDecrypt(ctx, out[:0], cbc, key, make([]byte, 32), len(out))
			clear(opened)
			return errors.Join(err, s.Random(ctx, out))
		})
		with(func(out []byte) error {
			w, err := s.DecryptTo(ctx, wiping{}, cbc, key)
			if err != nil {
				return err
			}
			_, err = w.Write(make([]byte, 40))
			return errors.Join(err, w.Close())
		})
		secret, e := s.agree(ctx, key, make([]byte, 65), len(hidden))
		clear(secret)
		a, e2 := s.Attributes(ctx, key, CKA_VALUE, CKA_LABEL)
		for _, attribute := range a {
			clear(attribute.Value)
		}
		err = errors.Join(err, e, e2)
	}
	return err
}

// wiping is a writer that wipes what it is given.
type wiping struct{}

func (wiping) Write(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// beInMemory is the child: it uses the secret, or else keeps it, and searches for it.
func beInMemory(module string, hidden []byte, keep bool) error {
	if keep { // the search must be able to find something
		kept := leak.Masked(hidden)
		defer runtime.KeepAlive(kept)
		n, err := leak.SearchMemory(hidden)
		return errors.Join(err, fmt.Errorf("what was kept is in memory %d times", n))
	}
	in, err := ck.Open(module)
	if err != nil {
		return err
	}
	cancelable, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, in := range []*ck.Instance{in, ck.NewInstance(&giving{in.FunctionList, hidden})} {
		for _, ctx := range []context.Context{context.Background(), cancelable} {
			m, err := newModule(in, "null", nil)
			if err != nil {
				return err
			}
			if err := errors.Join(useSecrets(ctx, m, hidden), m.Close()); err != nil {
				return err
			}
		}
	}
	runtime.GC()
	n, err := leak.SearchMemory(hidden)
	if err == nil && n > 0 {
		err = fmt.Errorf("the secret is in memory %d times", n)
	}
	return err
}

// A program that has used PINs, keys, passwords and plaintexts has none of them in its memory once its sessions
// are closed, as far as it is this package that had them.
func TestSession_noSecretIsLeftInMemory(t *testing.T) {
	m, err := cryptokitest.New(t.TempDir(), &cryptokitest.Options{Null: true})
	system.Supported(t, err)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, tt := range []struct {
		name string
		keep bool
		want string // what the child says
	}{
		{"after use", false, ""},
		{"the search finds what is kept", true, "what was kept is in memory 1 times"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), memoryMode+"="+m.Path(), memoryMode+"_KEEP="+strconv.FormatBool(tt.keep),
				memoryMode+"_SECRET="+hex.EncodeToString(leak.Masked([]byte("Zq7!xW3pU4$kR9v-"))))
			out, err := cmd.CombinedOutput()
			if (err == nil) != (tt.want == "") || !strings.Contains(string(out), tt.want) {
				t.Errorf("got %v, %q; want %q", err, out, tt.want)
			}
		})
	}
}

// A failing module refuses whatever it is given.
type failing struct{ ck.Unimplemented }

func (failing) Initialize() ck.RV                           { return 0 }
func (failing) Finalize() ck.RV                             { return 0 }
func (failing) OpenSession(uint, uint) (uint, ck.RV)        { return 1, 0 }
func (failing) CloseSession(uint) ck.RV                     { return 0 }
func (failing) GetSessionInfo(uint) (ck.SessionInfo, ck.RV) { return ck.SessionInfo{}, 0 }
func (failing) GetTokenInfo(slot uint) (ck.TokenInfo, ck.RV) {
	return (*giving)(nil).GetTokenInfo(slot)
}

// What a module refused is named in no error and in no log.
func TestSession_errorsAndLogsTellNoSecrets(t *testing.T) {
	const secret = "Zq7!xW3pU4$kR9v-"
	var log bytes.Buffer
	m, err := newModule(ck.NewInstance(failing{}), "failing", &Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	err = useSecrets(t.Context(), m, leak.Masked([]byte(secret)))
	text := fmt.Sprintf("%v %+v %#v %s", err, err, err, &log)
	for _, want := range []string{"C_Login", "C_InitPIN", "C_SetPIN", "C_InitToken", "C_CreateObject", "C_GenerateKey", "C_UnwrapKey", "C_EncryptInit", "C_Sign", "C_Digest"} {
		if !strings.Contains(text, want) {
			t.Errorf("no error and no line of the log is about %s", want)
		}
	}
	for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), fmt.Sprint([]byte(secret))[1:20], base64.StdEncoding.EncodeToString([]byte(secret))} {
		if strings.Contains(text, form) {
			t.Errorf("the secret is told, as %q", form)
		}
	}
}

func init() {
	if module := os.Getenv(memoryMode); module != "" {
		hidden, err := hex.DecodeString(os.Getenv(memoryMode + "_SECRET"))
		if err == nil {
			err = beInMemory(module, hidden, os.Getenv(memoryMode+"_KEEP") == "true")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}
