package cryptoki_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/signer"
)

// testLibrary is built once.
var testLibrary struct {
	sync.Once
	dir, path string
	err       error
}

// newTestModule makes a module that misbehaves on request.
func newTestModule(t testing.TB, o *cryptokitest.Options) *cryptokitest.Module {
	t.Helper()
	l := &testLibrary
	l.Do(func() {
		if l.dir, l.err = os.MkdirTemp("", "cryptoki"); l.err == nil {
			l.path, l.err = cryptokitest.Build(l.dir)
		}
	})
	system.Supported(t, l.err)
	if l.err != nil {
		t.Fatal(l.err)
	}
	c, err := cryptokitest.Start(l.path, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// startTestModule makes a module that misbehaves on request, and opens it.
func startTestModule(t testing.TB, o *cryptokitest.Options) (*cryptokitest.Module, *cryptoki.Module, *cryptoki.Slot) {
	t.Helper()
	c := newTestModule(t, o)
	m, err := cryptoki.Open(c.Path(), nil)
	system.Supported(t, err)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	slots, err := m.Slots(true)
	if err != nil || len(slots) != 1 {
		t.Fatalf("got %d slots, %v", len(slots), err)
	}
	return c, m, slots[0]
}

// testKeys are two keys of which each must never be taken for the other.
func testKeys(t testing.TB) []cryptokitest.Key {
	t.Helper()
	var keys []cryptokitest.Key
	for i, label := range []string{"right", "wrong"} {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, cryptokitest.Key{Label: label, ID: []byte{byte(i + 1)}, Private: k})
	}
	return keys
}

// flow is what a program does with a token: a pool, a key, two signatures.
type flow struct {
	pool *cryptoki.Pool
	key  *cryptoki.Key
}

// sign signs and looks at what came of it.
func (f *flow) sign(ctx context.Context, want *ecdsa.PublicKey) (wrong bool, err error) {
	digest := make([]byte, 32)
	rand.Read(digest)
	if f.key == nil {
		if f.key, err = f.pool.Key(ctx, cryptoki.KeyQuery{Label: "right"}); err != nil {
			return false, err
		}
	}
	signature, err := f.key.Sign(ctx, digest, crypto.SHA256)
	return err == nil && !ecdsa.VerifyASN1(want, digest, signature), err
}

// What becomes of each call, in the words of a test's name.
var callFaults = []struct {
	name  string
	fault cryptokitest.Fault
}{
	{"CKR_GENERAL_ERROR", cryptokitest.Fault{RV: uint(cryptoki.CKR_GENERAL_ERROR)}},
	{"CKR_HOST_MEMORY", cryptokitest.Fault{RV: uint(cryptoki.CKR_HOST_MEMORY)}},
	{"CKR_DEVICE_ERROR", cryptokitest.Fault{RV: uint(cryptoki.CKR_DEVICE_ERROR)}},
	{"CKR_DEVICE_ERROR, though it was carried out", cryptokitest.Fault{RV: uint(cryptoki.CKR_DEVICE_ERROR), Late: true}},
	{"CKR_DEVICE_REMOVED", cryptokitest.Fault{RV: uint(cryptoki.CKR_DEVICE_REMOVED)}},
	{"CKR_TOKEN_NOT_PRESENT", cryptokitest.Fault{RV: uint(cryptoki.CKR_TOKEN_NOT_PRESENT)}},
	{"CKR_SESSION_HANDLE_INVALID", cryptokitest.Fault{RV: uint(cryptoki.CKR_SESSION_HANDLE_INVALID)}},
	{"CKR_SESSION_COUNT", cryptokitest.Fault{RV: uint(cryptoki.CKR_SESSION_COUNT)}},
	{"CKR_OPERATION_ACTIVE", cryptokitest.Fault{RV: uint(cryptoki.CKR_OPERATION_ACTIVE)}},
	{"CKR_USER_NOT_LOGGED_IN", cryptokitest.Fault{RV: uint(cryptoki.CKR_USER_NOT_LOGGED_IN)}},
	{"CKR_KEY_HANDLE_INVALID", cryptokitest.Fault{RV: uint(cryptoki.CKR_KEY_HANDLE_INVALID)}},
	{"CKR_CRYPTOKI_NOT_INITIALIZED", cryptokitest.Fault{RV: uint(cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)}},
	{"a value that no standard has", cryptokitest.Fault{RV: 0xFFFFFFFF}},
	{"all sessions are lost", cryptokitest.Fault{LoseSessions: true}},
	{"the user is logged out", cryptokitest.Fault{LogOut: true}},
	{"handles name other keys", cryptokitest.Fault{SwapKeys: true}},
	{"the token is taken out", cryptokitest.Fault{Remove: true}},
	{"a bit of the output is wrong", cryptokitest.Fault{Corrupt: true}},
	{"a length that is too great", cryptokitest.Fault{Length: 1 << 20}},
	{"a length that is one too small", cryptokitest.Fault{Length: -1}},
	{"it hangs", cryptokitest.Fault{Hang: true}},
}

// flowFunctions are those that the flow calls.
var flowFunctions = []string{
	"C_GetTokenInfo", "C_GetMechanismList", "C_OpenSession", "C_CloseSession", "C_GetSessionInfo", "C_Login",
	"C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal", "C_GetAttributeValue", "C_SignInit", "C_Sign",
}

func TestPool_faultsAtEachCall(t *testing.T) {
	keys := testKeys(t)
	c, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys, Tries: 10})
	right := &keys[0].Private.PublicKey
	pin := cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN))
	cases, failed := 0, 0
	for _, function := range flowFunctions {
		for skip := range 4 {
			for _, f := range callFaults {
				cases++
				name := fmt.Sprintf("%s, call %d: %s", function, skip, f.name)
				fault := f.fault
				fault.Function, fault.Skip, fault.Times = function, skip, 1
				logins, left := c.Logins(), 0
				switch rv := cryptoki.RV(fault.RV); {
				case function == "C_OpenSession" && fault.Late, function == "C_CloseSession" && rv != 0,
					rv == cryptoki.CKR_SESSION_HANDLE_INVALID, rv == cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED:
					left = 2 // as the module does not know its own sessions
				}
				p := &flow{pool: slot.NewPool(&cryptoki.PoolOptions{PIN: pin, Size: 2, Patience: 200 * time.Millisecond, Verify: signer.VerifyAlways})}
				if err := c.SetFaults(fault); err != nil {
					t.Fatal(err)
				}
				limit := 5 * time.Second
				if fault.Hang {
					limit = 20 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				start := time.Now()
				for range 2 {
					wrong, err := p.sign(ctx, right)
					if wrong {
						t.Errorf("%s: got a signature that is wrong", name)
					}
					if err != nil {
						failed++
						if _, ok := errors.AsType[*cryptoki.PINError](err); ok {
							t.Errorf("%s: got %v for a right PIN", name, err)
						}
						break
					}
				}
				cancel()
				if took := time.Since(start); took > limit+time.Second {
					t.Errorf("%s: took %v of %v", name, took, limit)
				}
				// Whatever it was, it is over.
				c.Insert(0)
				if err := c.SetFaults(); err != nil {
					t.Fatal(err)
				}
				eventually(t, name, func() error {
					wrong, err := p.sign(t.Context(), right)
					if wrong {
						t.Errorf("%s: got a signature that is wrong, after the fault", name)
					}
					return err
				})
				if tried := c.Logins() - logins; tried > 4 {
					t.Errorf("%s: the PIN was tried %d times", name, tried)
				}
				eventually(t, name, func() error {
					if s := p.pool.Stats(); s.InUse != 0 || s.Hanging != 0 || s.Waiting != 0 {
						return fmt.Errorf("got %+v, want nothing in use", s)
					}
					return nil
				})
				p.pool.Close()
				eventually(t, name, func() error {
					if n := c.Sessions(); n > left {
						return fmt.Errorf("%d sessions are left", n)
					}
					return nil
				})
				c.LoseSessions()
			}
		}
	}
	if c.Overlaps() != 0 || c.Outside() != 0 {
		t.Errorf("got %d calls into a session in use, %d into a module that is not initialised, want none", c.Overlaps(), c.Outside())
	}
	t.Logf("%d faults, of which the caller was told of %d", cases, failed)
}

