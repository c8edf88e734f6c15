package piv

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

var digest = sha256.Sum256([]byte("message"))

// sha256Opts says that what is signed is a SHA-256 digest.
var sha256Opts crypto.SignerOpts = crypto.SHA256

func TestWrongPINSpendsOneTryAndTellsWhatIsLeft(t *testing.T) {
	c, _, s := open(t, nil)
	wrong := []byte("999999")
	for want := 2; want >= 1; want-- {
		s.tries()
		err := c.VerifyPIN(ctx, wrong)
		e, ok := errors.AsType[*iso7816.VerifyError](err)
		if !ok || e.Remaining != want || strings.Contains(err.Error(), string(wrong)) {
			t.Fatalf("got %v, want a VerifyError with %d tries left and no PIN", err, want)
		}
		if n := s.tries(); n != 1 {
			t.Fatalf("%d tries were spent, want 1", n)
		}
		if v, err := c.PINStatus(ctx); err != nil || v.Remaining != want || v.Verified {
			t.Fatalf("got %+v, %v; want %d left", v, err, want)
		}
	}
	if err := c.VerifyPIN(ctx, wrong); !errors.Is(err, ErrLastTry) || s.tries() != 0 {
		t.Errorf("the last try: got %v, want ErrLastTry and nothing spent", err)
	}
	err := c.AllowLastTry().VerifyPIN(ctx, wrong)
	if e, ok := errors.AsType[*iso7816.VerifyError](err); !ok || e.Remaining != 0 || s.tries() != 1 {
		t.Errorf("got %v, want a blocked PIN", err)
	}
	err = c.VerifyPIN(ctx, testPIN)
	if !errors.Is(err, apdu.StatusAuthenticationMethodBlocked) || s.tries() != 0 {
		t.Errorf("a blocked PIN: got %v, want 6983 and nothing sent", err)
	}
}

func TestRightPINFillsTheCounter(t *testing.T) {
	c, _, _ := open(t, nil)
	c.VerifyPIN(ctx, []byte("999999"))
	if err := c.VerifyPIN(ctx, testPIN); err != nil {
		t.Fatal(err)
	}
	if v, err := c.PINStatus(ctx); err != nil || !v.Verified {
		t.Errorf("got %+v, %v; want verified", v, err)
	}
	err := c.VerifyPIN(ctx, []byte("999999"))
	if e, ok := errors.AsType[*iso7816.VerifyError](err); !ok || e.Remaining != 2 {
		t.Errorf("got %v, want 2 tries left again", err)
	}
	if v, _ := c.PINStatus(ctx); v.Verified {
		t.Error("a wrong PIN left the security status set")
	}
}

func TestPINsThatCannotBeAreNotSent(t *testing.T) {
	c, _, s := open(t, nil)
	for _, pin := range []string{"", "12345", "123456789", "12345\xFF"} {
		if err := c.VerifyPIN(ctx, []byte(pin)); err == nil || s.tries() != 0 {
			t.Errorf("%q: got %v; want an error and nothing sent", pin, err)
		}
	}
}

