package iso7816

import (
	"context"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

func TestVerify(t *testing.T) {
	ctx := context.Background()
	const verify = "0020008008313233343536FFFF"
	pin := unhex("313233343536FFFF")
	for _, tt := range []struct {
		sw        string
		remaining int
		is        error
		text      string
	}{
		{"63C2", 2, apdu.StatusVerificationFailed, "iso7816: VERIFY: 63C2 verification failed, 2 tries left"},
		{"63C1", 1, apdu.StatusVerificationFailed, "iso7816: VERIFY: 63C1 verification failed, 1 try left"},
		{"63C0", 0, apdu.StatusVerificationFailed, "iso7816: VERIFY: 63C0 verification failed, no try left: reference data 80 is blocked; unblock it with the card's PUK or ask its issuer"},
		{"6983", 0, apdu.StatusAuthenticationMethodBlocked, "iso7816: VERIFY: 6983 authentication method blocked: reference data 80 is blocked; unblock it with the card's PUK or ask its issuer"},
		{"6300", -1, apdu.StatusWarningChanged, "iso7816: VERIFY: 6300 warning, memory changed; the card does not tell how many tries are left"},
	} {
		s := &script{t: t, pairs: []string{verify, tt.sw}}
		err := NewChannel(s, nil).Verify(ctx, 0x80, pin)
		e, ok := errors.AsType[*VerifyError](err)
		if !ok || e.Remaining != tt.remaining || !errors.Is(err, tt.is) || err.Error() != tt.text {
			t.Errorf("%s: got %v, want %q", tt.sw, err, tt.text)
		}
	}
	s := &script{t: t, pairs: []string{verify, "9000", verify, "6D00"}}
	ch := NewChannel(s, nil)
	if err := ch.Verify(ctx, 0x80, pin); err != nil {
		t.Error(err)
	}
	if err := ch.Verify(ctx, 0x80, pin); !errors.Is(err, apdu.StatusInstructionNotSupported) {
		t.Errorf("got %v, want 6D00", err)
	}
	if err := ch.Verify(ctx, 0x80, nil); err == nil {
		t.Error("no data: got nil, want an error, as the card would take it for a question")
	}
}

func TestVerifyStatus(t *testing.T) {
	for _, tt := range []struct {
		sw   string
		want Verification
		fail bool
	}{
		{"9000", Verification{Verified: true, Remaining: -1}, false},
		{"63C3", Verification{Remaining: 3}, false},
		{"6983", Verification{Remaining: 0}, false},
		{"6700", Verification{Remaining: -1}, false},
		{"6A88", Verification{}, true},
		{"6D00", Verification{}, true},
	} {
		s := &script{t: t, pairs: []string{"00200080", tt.sw}}
		got, err := NewChannel(s, nil).VerifyStatus(context.Background(), 0x80)
		if got != tt.want || (err != nil) != tt.fail {
			t.Errorf("%s: got %+v, %v; want %+v", tt.sw, got, err, tt.want)
		}
	}
}