// eventually calls f until it returns nil: a pool does not try to recover all the time.
func eventually(t testing.TB, name string, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", name, err)
}

func TestPool_wrongPINIsNotTriedAgain(t *testing.T) {
	keys := testKeys(t)
	c, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys})
	p := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte("wrong"))})
	defer p.Close()
	for range 5 {
		if _, err := p.Key(t.Context(), cryptoki.KeyQuery{Label: "right"}); !errors.Is(err, cryptoki.CKR_PIN_INCORRECT) {
			t.Errorf("got %v, want CKR_PIN_INCORRECT", err)
		}
	}
	if c.Logins() != 1 || c.Tries() != 2 {
		t.Errorf("the PIN was tried %d times, %d tries are left, want one and two", c.Logins(), c.Tries())
	}
}

func TestPool_changedPINIsNotTriedAgainAfterALogout(t *testing.T) {
	keys := testKeys(t)
	c, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys})
	pin := []byte(cryptokitest.DefaultPIN)
	p := slot.NewPool(&cryptoki.PoolOptions{PIN: func(context.Context, cryptoki.PINRequest) ([]byte, error) { return slices.Clone(pin), nil }, Patience: -1})
	defer p.Close()
	k, err := p.Key(t.Context(), cryptoki.KeyQuery{Label: "right"})
	if err != nil {
		t.Fatal(err)
	}
	pin = []byte("old one")
	c.LogOut()
	for range 5 {
		if _, err := k.Sign(t.Context(), make([]byte, 32), crypto.SHA256); !errors.Is(err, cryptoki.CKR_PIN_INCORRECT) {
			t.Errorf("got %v, want CKR_PIN_INCORRECT", err)
		}
	}
	if c.Logins() != 2 {
		t.Errorf("PINs were tried %d times, want the right one once and the wrong one once", c.Logins())
	}
}

