package cryptoki

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/ck"
)

var digest32 = make([]byte, 32)

func TestKey_contextEndsACallThatHangs(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 2})
	k := fakeKey(t, p)

	f.openAnyway = true
	release := f.block()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			_, err := k.Sign(ctx, digest32, crypto.SHA256)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want context.DeadlineExceeded", err)
			}
		})
	}
	wg.Wait()
	// Both calls still hang: they count against the bound of 2, so nobody gets a
	// third session, and Close says that they run.
	err := p.Do(context.Background(), func(*Session) error { t.Error("got a session beyond the bound"); return nil })
	if !errors.Is(err, ErrUnresponsive) {
		t.Errorf("got %v, want ErrUnresponsive", err)
	}
	if s := p.Stats(); s.Hanging != 2 || s.InUse != 2 || s.Abandoned != 2 {
		t.Errorf("got %+v, want two that hang", s)
	}
	if f.count() != 3 { // with the anchor
		t.Errorf("%d sessions are open, want 3", f.count())
	}
	if err := p.Close(); !errors.Is(err, ErrBusy) {
		t.Errorf("Pool.Close: got %v, want ErrBusy", err)
	}
	if err := m.Close(); !errors.Is(err, ErrBusy) {
		t.Errorf("Module.Close: got %v, want ErrBusy", err)
	}
	if f.finalizations() != 0 {
		t.Error("the module was finalised while calls were running")
	}
	release()
	for range 1000 {
		f.mu.Lock()
		done, left := f.finalized, len(f.sessions)
		f.mu.Unlock()
		if done == 1 && left == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.finalized != 1 || len(f.sessions) != 0 {
		t.Errorf("after the calls returned: finalised %d times, %d sessions open, want 1 and none", f.finalized, len(f.sessions))
	}
}

func TestKey_retiredSessionIsReplaced(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 1})
	defer m.Close()
	defer p.Close()
	k := fakeKey(t, p)
	for range 5 {
		release := f.block()
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-f.hanging; cancel() }()
		if _, err := k.Sign(ctx, digest32, crypto.SHA256); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", err)
		}
		release()
		for p.Stats().Hanging > 0 {
			time.Sleep(time.Millisecond)
		}
		// The same with a context that can end and one that cannot.
		for _, ctx := range []context.Context{t.Context(), context.Background()} {
			if _, err := k.Sign(ctx, digest32, crypto.SHA256); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f.logins != 1 {
		t.Errorf("%d logins, want one", f.logins)
	}
}

func TestPool_deviceThatHangsInTheBeginningCostsOneCall(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 4})
	nothing := func(*Session) error { return nil }
	hang := func() {
		t.Helper()
		for i := range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			want := ErrUnresponsive
			if i == 0 {
				want = context.DeadlineExceeded
			}
			if err := p.Do(ctx, nothing); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			cancel()
		}
		if n := len(f.hanging); n != 1 {
			t.Errorf("%d calls hang, want one", n)
		}
		<-f.hanging
	}
	release := f.block()
	hang() // in C_OpenSession
	end := func() {
		release()
		for p.stuckNow() {
			time.Sleep(time.Millisecond)
		}
	}
	end()
	if err := p.Do(context.Background(), nothing); err != nil {
		t.Error(err)
	}
	f.lose()
	if err := p.Do(context.Background(), func(s *Session) error { _, err := s.FindObjects(context.Background(), nil); return err }); err == nil {
		t.Error("a lost session was good")
	}
	// Now C_OpenSession works, and C_Login hangs.
	f.mu.Lock()
	f.openAnyway = true
	f.mu.Unlock()
	release = f.block()
	hang()
	end()
	if err := p.Do(context.Background(), nothing); err != nil {
		t.Error(err)
	}
	p.Close()
	m.Close()
}

// stuckNow reports whether a call that prepares the pool was given up and still runs.
func (p *Pool) stuckNow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stuck
}

