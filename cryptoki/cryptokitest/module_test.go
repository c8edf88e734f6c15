package cryptokitest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/ck"
)

// The numbers of PKCS#11 that the tests need.
const (
	ckaClass, ckaValue, ckaID, ckaLabel = 0x0, 0x11, 0x102, 0x3
	ckoPrivateKey, ckoSecretKey         = 3, 4
	ckmECDSA, ckmGCM, ckmAny            = 0x1041, 0x1087, 0x80C0FFE0

	general, deviceError, sensitive, invalidType = 0x5, 0x30, 0x11, 0x12
	encryptedInvalid, notSupported, keyInvalid   = 0x40, 0x54, 0x60
	paramInvalid, pinIncorrect, pinLocked        = 0x71, 0xA0, 0xA4
	sessionCount, sessionInvalid, absent         = 0xB1, 0xB3, 0xE0
	notLoggedIn, tooSmall, notInitialized        = 0x101, 0x150, 0x190
)

func private(t testing.TB, fl ck.FunctionList, session uint) []uint {
	t.Helper()
	return lookup(t, fl, session, ckaClass, ck.AppendUlong(nil, ckoPrivateKey))
}

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKey_signaturesAreRight(t *testing.T) {
	for _, c := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key := newKey(t, c)
		_, in, s := open(t, &cryptokitest.Options{Keys: []cryptokitest.Key{{Label: "key", ID: []byte{1}, Private: key}}}, "1234")
		for _, n := range []int{0, 1, 20, 28, 32, 48, 64} {
			digest := sha512.Sum512([]byte{byte(n)})
			out := make([]byte, 200)
			r := in.Sign(s, &ck.Mechanism{Type: ckmECDSA}, private(t, in, s)[0], digest[:n], out)
			if r.RV != 0 {
				t.Fatalf("%s: %v: %#x", c.Params().Name, r.Step, r.RV)
			}
			rr, ss := new(big.Int).SetBytes(out[:r.N/2]), new(big.Int).SetBytes(out[r.N/2:r.N])
			if !ecdsa.Verify(&key.PublicKey, digest[:n], rr, ss) {
				t.Errorf("%s: the signature of %d bytes is wrong", c.Params().Name, n)
			}
		}
	}
}

// secretKeys are two keys that sign with their IDs.
func secretKeys() []cryptokitest.Object {
	key := func(id byte) cryptokitest.Object {
		return cryptokitest.Object{
			cryptokitest.Ulong(ckaClass, ckoSecretKey), {Type: ckaID, Value: []byte{id}}, {Type: ckaValue, Value: bytes.Repeat([]byte{id}, 32)},
		}
	}
	return []cryptokitest.Object{key('a'), key('b')}
}