func TestPINPolicies(t *testing.T) {
	for _, tt := range []struct {
		slot Slot
		asks int // times that two signatures ask for the PIN
	}{{SlotAuthentication, 1}, {SlotSignature, 2}, {SlotKeyManagement, 1}, {SlotCardAuthentication, 0}, {SlotRetired20, 1}} {
		t.Run(tt.slot.String(), func(t *testing.T) {
			ask, seen := pinCallback(testPIN)
			c, _, s := open(t, &Options{PIN: ask})
			k := generate(t, c, tt.slot, AlgorithmP256)
			s.tries()
			for range 2 {
				if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
					t.Fatal(err)
				}
			}
			if len(*seen) != tt.asks || s.tries() != tt.asks {
				t.Errorf("asked %d times, want %d", len(*seen), tt.asks)
			}
			for _, r := range (*seen)[:min(1, len(*seen))] {
				if diff := cmp.Diff(PINRequest{Slot: tt.slot, Remaining: 3}, r, cmpopts.IgnoreUnexported(PINRequest{})); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestWithoutCallbackAKeySaysWhatItNeeds(t *testing.T) {
	c, _, s := open(t, nil)
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); !errors.Is(err, ErrPINRequired) || s.tries() != 0 {
		t.Errorf("got %v, want ErrPINRequired", err)
	}
	if err := c.VerifyPIN(ctx, testPIN); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
		t.Error(err)
	}
}

func TestAWrongPINFromTheCallbackIsNotTriedAgain(t *testing.T) {
	ask, seen := pinCallback([]byte("999999"))
	c, _, s := open(t, &Options{PIN: ask})
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	s.tries()
	_, err := k.Sign(ctx, digest[:], crypto.SHA256)
	if e, ok := errors.AsType[*iso7816.VerifyError](err); !ok || e.Remaining != 2 || len(*seen) != 1 || s.tries() != 1 {
		t.Errorf("got %v after %d questions, want 2 tries left after one", err, len(*seen))
	}
}

func TestTheLastTryIsSpentOnlyWhenTheCallbackAllowsIt(t *testing.T) {
	allow := false
	c, _, s := open(t, &Options{PIN: func(_ context.Context, r PINRequest) ([]byte, error) {
		if r.Remaining != 1 {
			t.Errorf("got %d tries left, want 1", r.Remaining)
		}
		if allow {
			r.AllowLastTry()
		}
		return append([]byte(nil), testPIN...), nil
	}})
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	c.VerifyPIN(ctx, []byte("999999"))
	c.VerifyPIN(ctx, []byte("999999"))
	s.tries()
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); !errors.Is(err, ErrLastTry) || s.tries() != 0 {
		t.Errorf("not allowed: got %v, want ErrLastTry and nothing sent", err)
	}
	allow = true
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil || s.tries() != 1 {
		t.Errorf("allowed: got %v", err)
	}
}

func TestTheCallbackMayUseTheCardAndItsPINIsWiped(t *testing.T) {
	var c *Client
	given := append([]byte(nil), testPIN...)
	ask := func(ctx context.Context, r PINRequest) ([]byte, error) {
		if v, err := c.PINStatus(ctx); err != nil || v.Remaining != r.Remaining {
			t.Errorf("got %+v, %v", v, err)
		}
		return given, nil
	}
	c, _, _ = open(t, &Options{PIN: ask})
	k := generate(t, c, SlotSignature, AlgorithmP256)
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(given, make([]byte, len(given))) {
		t.Error("the PIN was not wiped")
	}
}

func TestACallbackThatFailsSpendsNothing(t *testing.T) {
	cancelled := errors.New("user pressed escape")
	c, _, s := open(t, &Options{PIN: func(context.Context, PINRequest) ([]byte, error) { return nil, cancelled }})
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); !errors.Is(err, cancelled) || s.tries() != 0 {
		t.Errorf("got %v", err)
	}
}

func TestATrySpentByAnotherProgramMeanwhileStopsOurs(t *testing.T) {
	var ch *iso7816.Channel
	var s *spy
	c, ch, s := open(t, &Options{PIN: func(context.Context, PINRequest) ([]byte, error) {
		ch.Verify(ctx, referencePIN, []byte("999999\xFF\xFF"))
		s.tries()
		return append([]byte(nil), testPIN...), nil
	}})
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); !errors.Is(err, ErrCounterChanged) || s.tries() != 0 {
		t.Errorf("got %v, want ErrCounterChanged and nothing sent", err)
	}
}

// other is an application that remembers what it was sent.
type other struct{ seen []apdu.Instruction }

var aidOther = iso7816.MustParseAID("F000000001")

func (o *other) AID() iso7816.AID                        { return aidOther }
func (o *other) Open(*card.Env) (card.Session, error)    { return o, nil }
func (o *other) Select(*card.ResponseWriter) apdu.Status { return apdu.StatusOK }
func (o *other) Close()                                  {}
func (o *other) ServeAPDU(_ context.Context, _ *card.ResponseWriter, c *apdu.Command) apdu.Status {
	o.seen = append(o.seen, c.Instruction)
	return apdu.StatusOK // it accepts whatever it is sent, a PIN too
}

