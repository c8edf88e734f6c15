package cryptoki_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
)

func TestOpen_saysWhatIsWrongWithTheFile(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		is         error
		words      string
	}{
		{"a file that is not there", "/nowhere/pkcs11.so", nil, "No such file"},
		{"a file that is no library", text, nil, "text.so"},
		{"a folder", t.TempDir(), nil, "directory"},
		{"a library that is no PKCS#11 module", "libc.so.6", cryptoki.ErrNotModule, "C_GetFunctionList"},
		{"no path", "", nil, "empty"},
		{"a path with a zero byte", "a\x00b", nil, "not valid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := cryptoki.Open(tt.path, nil)
			if err == nil {
				m.Close()
				t.Fatal("it was opened")
			}
			if errors.Is(err, errors.ErrUnsupported) { // built without cgo
				if !strings.Contains(err.Error(), "CGO_ENABLED=1") {
					t.Errorf("got %q, want it to say how to build", err)
				}
				return
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want one that Is %v", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.words) || !strings.HasPrefix(err.Error(), "cryptoki: ") {
				t.Errorf("got %q, want it to say %q", err, tt.words)
			}
		})
	}
}

func TestModule_tellsAboutItselfAndItsTokens(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	m := openModule(t, hsm)
	info, err := m.Info()
	if err != nil || info.Manufacturer != "SoftHSM" || info.Cryptoki.Major != 2 {
		t.Errorf("got %+v, %v, want SoftHSM of PKCS#11 2", info, err)
	}
	all, err := m.Slots(false)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 { // the token and the free slot that SoftHSM2 always has
		t.Errorf("got %d slots, want 2", len(all))
	}
	slot, err := m.FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	si, err := slot.Info()
	if err != nil || si.Flags&cryptoki.CKF_TOKEN_PRESENT == 0 {
		t.Errorf("slot: got %+v, %v, want one with a token", si, err)
	}
	got, err := slot.Token()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Serial) != 16 {
		t.Errorf("got serial number %q, want 16 characters", got.Serial)
	}
	want := cryptoki.TokenInfo{Label: hsm.Label, Manufacturer: "SoftHSM project", Model: "SoftHSM v2", MinPIN: 4, MaxPIN: 255}
	diff := cmp.Diff(want, cryptoki.TokenInfo{Label: got.Label, Manufacturer: got.Manufacturer, Model: got.Model, MinPIN: got.MinPIN, MaxPIN: got.MaxPIN})
	if diff != "" {
		t.Errorf("token differs (-want +got):\n%s", diff)
	}
	if !got.Initialized() || !got.LoginRequired() || !got.PINInitialized() || got.PINPad() || got.WriteProtected() ||
		got.PINCountLow(cryptoki.CKU_USER) || got.PINFinalTry(cryptoki.CKU_USER) || got.PINLocked(cryptoki.CKU_USER) {
		t.Errorf("got flags %#x", got.Flags)
	}
	mech, err := slot.Mechanism(cryptoki.CKM_RSA_PKCS)
	if err != nil || mech.MaxKeySize < 2048 || mech.Flags&cryptoki.CKF_SIGN == 0 {
		t.Errorf("CKM_RSA_PKCS: got %+v, %v, want one that signs with 2,048 bits", mech, err)
	}
	if _, err := slot.Mechanism(cryptoki.CKM_ECDSA_SHA256); !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, cryptoki.CKR_MECHANISM_INVALID) {
		t.Errorf("CKM_ECDSA_SHA256: got %v, want errors.ErrUnsupported and CKR_MECHANISM_INVALID", err)
	}
}

func TestModule_FindTokenListsWhatThereIs(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	hsm.AddToken(t, "second")
	hsm.AddToken(t, "twin")
	hsm.AddToken(t, "twin")
	m := openModule(t, hsm)
	_, err := m.FindToken("none")
	if !errors.Is(err, cryptoki.ErrNotFound) || !strings.Contains(err.Error(), `"second"`) || !strings.Contains(err.Error(), hsm.Label) {
		t.Errorf("got %v, want ErrNotFound and the labels", err)
	}
	_, err = m.FindToken("twin")
	if !errors.Is(err, cryptoki.ErrAmbiguous) || strings.Count(err.Error(), "serial") != 2 {
		t.Errorf("got %v, want ErrAmbiguous and two serial numbers", err)
	}
	if slot, err := m.FindToken("second"); err != nil {
		t.Error(err)
	} else if ti, err := slot.Token(); err != nil || ti.Label != "second" {
		t.Errorf("got token %q, %v, want second", ti.Label, err)
	}
}

func TestModule_sharedByAllWhoOpenIt(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	a := openModule(t, hsm)
	link := filepath.Join(t.TempDir(), "link.so")
	if err := os.Symlink(hsm.Module, link); err != nil {
		t.Fatal(err)
	}
	b, err := cryptoki.Open(link, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	// Closing one leaves the other alive.
	if _, err := b.FindToken(hsm.Label); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	// After the last, the module starts anew, with what the configuration says now.
	c := openModule(t, system.StartSoftHSM(t))
	if slots, err := c.Slots(true); err != nil || len(slots) == 0 {
		t.Errorf("opened again: got %d slots, %v", len(slots), err)
	}
}

func TestModule_everythingAfterCloseIsAnError(t *testing.T) {
	p, hsm := openPool(t, 2)
	m, err := cryptoki.Open(hsm.Module, nil)
	if err != nil {
		t.Fatal(err)
	}
	slot, err := m.FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s, err := slot.OpenSession(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	q := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(hsm.PIN))})
	if err := q.Do(ctx, func(*cryptoki.Session) error { return nil }); err != nil {
		t.Fatal(err)
	}
	err = q.Do(ctx, func(in *cryptoki.Session) error {
		if err := m.Close(); err != nil {
			t.Errorf("Close while a session is lent, but idle: %v", err)
		}
		return in.Random(ctx, make([]byte, 8))
	})
	if !errors.Is(err, cryptoki.ErrClosed) {
		t.Errorf("session of a pool: got %v, want ErrClosed", err)
	}
	for name, f := range map[string]func() error{
		"Module.Info":         func() error { _, err := m.Info(); return err },
		"Module.Slots":        func() error { _, err := m.Slots(true); return err },
		"Module.FindToken":    func() error { _, err := m.FindToken("x"); return err },
		"Slot.Info":           func() error { _, err := slot.Info(); return err },
		"Slot.Token":          func() error { _, err := slot.Token(); return err },
		"Slot.Mechanisms":     func() error { _, err := slot.Mechanisms(); return err },
		"Slot.Mechanism":      func() error { _, err := slot.Mechanism(cryptoki.CKM_ECDSA); return err },
		"Slot.OpenSession":    func() error { _, err := slot.OpenSession(ctx, true); return err },
		"Session.Login":       func() error { return s.Login(ctx, cryptoki.CKU_USER, cryptoki.FixedPIN([]byte("1"))) },
		"Session.Logout":      func() error { return s.Logout(ctx) },
		"Session.Random":      func() error { return s.Random(ctx, make([]byte, 1)) },
		"Session.FindObjects": func() error { _, err := s.FindObjects(ctx, nil); return err },
		"Pool.Do":             func() error { return q.Do(ctx, func(*cryptoki.Session) error { return nil }) },
		"Pool.Key":            func() error { _, err := q.Key(ctx, cryptoki.KeyQuery{}); return err },
	} {
		if err := f(); !errors.Is(err, cryptoki.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if err := q.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	// The other user of the module has lost nothing.
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error { return s.Random(ctx, make([]byte, 8)) })
}
