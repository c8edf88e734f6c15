package cryptoki_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
)

func TestPool_wrongPINIsTriedOnce(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	slot, err := openModule(t, hsm).FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	var given []byte
	wrong := slot.NewPool(&cryptoki.PoolOptions{PIN: func(_ context.Context, r cryptoki.PINRequest) ([]byte, error) {
		asked++
		if r.Token != hsm.Label || r.User != cryptoki.CKU_USER || r.MinLength != 4 || r.CountLow || r.FinalTry {
			t.Errorf("got request %+v", r)
		}
		given = []byte("wrong-pin-424242")
		return given, nil
	}})
	defer wrong.Close()
	ctx := context.Background()
	for range 3 {
		err := wrong.Do(ctx, func(*cryptoki.Session) error { t.Error("f was called"); return nil })
		pin, ok := errors.AsType[*cryptoki.PINError](err)
		if !ok || !errors.Is(err, cryptoki.CKR_PIN_INCORRECT) {
			t.Fatalf("got %v, want a PINError that Is CKR_PIN_INCORRECT", err)
		}
		if !pin.Tried || !pin.CountLow || pin.Locked || pin.Token != hsm.Label {
			t.Errorf("got %+v, want one that was tried, with CountLow, as the token says", pin)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, pin), "424242") {
			t.Error("the PIN is in the error")
		}
		if e, ok := errors.AsType[*cryptoki.Error](err); !ok || e.Function != "C_Login" || e.Slot != slot.ID() {
			t.Errorf("got %+v inside, want C_Login in slot %d", e, slot.ID())
		}
	}
	if asked != 1 {
		t.Errorf("the PIN was asked for %d times, want once", asked)
	}
	for _, c := range given {
		if c != 0 {
			t.Fatal("the PIN was not wiped")
		}
	}
	// The next one is told that a wrong PIN was given, and a right one clears that.
	right := slot.NewPool(&cryptoki.PoolOptions{PIN: func(_ context.Context, r cryptoki.PINRequest) ([]byte, error) {
		if !r.CountLow {
			t.Error("the request does not tell of the wrong PIN")
		}
		return []byte(hsm.PIN), nil
	}})
	defer right.Close()
	if err := right.Do(ctx, func(*cryptoki.Session) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if ti, err := slot.Token(); err != nil || ti.PINCountLow(cryptoki.CKU_USER) {
		t.Errorf("after the right PIN: got CountLow, or %v", err)
	}
}

func TestPool_callbackThatGivesNoPIN(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	slot, err := openModule(t, hsm).FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	cancelled := errors.New("cancelled by the person")
	asked := 0
	p := slot.NewPool(&cryptoki.PoolOptions{PIN: func(context.Context, cryptoki.PINRequest) ([]byte, error) {
		asked++
		if asked == 1 {
			return nil, cancelled
		}
		return []byte(hsm.PIN), nil
	}})
	defer p.Close()
	f := func(*cryptoki.Session) error { return nil }
	if err := p.Do(context.Background(), f); !errors.Is(err, cancelled) {
		t.Errorf("got %v, want the callback's error", err)
	}
	if ti, err := slot.Token(); err != nil || ti.PINCountLow(cryptoki.CKU_USER) {
		t.Errorf("a PIN was tried, or %v", err)
	}
	if err := p.Do(context.Background(), f); err != nil { // nothing was refused: asked again
		t.Error(err)
	}
}

func TestSession_Login(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	slot, err := openModule(t, hsm).FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s, err := slot.OpenSession(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Login(ctx, cryptoki.CKU_USER, nil); err == nil || !strings.Contains(err.Error(), "needs a PIN") {
		t.Errorf("without a callback: got %v", err)
	}
	pin := cryptoki.FixedPIN([]byte(hsm.PIN))
	for range 2 { // the second time the user is logged in already
		if err := s.Login(ctx, cryptoki.CKU_USER, pin); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Login(ctx, cryptoki.CKU_SO, cryptoki.FixedPIN([]byte(hsm.SOPIN))); !errors.Is(err, cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN) {
		t.Errorf("security officer beside the user: got %v, want CKR_USER_ANOTHER_ALREADY_LOGGED_IN", err)
	}
	_, private, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Logout(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AppendSign(ctx, nil, cryptoki.Plain(cryptoki.CKM_ECDSA), private, make([]byte, 32), 64); err == nil {
		t.Error("signed after logging out")
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Login(ctx, cryptoki.CKU_USER, pin); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: got %v, want context.Canceled", err)
	}
}
