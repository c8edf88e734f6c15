//go:build cgo

package ck_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/pbkdf2"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/system"
)

// nssMode, in the environment, is the path of the NSS module that TestNSS is about: its
// libraries are beside it, which the loader must know from the begin of the process.
const nssMode = "CARDOKI_TEST_NSS"

const nssReserved = "configdir='' certPrefix='' keyPrefix='' secmod='' flags=readOnly,noCertDB,noModDB,forceOpen,optimizeSpace"

func TestNSS(t *testing.T) {
	if path := os.Getenv(nssMode); path != "" {
		testNSS(t, path)
		return
	}
	for _, m := range []struct{ name, path, debianPackage string }{
		{"Debian's", "/usr/lib/x86_64-linux-gnu/libsoftokn3.so", "libnss3"},
		{"Firefox's", "/usr/lib/firefox-esr/libsoftokn3.so", "firefox-esr"},
	} {
		t.Run(m.name, func(t *testing.T) {
			system.NeedFile(t, m.path, m.debianPackage)
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestNSS$", "-test.v")
			cmd.Env = append(os.Environ(), nssMode+"="+m.path, "LD_LIBRARY_PATH="+filepath.Dir(m.path))
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "PASS") {
				t.Errorf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

func testNSS(t *testing.T, path string) {
	fl, err := ck.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, rv := fl.AcquireWith(nssReserved); rv != 0 {
		t.Fatalf("C_Initialize: %#x", rv)
	}
	defer fl.Release()
	info, _ := fl.GetInfo()
	t.Logf("function list %v, Cryptoki %v, %s %v", fl.ListVersion(), info.Cryptoki, info.Description, info.Library)
	if fl.ListVersion().Major < 3 {
		t.Errorf("got function list %v, want 3.0 or newer", fl.ListVersion())
	}
	slots, rv := fl.GetSlotList(true)
	if rv != 0 || len(slots) == 0 {
		t.Fatalf("C_GetSlotList: %#x, %v", rv, slots)
	}
	// More than there is room for at first.
	if mechanisms, rv := fl.GetMechanismList(slots[0]); rv != 0 || len(mechanisms) < 129 || !slices.Contains(mechanisms, pkcs11.CKM_AES_GCM) {
		t.Errorf("C_GetMechanismList: %#x, %d mechanisms", rv, len(mechanisms))
	}
	s, rv := fl.OpenSession(slots[0], pkcs11.CKF_RW_SESSION)
	if rv != 0 {
		t.Fatalf("C_OpenSession: %#x", rv)
	}
	value := bytes.Repeat([]byte{7}, 32)

	// Messages with AES-GCM, with one Init for all.
	key := secret(t, fl, s, pkcs11.CKK_AES, value)
	block, _ := aes.NewCipher(value)
	aead, _ := cipher.NewGCM(block)
	m := &ck.Mechanism{Type: pkcs11.CKM_AES_GCM, Kind: ck.GCMMessage, Data: make([]byte, 12), Data2: make([]byte, 16)}
	if rv := fl.MessageEncryptInit(s, &ck.Mechanism{Type: pkcs11.CKM_AES_GCM}, key); rv != 0 {
		t.Errorf("C_MessageEncryptInit: %#x", rv)
	}
	for i := range 3 {
		m.Data[11] = byte(i)
		out := make([]byte, 100)
		r := fl.EncryptMessage(s, m, []byte("aad"), value, out)
		if got, want := append(out[:r.N:r.N], m.Data2...), aead.Seal(nil, m.Data, value, []byte("aad")); r.RV != 0 || !bytes.Equal(got, want) {
			t.Errorf("C_EncryptMessage: %+v, got %x, want %x", r, got, want)
		}
	}
	if rv := fl.MessageEncryptFinal(s); rv != 0 {
		t.Errorf("C_MessageEncryptFinal: %#x", rv)
	}
	if rv := fl.LoginUser(s, 1, nil, nil); rv == 0 {
		t.Error("C_LoginUser, which is a stub, succeeded")
	}

	derive := func(what string, f func(a *ck.Template) ck.Result, want []byte) {
		t.Helper()
		var a ck.Template
		a.AddBytes(pkcs11.CKA_CLASS, ulong(pkcs11.CKO_SECRET_KEY))
		a.AddBytes(pkcs11.CKA_KEY_TYPE, ulong(pkcs11.CKK_GENERIC_SECRET))
		a.AddBytes(pkcs11.CKA_SENSITIVE, bool1(false))
		a.AddBytes(pkcs11.CKA_EXTRACTABLE, bool1(true))
		a.AddBytes(pkcs11.CKA_DERIVE, bool1(true))
		a.AddBytes(pkcs11.CKA_VALUE_LEN, ulong(uint(len(want))))
		r := f(&a)
		if r.RV != 0 {
			t.Errorf("%s: %v: %#x", what, r.Step, r.RV)
			return
		}
		a.Reset()
		a.Ask(pkcs11.CKA_VALUE, len(want))
		if rv := fl.GetAttributeValue(s, r.N, &a); rv != 0 {
			t.Errorf("%s: C_GetAttributeValue: %#x", what, rv)
		}
		if got, _ := a.Value(0); !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", what, got, want)
		}
	}
	var a ck.Template
	a.AddBytes(pkcs11.CKA_CLASS, ulong(pkcs11.CKO_SECRET_KEY))
	a.AddBytes(pkcs11.CKA_KEY_TYPE, ulong(pkcs11.CKK_GENERIC_SECRET))
	a.AddBytes(pkcs11.CKA_DERIVE, bool1(true))
	a.AddBytes(pkcs11.CKA_VALUE, value)
	base := fl.CreateObject(s, &a)
	want, _ := hkdf.Key(sha256.New, value, []byte("salt"), "info", 42)
	derive("HKDF", func(a *ck.Template) ck.Result {
		return fl.DeriveKey(s, &ck.Mechanism{Type: 0x402A, Kind: ck.HKDF, A: 3, B: pkcs11.CKM_SHA256, C: 2, Data: []byte("salt"), Data2: []byte("info")}, base.N, a)
	}, want)
	want, _ = pbkdf2.Key(sha256.New, "password", []byte("salt"), 1000, 32)
	form := ck.PBKDF2Pointer
	if fl.ListVersion().Minor >= 2 {
		form = ck.PBKDF2
	}
	derive("PBKDF2", func(a *ck.Template) ck.Result {
		return fl.GenerateKey(s, &ck.Mechanism{Type: pkcs11.CKM_PKCS5_PBKD2, Kind: form, A: 1000, B: 4, C: 1, Data: []byte("salt"), Data2: []byte("password")}, a)
	}, want)
	if fl.ListVersion().Minor < 2 {
		return
	}

	// ML-KEM: Go encapsulates for the module's key, and opens what it encapsulates.
	const ckmMLKEMKeyPairGen, ckmMLKEM, ckaParameterSet, ckaEncapsulate, ckaDecapsulate = 0xF, 0x17, 0x61D, 0x633, 0x634
	var pub, priv ck.Template
	pub.AddBytes(ckaParameterSet, ulong(2)) // ML-KEM-768
	pub.AddBytes(ckaEncapsulate, bool1(true))
	priv.AddBytes(ckaDecapsulate, bool1(true))
	public, private, rv := fl.GenerateKeyPair(s, &ck.Mechanism{Type: ckmMLKEMKeyPairGen}, &pub, &priv)
	if rv != 0 {
		t.Fatalf("C_GenerateKeyPair: %#x", rv)
	}
	pub.Reset()
	pub.Ask(pkcs11.CKA_VALUE, mlkem.EncapsulationKeySize768)
	if rv := fl.GetAttributeValue(s, public, &pub); rv != 0 {
		t.Fatalf("C_GetAttributeValue: %#x", rv)
	}
	raw, _ := pub.Value(0)
	ek, err := mlkem.NewEncapsulationKey768(raw)
	if err != nil {
		t.Fatal(err)
	}
	shared, sent := ek.Encapsulate()
	mech := &ck.Mechanism{Type: ckmMLKEM}
	derive("C_DecapsulateKey", func(a *ck.Template) ck.Result { return fl.DecapsulateKey(s, mech, private, sent, a) }, shared)
	sent = make([]byte, mlkem.CiphertextSize768)
	var one ck.Template
	one.AddBytes(pkcs11.CKA_CLASS, ulong(pkcs11.CKO_SECRET_KEY))
	one.AddBytes(pkcs11.CKA_KEY_TYPE, ulong(pkcs11.CKK_GENERIC_SECRET))
	one.AddBytes(pkcs11.CKA_SENSITIVE, bool1(false))
	one.AddBytes(pkcs11.CKA_EXTRACTABLE, bool1(true))
	one.AddBytes(pkcs11.CKA_VALUE_LEN, ulong(32))
	k, r := fl.EncapsulateKey(s, mech, public, &one, sent)
	if r.RV != 0 || r.N != mlkem.CiphertextSize768 {
		t.Fatalf("C_EncapsulateKey: %+v", r)
	}
	one.Reset()
	one.Ask(pkcs11.CKA_VALUE, 32)
	fl.GetAttributeValue(s, k, &one)
	shared, _ = one.Value(0)
	derive("C_DecapsulateKey of what C_EncapsulateKey gave", func(a *ck.Template) ck.Result { return fl.DecapsulateKey(s, mech, private, sent, a) }, bytes.Clone(shared))
}
