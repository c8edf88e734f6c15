package pcsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"time"
)

// An EventKind says what happened.
type EventKind byte

// What can happen.
const (
	ReaderAdded     EventKind = iota + 1 // a reader is there
	ReaderRemoved                        // a reader is gone, after its card
	CardInserted                         // a card is in a reader; State.Mute tells that it does not answer
	CardRemoved                          // the card is gone
	CardReset                            // the card was reset, or lost power: nothing is selected or verified any more
	ServiceLost                          // the PC/SC service is gone, and with it, by events of their own, all cards and readers
	ServiceRestored                      // the PC/SC service is back; its readers follow
)

var eventNames = [...]string{
	ReaderAdded: "reader added", ReaderRemoved: "reader removed", CardInserted: "card inserted", CardRemoved: "card removed",
	CardReset: "card reset", ServiceLost: "service lost", ServiceRestored: "service restored",
}

// String returns the kind in words, such as "card inserted".
func (k EventKind) String() string {
	if k > 0 && int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("event %d", byte(k))
}

// An Event is something that happened to a reader, its card or the service.
type Event struct {
	Kind   EventKind
	Reader Reader // as it is now; as it was last for ReaderRemoved and CardRemoved; zero for the service
	Err    error  // why the service is gone, for ServiceLost
}

// String returns the event in words.
func (e Event) String() string {
	if e.Reader.Name == "" {
		return e.Kind.String()
	}
	return fmt.Sprintf("%v: %s", e.Kind, e.Reader.Name)
}

// Watch tells what happens to readers and cards. First it yields what is there: each
// reader as ReaderAdded, each card as CardInserted. It goes on when the service is
// stopped and comes back, and connects to it again: after 50 ms, then less and less
// often, every 2 s at last.
//
//	for e, err := range c.Watch(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(e)
//	}
//
// It ends with the loop, or with one error, which comes last: that of ctx, an
// [apdu.ErrRetired] when c is closed, an [AccessError] when the service refuses this
// process.
//
// Any number of watchers share one wait at the service, and a slow one holds up nobody:
// it gets what it missed in short. A card that came and went between two looks is not
// told; one that was exchanged for another is told as removed and inserted. Resets are
// seen on Linux without libpcsclite only, within 0.5 s, unless a program connected again
// meanwhile; a [Conn] always notices.
func (c *Context) Watch(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := c.waiter.join(&c.opts)
		defer c.waiter.leave(w)
		var known snapshot
		for {
			now, err := c.next(ctx, "watch", w, known.version)
			if err == nil && now.final {
				err = newError("watch", "", now.err)
			}
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range events(known, now) {
				if !yield(e, nil) {
					return
				}
			}
			known = now
		}
	}
}

// WaitForChange waits until the readers differ from known, a result of
// [Context.Readers] or of WaitForChange, and returns them. When ctx ends the error
// wraps ctx.Err(). It fails when the service is gone or goes.
func (c *Context) WaitForChange(ctx context.Context, known []Reader) ([]Reader, error) {
	w := c.waiter.join(&c.opts)
	defer c.waiter.leave(w)
	for version := 0; ; {
		now, err := c.next(ctx, "wait", w, version)
		if err == nil && now.err != nil {
			err = newError("wait", "", now.err)
		}
		if err != nil {
			return nil, err
		}
		if !slices.EqualFunc(known, now.readers, Reader.equal) {
			return now.readers, nil
		}
		version = now.version
	}
}

// WaitForCard waits until there is a card that answers in a reader that match accepts,
// and returns that reader; match may be nil, to take any. Readers that are not there yet
// are waited for too, and so is a service that was stopped. When ctx ends the error wraps
// ctx.Err(); an [AccessError] ends it too.
//
//	c.WaitForCard(ctx, func(r pcsc.Reader) bool { return r.Name == name })
func (c *Context) WaitForCard(ctx context.Context, match func(Reader) bool) (Reader, error) {
	w := c.waiter.join(&c.opts)
	defer c.waiter.leave(w)
	for version := 0; ; {
		now, err := c.next(ctx, "wait", w, version)
		if err == nil && now.final {
			err = newError("wait", "", now.err)
		}
		if err != nil {
			return Reader{}, err
		}
		for _, r := range now.readers {
			if r.State.Present() && len(r.ATR) > 0 && (match == nil || match(r)) {
				return r, nil
			}
		}
		version = now.version
	}
}

// next returns the readers as soon as there is a version of them other than the given
// one.
func (c *Context) next(ctx context.Context, op string, w *wait, version int) (snapshot, error) {
	for {
		if c.closed.Load() {
			return snapshot{}, c.errClosed(op)
		}
		if err := ctx.Err(); err != nil {
			return snapshot{}, newError(op, "", err)
		}
		now, changed := w.look()
		if now.version != version {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-c.done:
		}
	}
}