func TestNoPINReachesAnotherApplication(t *testing.T) {
	for _, discovery := range []bool{true, false} {
		t.Run(fmt.Sprintf("discovery object %v", discovery), func(t *testing.T) {
			o := &other{}
			s := &spy{Transmitter: card.New(nil, newApplication(), o)}
			if !discovery {
				s.answer = withoutDiscovery
			}
			ch := iso7816.NewChannel(s, nil)
			ask, seen := pinCallback(testPIN)
			c, err := Open(ctx, ch, &Options{PIN: func(ctx context.Context, r PINRequest) ([]byte, error) {
				if _, err := ch.SelectApplication(ctx, aidOther); err != nil { // another program, while the user types
					t.Error(err)
				}
				return ask(ctx, r)
			}})
			if err != nil {
				t.Fatal(err)
			}
			manage(t, c)
			if _, err := c.GenerateKey(ctx, SlotAuthentication, AlgorithmP256, nil); err != nil {
				t.Fatal(err)
			}
			k, err := c.Key(ctx, SlotAuthentication)
			if err != nil {
				t.Fatal(err)
			}
			for want := 1; want <= 2; want++ {
				if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
					t.Fatal(err)
				}
				if len(*seen) != want {
					t.Errorf("asked %d times, want %d: a lost selection is a lost security status", len(*seen), want)
				}
				if _, err := ch.SelectApplication(ctx, aidOther); err != nil {
					t.Fatal(err)
				}
			}
			for _, i := range o.seen {
				if i != apdu.InsGetDataOdd {
					t.Errorf("the other application was sent %v", i)
				}
			}
		})
	}
}

// withoutDiscovery answers as a PIV card without the discovery object does.
func withoutDiscovery(c *apdu.Command) []byte {
	if c.Instruction == apdu.InsGetDataOdd && bytes.Equal(c.Data, []byte{0x5C, 0x01, 0x7E}) {
		return []byte{0x6A, 0x82}
	}
	return nil
}

// resets is a reader in which another program resets the card before a transaction.
type resets struct {
	*spy
	pending    bool
	reconnects int
}

func (r *resets) Begin(context.Context) error {
	if r.pending {
		return apdu.ErrReset
	}
	return nil
}
func (r *resets) End(apdu.Disposition) error { return nil }
func (r *resets) Reconnect(context.Context) error {
	r.pending = false
	r.reconnects++
	return nil
}

func TestAResetByAnotherProgramIsAccepted(t *testing.T) {
	inner := card.New(nil, newApplication())
	r := &resets{spy: &spy{Transmitter: inner}}
	ask, seen := pinCallback(testPIN)
	c, err := Open(ctx, iso7816.NewChannel(r, nil), &Options{PIN: ask})
	if err != nil {
		t.Fatal(err)
	}
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	for want := 1; want <= 2; want++ {
		if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
			t.Fatal(err)
		}
		if len(*seen) != want || r.reconnects != want-1 {
			t.Errorf("asked %d times after %d reconnects, want %d: a reset card has forgotten the PIN", len(*seen), r.reconnects, want)
		}
		inner.Reset()
		r.pending = true
	}
}

// asker answers as it is told.
type asker struct {
	pin      []byte
	yes      bool
	messages []string
}

func (a *asker) AskSecret(_ context.Context, message string) ([]byte, error) {
	a.messages = append(a.messages, message)
	return bytes.Clone(a.pin), nil
}

func (a *asker) Confirm(_ context.Context, message string) (bool, error) {
	a.messages = append(a.messages, message)
	return a.yes, nil
}

func TestAskPIN(t *testing.T) {
	a := &asker{pin: []byte("999999")}
	c, _, s := open(t, &Options{PIN: AskPIN(a)})
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	sign := func() error { return second(k.Sign(ctx, digest[:], crypto.SHA256)) }
	s.tries()
	for range 2 {
		if _, ok := errors.AsType[*iso7816.VerifyError](sign()); !ok {
			t.Error("a wrong PIN was taken")
		}
	}
	if err := sign(); !errors.Is(err, ErrLastTry) || s.tries() != 2 {
		t.Errorf("got %v, want ErrLastTry and two tries", err)
	}
	a.yes, a.pin = true, testPIN
	if err := sign(); err != nil {
		t.Error(err)
	}
	got := strings.Join(a.messages, "\n")
	for _, want := range []string{"PIN for slot 9A (PIV Authentication), 3 tries left", "2 tries left", "One try is left", "LAST TRY"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}
