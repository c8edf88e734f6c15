//go:build cgo

package ck_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/ck"
)

const notSupported = 0x54 // CKR_FUNCTION_NOT_SUPPORTED

var library = sync.OnceValues(func() (path string, err error) {
	if shared, err = os.MkdirTemp("", "ck"); err != nil {
		return "", err
	}
	return cryptokitest.Build(shared)
})

// newFake makes a module of package cryptokitest.
func newFake(t testing.TB, o *cryptokitest.Options) *cryptokitest.Module {
	t.Helper()
	path, err := library()
	if err != nil {
		t.Fatal(err)
	}
	m, err := cryptokitest.Start(path, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// fake returns a module of package cryptokitest with a session.
func fake(t testing.TB, o *cryptokitest.Options) (*cryptokitest.Module, *ck.Instance, uint) {
	t.Helper()
	m := newFake(t, o)
	in, err := ck.Open(m.Path())
	if err != nil {
		t.Fatal(err)
	}
	if _, rv := in.Acquire(); rv != 0 {
		t.Fatalf("C_Initialize: %#x", rv)
	}
	t.Cleanup(func() { in.Release() })
	s, rv := in.OpenSession(1, pkcs11.CKF_RW_SESSION)
	if rv != 0 {
		t.Fatalf("C_OpenSession: %#x", rv)
	}
	return m, in, s
}

// secret makes a secret key with a value in the module.
func secret(t testing.TB, fl ck.FunctionList, s, keyType uint, value []byte) uint {
	t.Helper()
	var a ck.Template
	a.AddBytes(pkcs11.CKA_CLASS, ulong(pkcs11.CKO_SECRET_KEY))
	a.AddBytes(pkcs11.CKA_KEY_TYPE, ulong(keyType))
	a.AddBytes(pkcs11.CKA_VALUE, value)
	for _, use := range []uint{pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_SIGN, pkcs11.CKA_VERIFY, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_EXTRACTABLE} {
		a.AddBytes(use, bool1(true))
	}
	a.AddBytes(pkcs11.CKA_SENSITIVE, bool1(false))
	r := fl.CreateObject(s, &a)
	if r.RV != 0 {
		t.Fatalf("C_CreateObject: %#x", r.RV)
	}
	return r.N
}

// call gives a method zero arguments and returns what it returned for RV.
func call(t *testing.T, v reflect.Value, typ reflect.Type) ck.RV {
	args := make([]reflect.Value, typ.NumIn())
	for i := range args {
		switch in := typ.In(i); in {
		case reflect.TypeFor[*ck.Template]():
			a := &ck.Template{}
			a.AskSize(1)
			args[i] = reflect.ValueOf(a)
		case reflect.TypeFor[*ck.Mechanism]():
			args[i] = reflect.ValueOf(&ck.Mechanism{})
		default:
			args[i] = reflect.Zero(in)
		}
	}
	out := v.Call(args)
	switch last := out[len(out)-1].Interface().(type) {
	case ck.RV:
		return last
	case ck.Result:
		return last.RV
	}
	t.Fatal("no return value")
	return 0
}

// Every method of the interface calls the function of its name, or says that it is not
// there: in a short list, in an empty place, and in Unimplemented.
func TestFunctionList_everyMethodOfEveryEdition(t *testing.T) {
	names := reflect.TypeFor[ck.FunctionList]()
	in30 := map[string]bool{"LoginUser": true, "SessionCancel": true}
	for _, op := range []string{"Encrypt", "Decrypt", "Sign", "Verify"} {
		in30["Message"+op+"Init"], in30[op+"Message"], in30["Message"+op+"Final"] = true, true, true
	}
	in32 := map[string]bool{"EncapsulateKey": true, "DecapsulateKey": true, "VerifySignature": true}
	for _, edition := range []string{"3.2", "3.0", "none"} {
		m, in, _ := fake(t, &cryptokitest.Options{Interface: edition})
		for i := range names.NumMethod() {
			f := names.Method(i)
			switch f.Name {
			case "ListVersion", "Initialize", "Finalize", "GetInfo":
				continue
			}
			if rv := call(t, reflect.ValueOf(ck.Unimplemented{}).MethodByName(f.Name), f.Type); rv != notSupported {
				t.Errorf("Unimplemented.%s: got %#x, want CKR_FUNCTION_NOT_SUPPORTED", f.Name, rv)
			}
			missing := in30[f.Name] && edition == "none" || in32[f.Name] && edition != "3.2"
			switch f.Name { // not in that module
			case "GenerateKeyPair", "VerifySignature", "MessageSignInit", "SignMessage", "MessageSignFinal", "MessageVerifyInit", "VerifyMessage", "MessageVerifyFinal":
				missing = true
			}
			function := "C_" + f.Name
			switch f.Name { // of which the first part refuses
			case "Encrypt", "Decrypt", "Sign", "Verify", "Digest":
				function += "Init"
			case "FindObjects":
				function += "Init"
			}
			before := 0
			if !missing {
				before = m.Calls(function)
			}
			rv := call(t, reflect.ValueOf(in).MethodByName(f.Name), f.Type)
			if (rv == notSupported) != missing {
				t.Errorf("%s, %s: got %#x", edition, f.Name, rv)
			}
			if !missing && m.Calls(function) == before && f.Name != "GetMechanismInfo" {
				t.Errorf("%s, %s: %s was not called", edition, f.Name, function)
			}
		}
	}
}

func TestModule_partsGiveWhatTheWholeGives(t *testing.T) {
	fl, s := token(t)
	value := bytes.Repeat([]byte{7}, 32)
	key := secret(t, fl, s, pkcs11.CKK_AES, value)
	mac := secret(t, fl, s, pkcs11.CKK_GENERIC_SECRET, value)
	block, _ := aes.NewCipher(value)
	text := bytes.Repeat([]byte("0123456789abcdef"), 20)
	must := func(what string, rv ck.RV) {
		t.Helper()
		if rv != 0 {
			t.Fatalf("%s: %#x", what, rv)
		}
	}
	iv := bytes.Repeat([]byte{9}, 16)
	ctr := make([]byte, len(text))
	cipher.NewCTR(block, iv).XORKeyStream(ctr, text)
	cbc := make([]byte, len(text))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(cbc, text)
	aead, _ := cipher.NewGCM(block)
	gcm := aead.Seal(nil, iv[:12], text, []byte("aad"))
	for _, tt := range []struct {
		name string
		mech ck.Mechanism
		want []byte
	}{
		{"CTR", ck.Mechanism{Type: pkcs11.CKM_AES_CTR, Kind: ck.CTR, A: 128, Data: iv}, ctr},
		{"CBC", ck.Mechanism{Type: pkcs11.CKM_AES_CBC, Data: iv}, cbc},
		{"GCM", ck.Mechanism{Type: pkcs11.CKM_AES_GCM, Kind: ck.GCM, A: 96, B: 128, Data: iv[:12], Data2: []byte("aad")}, gcm},
	} {
		out := make([]byte, len(text)+16)
		r := fl.Encrypt(s, &tt.mech, key, text, out)
		must(tt.name+": C_Encrypt", r.RV)
		if !bytes.Equal(out[:r.N], tt.want) {
			t.Errorf("%s: C_Encrypt gave something else than Go", tt.name)
		}
		back := make([]byte, len(tt.want))
		r = fl.Decrypt(s, &tt.mech, key, tt.want, back)
		must(tt.name+": C_Decrypt", r.RV)
		if !bytes.Equal(back[:r.N], text) {
			t.Errorf("%s: C_Decrypt gave something else than Go", tt.name)
		}
		var got []byte
		must(tt.name+": C_EncryptInit", fl.EncryptInit(s, &tt.mech, key))
		for at := 0; at < len(text); at += 100 {
			r := fl.EncryptUpdate(s, text[at:min(at+100, len(text))], out)
			must(tt.name+": C_EncryptUpdate", r.RV)
			got = append(got, out[:r.N]...)
		}
		r = fl.EncryptFinal(s, out)
		must(tt.name+": C_EncryptFinal", r.RV)
		if got = append(got, out[:r.N]...); !bytes.Equal(got, tt.want) {
			t.Errorf("%s: encryption in parts gave something else than Go", tt.name)
		}
		got = nil
		out = make([]byte, len(text)+32)
		must(tt.name+": C_DecryptInit", fl.DecryptInit(s, &tt.mech, key))
		for at := 0; at < len(tt.want); at += 100 {
			r := fl.DecryptUpdate(s, tt.want[at:min(at+100, len(tt.want))], out)
			must(tt.name+": C_DecryptUpdate", r.RV)
			got = append(got, out[:r.N]...)
		}
		r = fl.DecryptFinal(s, out)
		must(tt.name+": C_DecryptFinal", r.RV)
		if got = append(got, out[:r.N]...); !bytes.Equal(got, text) {
			t.Errorf("%s: decryption in parts gave something else than Go", tt.name)
		}
	}

	digest := &ck.Mechanism{Type: pkcs11.CKM_SHA256}
	want := sha256.Sum256(text)
	out := make([]byte, 32)
	if r := fl.Digest(s, digest, text, out); r.RV != 0 || !bytes.Equal(out[:r.N], want[:]) {
		t.Errorf("C_Digest: got %+v, %x", r, out)
	}
	must("C_DigestInit", fl.DigestInit(s, digest))
	must("C_DigestUpdate", fl.DigestUpdate(s, text[:7]))
	must("C_DigestUpdate of nothing", fl.DigestUpdate(s, nil))
	must("C_DigestUpdate", fl.DigestUpdate(s, text[7:]))
	clear(out)
	if r := fl.DigestFinal(s, out); r.RV != 0 || !bytes.Equal(out[:r.N], want[:]) {
		t.Errorf("C_DigestFinal: got %+v, %x", r, out)
	}

	h := hmac.New(sha256.New, value)
	h.Write(text)
	sum := h.Sum(nil)
	m := &ck.Mechanism{Type: pkcs11.CKM_SHA256_HMAC}
	if r := fl.Sign(s, m, mac, text, out); r.RV != 0 || !bytes.Equal(out[:r.N], sum) {
		t.Errorf("C_Sign: got %+v, %x", r, out)
	}
	must("C_SignInit", fl.SignInit(s, m, mac))
	must("C_SignUpdate", fl.SignUpdate(s, text[:9]))
	must("C_SignUpdate", fl.SignUpdate(s, text[9:]))
	if r := fl.SignFinal(s, out); r.RV != 0 || !bytes.Equal(out[:r.N], sum) {
		t.Errorf("C_SignFinal: got %+v, %x", r, out)
	}
	must("C_Verify", fl.Verify(s, m, mac, text, sum).RV)
	must("C_VerifyInit", fl.VerifyInit(s, m, mac))
	must("C_VerifyUpdate", fl.VerifyUpdate(s, text))
	must("C_VerifyFinal", fl.VerifyFinal(s, sum))
	sum[0] ^= 1
	if r := fl.Verify(s, m, mac, text, sum); r.RV != pkcs11.CKR_SIGNATURE_INVALID || r.Step != ck.Verify {
		t.Errorf("a wrong MAC: got %v: %#x", r.Step, r.RV)
	}

	// Wrap and unwrap, and what is read of the key that comes out.
	wrapped := make([]byte, 100)
	wrap := &ck.Mechanism{Type: pkcs11.CKM_AES_KEY_WRAP}
	r := fl.WrapKey(s, wrap, key, mac, wrapped)
	must("C_WrapKey", r.RV)
	if r.N != 40 {
		t.Errorf("C_WrapKey: got %d bytes, want 40", r.N)
	}
	var a ck.Template
	a.AddBytes(pkcs11.CKA_CLASS, ulong(pkcs11.CKO_SECRET_KEY))
	a.AddBytes(pkcs11.CKA_KEY_TYPE, ulong(pkcs11.CKK_GENERIC_SECRET))
	a.AddBytes(pkcs11.CKA_EXTRACTABLE, bool1(true))
	a.AddBytes(pkcs11.CKA_SENSITIVE, bool1(false))
	u := fl.UnwrapKey(s, wrap, key, wrapped[:r.N], &a)
	must("C_UnwrapKey", u.RV)
	a.Reset()
	a.Ask(pkcs11.CKA_VALUE, 32)
	must("C_GetAttributeValue", fl.GetAttributeValue(s, u.N, &a))
	if v, _ := a.Value(0); !bytes.Equal(v, value) {
		t.Errorf("the key that was wrapped and unwrapped: got %x", v)
	}

	// What is too short for the output says how long it must be.
	if r := fl.WrapKey(s, wrap, key, mac, make([]byte, 3)); r.RV != pkcs11.CKR_BUFFER_TOO_SMALL || r.N != 40 {
		t.Errorf("C_WrapKey into 3 bytes: got %#x, %d; want CKR_BUFFER_TOO_SMALL, 40", r.RV, r.N)
	}
}

func TestTemplate_nested(t *testing.T) {
	fl, s := token(t)
	var a ck.Template
	a.AddBytes(pkcs11.CKA_CLASS, ulong(pkcs11.CKO_SECRET_KEY))
	a.AddBytes(pkcs11.CKA_KEY_TYPE, ulong(pkcs11.CKK_AES))
	a.Nest(pkcs11.CKA_WRAP_TEMPLATE, 2)
	a.AddBytes(pkcs11.CKA_KEY_TYPE, ulong(pkcs11.CKK_AES))
	a.AddBytes(pkcs11.CKA_EXTRACTABLE, bool1(true))
	a.AddBytes(pkcs11.CKA_VALUE, make([]byte, 32)) // after the nested ones
	r := fl.CreateObject(s, &a)
	if r.RV != 0 {
		t.Fatalf("C_CreateObject: %#x", r.RV)
	}
	a.Reset()
	a.AskSize(pkcs11.CKA_WRAP_TEMPLATE)
	if rv := fl.GetAttributeValue(s, r.N, &a); rv != 0 {
		t.Fatalf("C_GetAttributeValue of the length: %#x", rv)
	}
	n, ok := a.Count(0)
	if !ok || n != 2 {
		t.Fatalf("got %d attributes, %v; want 2", n, ok)
	}
	a.Reset()
	a.Nest(pkcs11.CKA_WRAP_TEMPLATE, n)
	a.AskSize(0)
	a.AskSize(0)
	a.Ask(pkcs11.CKA_KEY_TYPE, ck.UlongSize) // another one after it
	if rv := fl.GetAttributeValue(s, r.N, &a); rv != 0 {
		t.Fatalf("C_GetAttributeValue of types and lengths: %#x", rv)
	}
	types := []uint{a.Type(1), a.Type(2)}
	sizes := map[uint]uint{}
	for i, typ := range types {
		sizes[typ], _ = a.Size(1 + i)
	}
	if want := map[uint]uint{pkcs11.CKA_KEY_TYPE: ck.UlongSize, pkcs11.CKA_EXTRACTABLE: 1}; !reflect.DeepEqual(sizes, want) {
		t.Fatalf("got types and lengths %v, want %v", sizes, want)
	}
	if v, ok := a.Value(3); !ok || !bytes.Equal(v, ulong(pkcs11.CKK_AES)) {
		t.Errorf("the attribute after it: got %x, %v", v, ok)
	}
	a.Reset()
	a.Nest(pkcs11.CKA_WRAP_TEMPLATE, n)
	for _, typ := range types {
		a.Ask(typ, int(sizes[typ]))
	}
	if rv := fl.GetAttributeValue(s, r.N, &a); rv != 0 {
		t.Fatalf("C_GetAttributeValue of values: %#x", rv)
	}
	for i, typ := range types {
		want := bool1(true)
		if typ == pkcs11.CKA_KEY_TYPE {
			want = ulong(pkcs11.CKK_AES)
		}
		if v, ok := a.Value(1 + i); !ok || !bytes.Equal(v, want) {
			t.Errorf("%#x in the template: got %x, %v, want %x", typ, v, ok, want)
		}
	}
	for name, f := range map[string]func(a *ck.Template){
		"more than there are": func(a *ck.Template) { a.Nest(1, 2); a.AskSize(1) },
		"in another":          func(a *ck.Template) { a.Nest(1, 2); a.Nest(2, 1); a.AskSize(1) },
		"without end":         func(a *ck.Template) { a.Nest(1, 1<<60) },
	} {
		a.Reset()
		f(&a)
		if r := fl.CreateObject(s, &a); r.RV != 7 {
			t.Errorf("nested attributes %s: got %#x, want CKR_ARGUMENTS_BAD", name, r.RV)
		}
	}
}

func TestTemplate_valuesLongerThan64KiB(t *testing.T) {
	fl, s := token(t)
	value := bytes.Repeat([]byte("0123456789"), 20_000)
	var a ck.Template
	a.AddBytes(pkcs11.CKA_CLASS, ulong(pkcs11.CKO_DATA))
	a.AddBytes(pkcs11.CKA_VALUE, value)
	r := fl.CreateObject(s, &a)
	if r.RV != 0 {
		t.Fatalf("C_CreateObject: %#x", r.RV)
	}
	a.Reset()
	a.Ask(pkcs11.CKA_VALUE, len(value))
	a.Ask(pkcs11.CKA_CLASS, ck.UlongSize)
	if rv := fl.GetAttributeValue(s, r.N, &a); rv != 0 {
		t.Fatalf("C_GetAttributeValue: %#x", rv)
	}
	if v, ok := a.Value(0); !ok || !bytes.Equal(v, value) {
		t.Errorf("got %d bytes, %v; want the %d that were set", len(v), ok, len(value))
	}
	a.Reset()
	a.AddBytes(pkcs11.CKA_LABEL, []byte("changed"))
	if rv := fl.SetAttributeValue(s, r.N, &a); rv != 0 {
		t.Errorf("C_SetAttributeValue: %#x", rv)
	}
	if c := fl.CopyObject(s, r.N, &a); c.RV != 0 || c.N == r.N {
		t.Errorf("C_CopyObject: got %+v", c)
	}
}

func TestReadRows(t *testing.T) {
	objects := []cryptokitest.Object{}
	for i := range 100 {
		o := cryptokitest.Object{cryptokitest.Ulong(pkcs11.CKA_CLASS, pkcs11.CKO_DATA), {Type: pkcs11.CKA_LABEL, Value: bytes.Repeat([]byte{'x'}, i%7)}}
		if i%2 == 0 {
			o = append(o, cryptokitest.Attribute{Type: pkcs11.CKA_ID, Value: []byte{byte(i)}})
		}
		objects = append(objects, o)
	}
	_, in, s := fake(t, &cryptokitest.Options{Objects: objects})
	handles := make([]uint, 200)
	var a ck.Template
	r := in.FindObjects(s, &a, handles)
	if r.RV != 0 || r.N != 100 {
		t.Fatalf("FindObjects: got %+v", r)
	}
	handles = append(handles[:100], 9999) // of which there is none
	a.Ask(pkcs11.CKA_LABEL, 5)
	a.Ask(pkcs11.CKA_ID, 4)
	var rows ck.Rows
	for name, fl := range map[string]ck.FunctionList{"in one call": in, "one by one": struct{ ck.FunctionList }{in}} {
		if rv := ck.ReadRows(fl, s, handles, &a, &rows); rv != 0 {
			t.Fatalf("%s: %#x", name, rv)
		}
		if rows.Len() != 101 || rows.RV(100) != pkcs11.CKR_OBJECT_HANDLE_INVALID {
			t.Errorf("%s: got %d rows, the last with %#x", name, rows.Len(), rows.RV(100))
		}
		for i := range 100 {
			label, ok := rows.Value(i, 0)
			id, has := rows.Value(i, 1)
			if ok != (i%7 <= 5) || ok && len(label) != i%7 || has != (i%2 == 0) || has && (len(id) != 1 || id[0] != byte(i)) {
				t.Errorf("%s: row %d: got %q, %v, %x, %v", name, i, label, ok, id, has)
			}
		}
	}
	if n := testing.AllocsPerRun(10, func() { ck.ReadRows(in, s, handles, &a, &rows) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

// Messages, encapsulation and nonces that the module makes end in the caller's slices.
func TestModule_outputsOfParameters(t *testing.T) {
	_, in, s := fake(t, &cryptokitest.Options{OwnNonce: cryptokitest.NonceAtEnd})
	key := secret(t, in, s, pkcs11.CKK_AES, []byte("value"))
	m := &ck.Mechanism{Type: pkcs11.CKM_AES_GCM, Kind: ck.GCMMessage, B: 3, Data: make([]byte, 12), Data2: make([]byte, 16)}
	if rv := in.MessageEncryptInit(s, &ck.Mechanism{Type: pkcs11.CKM_AES_GCM}, key); rv != 0 {
		t.Fatalf("C_MessageEncryptInit: %#x", rv)
	}
	if rv := in.MessageDecryptInit(s, &ck.Mechanism{Type: pkcs11.CKM_AES_GCM}, key); rv != 0 {
		t.Fatalf("C_MessageDecryptInit: %#x", rv)
	}
	seen := map[string]bool{}
	for range 3 {
		out, back := make([]byte, 4), make([]byte, 4)
		if r := in.EncryptMessage(s, m, []byte("aad"), []byte("text"), out); r.RV != 0 || r.N != 4 {
			t.Fatalf("C_EncryptMessage: %+v", r)
		}
		if seen[string(m.Data)] || bytes.Equal(m.Data2, make([]byte, 16)) {
			t.Errorf("nonce %x again, or no tag: %x", m.Data, m.Data2)
		}
		seen[string(m.Data)] = true
		if r := in.DecryptMessage(s, m, []byte("aad"), out, back); r.RV != 0 || string(back) != "text" {
			t.Errorf("C_DecryptMessage: got %+v, %q", r, back)
		}
		if r := in.DecryptMessage(s, m, []byte("other"), out, back); r.RV != pkcs11.CKR_ENCRYPTED_DATA_INVALID {
			t.Errorf("other additional data: got %#x", r.RV)
		}
	}
	if n := testing.AllocsPerRun(10, func() {
		var nonce [12]byte // on the stack, all of it
		var tag [16]byte
		var out, back [4]byte
		m := ck.Mechanism{Type: pkcs11.CKM_AES_GCM, Kind: ck.GCMMessage, Data: nonce[:], Data2: tag[:]}
		in.EncryptMessage(s, &m, nonce[:3], back[:], out[:])
		in.DecryptMessage(s, &m, nonce[:3], out[:], back[:])
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
	if rv := in.MessageEncryptFinal(s); rv != 0 {
		t.Errorf("C_MessageEncryptFinal: %#x", rv)
	}
	if rv := in.MessageDecryptFinal(s); rv != 0 {
		t.Errorf("C_MessageDecryptFinal: %#x", rv)
	}
	var a ck.Template
	a.AddBytes(pkcs11.CKA_CLASS, ulong(pkcs11.CKO_SECRET_KEY))
	sent := make([]byte, 32)
	one, r := in.EncapsulateKey(s, &ck.Mechanism{Type: 0x17}, key, &a, sent)
	if r.RV != 0 || r.N != 32 {
		t.Fatalf("C_EncapsulateKey: %+v", r)
	}
	two := in.DecapsulateKey(s, &ck.Mechanism{Type: 0x17}, key, sent, &a)
	if two.RV != 0 || two.N == one {
		t.Fatalf("C_DecapsulateKey: %+v", two)
	}
	var b, c ck.Template
	b.Ask(pkcs11.CKA_VALUE, 32)
	c.Ask(pkcs11.CKA_VALUE, 32)
	in.GetAttributeValue(s, one, &b)
	in.GetAttributeValue(s, two.N, &c)
	x, _ := b.Value(0)
	y, _ := c.Value(0)
	if len(x) != 32 || !bytes.Equal(x, y) {
		t.Errorf("got secrets %x and %x", x, y)
	}
	if _, r := in.EncapsulateKey(s, &ck.Mechanism{Type: 0x17}, key, &a, sent[:9]); r.RV != pkcs11.CKR_BUFFER_TOO_SMALL || r.N != 32 {
		t.Errorf("C_EncapsulateKey into 9 bytes: got %+v", r)
	}
}

func TestAdopt(t *testing.T) {
	m := newFake(t, nil)
	theirs := pkcs11.New(m.Path())
	if err := theirs.Initialize(); err != nil {
		t.Fatal(err)
	}
	in, err := ck.Adopt(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if got := in.ListVersion().String(); got != "3.2" {
		t.Errorf("got version %s, want 3.2", got)
	}
	if opened, err := ck.Open(m.Path()); err != nil || opened != in {
		t.Errorf("Open of the same library: got another Instance, %v", err)
	}
	if again, err := ck.Adopt(theirs); err != nil || again != in {
		t.Errorf("Adopt again: got another Instance, %v", err)
	}
	_, rv := in.Acquire()
	if rv != 0 {
		t.Fatalf("Acquire: %#x", rv)
	}
	session, err := theirs.OpenSession(1, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	if info, rv := in.GetSessionInfo(uint(session)); rv != 0 || info.Slot != 1 {
		t.Errorf("their session: got %+v, %#x", info, rv)
	}
	if _, rv := in.Restart(1); rv != notSupported {
		t.Errorf("Restart of a module that is not ours: got %#x, want CKR_FUNCTION_NOT_SUPPORTED", rv)
	}
	in.Release()
	if _, err := theirs.GetSessionInfo(session); err != nil {
		t.Errorf("after Release their session is gone: %v", err)
	}
	theirs.Finalize()
	destroyed := pkcs11.New(m.Path())
	destroyed.Destroy()
	for _, p := range []*pkcs11.Ctx{nil, destroyed, {}} {
		if _, err := ck.Adopt(p); err == nil {
			t.Errorf("Adopt of %+v succeeded", p)
		}
	}
}

func TestInstance_Restart(t *testing.T) {
	m, in, s := fake(t, nil)
	now, rv := in.Restart(1)
	if rv != 0 || now != 2 || m.Initialized() != 2 {
		t.Fatalf("got generation %d, %#x, initialised %d times", now, rv, m.Initialized())
	}
	if _, rv := in.GetSessionInfo(s); rv == 0 {
		t.Error("a session outlived the restart")
	}
	if now, rv := in.Restart(1); rv != 0 || now != 2 || m.Initialized() != 2 {
		t.Errorf("a restart of a generation that is over: got %d, %#x, initialised %d times", now, rv, m.Initialized())
	}
	m.SetFaults(cryptokitest.Fault{Function: "C_Initialize", Times: 2, RV: 5})
	for range 2 {
		if _, rv := in.Restart(2); rv != 5 {
			t.Errorf("C_Initialize fails: got %#x, want 5", rv)
		}
	}
	if now, rv := in.Restart(2); rv != 0 || now != 3 {
		t.Errorf("C_Initialize works again: got %d, %#x", now, rv)
	}
}

// 50,000 failing calls, in all functions: the C heap is what it was, and so is Go's.
func TestModule_failuresLeakNothing(t *testing.T) {
	m, in, s := fake(t, nil)
	key := secret(t, in, s, pkcs11.CKK_AES, make([]byte, 32))
	out := make([]byte, 64)
	mech := &ck.Mechanism{Type: pkcs11.CKM_AES_GCM, Kind: ck.GCM, B: 128, Data: make([]byte, 12), Data2: make([]byte, 9)}
	handles := make([]uint, 8)
	var a ck.Template
	a.AddBytes(1, []byte("value"))
	calls := []func(){
		func() { in.Sign(s, mech, key, out, out) },
		func() { in.Encrypt(s, mech, key, out, out) },
		func() { in.Decrypt(s, mech, key, out, out) },
		func() { in.FindObjects(s, &a, handles) },
		func() { in.GetAttributeValue(s, key, &a) },
		func() { in.CreateObject(s, &a) },
		func() { in.WrapKey(s, mech, key, key, out) },
		func() { in.UnwrapKey(s, mech, key, out, &a) },
		func() { in.DeriveKey(s, mech, key, &a) },
		func() { in.GenerateKey(s, mech, &a) },
		func() { in.Login(s, 1, out[:4]) },
		func() { in.Digest(s, mech, out, out) },
		func() { in.Verify(s, mech, key, out, out) },
		func() { in.EncryptUpdate(s, out, out) },
		func() { in.EncryptMessage(s, mech, out, out, out) },
		func() { in.GenerateRandom(s, out) },
	}
	measure := func() (c int, g uint64) {
		m.SetFaults()
		runtime.GC()
		in.GetInfo()
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		return m.Heap(), ms.Mallocs
	}
	faults := func(skip int) {
		if err := m.SetFaults(cryptokitest.Fault{RV: 0x30, Skip: skip}); err != nil {
			t.Fatal(err)
		}
	}
	rounds := leakRounds()
	faults(0)
	for _, call := range calls {
		call()
	}
	var before, after runtime.MemStats
	// A thread that Go's runtime begins grows the heap once; what a call loses grows it each time.
	grown := 0
	for range 3 {
		c1, _ := measure()
		faults(0)
		runtime.ReadMemStats(&before)
		for range rounds / len(calls) {
			for _, call := range calls {
				call()
			}
		}
		runtime.ReadMemStats(&after)
		c2, _ := measure()
		if grown = c2 - c1; grown <= 256 {
			break
		}
	}
	if grown > 256 {
		t.Errorf("the C heap has grown by %d bytes in %d calls, three times over", grown, rounds)
	}
	if n := after.Mallocs - before.Mallocs; n > uint64(rounds/1000+200) {
		t.Errorf("%d allocations by Go in %d calls", n, rounds)
	}
}

// leakRounds is 1,000,000 where the environment asks for long tests.
func leakRounds() int {
	if os.Getenv("CARDOKI_SOAK") != "" {
		return 1_000_000
	}
	return 50_000
}

func BenchmarkEncryptUpdate(b *testing.B) {
	path := build(b)
	fl, err := ck.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	in, out := make([]byte, 64<<10), make([]byte, 64<<10)
	b.Run("module=null", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fl.EncryptUpdate(1, in, out)
		}
	})
	b.Run("module=SoftHSM2,size=64KiB", func(b *testing.B) {
		fl, s := token(b)
		key := secret(b, fl, s, pkcs11.CKK_AES, make([]byte, 32))
		if rv := fl.EncryptInit(s, &ck.Mechanism{Type: pkcs11.CKM_AES_CTR, Kind: ck.CTR, A: 128, Data: make([]byte, 16)}, key); rv != 0 {
			b.Fatalf("C_EncryptInit: %#x", rv)
		}
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			if r := fl.EncryptUpdate(s, in, out); r.RV != 0 {
				b.Fatalf("%#x", r.RV)
			}
		}
	})
}

// BenchmarkAttributes reads one and five attributes, and those of 1,000 objects in one
// call beside one by one, in a module that does nothing.
func BenchmarkAttributes(b *testing.B) {
	fl, err := ck.Open(build(b))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 5} {
		var a ck.Template
		for i := range n {
			a.Ask(uint(i), 8)
		}
		b.Run(fmt.Sprintf("attributes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fl.GetAttributeValue(1, 1, &a)
			}
		})
	}
	var a ck.Template
	for i := range 3 {
		a.Ask(uint(i), 32)
	}
	objects := make([]uint, 1000)
	var rows ck.Rows
	b.Run("objects=1000,calls=1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ck.ReadRows(fl, 1, objects, &a, &rows)
		}
	})
	b.Run("objects=1000,calls=1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, o := range objects {
				fl.GetAttributeValue(1, o, &a)
			}
		}
	})
}
