package pcsc_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

// testWaitsForTransaction: everything that another's transaction keeps out waits, and
// gets out when its time is up.
func testWaitsForTransaction(t *testing.T, d *pcsctest.Daemon) {
	r, holder := plugAndConnect(t, d, &pcsctest.ReaderOptions{Control: func(context.Context, *pcsctest.ControlCall) ([]byte, uint32) { return nil, 0 }}, &testCard{}, nil)
	c := establish(t)
	for _, tt := range []struct {
		name string
		call func(ctx context.Context, conn *pcsc.Conn) error
	}{
		{"transmit", func(ctx context.Context, conn *pcsc.Conn) error {
			_, err := conn.Transmit(ctx, nil, selectMF)
			return err
		}},
		{"begin", func(ctx context.Context, conn *pcsc.Conn) error {
			err := conn.Begin(ctx)
			if err == nil {
				err = conn.End(apdu.LeaveCard)
			}
			return err
		}},
		{"status", func(ctx context.Context, conn *pcsc.Conn) error { return conn.Status(ctx) }},
		{"control", func(ctx context.Context, conn *pcsc.Conn) error {
			_, err := conn.Control(ctx, pcsc.ControlCode(1), nil, nil)
			return err
		}},
		{"attribute", func(ctx context.Context, conn *pcsc.Conn) error {
			_, err := conn.Attribute(ctx, pcsc.SCARD_ATTR_ATR_STRING)
			return err
		}},
		{"reconnect", func(ctx context.Context, conn *pcsc.Conn) error { return conn.Reconnect(ctx) }},
		{"reset", func(ctx context.Context, conn *pcsc.Conn) error {
			err := conn.Reset(ctx, apdu.ResetCard)
			return errors.Join(err, holder.Reconnect(ctx))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := connect(t, c, r.Name(), nil)
			if err := holder.Begin(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			if tt.name != "reset" {
				start := time.Now()
				err := tt.call(within(t, 50*time.Millisecond), conn)
				wantErrors(t, err, []error{context.DeadlineExceeded})
				if tt.name != "begin" || throughLibrary() {
					// pcscd tells at once, or the library cannot be called off.
				} else if wantNot(t, err, apdu.ErrRetired); !errors.Is(err, apdu.ErrNotSent) {
					t.Errorf("got %v, want the connection as it was", err)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("got out after %v, want about 50 ms", took)
				}
				if errors.Is(err, apdu.ErrRetired) {
					if err := holder.End(apdu.LeaveCard); err != nil {
						t.Fatal(err)
					}
					conn = connect(t, c, r.Name(), nil)
					if err := holder.Begin(within(t, patience)); err != nil {
						t.Fatal(err)
					}
				}
			}
			done := make(chan error)
			go func() { done <- tt.call(within(t, patience), conn) }()
			select {
			case err := <-done:
				t.Errorf("got %v during the other's transaction", err)
			case <-time.After(30 * time.Millisecond):
			}
			if err := holder.End(apdu.LeaveCard); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Errorf("after the other's transaction: %v", err)
			}
		})
	}
}

func testTransactionEnds(t *testing.T, d *pcsctest.Daemon) {
	card := &testCard{}
	r, conn := plugAndConnect(t, d, nil, card, nil)
	other := connect(t, establish(t), r.Name(), nil)
	ctx := within(t, patience)
	free := func() {
		t.Helper()
		if err := other.Begin(within(t, patience)); err != nil {
			t.Fatalf("another program is kept out: %v", err)
		}
		if err := other.End(apdu.LeaveCard); err != nil {
			t.Fatal(err)
		}
	}
	failed := errors.New("f failed")
	if err := conn.Transaction(ctx, apdu.LeaveCard, func() error { return failed }); err != failed {
		t.Errorf("got %v, want the error of f", err)
	}
	free()
	func() {
		defer func() {
			if recover() != "f panicked" {
				t.Error("the panic of f was lost")
			}
		}()
		_ = conn.Transaction(ctx, apdu.LeaveCard, func() error { panic("f panicked") })
	}()
	free()
	resets := card.resets.Load()
	if err := conn.Transaction(ctx, apdu.ResetCard, func() error { return nil }); err != nil || card.resets.Load() != resets+1 {
		t.Errorf("got %v, %d resets, want one", err, card.resets.Load()-resets)
	}
	wantErrors(t, other.Begin(ctx), []error{apdu.ErrReset})
}