func TestFault(t *testing.T) {
	sign := func(in *ck.Instance, s, key uint) (string, ck.Result) {
		out := make([]byte, 40)
		r := in.Sign(s, &ck.Mechanism{Type: ckmAny}, key, []byte("xy"), out)
		if r.RV != 0 {
			return "", r
		}
		return string(out[:r.N]), r
	}
	for _, tt := range []struct {
		name  string
		fault cryptokitest.Fault
		want  [3]string // of three signatures with the first key; empty: RV
		rv    ck.RV
		step  ck.Function
	}{
		{"none", cryptokitest.Fault{Function: "C_Sign", Skip: 3, RV: general}, [3]string{"xya", "xya", "xya"}, 0, 0},
		{"the second call fails", cryptokitest.Fault{Function: "C_SignInit", Skip: 1, Times: 1, RV: deviceError}, [3]string{"xya", "", "xya"}, deviceError, ck.SignInit},
		{"all fail from the second", cryptokitest.Fault{Function: "C_SignInit", Skip: 1, RV: deviceError}, [3]string{"xya", "", ""}, deviceError, ck.SignInit},
		{"after it was done", cryptokitest.Fault{Function: "C_Sign", Skip: 2, RV: deviceError, Late: true}, [3]string{"xya", "xya", ""}, deviceError, ck.Sign},
		{"keys are swapped", cryptokitest.Fault{Function: "C_SignInit", Skip: 1, Times: 1, SwapKeys: true}, [3]string{"xya", "xyb", "xyb"}, 0, 0},
		{"a bit is flipped", cryptokitest.Fault{Function: "C_Sign", Skip: 2, Corrupt: true}, [3]string{"xya", "xya", "xxa"}, 0, 0},
		{"the length is shorter", cryptokitest.Fault{Function: "C_Sign", Times: 1, Length: -1}, [3]string{"xy", "xya", "xya"}, 0, 0},
		{"the length is more than there was room for", cryptokitest.Fault{Function: "C_Sign", Length: 1000}, [3]string{}, 6, ck.Sign},
		{"sessions are lost", cryptokitest.Fault{Function: "C_Sign", Skip: 1, Times: 1, LoseSessions: true}, [3]string{"xya", "", ""}, sessionInvalid, 0},
		{"any function", cryptokitest.Fault{RV: general, Skip: 1, Times: 1}, [3]string{"", "", "xya"}, 0, 0},
		{"the token is taken out", cryptokitest.Fault{Function: "C_Sign", Skip: 2, Remove: true}, [3]string{"xya", "xya", ""}, sessionInvalid, ck.Sign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, in, s := open(t, &cryptokitest.Options{Objects: secretKeys()}, "")
			key := lookup(t, in, s, ckaID, []byte("a"))[0]
			if err := m.SetFaults(tt.fault); err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.want {
				got, r := sign(in, s, key)
				if tt.name == "any function" && i < 2 { // the first fails in C_Sign, which stays active
					if r.RV == 0 {
						t.Errorf("signature %d: got %q, want a failure", i, got)
					}
					if i == 1 {
						in.SessionCancel(s, 0x800)
					}
					continue
				}
				if got != want || want == "" && r.RV != tt.rv || want == "" && tt.step != 0 && r.Step != tt.step {
					t.Errorf("signature %d: got %q, %v: %#x; want %q, %v: %#x", i, got, r.Step, r.RV, want, tt.step, tt.rv)
				}
				if m.Sessions() == 1 {
					in.SessionCancel(s, 0x800)
				}
			}
		})
	}
	m, _, _ := open(t, nil, "")
	if err := m.SetFaults(cryptokitest.Fault{Function: "C_Sing", RV: 1}); err == nil {
		t.Error("a fault of a function that there is not was taken")
	}
	if err := m.SetFaults(make([]cryptokitest.Fault, 65)...); err == nil {
		t.Error("65 faults were taken")
	}
}

func TestFault_hangsUntilReleased(t *testing.T) {
	for name, release := range map[string]func(m *cryptokitest.Module){
		"Release":   (*cryptokitest.Module).Release,
		"SetFaults": func(m *cryptokitest.Module) { m.SetFaults() },
	} {
		m, in, s := open(t, nil, "")
		m.SetFaults(cryptokitest.Fault{Function: "C_GenerateRandom", Hang: true})
		done := make(chan ck.RV)
		go func() { done <- in.GenerateRandom(s, make([]byte, 8)) }()
		wait(t, func() bool { return m.Hanging() == 1 })
		select {
		case <-done:
			t.Errorf("%s: the call did not hang", name)
		default:
		}
		release(m)
		if rv := <-done; rv != 0 {
			t.Errorf("%s: got %#x, want success after all", name, rv)
		}
		if m.Hanging() != 0 {
			t.Errorf("%s: %d calls still hang", name, m.Hanging())
		}
	}
}

func wait(t testing.TB, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for 10 s")
		}
	}
}

func TestModule_countsPINs(t *testing.T) {
	const low, final, locked = 0x10000, 0x20000, 0x40000
	m, in, s := open(t, nil, "")
	for _, tt := range []struct {
		pin   string
		rv    ck.RV
		left  int
		flags uint
	}{
		{"wrong", pinIncorrect, 2, low},
		{"1234", 0, 3, 0},
		{"wrong", pinIncorrect, 2, low},
		{"wrong", pinIncorrect, 1, low | final},
		{"", pinIncorrect, 0, low | locked},
		{"1234", pinLocked, 0, low | locked},
	} {
		rv := in.Login(s, 1, []byte(tt.pin))
		info, _ := in.GetTokenInfo(1)
		if rv != tt.rv || m.Tries() != tt.left || info.Flags&(low|final|locked) != tt.flags {
			t.Errorf("PIN %q: got %#x, %d left, flags %#x; want %#x, %d, %#x", tt.pin, rv, m.Tries(), info.Flags, tt.rv, tt.left, tt.flags)
		}
		if rv == 0 {
			in.Logout(s)
		}
	}
	if m.Logins() != 6 || m.Calls("C_Login") != 6 {
		t.Errorf("got %d tries and %d calls, want 6", m.Logins(), m.Calls("C_Login"))
	}
	m.SetTries(3)
	if rv := in.Login(s, 0, []byte(cryptokitest.DefaultSOPIN)); rv != 0 {
		t.Fatalf("the security officer: %#x", rv)
	}
	if rv := in.InitPIN(s, []byte("4321")); rv != 0 || m.PIN() != "4321" {
		t.Errorf("C_InitPIN: got %#x, the PIN is %q", rv, m.PIN())
	}
	in.Logout(s)
	if rv := in.SetPIN(s, []byte("4321"), []byte("5678")); rv != 0 || m.PIN() != "5678" {
		t.Errorf("C_SetPIN: got %#x, the PIN is %q", rv, m.PIN())
	}
	if rv := in.Login(s, 1, []byte("5678")); rv != 0 || !m.LoggedIn() {
		t.Errorf("the new PIN: got %#x, logged in: %v", rv, m.LoggedIn())
	}
	in.CloseSession(s)
	if rv := in.InitToken(1, []byte(cryptokitest.DefaultSOPIN), "another"); rv != 0 {
		t.Errorf("C_InitToken: %#x", rv)
	}
	if info, _ := in.GetTokenInfo(1); info.Label != "another" || info.Flags&8 != 0 {
		t.Errorf("after C_InitToken: %+v, want another label and no PIN", info)
	}
	if rv := in.InitToken(1, nil, "a label that is too long for its 32 bytes"); rv != 7 {
		t.Errorf("a label that is too long: got %#x, want CKR_ARGUMENTS_BAD", rv)
	}
}