// A snapshot is what a wait knows.
type snapshot struct {
	version int // grows with each snapshot, from 1
	lost    int // how often the service was lost so far
	readers []Reader
	err     error // why there is no service
	lastErr error // why there was none, the last time
	final   bool  // err will not go away by waiting
}

// events returns what happened between two snapshots; the first may be the zero one.
func events(old, now snapshot) []Event {
	var all []Event
	add := func(k EventKind, r Reader) { all = append(all, Event{Kind: k, Reader: r}) }
	wasUp := old.version > 0 && old.err == nil
	if old.version > 0 && (now.lost != old.lost) && wasUp || old.version == 0 && now.err != nil {
		all = append(all, Event{Kind: ServiceLost, Err: newError("watch", "", now.lastErr)})
		for _, r := range old.readers {
			if r.State.Present() {
				add(CardRemoved, r)
			}
			add(ReaderRemoved, r)
		}
		old.readers, wasUp = nil, false
	}
	if now.err != nil {
		return all
	}
	if old.version > 0 && !wasUp {
		add(ServiceRestored, Reader{})
	}
	for _, r := range old.readers {
		if _, ok := find(now.readers, r.Name); !ok {
			if r.State.Present() {
				add(CardRemoved, r)
			}
			add(ReaderRemoved, r)
		}
	}
	for _, r := range now.readers {
		before, ok := find(old.readers, r.Name)
		if !ok {
			add(ReaderAdded, r)
		}
		had, has := before.State.Present(), r.State.Present()
		exchanged := had && has && before.State.Events() != r.State.Events()
		switch {
		case had && (!has || exchanged):
			add(CardRemoved, before)
			if exchanged {
				add(CardInserted, r)
			}
		case !had && has:
			add(CardInserted, r)
		case had && (!bytes.Equal(before.ATR, r.ATR) || before.Protocol != 0 && r.Protocol == 0):
			add(CardReset, r)
		}
	}
	return all
}

// A waiter runs the one wait that all who wait on a Context share, while there is
// anybody.
type waiter struct {
	mu    sync.Mutex
	users int
	wait  *wait // nil without users
}

// A wait asks the service again and again in a goroutine of its own.
type wait struct {
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	now     snapshot
	refused int           // times in a row that the service did not want this process
	changed chan struct{} // closed when now is replaced
}

// join returns the running wait, or starts one. Each join is followed by one leave.
func (h *waiter) join(opts *Options) *wait {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	if h.wait == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w := &wait{cancel: cancel, ended: make(chan struct{}), changed: make(chan struct{})}
		service := *opts
		go func() {
			defer close(w.ended)
			w.run(ctx, &service)
		}()
		h.wait = w
	}
	return h.wait
}

// leave ends the wait when nobody is left, and waits for that.
func (h *waiter) leave(w *wait) {
	h.mu.Lock()
	h.users--
	last := h.users == 0
	if last {
		h.wait = nil
	}
	h.mu.Unlock()
	if last {
		w.cancel()
		<-w.ended
	}
}

// look returns what is known and what is closed when there is more.
func (w *wait) look() (snapshot, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.changed
}

// hopeless reports whether waiting will not make the service come.
func (w *wait) hopeless() bool {
	now, _ := w.look()
	return now.final
}

func (w *wait) publish(readers []Reader, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.now.err == nil {
		w.now.lost++
		w.now.lastErr = err
	}
	w.now.version++
	w.refused++
	if !refused(err) {
		w.refused = 0
	}
	w.now.readers, w.now.err = readers, err
	w.now.final = w.refused > 1 || errors.Is(err, errors.ErrUnsupported)
	close(w.changed)
	w.changed = make(chan struct{})
}

// refused reports whether the service does not want this process. Once says little: pcscd
// that is stopped during the handshake looks the same. A socket that is not there is not
// meant: while pcscd is restarted a container has none either.
func refused(err error) bool {
	var access *AccessError
	return errors.As(err, &access) && !errors.Is(err, fs.ErrNotExist)
}

// How long to wait before the service is tried again: from, doubled up to, and from
// again after it was there for a while.
const (
	retryFrom  = 50 * time.Millisecond
	retryUpTo  = 2 * time.Second
	retryReset = 5 * time.Second
)

// run publishes the readers whenever they change, until ctx ends or there is no hope.
func (w *wait) run(ctx context.Context, service *Options) {
	delay := retryFrom
	for {
		start := time.Now()
		err := w.session(ctx, service)
		if ctx.Err() != nil {
			return
		}
		if w.publish(nil, err); w.hopeless() {
			return
		}
		if time.Since(start) > retryReset {
			delay = retryFrom
		}
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		delay = min(2*delay, retryUpTo)
	}
}

// session publishes the readers for as long as one session lasts.
func (w *wait) session(ctx context.Context, service *Options) error {
	s, err := openSession(ctx, service)
	if err != nil {
		return err
	}
	defer s.close()
	readers, err := s.readers(ctx)
	for err == nil {
		w.publish(readers, nil)
		readers, err = s.waitForChange(ctx, readers)
	}
	return err
}
