//go:build cgo

package ck_test

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/system"
)

// build compiles testdata/null.c and returns the path of the module.
func build(t testing.TB, flags ...string) string {
	t.Helper()
	module := filepath.Join(t.TempDir(), "null.so")
	args := append([]string{"-shared", "-fPIC", "-O2", "-o", module, "testdata/null.c"}, flags...)
	if out, err := exec.Command(system.Need(t, "gcc", "gcc"), args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return module
}

func TestOpen_modulesThatCannotBeUsed(t *testing.T) {
	for _, tt := range []struct{ flag, want string }{
		{"-DFAILS", "C_GetFunctionList of the module failed with 0x5"},
		{"-DNO_LIST", "C_GetFunctionList of the module failed"},
		{"-DOLD", "version 1.40"},
	} {
		if _, err := ck.Open(build(t, tt.flag)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.flag, err, tt.want)
		}
	}
	if _, err := ck.Open("libc.so.6"); !errors.Is(err, ck.ErrNotModule) {
		t.Errorf("libc: got %v, want ErrNotModule", err)
	}
	if _, err := ck.Open("/nowhere/module.so"); err == nil || !strings.Contains(err.Error(), "/nowhere/module.so") {
		t.Errorf("no file: got %v, want the loader's words", err)
	}
}

func TestOpen_oneInstanceForAModule(t *testing.T) {
	path := build(t)
	a, err := ck.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ck.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Error("got two instances of one module")
	}
	c, err := ck.Open(build(t))
	if err != nil {
		t.Fatal(err)
	}
	if a == c {
		t.Error("got one instance for two modules")
	}
}