func TestModule_keysThatWantALoginEachTime(t *testing.T) {
	m, in, s := open(t, &cryptokitest.Options{PINPad: true, Keys: []cryptokitest.Key{{Label: "key", Private: newKey(t, elliptic.P256()), AlwaysAuthenticate: true}}}, "1234")
	key, out := private(t, in, s)[0], make([]byte, 64)
	for _, tt := range []struct {
		name string
		mech ck.Mechanism
		rv   ck.RV
		step ck.Function
	}{
		{"without", ck.Mechanism{}, notLoggedIn, ck.Sign},
		{"with the PIN", ck.Mechanism{Login: true, PIN: []byte("1234")}, 0, ck.Sign},
		{"at the PIN pad", ck.Mechanism{Login: true}, 0, ck.Sign},
		{"with a wrong PIN", ck.Mechanism{Login: true, PIN: []byte("12")}, pinIncorrect, ck.Login},
	} {
		tt.mech.Type = ckmECDSA
		if r := in.Sign(s, &tt.mech, key, make([]byte, 32), out); r.RV != tt.rv || r.Step != tt.step {
			t.Errorf("%s: got %v: %#x, want %v: %#x", tt.name, r.Step, r.RV, tt.step, tt.rv)
		}
	}
	if m.Logins() != 4 {
		t.Errorf("got %d logins, want 4", m.Logins())
	}
}

func TestModule_nonceOfTheTokensOwn(t *testing.T) {
	for _, own := range []cryptokitest.OwnNonce{cryptokitest.CallersNonce, cryptokitest.NonceAtInit, cryptokitest.NonceAtEnd} {
		_, in, s := open(t, &cryptokitest.Options{OwnNonce: own, Objects: secretKeys()}, "")
		keys := lookup(t, in, s, ckaClass, ck.AppendUlong(nil, ckoSecretKey))
		nonce, aad, text := make([]byte, 12), []byte("aad"), []byte("a text that is longer than a block")
		m := &ck.Mechanism{Type: ckmGCM, Kind: ck.GCM, A: 96, B: 128, Data: nonce, Data2: aad}
		if own == cryptokitest.CallersNonce {
			copy(nonce, "nonce")
		}
		want := bytes.Clone(nonce)
		out := make([]byte, 100)
		r := in.Encrypt(s, m, keys[0], text, out)
		if r.RV != 0 || int(r.N) != len(text)+16 {
			t.Fatalf("%d: C_Encrypt: %+v", own, r)
		}
		if bytes.Equal(nonce, want) != (own == cryptokitest.CallersNonce) {
			t.Errorf("%d: the nonce is %x", own, nonce)
		}
		sealed := out[:r.N:r.N]
		open := func(key uint, c []byte) ck.RV {
			out := make([]byte, 100)
			r := in.Decrypt(s, m, key, c, out)
			if r.RV == 0 && !bytes.Equal(out[:r.N], text) {
				t.Errorf("%d: got %q", own, out[:r.N])
			}
			return r.RV
		}
		if rv := open(keys[0], sealed); rv != 0 {
			t.Errorf("%d: C_Decrypt: %#x", own, rv)
		}
		if rv := open(keys[1], sealed); rv != encryptedInvalid {
			t.Errorf("%d: another key: got %#x, want CKR_ENCRYPTED_DATA_INVALID", own, rv)
		}
		sealed[3] ^= 1
		if rv := open(keys[0], sealed); rv != encryptedInvalid {
			t.Errorf("%d: a flipped bit: got %#x, want CKR_ENCRYPTED_DATA_INVALID", own, rv)
		}
		if own != cryptokitest.CallersNonce {
			if r := in.Encrypt(s, m, keys[0], text, out); r.RV != paramInvalid {
				t.Errorf("%d: a nonce that is not zero: got %#x, want CKR_MECHANISM_PARAM_INVALID", own, r.RV)
			}
		}
	}
}