func TestPool_waitersHonourTheirContext(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 1})
	defer m.Close()
	ctx, cancel := context.WithCancel(context.Background())
	err := p.Do(context.Background(), func(*Session) error {
		errs := make(chan error)
		go func() { errs <- p.Do(ctx, func(*Session) error { return nil }) }()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		go func() { errs <- p.Do(context.Background(), func(*Session) error { return nil }) }()
		time.Sleep(5 * time.Millisecond)
		p.Close()
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Errorf("waiting while the pool is closed: got %v, want ErrClosed", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPool_startsAnewAfterADeadSession(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 4})
	defer m.Close()
	defer p.Close()
	k := fakeKey(t, p)
	calls := 0
	var stale Object
	f.lose()
	err := p.Do(context.Background(), func(s *Session) error {
		calls++
		found, err := k.in(context.Background(), s)
		if err != nil {
			return err
		}
		stale = found.object
		_, err = s.AppendSign(context.Background(), nil, Plain(CKM_ECDSA), found.object, digest32, 64)
		return err
	})
	if !errors.Is(err, CKR_SESSION_HANDLE_INVALID) || calls != 1 {
		t.Errorf("got %v after %d calls of f, want CKR_SESSION_HANDLE_INVALID after one", err, calls)
	}
	// The next call logs in and finds the key again.
	if _, err := k.Sign(context.Background(), digest32, crypto.SHA256); err != nil {
		t.Error(err)
	}
	if f.logins != 2 {
		t.Errorf("%d logins, want 2", f.logins)
	}
	err = p.Do(context.Background(), func(s *Session) error {
		_, err := s.AppendSign(context.Background(), nil, Plain(CKM_ECDSA), stale, digest32, 64)
		return err
	})
	if !errors.Is(err, ErrStale) {
		t.Errorf("handle of the life before: got %v, want ErrStale", err)
	}
}

func TestKey_anotherKeyBehindTheHandleIsCaught(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN})
	defer m.Close()
	defer p.Close()
	k := fakeKey(t, p)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)

	// The public key tells, after a fresh start.
	f.key = other
	f.lose()
	k.Sign(context.Background(), digest32, crypto.SHA256)
	if _, err := k.Sign(context.Background(), digest32, crypto.SHA256); !errors.Is(err, ErrKeyChanged) {
		t.Errorf("another public key: got %v, want ErrKeyChanged", err)
	}
	if f.signs != 0 {
		t.Error("the other key was used")
	}
}

func TestKey_firstSignatureIsVerified(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN})
	defer m.Close()
	defer p.Close()
	k := fakeKey(t, p)
	f.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if sig, err := k.Sign(context.Background(), digest32, crypto.SHA256); !errors.Is(err, ErrKeyChanged) || sig != nil {
		t.Errorf("got %x, %v, want nothing and ErrKeyChanged", sig, err)
	}
}

func TestKey_wrongLengthsFromTheModuleAreErrors(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 1})
	defer m.Close()
	defer p.Close()
	k := fakeKey(t, p)
	for name, change := range map[string]func([]byte) []byte{
		"too short":   func(rs []byte) []byte { return rs[:63] },
		"nothing":     func(rs []byte) []byte { return nil },
		"r is zero":   func(rs []byte) []byte { return append(make([]byte, 32), rs[32:]...) },
		"all is zero": func(rs []byte) []byte { return make([]byte, 64) },
		"another":     func(rs []byte) []byte { return append(one[:32:32], one...) },
	} {
		f.signature = change
		if sig, err := k.Sign(context.Background(), digest32, crypto.SHA256); err == nil || sig != nil {
			t.Errorf("%s: got %x, %v, want an error alone", name, sig, err)
		}
	}
	f.signature = nil
	f.sign = ck.RV(CKR_BUFFER_TOO_SMALL)
	if _, err := k.Sign(context.Background(), digest32, crypto.SHA256); !errors.Is(err, CKR_BUFFER_TOO_SMALL) {
		t.Errorf("more than there can be: got %v, want CKR_BUFFER_TOO_SMALL", err)
	}
	f.sign = 0
	if _, err := k.Sign(context.Background(), digest32, crypto.SHA256); err != nil {
		t.Errorf("after that, in a fresh session: %v", err)
	}
}

