//go:build cgo

package peers

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThalesGroup/crypto11"

	"github.com/cardoki/cardoki/cryptoki"
)

// Limits that are the same for all libraries.
const (
	recoveryLimit      = 10 * time.Second
	faultRecoveryLimit = 5 * time.Second
	calm               = 300 * time.Millisecond // without an error: it is over
	returnLimit        = 2 * time.Second        // after which a caller who was told to stop hangs
)

// A library is a way to sign with keys of a token.
type library struct {
	name  string
	heals bool // or else it is only told what came of it
	open  func(t *testing.T, o *opening) *service
}

// An opening is what is to be opened: the keys with the labels, and sessions for callers.
type opening struct {
	path, token, pin string
	labels           []string
	sessions         int
	deadline         time.Duration // of a signature, for those who have such a thing
}

// A service is a library that was opened.
type service struct {
	sign    func(key int, digest []byte) ([]byte, error)
	logins  func() int  // PINs that were asked for
	closing func() bool // whether a session is being closed; nil: nothing is closed behind the caller's back
	close   func()      // nil: the process ends with it
}

var libraries = []library{
	{"cardoki", true, openOurs},
	{"crypto11", false, openCrypto11},
}

func openOurs(t *testing.T, o *opening) *service {
	s := &service{}
	var m *cryptoki.Module
	var p *cryptoki.Pool
	var asked atomic.Int64
	var keys []*cryptoki.Key
	err := eventually(func() (err error) {
		if m, err = cryptoki.Open(o.path, nil); err != nil {
			return err
		}
		slot, err := m.FindToken(o.token)
		if err != nil {
			m.Close()
			return err
		}
		p = slot.NewPool(&cryptoki.PoolOptions{Size: o.sessions, ReadWrite: true, PIN: func(context.Context, cryptoki.PINRequest) ([]byte, error) {
			asked.Add(1)
			return []byte(o.pin), nil
		}})
		return nil
	})
	for i := 0; i < len(o.labels) && err == nil; i++ {
		var k *cryptoki.Key
		k, err = p.Key(background, cryptoki.KeyQuery{Label: o.labels[i]})
		keys = append(keys, k)
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	s.sign = func(key int, digest []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(background, o.deadline)
		defer cancel()
		return keys[key].Sign(ctx, digest, crypto.SHA256)
	}
	s.logins = func() int { return int(asked.Load()) }
	s.closing = func() bool { return p.Stats().Closing > 0 }
	s.close = func() {
		p.Close()
		m.Close()
	}
	return s
}

func openCrypto11(t *testing.T, o *opening) *service {
	s := &service{logins: func() int { return 1 }} // as its source says
	var c *crypto11.Context
	var keys []crypto11.Signer
	err := eventually(func() (err error) {
		c, err = crypto11.Configure(&crypto11.Config{Path: o.path, TokenLabel: o.token, Pin: o.pin, MaxSessions: o.sessions + 1})
		return err
	})
	for i := 0; i < len(o.labels) && err == nil; i++ {
		var k crypto11.Signer
		if k, err = c.FindKeyPair(nil, []byte(o.labels[i])); err == nil && k == nil {
			err = fmt.Errorf("crypto11: no key %q", o.labels[i])
		}
		keys = append(keys, k)
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	s.sign = func(key int, digest []byte) ([]byte, error) {
		return keys[key].Sign(rand.Reader, digest, crypto.SHA256)
	}
	return s
}

// eventually calls f until it succeeds: a server takes its time to start.
func eventually(f func() error) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := f(); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// silence keeps all calls out of the module until end is called.
func (l *load) silence() (end func()) {
	l.quiet.Lock()
	for l.service.closing != nil && l.service.closing() {
		time.Sleep(100 * time.Microsecond) // sessions for whose end nobody waits
	}
	return l.quiet.Unlock
}

// A load is callers who sign without a pause.
type load struct {
	service *service
	publics []*ecdsa.PublicKey // of the keys in use
	callers []caller
	quiet   sync.RWMutex // held by what would crash a module under a running call
	stop    atomic.Bool
	over    atomic.Int64 // misfortunes that are over

	mu     sync.Mutex
	counts bool      // what calls come to
	bad    time.Time // when one failed or went wrong last
	first  time.Time // when the first caller was healed from the last misfortune
	last   time.Time // and all of them, without an error since
	healed healed
}

// A caller uses one key.
type caller struct {
	healed   int64 // misfortunes after which it has made a right signature
	returned bool
}

// start begins the load.
func (l *load) start(callers int) {
	l.callers = make([]caller, callers)
	for i := range callers {
		go l.call(i)
	}
}

// call is what caller i does. It counts what each call comes to; run and end wait for it.
func (l *load) call(i int) {
	key := i % len(l.publics)
	digest := make([]byte, 32)
	for !l.stop.Load() {
		rand.Read(digest)
		over := l.over.Load()
		l.quiet.RLock()
		signature, err := l.service.sign(key, digest)
		l.quiet.RUnlock()
		now := time.Now()
		right := err == nil && ecdsa.VerifyASN1(l.publics[key], digest, signature)
		l.note(i, over, now, right, err)
		if err != nil {
			time.Sleep(10 * time.Millisecond) // as a caller who tries again
		}
	}
	l.mu.Lock()
	l.callers[i].returned = true
	l.mu.Unlock()
}

func (l *load) note(i int, over int64, now time.Time, right bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := &l.callers[i]; right && over > c.healed {
		c.healed, l.last = over, now
		if l.first.IsZero() {
			l.first = now
		}
	}
	if !right {
		l.bad, l.last = now, now
	}
	if !l.counts {
		return
	}
	h := &l.healed
	h.Calls++
	switch {
	case right:
		h.Right++
	case err == nil:
		h.Wrong++
	default:
		h.Errors++
		if h.Kinds == nil {
			h.Kinds = map[string]int{}
		}
		h.Kinds[kind(err)]++
	}
}

var returnValue = regexp.MustCompile(`CKR_[A-Z_]+`)

// kind is what an error says, without what differs from call to call.
func kind(err error) string {
	if name := returnValue.FindString(err.Error()); name != "" {
		return name
	}
	for _, e := range []error{context.DeadlineExceeded, cryptoki.ErrUnresponsive, cryptoki.ErrKeyChanged} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return err.Error()
}

// awaitSigning waits until each caller has made a right signature that it began after the
// last misfortune was over, and no call has failed or gone wrong for some time.
func (l *load) awaitSigning(limit time.Duration) bool {
	over := l.over.Load()
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		ok := time.Since(l.bad) >= calm
		for i := range l.callers {
			ok = ok && l.callers[i].healed >= over
		}
		l.mu.Unlock()
		if ok || time.Now().After(deadline) {
			return ok
		}
	}
}

// run lets something happen, and notes how long it took from when it was over until
// somebody signs again, and until all callers do and are told of no more errors. It reports
// whether they come to that.
func (l *load) run(limit time.Duration, happen func()) bool {
	l.mu.Lock()
	l.counts = true
	l.healed.Runs++
	l.mu.Unlock()
	happen()
	l.mu.Lock()
	start := time.Now()
	l.bad = start // so that each run is watched for that long
	l.first, l.last = time.Time{}, start
	l.over.Add(1)
	l.mu.Unlock()
	ok := l.awaitSigning(limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok {
		l.healed.First = append(l.healed.First, l.first.Sub(start))
		l.healed.Took = append(l.healed.Took, l.last.Sub(start))
	}
	return ok
}

// end ends the load, and counts the callers who do not return.
func (l *load) end() {
	l.stop.Store(true)
	for deadline := time.Now().Add(returnLimit); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		l.healed.Hangs = 0
		for i := range l.callers {
			if !l.callers[i].returned {
				l.healed.Hangs++
			}
		}
		hangs := l.healed.Hangs
		l.mu.Unlock()
		if hangs == 0 || time.Now().After(deadline) {
			return
		}
	}
}

// snapshot returns what has come of it so far.
func (l *load) snapshot() *healed {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.healed
	h.Kinds = maps.Clone(h.Kinds)
	h.First, h.Took = slices.Clone(h.First), slices.Clone(h.Took)
	return &h
}