func TestModule_peculiarities(t *testing.T) {
	ask := func(in *ck.Instance, s, object uint) (ck.Template, ck.RV) {
		var a ck.Template
		a.Ask(ckaID, 10)
		a.Ask(ckaLabel, 10)
		a.Ask(ckaClass, 10)
		return a, in.GetAttributeValue(s, object, &a)
	}
	for _, tt := range []struct {
		name      string
		opts      cryptokitest.Options
		rv        ck.RV
		id, class bool // are there
	}{
		{"a good module", cryptokitest.Options{}, invalidType, true, true},
		{"a whole template is refused", cryptokitest.Options{WholeTemplate: true}, invalidType, false, false},
		{"sizes must be exact", cryptokitest.Options{ExactSizes: true}, tooSmall, true, false},
	} {
		tt.opts.Objects = secretKeys()
		_, in, s := open(t, &tt.opts, "")
		a, rv := ask(in, s, lookup(t, in, s, ckaID, []byte("a"))[0])
		v, _ := a.Value(0)
		_, class := a.Value(2)
		if rv != tt.rv || (string(v) == "a") != tt.id || !tt.opts.WholeTemplate && class != tt.class {
			t.Errorf("%s: got %#x, %q, %v", tt.name, rv, v, class)
		}
	}
	m, in, s := open(t, &cryptokitest.Options{MaxSessions: 2, Slot: 7}, "")
	if _, rv := in.OpenSession(7, 0); rv != 0 {
		t.Errorf("the second of two sessions: %#x", rv)
	}
	if _, rv := in.OpenSession(7, 0); rv != sessionCount {
		t.Errorf("the third of two sessions: got %#x, want CKR_SESSION_COUNT", rv)
	}
	if _, rv := in.WaitForSlotEvent(); rv != 8 {
		t.Errorf("no event: got %#x, want CKR_NO_EVENT", rv)
	}
	m.Remove()
	if slot, rv := in.WaitForSlotEvent(); rv != 0 || slot != 7 {
		t.Errorf("the token was taken out: got slot %d, %#x, want 7", slot, rv)
	}
	if _, rv := in.GetSessionInfo(s); rv != sessionInvalid {
		t.Errorf("a session of a token that is gone: got %#x", rv)
	}
	if _, rv := in.GetTokenInfo(7); rv != absent {
		t.Errorf("a token that is gone: got %#x", rv)
	}
	m.Insert(8)
	if slots, _ := in.GetSlotList(true); len(slots) != 1 || slots[0] != 8 {
		t.Errorf("the token in another slot: got %v", slots)
	}
	if m.Sessions() != 0 || m.MostSessions() != 2 {
		t.Errorf("got %d sessions, at most %d; want 0 and 2", m.Sessions(), m.MostSessions())
	}
}

func TestModule_privateObjectsNeedALogin(t *testing.T) {
	m, in, s := open(t, &cryptokitest.Options{Keys: []cryptokitest.Key{{Label: "key", Private: newKey(t, elliptic.P256())}}}, "")
	if got := private(t, in, s); len(got) != 0 {
		t.Errorf("before login: got %v", got)
	}
	in.Login(s, 1, []byte("1234"))
	key := private(t, in, s)[0]
	var a ck.Template
	a.Ask(0x80C0FFE3, 32)
	if rv := in.GetAttributeValue(s, key, &a); rv != sensitive {
		t.Errorf("a part of the key: got %#x, want CKR_ATTRIBUTE_SENSITIVE", rv)
	}
	m.LogOut()
	if r := in.Sign(s, &ck.Mechanism{Type: ckmECDSA}, key, make([]byte, 32), make([]byte, 64)); r.RV != keyInvalid {
		t.Errorf("after LogOut: got %#x, want CKR_KEY_HANDLE_INVALID", r.RV)
	}
	in.Login(s, 1, []byte("1234"))
	if again := private(t, in, s)[0]; again == key {
		t.Errorf("got the same handle %d after another login", again)
	}
	m.LoseSessions()
	if rv := in.Logout(s); rv != sessionInvalid {
		t.Errorf("after LoseSessions: got %#x, want CKR_SESSION_HANDLE_INVALID", rv)
	}
}

