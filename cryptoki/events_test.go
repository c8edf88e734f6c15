package cryptoki_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/system"
)

func TestModule_Events(t *testing.T) {
	c, m, _ := startTestModule(t, &cryptokitest.Options{Label: "one"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	type seen struct {
		present bool
		slot    cryptoki.SlotID
	}
	var got []seen
	for e, err := range m.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, seen{e.Present, e.Slot.ID()})
		if e.Present && e.Token.Label != "one" {
			t.Errorf("got token %q, want one", e.Token.Label)
		}
		switch len(got) {
		case 1:
			c.Remove()
		case 2:
			c.Insert(5)
		case 3: // away for a moment only
			c.Remove()
			c.Insert(0)
		}
		if len(got) == 5 {
			break
		}
	}
	want := []seen{{true, 1}, {false, 1}, {true, 5}, {false, 5}, {true, 5}}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	if c.Outside() != 0 {
		t.Errorf("%d calls into a module that is not initialised", c.Outside())
	}
}

func TestModule_EventsEndWithTheirContext(t *testing.T) {
	c, m, _ := startTestModule(t, nil)
	if err := c.SetFaults(cryptokitest.Fault{Function: "C_GetSlotList", Hang: true}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	for _, err := range m.Events(ctx) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if err := m.Close(); !errors.Is(err, cryptoki.ErrBusy) {
		t.Errorf("Close while the call hangs: got %v, want ErrBusy", err)
	}
	c.Release()
	eventually(t, "close", m.Close)
}

func TestOptions_LoggerGetsCallsAndNoSecrets(t *testing.T) {
	keys := testKeys(t)
	c := newTestModule(t, &cryptokitest.Options{Keys: keys, PIN: "4711-secret"})
	var log bytes.Buffer
	m, err := cryptoki.Open(c.Path(), &cryptoki.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	system.Supported(t, err)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	slots, err := m.Slots(true)
	if err != nil {
		t.Fatal(err)
	}
	p := &flow{pool: slots[0].NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte("4711-secret"))})}
	defer p.pool.Close()
	for range 2 {
		if wrong, err := p.sign(context.Background(), &keys[0].Private.PublicKey); wrong || err != nil {
			t.Fatal(wrong, err)
		}
		c.LoseSessions()
	}
	if err := p.pool.Check(context.Background()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"function=C_OpenSession", "function=C_Login", "function=C_FindObjects", "function=C_Sign", "rv=CKR_OK", "rv=CKR_SESSION_HANDLE_INVALID", "took=", "slot=1", "recovery begins"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "4711") {
		t.Error("the PIN is in the log")
	}
}

func TestPool_hangingModuleCostsItsDeadlineAndTheBound(t *testing.T) {
	keys := testKeys(t)
	c, _, slot := startTestModule(t, &cryptokitest.Options{Keys: keys})
	const size = 4
	p := &flow{pool: slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(cryptokitest.DefaultPIN)), Size: size})}
	if wrong, err := p.sign(t.Context(), &keys[0].Private.PublicKey); wrong || err != nil {
		t.Fatal(wrong, err)
	}
	if err := c.SetFaults(cryptokitest.Fault{Function: "C_Sign", Hang: true}); err != nil {
		t.Fatal(err)
	}
	threads := runtime.NumGoroutine()
	type outcome struct {
		took time.Duration
		err  error
	}
	const callers = 64
	outcomes := make(chan outcome, callers)
	for range callers {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := p.key.Sign(ctx, make([]byte, 32), crypto.SHA256)
			outcomes <- outcome{time.Since(start), err}
		}()
	}
	for range callers {
		o := <-outcomes
		if o.took > 2*time.Second || !errors.Is(o.err, context.DeadlineExceeded) && !errors.Is(o.err, cryptoki.ErrUnresponsive) {
			t.Errorf("got %v after %v, want the deadline's error or ErrUnresponsive", o.err, o.took)
		}
	}
	if s := p.pool.Stats(); s.Hanging != size || c.Hanging() != size {
		t.Errorf("%d calls hang, and the module says %d; want %d", s.Hanging, c.Hanging(), size)
	}
	eventually(t, "goroutines", func() error {
		if n := runtime.NumGoroutine() - threads; n > 2*size {
			return fmt.Errorf("%d goroutines more than before", n)
		}
		return nil
	})
	start := time.Now()
	if _, err := p.key.Sign(context.Background(), make([]byte, 32), crypto.SHA256); !errors.Is(err, cryptoki.ErrUnresponsive) || time.Since(start) > time.Second {
		t.Errorf("got %v after %v, want ErrUnresponsive at once", err, time.Since(start))
	}
	if err := p.pool.Check(t.Context()); !errors.Is(err, cryptoki.ErrUnresponsive) {
		t.Errorf("Check: got %v, want ErrUnresponsive", err)
	}
	if err := c.SetFaults(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "after it went on", func() error {
		_, err := p.sign(t.Context(), &keys[0].Private.PublicKey)
		return err
	})
	p.pool.Close()
}
