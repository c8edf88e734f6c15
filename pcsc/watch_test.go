package pcsc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

// A watcher collects the events of one Watch in a goroutine.
type watcher struct {
	mu     sync.Mutex
	events []pcsc.Event
	err    error
	done   chan struct{}
}

func watch(t testing.TB, ctx context.Context, c *pcsc.Context) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for e, err := range c.Watch(ctx) {
			w.mu.Lock()
			if err != nil {
				w.err = err
			} else {
				w.events = append(w.events, e)
			}
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-w.done
	})
	return w
}

// words returns the events so far.
func (w *watcher) words() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var s []string
	for _, e := range w.events {
		s = append(s, e.String())
	}
	return s
}

// want waits for exactly these further events, after n that were seen.
func (w *watcher) want(t testing.TB, n int, events ...string) int {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := w.words()
		if len(got) >= n+len(events) {
			if !slices.Equal(got[n:], events) {
				t.Fatalf("got events\n%s\nwant\n%s", strings.Join(got[n:], "\n"), strings.Join(events, "\n"))
			}
			return n + len(events)
		}
		if time.Now().After(deadline) {
			t.Fatalf("got events\n%s\nwant\n%s", strings.Join(got[min(n, len(got)):], "\n"), strings.Join(events, "\n"))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func testWatch(t *testing.T, d *pcsctest.Daemon) {
	a := plug(t, d, "A", nil, &testCard{})
	plug(t, d, "B", nil, nil)
	c := establish(t)
	w := watch(t, context.Background(), c)
	n := w.want(t, 0, "reader added: A", "card inserted: A", "reader added: B")
	if e := w.events[1]; len(e.Reader.ATR) == 0 || !e.Reader.State.Present() {
		t.Errorf("got %+v, want the card's ATR", e)
	}
	a.Eject()
	n = w.want(t, n, "card removed: A")
	if err := a.Insert(&testCard{atr: atr2}); err != nil {
		t.Fatal(err)
	}
	n = w.want(t, n, "card inserted: A")
	added := plug(t, d, "C", nil, &testCard{})
	// The reader may be seen before its card.
	n = w.want(t, n, "reader added: C", "card inserted: C")
	added.Unplug()
	n = w.want(t, n, "card removed: C", "reader removed: C")
	if !throughLibrary() {
		conn := connect(t, c, "A", nil)
		eventually(t, "the protocol is seen", func() bool {
			readers, err := c.Readers(within(t, patience))
			return err == nil && readers[0].Protocol == apdu.ProtocolT1
		})
		time.Sleep(600 * time.Millisecond) // the watcher looks twice a second
		if err := conn.Begin(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if err := conn.End(apdu.ResetCard); err != nil {
			t.Fatal(err)
		}
		n = w.want(t, n, "card reset: A")
	}
	// A loop that breaks ends the watch.
	for e, err := range c.Watch(within(t, patience)) {
		if err != nil || e.Kind != pcsc.ReaderAdded {
			t.Errorf("got %v, %v", e, err)
		}
		break
	}
	w.want(t, n)
}

func testWatchRestart(t *testing.T, d *pcsctest.Daemon) {
	plug(t, d, "A", nil, &testCard{})
	c := establish(t)
	w := watch(t, context.Background(), c)
	n := w.want(t, 0, "reader added: A", "card inserted: A")
	for range 2 {
		d.Kill()
		n = w.want(t, n, "service lost", "card removed: A", "reader removed: A")
		if e := w.events[n-3]; !errors.Is(e.Err, pcsc.SCARD_E_NO_SERVICE) && !errors.Is(e.Err, pcsc.SCARD_F_COMM_ERROR) {
			t.Errorf("got reason %v", e.Err)
		}
		late := watch(t, context.Background(), c)
		late.want(t, 0, "service lost")
		if err := d.Restart(); err != nil {
			t.Fatal(err)
		}
		n = w.want(t, n, "service restored", "reader added: A", "card inserted: A")
		late.want(t, 1, "service restored", "reader added: A", "card inserted: A")
	}
	// A service that begins to refuse this process ends the watch.
	d.SetFault(func(c pcsctest.Call) *pcsctest.Fault {
		if c.Command == pcsctest.CMD_VERSION {
			return &pcsctest.Fault{Drop: true}
		}
		return nil
	})
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.done:
	case <-time.After(patience):
		t.Fatal("the watch goes on")
	}
	wantAccessError(t, w.err, pcsc.ActionAccessPCSC)
	_, err := c.WaitForCard(within(t, patience), nil)
	wantAccessError(t, err, pcsc.ActionAccessPCSC)
}

func testManyWatchers(t *testing.T, d *pcsctest.Daemon) {
	a := plug(t, d, "A", nil, nil)
	c := establish(t)
	var mu sync.Mutex
	clients := map[int]bool{}
	d.SetFault(func(call pcsctest.Call) *pcsctest.Fault {
		if call.Command == pcsctest.CMD_WAIT_READER_STATE_CHANGE {
			mu.Lock()
			clients[call.Client] = true
			mu.Unlock()
		}
		return nil
	})
	const watchers = 50
	all := make([]*watcher, watchers)
	for i := range all {
		all[i] = watch(t, context.Background(), c)
	}
	seen := 0
	for _, w := range all {
		seen = w.want(t, 0, "reader added: A")
	}
	// One that looks at nothing holds up nobody.
	slow := make(chan struct{})
	slowDone := make(chan struct{})
	go func() {
		defer close(slowDone)
		for range c.Watch(context.Background()) {
			<-slow
			return
		}
	}()
	for range 5 {
		if err := a.Insert(&testCard{}); err != nil {
			t.Fatal(err)
		}
		for _, w := range all {
			w.want(t, seen, "card inserted: A")
		}
		a.Eject()
		for _, w := range all {
			w.want(t, seen+1, "card removed: A")
		}
		seen += 2
		if _, err := c.Readers(within(t, patience)); err != nil { // which waits for no watcher
			t.Fatal(err)
		}
	}
	close(slow)
	<-slowDone
	mu.Lock()
	defer mu.Unlock()
	want := 1
	if throughLibrary() {
		want = 2 // libpcsclite asks in this way for the present readers too
	}
	if len(clients) != want {
		t.Errorf("got %d connections that wait, want %d", len(clients), want)
	}
}

func testWatchEnds(t *testing.T, d *pcsctest.Daemon) {
	plug(t, d, "A", nil, nil)
	c := establish(t)
	ctx, cancel := context.WithCancel(context.Background())
	w := watch(t, ctx, c)
	w.want(t, 0, "reader added: A")
	cancel()
	<-w.done
	wantErrors(t, w.err, []error{context.Canceled})
	wantNot(t, w.err, apdu.ErrRetired)
	ctx = within(t, patience)
	w = watch(t, ctx, c)
	w.want(t, 0, "reader added: A")
	waits := make(chan error)
	go func() {
		_, err := c.WaitForCard(ctx, nil)
		waits <- err
	}()
	time.Sleep(10 * time.Millisecond)
	c.Close()
	<-w.done
	wantErrors(t, w.err, []error{apdu.ErrRetired}, "closed")
	wantErrors(t, <-waits, []error{apdu.ErrRetired}, "closed")
	for _, err := range c.Watch(ctx) {
		wantErrors(t, err, []error{apdu.ErrRetired}, "closed")
	}
	if ctx.Err() != nil {
		t.Error("it took too long")
	}
}

func testStorm(t *testing.T, d *pcsctest.Daemon) {
	const readers = 4
	c := establish(t)
	ctx := within(t, patience)
	var wg sync.WaitGroup
	for i := range readers {
		r := plug(t, d, fmt.Sprintf("Storm %d", i), nil, nil)
		wg.Go(func() {
			for n := range 60 {
				if r.Insert(&testCard{}) == nil && n%2 == 0 {
					time.Sleep(time.Millisecond)
				}
				r.Eject()
			}
			if err := r.Insert(&testCard{atr: atr2}); err != nil {
				t.Error(err)
			}
		})
	}
	for range 5 {
		wg.Go(func() {
			present := map[string]bool{}
			known := map[string]bool{}
			for e, err := range c.Watch(ctx) {
				if err != nil {
					t.Errorf("got %v before the end of the storm: %v", err, present)
					return
				}
				name := e.Reader.Name
				switch e.Kind {
				case pcsc.ReaderAdded:
					if known[name] {
						t.Errorf("%v twice", e)
					}
					known[name] = true
				case pcsc.CardInserted:
					if !known[name] || present[name] {
						t.Errorf("%v out of order", e)
					}
					present[name] = true
				case pcsc.CardRemoved:
					if !present[name] {
						t.Errorf("%v out of order", e)
					}
					delete(present, name)
				default:
					t.Errorf("got %v", e)
				}
				if e.Kind == pcsc.CardInserted && string(e.Reader.ATR) == string(atr2) && len(present) == readers {
					now, err := c.Readers(ctx)
					if err == nil && !slices.ContainsFunc(now, func(r pcsc.Reader) bool { return string(r.ATR) != string(atr2) }) {
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func testWaitForCard(t *testing.T, d *pcsctest.Daemon) {
	plug(t, d, "A", nil, &testCard{})
	b := plug(t, d, "B", nil, &testCard{atr: []byte{}}) // mute
	c := establish(t)
	ctx := within(t, patience)
	if r, err := c.WaitForCard(ctx, nil); err != nil || r.Name != "A" {
		t.Errorf("got %q, %v, want A", r.Name, err)
	}
	got := make(chan string)
	go func() {
		r, err := c.WaitForCard(ctx, func(r pcsc.Reader) bool { return string(r.ATR) == string(atr2) })
		if err != nil {
			t.Error(err)
		}
		got <- r.Name
	}()
	select {
	case name := <-got:
		t.Errorf("got %q before the card is there", name)
	case <-time.After(20 * time.Millisecond):
	}
	// Through a restart of the service.
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	b.Eject()
	if err := b.Insert(&testCard{atr: atr2}); err != nil {
		t.Fatal(err)
	}
	if name := <-got; name != "B" {
		t.Errorf("got %q, want B", name)
	}
	_, err := c.WaitForCard(within(t, 20*time.Millisecond), named("C"))
	wantErrors(t, err, []error{context.DeadlineExceeded})
}