// testEndFails: pcscd does not end the transaction of a handle that it has a reset noted
// for, so that all others would be kept out.
func testEndFails(t *testing.T, d *pcsctest.Daemon) {
	r, conn := plugAndConnect(t, d, nil, &testCard{}, nil)
	other := connect(t, establish(t), r.Name(), nil)
	ctx := within(t, patience)
	d.SetFault(func(call pcsctest.Call) *pcsctest.Fault {
		if call.Command == pcsctest.SCARD_END_TRANSACTION {
			return &pcsctest.Fault{Code: uint32(pcsc.SCARD_W_RESET_CARD)}
		}
		return nil
	})
	err := conn.Transaction(ctx, apdu.LeaveCard, func() error { return nil })
	wantErrors(t, err, []error{apdu.ErrReset})
	d.SetFault(nil)
	for _, c := range []*pcsc.Conn{other, conn} {
		if err := c.Reconnect(within(t, 3*time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := c.Transaction(within(t, 3*time.Second), apdu.LeaveCard, func() error { return nil }); err != nil {
			t.Fatalf("kept out: %v", err)
		}
	}
}

func testTornOutInTransaction(t *testing.T, d *pcsctest.Daemon) {
	r, conn := plugAndConnect(t, d, nil, &testCard{}, nil)
	ctx := within(t, patience)
	tornOutInTransaction(t, conn, func() {
		r.Eject()
		if err := r.Insert(&testCard{atr: atr2}); err != nil {
			t.Fatal(err)
		}
	}, connect(t, establish(t), r.Name(), nil))
	if err := conn.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

// tornOutInTransaction exchanges the card while conn has a transaction, and wants other
// to get at the new one.
func tornOutInTransaction(t *testing.T, conn *pcsc.Conn, exchangeCard func(), other *pcsc.Conn) {
	t.Helper()
	ctx := within(t, patience)
	err := conn.Transaction(ctx, apdu.LeaveCard, func() error {
		exchangeCard()
		_, err := conn.Transmit(ctx, nil, selectMF)
		return err
	})
	wantErrors(t, err, []error{apdu.ErrRemoved})
	for range 2 {
		_, err = conn.Transmit(ctx, nil, selectMF)
		wantErrors(t, err, []error{apdu.ErrRemoved}, "insert the card")
	}
	if err := other.Reconnect(within(t, 3*time.Second)); err != nil {
		t.Fatalf("another program is kept out: %v", err)
	}
	if err := other.Begin(within(t, 3*time.Second)); err != nil {
		t.Fatalf("another program is kept out: %v", err)
	}
	if err := other.End(apdu.LeaveCard); err != nil {
		t.Fatal(err)
	}
}

func testReplugged(t *testing.T, d *pcsctest.Daemon) {
	r, conn := plugAndConnect(t, d, nil, &testCard{}, nil)
	ctx := within(t, patience)
	r.Unplug()
	for range 2 {
		_, err := conn.Transmit(ctx, nil, selectMF)
		wantErrors(t, err, []error{apdu.ErrRemoved})
		wantErrors(t, conn.Reconnect(ctx), []error{apdu.ErrRemoved})
	}
	card := &testCard{atr: atr2}
	plug(t, d, "Soft", nil, card)
	_, err := conn.Transmit(ctx, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRemoved})
	if card.commands.Load() != 0 {
		t.Error("a command reached a card that nobody reconnected to")
	}
	if err := conn.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(conn.ATR(), atr2) {
		t.Errorf("got ATR % X, want that of the card there is now", conn.ATR())
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

func testRestarted(t *testing.T, d *pcsctest.Daemon) {
	card := &testCard{}
	_, conn := plugAndConnect(t, d, nil, card, nil)
	ctx := within(t, patience)
	for _, tt := range []struct {
		name string
		call func() error
	}{
		{"transmit", func() error { _, err := conn.Transmit(ctx, nil, selectMF); return err }},
		{"begin", func() error { return conn.Begin(ctx) }},
		{"status", func() error { return conn.Status(ctx) }},
		{"attribute", func() error { _, err := conn.Attribute(ctx, pcsc.SCARD_ATTR_ATR_STRING); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
			if err := d.Restart(); err != nil {
				t.Fatal(err)
			}
			before := card.commands.Load()
			wantErrors(t, tt.call(), []error{apdu.ErrRetired}, "selection, security status")
			_, err := conn.Transmit(ctx, nil, selectMF)
			wantErrors(t, err, []error{apdu.ErrRetired, apdu.ErrNotSent}, "selection, security status")
			if n := card.commands.Load() - before; n != 0 {
				t.Errorf("%d commands reached the card that had forgotten what was selected", n)
			}
			if err := conn.Reconnect(ctx); err != nil {
				t.Fatal(err)
			}
			exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
		})
	}
	// The service is not needed to be noticed as gone.
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	resets := card.resets.Load()
	if err := conn.Reset(ctx, apdu.ResetCard); err != nil || card.resets.Load() != resets+1 {
		t.Errorf("got %v, %d resets, want one on a new connection", err, card.resets.Load()-resets)
	}
}

// testResetStays: after a reset nothing more is sent, whatever the service would say.
func testResetStays(t *testing.T, d *pcsctest.Daemon) {
	for _, code := range []pcsc.Code{pcsc.SCARD_W_RESET_CARD, pcsc.SCARD_W_UNPOWERED_CARD} {
		t.Run(code.String(), func(t *testing.T) {
			card := &testCard{}
			_, conn := plugAndConnect(t, d, nil, card, nil)
			ctx := within(t, patience)
			d.SetFault(func(c pcsctest.Call) *pcsctest.Fault {
				if c.Command == pcsctest.SCARD_TRANSMIT {
					return &pcsctest.Fault{Code: uint32(code)}
				}
				return nil
			})
			_, err := conn.Transmit(ctx, nil, selectMF)
			wantErrors(t, err, []error{apdu.ErrReset, code}, "reconnect")
			d.SetFault(nil)
			_, err = conn.Transmit(ctx, nil, selectMF)
			wantErrors(t, err, []error{apdu.ErrReset, code}, "reconnect")
			wantErrors(t, conn.Begin(ctx), []error{apdu.ErrReset, code})
			wantErrors(t, conn.Status(ctx), []error{apdu.ErrReset, code})
			if n := card.commands.Load(); n != 0 {
				t.Errorf("%d commands reached the card", n)
			}
			if err := conn.Reconnect(ctx); err != nil {
				t.Fatal(err)
			}
			exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
		})
	}
}

func wantAccessError(t *testing.T, err error, action string, words ...string) {
	t.Helper()
	var e *pcsc.AccessError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *pcsc.AccessError", err)
	}
	if e.Action != action || e.User == "" || e.Remedy == "" {
		t.Errorf("got %+v, want action %q, a user and a remedy", e, action)
	}
	wantErrors(t, err, nil, append(words, e.User, e.Remedy)...)
}

// Newer daemons answer 0x8010006A, older ones close the connection.
func testPolicyRefusesCard(t *testing.T, d *pcsctest.Daemon) {
	r := plug(t, d, "Soft", nil, &testCard{})
	c := establish(t)
	ctx := within(t, patience)
	for name, fault := range map[string]*pcsctest.Fault{"with a return value": {Code: 0x8010006A}, "by closing": {Drop: true}} {
		t.Run(name, func(t *testing.T) {
			d.SetFault(func(c pcsctest.Call) *pcsctest.Fault {
				if c.Command == pcsctest.SCARD_CONNECT {
					return fault
				}
				return nil
			})
			_, err := c.Connect(ctx, r.Name(), nil)
			wantErrors(t, err, []error{pcsc.SCARD_W_SECURITY_VIOLATION}, r.Name())
			wantAccessError(t, err, pcsc.ActionAccessCard, "polkit")
			_, err = pcsc.Open(ctx, "", nil)
			wantAccessError(t, err, pcsc.ActionAccessCard)
		})
	}
	d.SetFault(nil)
	connect(t, c, r.Name(), nil)
	// The service itself refuses.
	d.SetFault(func(c pcsctest.Call) *pcsctest.Fault {
		if c.Command == pcsctest.CMD_VERSION {
			return &pcsctest.Fault{Drop: true}
		}
		return nil
	})
	_, err := pcsc.Establish(ctx, nil)
	wantErrors(t, err, []error{pcsc.SCARD_W_SECURITY_VIOLATION})
	wantAccessError(t, err, pcsc.ActionAccessPCSC, "polkit", "/etc/polkit-1/rules.d")
}

func testConnectOnceMore(t *testing.T, d *pcsctest.Daemon) {
	r := plug(t, d, "Soft", nil, &testCard{})
	c := establish(t)
	var n atomic.Int32
	d.SetFault(func(c pcsctest.Call) *pcsctest.Fault {
		if c.Command == pcsctest.SCARD_CONNECT && n.Add(1) == 1 {
			return &pcsctest.Fault{Drop: true}
		}
		return nil
	})
	conn := connect(t, c, r.Name(), nil)
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
	if n.Load() != 2 {
		t.Errorf("got %d attempts, want 2", n.Load())
	}
}

func testContextHeals(t *testing.T, d *pcsctest.Daemon) {
	r := plug(t, d, "Soft", nil, &testCard{})
	c := establish(t)
	ctx := within(t, patience)
	for range 3 {
		if err := d.Restart(); err != nil {
			t.Fatal(err)
		}
		readers, err := c.Readers(ctx)
		if err != nil || len(readers) != 1 || readers[0].Name != r.Name() {
			t.Fatalf("after a restart: got %v, %v", readers, err)
		}
	}
	d.Kill()
	for range 2 {
		_, err := c.Readers(ctx)
		wantErrors(t, err, []error{pcsc.SCARD_E_NO_SERVICE}, "is pcscd installed and running?")
		wantNot(t, err, apdu.ErrRetired)
		_, err = c.WaitForChange(ctx, nil)
		wantErrors(t, err, []error{pcsc.SCARD_E_NO_SERVICE})
	}
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, c, r.Name(), nil).Close()
	if _, err := c.Readers(ctx); err != nil {
		t.Fatal(err)
	}
	// A call that was given up costs a connection, not the context.
	d.SetFault(func(call pcsctest.Call) *pcsctest.Fault {
		if call.Command == pcsctest.CMD_GET_READERS_STATE {
			return &pcsctest.Fault{Hang: true}
		}
		return nil
	})
	_, err := c.Readers(within(t, 50*time.Millisecond))
	wantErrors(t, err, []error{context.DeadlineExceeded}, "given up")
	wantNot(t, err, apdu.ErrRetired)
	d.SetFault(nil)
	if throughLibrary() {
		// The library still waits for an answer on that connection, in a goroutine that
		// this one cannot end.
		defer d.Restart()
	}
	if readers, err := c.Readers(ctx); err != nil || len(readers) != 1 {
		t.Errorf("after a call that was given up: got %v, %v", readers, err)
	}
}

// testAwayInContainer: there a socket that is missing is an access error, but to a wait it
// may come.
func testAwayInContainer(t *testing.T, d *pcsctest.Daemon) {
	t.Setenv("container", "podman")
	r := plug(t, d, "Soft", nil, nil)
	c := establish(t)
	found := make(chan error, 1)
	go func() {
		_, err := c.WaitForCard(within(t, patience), named(r.Name()))
		found <- err
	}()
	d.Kill()
	_, err := c.Readers(within(t, patience))
	wantErrors(t, err, []error{pcsc.SCARD_E_NO_SERVICE}, "in a container")
	select {
	case err := <-found:
		t.Fatalf("WaitForCard ended while the service was away: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := r.Insert(&testCard{}); err != nil {
		t.Fatal(err)
	}
	if err := <-found; err != nil {
		t.Errorf("WaitForCard across a restart: %v", err)
	}
}

// testEndsDuringHandshake: that looks like a refusal by policy.
func testEndsDuringHandshake(t *testing.T, d *pcsctest.Daemon) {
	r := plug(t, d, "Soft", nil, &testCard{})
	c := establish(t)
	var n atomic.Int32
	d.SetFault(func(c pcsctest.Call) *pcsctest.Fault {
		if c.Command == pcsctest.CMD_VERSION && n.Add(1) == 1 {
			return &pcsctest.Fault{Drop: true}
		}
		return nil
	})
	if _, err := c.WaitForCard(within(t, patience), named(r.Name())); err != nil {
		t.Error(err)
	}
	if n.Load() < 2 {
		t.Errorf("got %d attempts, want two", n.Load())
	}
}

func testReturnValues(t *testing.T, d *pcsctest.Daemon) {
	card := &testCard{}
	r := plug(t, d, "Soft", nil, card)
	c := establish(t)
	ctx := within(t, patience)
	for _, tt := range []struct {
		rv   pcsc.Code
		want error // besides the code; nil for none
	}{
		{pcsc.SCARD_W_RESET_CARD, apdu.ErrReset},
		{pcsc.SCARD_W_UNPOWERED_CARD, apdu.ErrReset},
		{pcsc.SCARD_E_PROTO_MISMATCH, apdu.ErrReset},
		{pcsc.SCARD_W_REMOVED_CARD, apdu.ErrRemoved},
		{pcsc.SCARD_E_NO_SMARTCARD, apdu.ErrRemoved},
		{pcsc.SCARD_E_READER_UNAVAILABLE, apdu.ErrRemoved},
		{pcsc.SCARD_E_NOT_TRANSACTED, apdu.ErrRemoved},
		{pcsc.SCARD_E_COMM_DATA_LOST, apdu.ErrRemoved},
		{pcsc.SCARD_E_INVALID_VALUE, apdu.ErrRemoved},
		{pcsc.SCARD_E_NO_SERVICE, apdu.ErrRetired},
		{pcsc.SCARD_E_INVALID_HANDLE, apdu.ErrRetired},
		{pcsc.SCARD_E_INSUFFICIENT_BUFFER, nil},
		{pcsc.SCARD_E_UNSUPPORTED_FEATURE, nil},
		{pcsc.Code(0x80100077), nil},
	} {
		t.Run(tt.rv.String(), func(t *testing.T) {
			conn := connect(t, c, r.Name(), nil)
			d.SetFault(func(call pcsctest.Call) *pcsctest.Fault {
				if call.Command == pcsctest.SCARD_TRANSMIT {
					return &pcsctest.Fault{Code: uint32(tt.rv)}
				}
				return nil
			})
			_, err := conn.Transmit(ctx, nil, selectMF)
			wantErrors(t, err, []error{tt.rv})
			for _, kind := range []error{apdu.ErrReset, apdu.ErrRemoved, apdu.ErrRetired, apdu.ErrNotSent} {
				if got := errors.Is(err, kind); got != (kind == tt.want) {
					t.Errorf("got %v, which is %v: %v", err, kind, got)
				}
			}
			d.SetFault(nil)
			if tt.want == nil {
				exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0)) // the handle is good
				return
			}
			if err := conn.Reconnect(ctx); err != nil {
				t.Fatal(err)
			}
			exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
		})
	}
}
