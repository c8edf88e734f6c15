package iso7816_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// keypad is a reader with a keypad whose card answers with status.
type keypad struct {
	script
	status  apdu.Status
	err     error
	command string
}

func (k *keypad) VerifyPIN(_ context.Context, v *apdu.PINVerify) (apdu.Response, error) {
	k.command = fmt.Sprintf("%X", v.Command)
	return apdu.Response{Status: k.status}, k.err
}

func (k *keypad) ModifyPIN(_ context.Context, m *apdu.PINModify) (apdu.Response, error) {
	k.command = fmt.Sprintf("%X at %d and %d", m.Command, m.OffsetOld, m.OffsetNew)
	return apdu.Response{Status: k.status}, k.err
}

func TestPINPad(t *testing.T) {
	data := []byte{0xFF, 0xFF}
	k := &keypad{status: apdu.StatusOK}
	ch := iso7816.NewChannel(k, nil)
	if err := ch.VerifyByPINPad(t.Context(), 0x80, data, apdu.PINEntry{}); err != nil || k.command != "0020008002FFFF" {
		t.Errorf("got %v, sent %s", err, k.command)
	}
	m := apdu.PINModify{OffsetNew: 1}
	if err := ch.ChangeByPINPad(t.Context(), 0x80, data, m); err != nil || k.command != "0024008002FFFF at 0 and 1" {
		t.Errorf("got %v, sent %s", err, k.command)
	}
	k.status = 0x63C2
	e, ok := errors.AsType[*iso7816.VerifyError](ch.VerifyByPINPad(t.Context(), 0x80, data, apdu.PINEntry{}))
	if !ok || e.Remaining != 2 {
		t.Errorf("got %v, want two tries left", e)
	}
	k.err = apdu.ErrPINPadCancelled
	if err := ch.VerifyByPINPad(t.Context(), 0x80, data, apdu.PINEntry{}); !errors.Is(err, apdu.ErrPINPadCancelled) {
		t.Errorf("got %v", err)
	}
	k.err, k.status, k.command = nil, apdu.StatusOK, ""
	k.answers = []string{"01 90 00"}
	one, err := ch.OpenChannel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := one.VerifyByPINPad(t.Context(), 0x80, data, apdu.PINEntry{}); err != nil || k.command != "0120008002FFFF" {
		t.Errorf("on channel 1: got %v, sent %s", err, k.command)
	}
}

func TestNoPINPad(t *testing.T) {
	for name, tr := range map[string]apdu.Transmitter{"none": &script{}, "below a trace": apdu.Trace(&script{}, func(string) {})} {
		ch := iso7816.NewChannel(tr, nil)
		err := ch.VerifyByPINPad(t.Context(), 0x80, []byte{1}, apdu.PINEntry{})
		if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, apdu.ErrNotSent) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	k := &keypad{status: apdu.StatusOK}
	ch := iso7816.NewChannel(apdu.Trace(k, func(string) {}), nil)
	if err := ch.VerifyByPINPad(t.Context(), 0x80, []byte{1}, apdu.PINEntry{}); err != nil {
		t.Errorf("a trace hides the keypad: %v", err)
	}
}