func TestKey_longDigestIsCutToTheOrderOfTheCurve(t *testing.T) {
	f := newFake(t) // which takes no more, as some modules do
	m, p := f.start(&PoolOptions{PIN: fakePIN})
	defer m.Close()
	defer p.Close()
	digest := make([]byte, 64)
	rand.Read(digest)
	sig, err := fakeKey(t, p).Sign(context.Background(), digest, crypto.SHA512)
	if err != nil || !ecdsa.VerifyASN1(&f.key.PublicKey, digest, sig) {
		t.Errorf("SHA-512 with P-256: got %x, %v, want a signature that verifies", sig, err)
	}
}

func TestLogin_readsThePINFlagsFirst(t *testing.T) {
	for _, tt := range []struct {
		name          string
		flags         Flags
		allow         bool
		asked, logins int
		check         func(*PINError) bool
	}{
		{"locked: nobody is asked", CKF_USER_PIN_LOCKED, true, 0, 0, func(e *PINError) bool { return e.Locked && !e.Tried }},
		{"final try: the callback must allow it", CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW, false, 1, 0, func(e *PINError) bool { return e.FinalTry && !e.Tried }},
		{"final try: allowed", CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW, true, 1, 1, nil},
		{"low count: tried", CKF_USER_PIN_COUNT_LOW, false, 1, 1, nil},
		{"flags of the security officer: tried", CKF_SO_PIN_LOCKED, false, 1, 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.flags |= tt.flags
			asked := 0
			m, p := f.start(&PoolOptions{PIN: func(_ context.Context, r PINRequest) ([]byte, error) {
				asked++
				if r.FinalTry != (tt.flags&CKF_USER_PIN_FINAL_TRY != 0) {
					t.Errorf("got %+v", r)
				}
				if tt.allow {
					r.AllowFinalTry()
				}
				return []byte("1234"), nil
			}})
			defer m.Close()
			defer p.Close()
			err := p.Do(context.Background(), func(*Session) error { return nil })
			pin, ok := errors.AsType[*PINError](err)
			if tt.check == nil && err != nil || tt.check != nil && (!ok || !tt.check(pin)) {
				t.Errorf("got %v", err)
			}
			if tt.flags&CKF_USER_PIN_LOCKED != 0 && !errors.Is(err, CKR_PIN_LOCKED) {
				t.Errorf("got %v, want one that Is CKR_PIN_LOCKED", err)
			}
			if asked != tt.asked || f.logins != tt.logins {
				t.Errorf("asked %d times and tried %d times, want %d and %d", asked, f.logins, tt.asked, tt.logins)
			}
		})
	}
}

func TestLogin_atAPINPad(t *testing.T) {
	f := newFake(t)
	f.flags |= CKF_PROTECTED_AUTHENTICATION_PATH
	f.pad = true
	asked := 0
	m, p := f.start(&PoolOptions{PIN: func(_ context.Context, r PINRequest) ([]byte, error) {
		asked++
		if !r.PINPad {
			t.Errorf("got %+v, want a request that tells of the PIN pad", r)
		}
		return []byte("not used"), nil
	}})
	defer m.Close()
	defer p.Close()
	if err := p.Do(context.Background(), func(*Session) error { return nil }); err != nil || f.logins != 1 || asked != 1 {
		t.Errorf("got %v after %d logins, the person was told %d times, want one of each", err, f.logins, asked)
	}
	q := p.Slot().NewPool(nil) // that nobody need be told
	defer q.Close()
	f.lose()
	if err := q.Do(context.Background(), func(*Session) error { return nil }); err != nil || f.logins != 2 {
		t.Errorf("without a PINFunc: got %v after %d logins, want two", err, f.logins)
	}
}

func TestModule_ofSomebodyElseIsNotFinalized(t *testing.T) {
	f := newFake(t)
	f.foreign = true
	m, p := f.start(nil)
	p.Close()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if f.finalized != 0 {
		t.Error("it was finalised")
	}
}

