package piv

import (
	"context"
	"crypto"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// keypad is a reader with a keypad at which somebody enters old and new.
type keypad struct {
	*card.Card
	old, new []byte
	entries  int
	err      error
}

func (k *keypad) enter(ctx context.Context, e *apdu.PINEntry, at map[int][]byte) (apdu.Response, error) {
	k.entries++
	if k.err != nil {
		return apdu.Response{}, k.err
	}
	command := append([]byte(nil), e.Command...)
	for offset, pin := range at {
		copy(command[apdu.HeaderSize+1+offset+e.Position/8:][:e.BlockSize], pin)
	}
	b, err := k.Card.Transmit(ctx, nil, command)
	if err != nil {
		return apdu.Response{}, err
	}
	return apdu.ParseResponse(b)
}

func (k *keypad) VerifyPIN(ctx context.Context, v *apdu.PINVerify) (apdu.Response, error) {
	return k.enter(ctx, &v.PINEntry, map[int][]byte{0: k.old})
}

func (k *keypad) ModifyPIN(ctx context.Context, m *apdu.PINModify) (apdu.Response, error) {
	return k.enter(ctx, &m.PINEntry, map[int][]byte{m.OffsetOld: k.old, m.OffsetNew: k.new})
}

func TestPINPad(t *testing.T) {
	k := &keypad{Card: card.New(nil, newApplication()), old: testPIN, new: []byte("1122334")}
	c, err := Open(ctx, iso7816.NewChannel(k, nil), &Options{PINPad: true, PIN: func(context.Context, PINRequest) ([]byte, error) {
		t.Error("the PIN was asked for on the host")
		return nil, errors.New("no")
	}})
	if err != nil {
		t.Fatal(err)
	}
	key := generate(t, c, SlotSignature, AlgorithmP256)
	for want := 1; want <= 2; want++ {
		if _, err := key.Sign(ctx, digest[:], crypto.SHA256); err != nil || k.entries != want {
			t.Errorf("got %v, after %d entries; want %d", err, k.entries, want)
		}
	}
	k.err = apdu.ErrPINPadCancelled
	if _, err := key.Sign(ctx, digest[:], crypto.SHA256); !errors.Is(err, apdu.ErrPINPadCancelled) {
		t.Errorf("got %v", err)
	}
	k.err = nil
	if err := c.ChangePINByPINPad(ctx); err != nil {
		t.Fatal(err)
	}
	k.old = k.new
	if err := c.VerifyPINByPINPad(ctx); err != nil {
		t.Error(err)
	}
	k.old, k.new = []byte(defaultPUK), []byte("87654321")
	if err := c.ChangePUKByPINPad(ctx); err != nil {
		t.Error(err)
	}
	// The last try is not spent.
	k.old = []byte("000000")
	for want := 2; want >= 1; want-- {
		if e, ok := errors.AsType[*iso7816.VerifyError](c.VerifyPINByPINPad(ctx)); !ok || e.Remaining != want {
			t.Errorf("got %v, want %d left", e, want)
		}
	}
	entries := k.entries
	_, err = key.Sign(ctx, digest[:], crypto.SHA256)
	for name, err := range map[string]error{"VERIFY": c.VerifyPINByPINPad(ctx), "a key": err, "CHANGE": c.ChangePINByPINPad(ctx)} {
		if !errors.Is(err, ErrLastTry) {
			t.Errorf("%s: got %v, want ErrLastTry", name, err)
		}
	}
	if k.entries != entries {
		t.Error("something was entered")
	}
}

func TestNoPINPad(t *testing.T) {
	c, _, _ := open(t, &Options{PINPad: true})
	if err := c.VerifyPINByPINPad(ctx); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
