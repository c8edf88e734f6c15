//go:build cgo

package ck_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/leak"
)

// memoryMode, in the environment, makes the test binary a program that gives a module which does nothing
// each kind of secret, and then searches its own memory for them.
const memoryMode = "CARDOKI_TEST_CK_MEMORY"

func useSecrets(module string, hidden []byte, keep bool) error {
	fl, err := ck.Open(module)
	if err != nil {
		return err
	}
	with := func(f func(secret []byte)) {
		b := leak.Masked(hidden)
		defer clear(b)
		f(b)
	}
	var a ck.Template
	out := make([]byte, 64)
	for range 3 {
		with(func(pin []byte) { fl.Login(1, 1, pin) })
		with(func(pin []byte) { fl.LoginUser(1, 1, pin, pin) })
		with(func(pin []byte) { fl.InitToken(1, pin, "label") })
		with(func(pin []byte) { fl.InitPIN(1, pin) })
		with(func(pin []byte) { fl.SetPIN(1, pin, pin) })
		with(func(key []byte) {
			a.Reset()
			a.AddBytes(pkcs11.CKA_LABEL, []byte("label"))
			a.AddBytes(pkcs11.CKA_VALUE, key)
			a.AddBytes(pkcs11.CKA_ID, bytes.Repeat([]byte("id"), 500)) // so that the buffer has grown
			fl.CreateObject(1, &a)
			fl.CopyObject(1, 1, &a)
			fl.SetAttributeValue(1, 1, &a)
			a.Reset()
		})
		with(func(key []byte) { fl.UnwrapKey(1, &ck.Mechanism{Data: key}, 1, key, &a) })
		with(func(key []byte) {
			fl.GenerateKey(1, &ck.Mechanism{Kind: ck.PBKDF2, Data: []byte("salt"), Data2: key}, &a)
		})
		with(func(text []byte) { fl.Encrypt(1, &ck.Mechanism{}, 1, text, out) })
		with(func(text []byte) { fl.Sign(1, &ck.Mechanism{Login: true, PIN: text}, 1, text, out) })
		with(func(text []byte) { fl.DigestUpdate(1, text) })
		with(func(text []byte) { fl.EncryptMessage(1, &ck.Mechanism{Kind: ck.GCMMessage}, text, text, out) })
	}
	var kept []byte
	if keep { // the search must be able to find something
		kept = leak.Masked(hidden)
	}
	runtime.GC()
	n, err := leak.SearchMemory(hidden)
	runtime.KeepAlive(kept)
	runtime.KeepAlive(&a)
	if err == nil && n > 0 {
		err = fmt.Errorf("the secret is in memory %d times", n)
	}
	return err
}

// A program that has given PINs, key values and plaintext to a module has none of them in its memory
// afterwards, as far as it is this package that had them: the module keeps nothing.
func TestModule_noSecretIsLeftInMemory(t *testing.T) {
	m := newFake(t, &cryptokitest.Options{Null: true})
	for _, tt := range []struct {
		name string
		keep bool
		want string // what the child says
	}{
		{"after use", false, ""},
		{"the search finds what is kept", true, "the secret is in memory 1 times"},
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

func init() {
	if module := os.Getenv(memoryMode); module != "" {
		hidden, err := hex.DecodeString(os.Getenv(memoryMode + "_SECRET"))
		if err == nil {
			err = useSecrets(module, hidden, os.Getenv(memoryMode+"_KEEP") == "true")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}
