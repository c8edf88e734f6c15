package piv

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// touchCard returns a client of a card whose finger is touch, with a key in slot 9A that
// wants it by the policy given.
func touchCard(t *testing.T, opts *Options, policy TouchPolicy, touch func(context.Context, Slot) bool) (*Client, *Key, *spy) {
	t.Helper()
	quiet := true
	app := NewApplication(&ApplicationOptions{PIN: testPIN, ManagementKey: testManagementKey, Touch: func(ctx context.Context, s Slot) bool {
		return quiet || touch(ctx, s)
	}})
	s := &spy{Transmitter: card.New(nil, app)}
	c, err := Open(ctx, iso7816.NewChannel(s, nil), opts)
	if err != nil {
		t.Fatal(err)
	}
	manage(t, c)
	if _, err := c.GenerateKey(ctx, SlotAuthentication, AlgorithmP256, &KeyOptions{TouchPolicy: policy}); err != nil {
		t.Fatal(err)
	}
	k, err := c.Key(ctx, SlotAuthentication)
	if err != nil {
		t.Fatal(err)
	}
	quiet = false
	return c, k, s
}

// finger touches the card after a while, counted by calls.
func finger(after time.Duration, calls *int) func(context.Context, Slot) bool {
	return func(ctx context.Context, _ Slot) bool {
		*calls++
		select {
		case <-time.After(after):
			return true
		case <-ctx.Done():
			return false
		}
	}
}

func TestTouchIsAnnouncedAndWithdrawn(t *testing.T) {
	for _, tt := range []struct {
		name      string
		after     time.Duration
		announced int32
	}{
		{"a quick finger", 300 * time.Millisecond, 0},
		{"a slow one", 3 * time.Second, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var announced, withdrawn atomic.Int32
				pinAt := time.Time{}
				opts := &Options{
					PIN: func(context.Context, PINRequest) ([]byte, error) {
						pinAt = time.Now()
						time.Sleep(time.Minute) // no touch is waited for meanwhile
						return append([]byte(nil), testPIN...), nil
					},
					Touch: func(ctx context.Context, slot Slot) {
						if slot != SlotAuthentication {
							t.Errorf("got %v", slot)
						}
						if time.Since(pinAt) < time.Minute {
							t.Error("a touch was asked for before the PIN was settled")
						}
						announced.Add(1)
						<-ctx.Done()
						withdrawn.Add(1)
					},
				}
				calls := 0
				_, k, _ := touchCard(t, opts, TouchPolicyAlways, finger(tt.after, &calls))
				exerciseOnce(t, k)
				if announced.Load() != tt.announced || withdrawn.Load() != tt.announced || calls != 1 {
					t.Errorf("announced %d times, withdrawn %d times, %d touches; want %d, %d, 1", announced.Load(), withdrawn.Load(), calls, tt.announced, tt.announced)
				}
			})
		})
	}
}

func exerciseOnce(t *testing.T, k *Key) {
	t.Helper()
	if _, err := k.Sign(ctx, digest[:], nil); err == nil {
		t.Fatal("a signature without a hash function")
	}
	if _, err := k.Sign(ctx, digest[:], sha256Opts); err != nil {
		t.Fatal(err)
	}
}

func TestMissedTouchIsNoSecondVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin, asked := pinCallback(testPIN)
		calls := 0
		c, k, s := touchCard(t, &Options{PIN: pin}, TouchPolicyAlways, finger(time.Hour, &calls))
		s.tries()
		begin := time.Now()
		_, err := k.Sign(ctx, digest[:], sha256Opts)
		if !errors.Is(err, ErrTouchTimeout) {
			t.Errorf("got %v, want ErrTouchTimeout", err)
		}
		if n := s.tries(); n != 1 || len(*asked) != 1 {
			t.Errorf("%d tries, asked %d times; want one each", n, len(*asked))
		}
		if d := time.Since(begin); d != touchTime {
			t.Errorf("it took %v, want %v", d, touchTime)
		}
		if v, err := c.PINStatus(ctx); err != nil || !v.Verified {
			t.Errorf("got %+v, %v", v, err)
		}
		if _, err := k.Sign(ctx, digest[:], sha256Opts); !errors.Is(err, ErrTouchTimeout) || s.tries() != 0 || len(*asked) != 1 {
			t.Errorf("with the PIN verified: got %v, want ErrTouchTimeout and no question", err)
		}
	})
}

func TestCachedTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin, _ := pinCallback(testPIN)
		calls := 0
		_, k, _ := touchCard(t, &Options{PIN: pin}, TouchPolicyCached, finger(time.Second, &calls))
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {touchTime - time.Second, 1}, {time.Second, 2}, {0, 2}} {
			time.Sleep(step.wait)
			exerciseOnce(t, k)
			if calls != step.want {
				t.Errorf("after %v: %d touches, want %d", step.wait, calls, step.want)
			}
		}
	})
}

func TestTouchEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin, _ := pinCallback(testPIN)
		calls := 0
		_, k, _ := touchCard(t, &Options{PIN: pin}, TouchPolicyAlways, finger(time.Hour, &calls))
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := k.Sign(ctx, digest[:], sha256Opts); err == nil {
			t.Error("got nil, want an error")
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("it took %v, want 5 s", d)
		}
	})
}

func TestCachedPIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin, asked := pinCallback(testPIN)
		c, _, s := open(t, &Options{PIN: pin, CachePIN: time.Minute})
		k := generate(t, c, SlotSignature, AlgorithmP256) // PIN always
		sign := func() {
			t.Helper()
			if _, err := k.Sign(ctx, digest[:], sha256Opts); err != nil {
				t.Fatal(err)
			}
		}
		sign()
		sign()
		if len(*asked) != 1 {
			t.Errorf("asked %d times, want once", len(*asked))
		}
		c.pin.mu.Lock()
		kept := c.pin.pin
		c.pin.mu.Unlock()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		c.pin.mu.Lock()
		wiped := !slices.ContainsFunc(kept, func(b byte) bool { return b != 0 })
		c.pin.mu.Unlock()
		if !wiped {
			t.Error("the PIN was not wiped")
		}
		sign()
		if len(*asked) != 2 {
			t.Errorf("asked %d times, want twice", len(*asked))
		}
		c.ForgetPIN()
		sign()
		if len(*asked) != 3 {
			t.Errorf("asked %d times, want three times", len(*asked))
		}

		// Another program changes the PIN: the old one is tried once, and forgotten.
		other, err := Open(ctx, c.Channel(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.ChangePIN(ctx, testPIN, []byte("112233")); err != nil {
			t.Fatal(err)
		}
		s.tries()
		if _, err := k.Sign(ctx, digest[:], sha256Opts); err == nil || s.tries() != 1 {
			t.Errorf("got %v, want a refusal and one try", err)
		}
		if c.pin.get() != nil {
			t.Error("a refused PIN is kept")
		}
		c.ForgetPIN()
	})
}