func TestModule_nothingIsAskedOfModulesThatDoNothing(t *testing.T) {
	in, err := ck.Open(build(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, rv := in.Acquire(); rv != 0 {
		t.Fatal(rv)
	}
	defer in.Release()
	var tmpl ck.Template
	if r := in.FindObjects(1, &tmpl, make([]uint, 3)); r.RV != 0 || r.N != 0 {
		t.Errorf("FindObjects: got %+v, want none", r)
	}
	if r := in.FindObjects(1, &tmpl, nil); r.RV != 0 || r.N != 0 {
		t.Errorf("FindObjects with room for none: got %+v, want none", r)
	}
	if rv := in.GetAttributeValue(1, 1, &tmpl); rv == 0 {
		t.Error("GetAttributeValue of nothing was asked")
	}
	for range 65 {
		tmpl.AskSize(0)
	}
	if rv := in.GetAttributeValue(1, 1, &tmpl); rv == 0 {
		t.Error("GetAttributeValue of 65 attributes was asked")
	}
	if r := in.CreateObject(1, &tmpl); r.RV == 0 {
		t.Error("CreateObject with 65 attributes was asked")
	}
	if r := in.FindObjects(1, &tmpl, make([]uint, 1)); r.RV == 0 {
		t.Error("FindObjects with 65 attributes was asked")
	}
	if _, _, rv := in.GenerateKeyPair(1, &ck.Mechanism{}, &tmpl, &tmpl); rv == 0 {
		t.Error("GenerateKeyPair with 65 attributes was asked")
	}
	if r := in.DeriveKey(1, &ck.Mechanism{}, 1, &tmpl); r.RV == 0 {
		t.Error("DeriveKey with 65 attributes was asked")
	}
	// It left the length that it was given, which is the most there can be.
	out := make([]byte, 8)
	if r := in.Sign(1, &ck.Mechanism{}, 1, nil, out); r.RV != 0 || r.N != 8 {
		t.Errorf("Sign: got %+v, want 8 bytes", r)
	}
}

// token returns SoftHSM2 with a session that is logged in.
func token(t testing.TB) (fl ck.FunctionList, session uint) {
	t.Helper()
	hsm := system.StartSoftHSM(t)
	in, err := ck.Open(hsm.Module)
	if err != nil {
		t.Fatal(err)
	}
	if _, rv := in.Acquire(); rv != 0 {
		t.Fatalf("C_Initialize: %#x", rv)
	}
	t.Cleanup(func() { in.Release() })
	slots, rv := in.GetSlotList(true)
	if rv != 0 || len(slots) == 0 {
		t.Fatalf("C_GetSlotList: %#x", rv)
	}
	session, rv = in.OpenSession(slots[0], pkcs11.CKF_RW_SESSION)
	if rv != 0 {
		t.Fatalf("C_OpenSession: %#x", rv)
	}
	t.Cleanup(func() { in.CloseSession(session) })
	if rv := in.Login(session, pkcs11.CKU_USER, []byte(hsm.PIN)); rv != 0 {
		t.Fatalf("C_Login: %#x", rv)
	}
	return in, session
}

func bool1(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}

func ulong(v uint) []byte { return ck.AppendUlong(nil, v) }

// generate makes a P-256 key.
func generate(t testing.TB, fl ck.FunctionList, session uint) (private uint) {
	t.Helper()
	var pub, priv ck.Template
	pub.AddBytes(pkcs11.CKA_EC_PARAMS, []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"))
	pub.AddBytes(pkcs11.CKA_LABEL, nil)
	priv.AddBytes(pkcs11.CKA_SIGN, bool1(true))
	priv.AddBytes(pkcs11.CKA_LABEL, []byte("label"))
	_, private, rv := fl.GenerateKeyPair(session, &ck.Mechanism{Type: pkcs11.CKM_EC_KEY_PAIR_GEN}, &pub, &priv)
	if rv != 0 {
		t.Fatalf("C_GenerateKeyPair: %#x", rv)
	}
	return private
}

func TestModule_attributesOfSoftHSM(t *testing.T) {
	fl, session := token(t)
	private := generate(t, fl, session)
	var a ck.Template
	a.Ask(pkcs11.CKA_LABEL, 3)            // does not fit
	a.Ask(pkcs11.CKA_CLASS, ck.UlongSize) // fits exactly
	a.AskSize(pkcs11.CKA_LABEL)           // the length alone
	a.Ask(pkcs11.CKA_EC_PARAMS, 64)       // more room than needed
	a.Ask(pkcs11.CKA_PUBLIC_EXPONENT, 8)  // not there
	rv := fl.GetAttributeValue(session, private, &a)
	if rv == 0 {
		t.Error("got CKR_OK, want what is missing")
	}
	if v, ok := a.Value(0); ok {
		t.Errorf("a label that does not fit: got %q", v)
	}
	if v, ok := a.Value(1); !ok || !bytes.Equal(v, ulong(pkcs11.CKO_PRIVATE_KEY)) {
		t.Errorf("CKA_CLASS: got %x, %v", v, ok)
	}
	if n, ok := a.Size(2); !ok || n != 5 {
		t.Errorf("length of the label: got %d, %v, want 5", n, ok)
	}
	if v, ok := a.Value(2); ok {
		t.Errorf("the length alone gave a value: %x", v)
	}
	if v, ok := a.Value(3); !ok || len(v) != 10 || cap(v) != 10 {
		t.Errorf("CKA_EC_PARAMS: got %x, %v, want 10 bytes and no more", v, ok)
	}
	if _, ok := a.Size(4); ok {
		t.Error("an EC key has a public exponent")
	}
}

func TestModule_SignAllocatesNothing(t *testing.T) {
	fl, session := token(t)
	key := generate(t, fl, session)
	m := &ck.Mechanism{Type: pkcs11.CKM_ECDSA}
	in, out := make([]byte, 32), make([]byte, 64)
	instance := fl.(*ck.Instance)
	if n := testing.AllocsPerRun(20, func() {
		var in [32]byte // on the stack, all of it
		var out [64]byte
		if r := instance.Sign(session, &ck.Mechanism{Type: pkcs11.CKM_ECDSA}, key, in[:], out[:]); r.RV != 0 || r.N != 64 {
			t.Fatalf("%v: %#x", r.Step, r.RV)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
	if r := fl.Sign(session, m, key+99, in, out); r.RV == 0 || r.Step != ck.SignInit {
		t.Errorf("wrong handle: got %+v, want that C_SignInit failed", r)
	}
}

// BenchmarkSign is C_SignInit with C_Sign: in a module that does nothing the way
// there, with miekg/pkcs11 beside it, and in SoftHSM2 the floor of everything above.
func BenchmarkSign(b *testing.B) {
	in, out := make([]byte, 32), make([]byte, 64)
	m := &ck.Mechanism{Type: pkcs11.CKM_ECDSA}
	path := build(b)
	b.Run("module=null", func(b *testing.B) {
		fl, err := ck.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			fl.Sign(1, m, 1, in, out)
		}
	})
	b.Run("module=null,peer=miekg", func(b *testing.B) {
		p := pkcs11.New(path)
		b.ReportAllocs()
		for b.Loop() {
			p.SignInit(1, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, 1)
			p.Sign(1, in)
		}
	})
	b.Run("module=SoftHSM2", func(b *testing.B) {
		fl, session := token(b)
		key := generate(b, fl, session)
		b.ReportAllocs()
		for b.Loop() {
			if r := fl.Sign(session, m, key, in, out); r.RV != 0 {
				b.Fatalf("%v: %#x", r.Step, r.RV)
			}
		}
	})
}
