package pcsc_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

// What services and libraries do that no user of this package may meet.

// ebfe/scard calls it an error, and panics on an empty list of states.
func testNoReaders(t *testing.T, d *pcsctest.Daemon) {
	c := establish(t)
	ctx := within(t, patience)
	if readers, err := c.Readers(ctx); err != nil || len(readers) != 0 {
		t.Errorf("got %v, %v, want no reader and no error", readers, err)
	}
	_, err := pcsc.Open(ctx, "", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_NO_READERS_AVAILABLE}, "plug in a reader")
	_, err = c.Connect(ctx, "Soft", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_NO_READERS_AVAILABLE}, "plug in a reader")
	_, err = c.WaitForChange(within(t, 30*time.Millisecond), nil)
	wantErrors(t, err, []error{context.DeadlineExceeded})
	w := watch(t, context.Background(), c)
	plug(t, d, "Late", nil, nil)
	w.want(t, 0, "reader added: Late")
}

// ebfe/scard frees the names of the readers under whoever else waits for them.
func testManyContextsWatch(t *testing.T, d *pcsctest.Daemon) {
	a := plug(t, d, "A", nil, nil)
	plug(t, d, "B", nil, &testCard{})
	ctx := within(t, patience)
	var all []*watcher
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 8 {
		c := establish(t)
		all = append(all, watch(t, ctx, c))
		wg.Go(func() {
			for range 3 {
				if _, err := c.Readers(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, w := range all {
		w.want(t, 0, "reader added: A", "reader added: B", "card inserted: B")
	}
	if err := a.Insert(&testCard{}); err != nil {
		t.Fatal(err)
	}
	for _, w := range all {
		w.want(t, 3, "card inserted: A")
	}
}

// ebfe/scard panics on an answer to reset of more than 33 bytes.
func testLongATR(t *testing.T, d *pcsctest.Daemon) {
	r := plug(t, d, "Soft", nil, &testCard{})
	c := establish(t)
	ctx := within(t, patience)
	d.SetFault(func(call pcsctest.Call) *pcsctest.Fault {
		if call.Command != pcsctest.CMD_GET_READERS_STATE && call.Command != pcsctest.CMD_WAIT_READER_STATE_CHANGE {
			return nil
		}
		return &pcsctest.Fault{After: true, Rewrite: func(answer []byte) []byte {
			if len(answer) >= 184 {
				binary.NativeEndian.PutUint32(answer[176:], 34)
			}
			return answer
		}}
	})
	_, err := c.Readers(ctx)
	wantErrors(t, err, nil)
	d.SetFault(nil)
	if readers, err := c.Readers(ctx); err != nil || len(readers) != 1 || readers[0].Name != r.Name() {
		t.Errorf("afterwards: got %v, %v", readers, err)
	}
}

// A card that is torn out while it answers looks like a success.
func testShortResponses(t *testing.T, d *pcsctest.Daemon) {
	for n, name := range []string{"Soft 0", "Soft 1"} {
		card := &testCard{transmit: func(_ context.Context, dst, _ []byte) ([]byte, error) { return append(dst, make([]byte, n)...), nil }}
		plug(t, d, name, nil, card)
		conn := connect(t, establish(t), name, nil)
		ctx := within(t, patience)
		dst := []byte{7}
		for range 2 {
			got, err := conn.Transmit(ctx, dst, selectMF)
			wantErrors(t, err, []error{apdu.ErrRemoved, pcsc.SCARD_W_REMOVED_CARD}, "insert the card")
			if len(got) != 1 {
				t.Errorf("got % X with an error, want dst unchanged", got)
			}
		}
		if got := card.commands.Load(); got != 1 {
			t.Errorf("%d commands were sent, want 1", got)
		}
		// pcscd knows nothing of it: the next one is to reset the card.
		resets := card.resets.Load()
		if err := conn.Reconnect(ctx); err != nil || card.resets.Load() != resets+1 {
			t.Errorf("got %v, %d resets, want one", err, card.resets.Load()-resets)
		}
	}
}

// Between the removal and pcscd's noticing it, status and transactions still work.
func testRemovalNotNoticed(t *testing.T, d *pcsctest.Daemon) {
	_, conn := plugAndConnect(t, d, nil, &testCard{}, nil)
	ctx := within(t, patience)
	d.SetFault(func(call pcsctest.Call) *pcsctest.Fault {
		if call.Command == pcsctest.SCARD_TRANSMIT {
			return &pcsctest.Fault{Code: uint32(pcsc.SCARD_E_NOT_TRANSACTED)}
		}
		return nil
	})
	if err := conn.Status(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Transmit(ctx, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRemoved, pcsc.SCARD_E_NOT_TRANSACTED})
	wantErrors(t, conn.Status(ctx), []error{apdu.ErrRemoved})
	wantErrors(t, conn.Begin(ctx), []error{apdu.ErrRemoved})
	// No transaction was begun: End says so, and nothing else.
	wantErrors(t, conn.End(apdu.LeaveCard), []error{pcsc.SCARD_E_NOT_TRANSACTED})
}

// A card at work cannot be called off; the caller gets out, and can come back.
func testCancelled(t *testing.T, d *pcsctest.Daemon) {
	started, release := make(chan struct{}), make(chan struct{})
	card := &testCard{transmit: func(ctx context.Context, dst, command []byte) ([]byte, error) {
		if command[1] == 0xB0 {
			started <- struct{}{}
			<-release
		}
		return echo(ctx, dst, command)
	}}
	_, conn := plugAndConnect(t, d, nil, card, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-started
		cancel()
	}()
	start := time.Now()
	_, err := conn.Transmit(ctx, nil, []byte{0, 0xB0, 0, 0, 0})
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	wantErrors(t, err, []error{apdu.ErrRetired, context.Canceled}, "may have run", "selection, security status")
	wantNot(t, err, apdu.ErrNotSent)
	_, err = conn.Transmit(within(t, patience), nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRetired, apdu.ErrNotSent})
	close(release)
	if err := conn.Reconnect(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

// Close comes back at once while a card works. On Linux without libpcsclite the call
// ends, too; the library lets it go on until the card has answered.
func testCloseDuringCall(t *testing.T, d *pcsctest.Daemon) {
	started, release := make(chan struct{}), make(chan struct{})
	card := &testCard{transmit: func(ctx context.Context, dst, command []byte) ([]byte, error) {
		close(started)
		<-release
		return echo(ctx, dst, command)
	}}
	_, conn := plugAndConnect(t, d, nil, card, nil)
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { _, err = conn.Transmit(context.Background(), nil, selectMF) })
	<-started
	if err := conn.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if throughLibrary() {
		close(release)
		wg.Wait()
	} else {
		wg.Wait()
		close(release)
		wantErrors(t, err, []error{apdu.ErrRetired})
		wantNot(t, err, apdu.ErrNotSent)
	}
	_, err = conn.Transmit(within(t, patience), nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRetired, apdu.ErrNotSent}, "was closed")
}

// Nobody is left in a transaction that was begun for a caller who had gone: pcscd would
// end it with a reset of the card.
func testAbandonedBegin(t *testing.T, d *pcsctest.Daemon) {
	card := &testCard{}
	r, holder := plugAndConnect(t, d, nil, card, nil)
	c := establish(t)
	ctx := within(t, patience)
	for range 5 {
		conn := connect(t, c, r.Name(), nil)
		if err := holder.Begin(ctx); err != nil {
			t.Fatal(err)
		}
		err := conn.Begin(within(t, 5*time.Millisecond))
		wantErrors(t, err, []error{context.DeadlineExceeded})
		if err := holder.End(apdu.LeaveCard); err != nil {
			t.Fatal(err)
		}
		if err := holder.Transaction(ctx, apdu.LeaveCard, func() error {
			_, err := holder.Transmit(ctx, nil, selectMF)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if n := card.resets.Load() + card.powerOffs.Load(); n != 0 {
		t.Errorf("the card was reset %d times", n)
	}
}