func TestModule_noticesWhatNoProgramMustDo(t *testing.T) {
	m, in, s := open(t, nil, "")
	m.SetFaults(cryptokitest.Fault{Function: "C_GenerateRandom", Hang: true, Times: 1})
	done := make(chan struct{})
	go func() { defer close(done); in.GenerateRandom(s, make([]byte, 1)) }()
	wait(t, func() bool { return m.Hanging() == 1 })
	if m.Overlaps() != 0 {
		t.Errorf("got %d overlaps of one call", m.Overlaps())
	}
	in.GetSessionInfo(s)
	if m.Overlaps() != 1 {
		t.Errorf("got %d overlaps of two calls, want 1", m.Overlaps())
	}
	m.Release()
	<-done
	in.Finalize()
	if rv := in.GenerateRandom(s, nil); rv != notInitialized || m.Outside() != 1 {
		t.Errorf("after C_Finalize: got %#x, %d noticed", rv, m.Outside())
	}
	in.Initialize()
}

func TestOptions_interfaces(t *testing.T) {
	for name, want := range map[string]string{"": "3.2", "3.2": "3.2", "3.0": "3.0", "2.40": "2.40", "none": "2.40"} {
		_, in := start(t, &cryptokitest.Options{Interface: name})
		if got := in.ListVersion().String(); got != want {
			t.Errorf("Interface %q: got %s, want %s", name, got, want)
		}
	}
	if _, err := cryptokitest.Start(library, t.TempDir(), &cryptokitest.Options{Interface: "4"}); err == nil {
		t.Error("an edition that there is not was taken")
	}
}

func TestOptions_null(t *testing.T) {
	m, in := start(t, &cryptokitest.Options{Null: true})
	out := make([]byte, 8)
	if r := in.Sign(9, &ck.Mechanism{}, 9, nil, out); r.RV != 0 || r.N != 8 {
		t.Errorf("got %+v, want success and the length as it was", r)
	}
	if m.Calls("C_Sign") != 0 {
		t.Error("a module that does nothing has counted")
	}
}

func TestModule_reserved(t *testing.T) {
	m, in := start(t, nil)
	if _, rv := in.AcquireWith("configdir='x'"); rv != 0 {
		t.Fatal(rv)
	}
	defer in.Release()
	if m.Reserved() != "configdir='x'" || m.Initialized() != 1 {
		t.Errorf("got %q, initialised %d times", m.Reserved(), m.Initialized())
	}
}

// The module without a control file is usable by hand.
func TestBuild_withoutControl(t *testing.T) {
	b, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(t.TempDir(), "alone.so")
	if err := os.WriteFile(alone, b, 0o700); err != nil {
		t.Fatal(err)
	}
	in, err := ck.Open(alone)
	if err != nil {
		t.Fatal(err)
	}
	in.Acquire()
	defer in.Release()
	s, rv := in.OpenSession(1, 0)
	if rv != 0 {
		t.Fatalf("C_OpenSession: %#x", rv)
	}
	if rv := in.Login(s, 1, []byte(cryptokitest.DefaultPIN)); rv != 0 {
		t.Errorf("C_Login: %#x", rv)
	}
}

func TestBuild_saysWhatIsMissing(t *testing.T) {
	t.Setenv("CC", "no-such-compiler")
	if _, err := cryptokitest.New(t.TempDir(), nil); !errors.Is(err, cryptokitest.ErrNoCompiler) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want ErrNoCompiler", err)
	}
	t.Setenv("CC", "false")
	if _, err := cryptokitest.Build(t.TempDir()); err == nil || errors.Is(err, cryptokitest.ErrNoCompiler) {
		t.Errorf("a compiler that fails: got %v", err)
	}
}

// The names are those of the function list, in its order.
func TestModule_Calls(t *testing.T) {
	m, in, s := open(t, nil, "")
	in.SessionCancel(s, 0)
	in.EncapsulateKey(s, &ck.Mechanism{}, 99, &ck.Template{}, nil)
	in.DecapsulateKey(s, &ck.Mechanism{}, 99, nil, &ck.Template{})
	for f := ck.Initialize; f <= ck.DecapsulateKey; f++ {
		want := 0
		switch f {
		case ck.Initialize, ck.GetSlotList, ck.OpenSession, ck.SessionCancel, ck.EncapsulateKey, ck.DecapsulateKey:
			want = 1
		}
		if got := m.Calls(f.String()); (got > 0) != (want > 0) {
			t.Errorf("%v: got %d calls, want %d", f, got, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Calls of a function that there is not did not panic")
		}
	}()
	m.Calls("Sign")
}