func TestPool_anotherTokenGetsNoPIN(t *testing.T) {
	keys := testKeys(t)
	t.Run("the slot of the token changes", func(t *testing.T) {
		c, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys, Slot: 3})
		p := &flow{pool: slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN))})}
		defer p.pool.Close()
		right := &keys[0].Private.PublicKey
		if wrong, err := p.sign(t.Context(), right); wrong || err != nil {
			t.Fatal(wrong, err)
		}
		c.Remove()
		c.Insert(9)
		if wrong, err := p.sign(t.Context(), right); wrong || err != nil {
			t.Errorf("after it came back in another slot: got %v, %v", wrong, err)
		}
		if id := p.pool.Slot().ID(); id != 9 {
			t.Errorf("got slot %d, want 9", id)
		}
	})
}

func TestPool_boundFollowsTheToken(t *testing.T) {
	keys := testKeys(t)
	for _, most := range []int{1, 2, 3} {
		c, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys, MaxSessions: most})
		p := &flow{pool: slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN)), Size: 8})}
		right := &keys[0].Private.PublicKey
		if wrong, err := p.sign(t.Context(), right); wrong || err != nil {
			t.Fatalf("%d sessions: got %v, %v", most, wrong, err)
		}
		errs := make(chan error, 16)
		for range cap(errs) {
			go func() {
				digest := make([]byte, 32)
				_, err := p.key.Sign(t.Context(), digest, crypto.SHA256)
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Errorf("%d sessions: %v", most, err)
			}
		}
		if got := c.MostSessions(); got > most {
			t.Errorf("got %d sessions at once, want %d", got, most)
		}
		if c.Overlaps() != 0 {
			t.Errorf("%d calls came into a session in use", c.Overlaps())
		}
		p.pool.Close()
	}
}

func TestKey_alwaysAuthenticate(t *testing.T) {
	keys := testKeys(t)
	keys[0].AlwaysAuthenticate = true
	c, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys, Tries: 3})
	pin := cryptokitest.DefaultPIN
	var asked []cryptoki.PINRequest
	p := &flow{pool: slot.NewPool(&cryptoki.PoolOptions{PIN: func(_ context.Context, r cryptoki.PINRequest) ([]byte, error) {
		asked = append(asked, r)
		return []byte(pin), nil
	}})}
	defer p.pool.Close()
	right := &keys[0].Private.PublicKey
	for range 3 {
		if wrong, err := p.sign(t.Context(), right); wrong || err != nil {
			t.Fatalf("got %v, %v", wrong, err)
		}
	}
	if len(asked) != 4 || asked[0].User != cryptoki.CKU_USER || asked[3].User != cryptoki.CKU_CONTEXT_SPECIFIC || asked[3].Key != "right" {
		t.Errorf("got requests %+v, want one to log in and three for the key", asked)
	}
	pin = "wrong"
	for range 3 { // tried once, and then known
		_, err := p.sign(t.Context(), right)
		if e, ok := errors.AsType[*cryptoki.PINError](err); !ok || e.User != cryptoki.CKU_CONTEXT_SPECIFIC {
			t.Errorf("a wrong PIN: got %v", err)
		}
	}
	if c.Tries() != 2 {
		t.Errorf("%d tries are left, want two", c.Tries())
	}
	pin = cryptokitest.DefaultPIN
	if wrong, err := p.sign(t.Context(), right); wrong || err != nil {
		t.Errorf("the right PIN after it: got %v, %v", wrong, err)
	}
	c.SetTries(1)
	if _, err := p.sign(t.Context(), right); err == nil || c.Tries() != 1 && c.Tries() != 3 {
		t.Errorf("the last try: got %v, %d tries left", err, c.Tries())
	}
}

func TestPool_keysThatChangedHandlesAreFoundAgain(t *testing.T) {
	keys := testKeys(t)
	c, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys})
	p := &flow{pool: slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN))})}
	defer p.pool.Close()
	right := &keys[0].Private.PublicKey
	for range 10 {
		if wrong, err := p.sign(t.Context(), right); wrong || err != nil {
			t.Fatalf("got %v, %v", wrong, err)
		}
		c.SwapKeys()
		c.LoseSessions()
	}
	if r := p.pool.Stats().Recoveries; r != 9 {
		t.Errorf("got %d recoveries, want nine", r)
	}
}