func TestPool_sessionsAreReusedAndBounded(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 3})
	k := fakeKey(t, p)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				if _, err := k.Sign(context.Background(), digest32, crypto.SHA256); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if f.most > 4 || f.next > climbTo+4 {
		t.Errorf("%d sessions were opened, %d at once, want at most 4 with the anchor", f.next, f.most)
	}
	if f.logins != 1 {
		t.Errorf("%d logins, want one", f.logins)
	}
	p.Close()
	if len(f.sessions) != 0 {
		t.Errorf("%d sessions are open after Close", len(f.sessions))
	}
	m.Close()
}

func TestPool_openThatFailsCostsNoPermit(t *testing.T) {
	f := newFake(t)
	m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 1, Patience: -1})
	defer m.Close()
	defer p.Close()
	if err := p.Do(context.Background(), func(*Session) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, rv := range []RV{CKR_SESSION_COUNT, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT} {
		f.mu.Lock()
		f.open = ck.RV(rv)
		f.mu.Unlock()
		f.lose()
		// Whatever is idle is found dead first.
		p.Do(context.Background(), func(s *Session) error { _, err := s.FindObjects(context.Background(), nil); return err })
		for range 3 {
			eventually(t, func() error {
				if err := p.Do(context.Background(), func(*Session) error { return nil }); !errors.Is(err, rv) {
					return fmt.Errorf("got %w, want %v", err, rv.String())
				}
				return nil
			})
		}
		f.mu.Lock()
		f.open = 0
		f.mu.Unlock()
		eventually(t, func() error { return p.Do(context.Background(), func(*Session) error { return nil }) })
	}
}

// The session that has told of the trouble may take long to close. Meanwhile it is not asked
// again, and nobody is told that it is closed.
func TestPool_recoversThoughASessionDoesNotClose(t *testing.T) {
	f := newFake(t)
	f.foreign = true // so that it is not restarted
	m, p := f.start(&PoolOptions{PIN: fakePIN, Patience: 10 * time.Second})
	defer m.Close()
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	k := fakeKey(t, p)
	for range 3 {
		if _, err := k.Sign(ctx, digest32, crypto.SHA256); err != nil {
			t.Fatal(err)
		}
		closing := make(chan struct{})
		f.mu.Lock()
		removed := ck.RV(CKR_DEVICE_REMOVED)
		f.open, f.sign, f.info, f.back, f.closing = removed, removed, removed, 3, closing
		f.mu.Unlock()
		if _, err := k.Sign(ctx, digest32, crypto.SHA256); err != nil {
			t.Error(err)
		}
		if n := p.Stats().Closing; n == 0 {
			t.Error("no session is being closed, says Stats")
		}
		f.mu.Lock()
		f.closing = nil
		f.mu.Unlock()
		close(closing)
		eventually(t, func() error {
			if n := p.Stats().Closing; n != 0 {
				return fmt.Errorf("%d sessions are being closed", n)
			}
			return nil
		})
	}
}

// eventually calls f until it returns nil: a pool does not try to recover all the time.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func TestPool_CloseRacesWithUse(t *testing.T) {
	for range 30 {
		f := newFake(t)
		m, p := f.start(&PoolOptions{PIN: fakePIN, Size: 2})
		k := fakeKey(t, p)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				ctx := context.Background()
				if i%2 == 0 {
					ctx = t.Context()
				}
				for {
					if _, err := k.Sign(ctx, digest32, crypto.SHA256); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		wg.Go(func() {
			if err := m.Close(); err != nil && !errors.Is(err, ErrBusy) {
				t.Error(err)
			}
		})
		wg.Wait()
		p.Close()
		if err := m.Close(); err != nil {
			t.Errorf("Close after all is done: %v", err)
		}
		if f.finalized != 1 || len(f.sessions) != 0 {
			t.Errorf("finalised %d times, %d sessions left open, want 1 and none", f.finalized, len(f.sessions))
		}
	}
}
