//go:build cgo

package system_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
)

// A misfortune is one thing that happens to a service at a token.
type misfortune struct {
	name   string
	remote bool // the module is p11-kit's client
	happen func(h *healing)
	// logins is how often the PIN may be asked for in a round, besides the first time.
	logins int
}

var misfortunes = []misfortune{
	{"daemon behind the module killed and restarted", true, (*healing).killServer, 1},
	{"token removed and restored", false, (*healing).removeToken, 1},
	{"sessions closed from outside", false, (*healing).closeSessions, 1},
	{"logged out from outside", false, (*healing).logOut, 1},
	{"finalised and initialised from outside, with other keys under the same numbers", false, (*healing).reinitialize, 1},
}

// TestHealing lets 64 goroutines sign without a pause and does to their token what happens
// to services: each signature is verified, and nobody is told of an error.
func TestHealing(t *testing.T) {
	if role := os.Getenv(roleVariable); role != "" {
		i := slices.IndexFunc(misfortunes, func(m misfortune) bool { return m.name == role })
		reporter().Encode(newHealing(t, misfortunes[i]).run())
		return
	}
	system.Need(t, "softhsm2-util", "softhsm2")
	system.Need(t, "p11-kit", "p11-kit")
	var processes []*process
	for _, m := range misfortunes {
		processes = append(processes, startProcess(t, "TestHealing", m.name))
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what happens\trounds\tsignatures\tby another key\terrors\tPINs asked for\trestarts\trecovery, median\tmax")
	for i, m := range misfortunes {
		t.Run(m.name, func(t *testing.T) {
			p, f := processes[i], &healed{}
			reported := p.report.Decode(f)
			if err := p.wait(); err != nil || reported != nil {
				t.Fatalf("%v, %v", reported, err)
			}
			if f.Wrong != 0 || len(f.Errors) != 0 {
				t.Errorf("got %d signatures by another key and errors %q, want none", f.Wrong, f.Errors)
			}
			if f.Rounds != *chaosRounds || f.Signatures < f.Rounds {
				t.Errorf("got %d rounds and %d signatures, want %d rounds that each go on", f.Rounds, f.Signatures, *chaosRounds)
			}
			if most := 1 + m.logins*f.Rounds; f.Asked > most {
				t.Errorf("the PIN was asked for %d times, want %d at most", f.Asked, most)
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t%v\n", m.name, f.Rounds, f.Signatures, f.Wrong, len(f.Errors), f.Asked, f.Restarts, f.Median.Round(100*time.Microsecond), f.Max.Round(100*time.Microsecond))
		})
	}
	w.Flush()
	t.Logf("64 goroutines on each token, %s\n%s", runtime.Version(), &b)
}

// healed are the figures of a misfortune.
type healed struct {
	Rounds, Signatures, Wrong, Asked, Restarts int
	Errors                                     []string
	Median, Max                                time.Duration
}

// healing is a service with 64 goroutines at a token.
type healing struct {
	t       *testing.T
	m       misfortune
	hsm     *system.SoftHSM
	path    string // of the module
	server  *exec.Cmd
	module  *cryptoki.Module
	pool    *cryptoki.Pool
	keys    []*cryptoki.Key
	others  []string     // labels of keys that nobody here uses
	foreign *pkcs11.Ctx  // somebody else's use of the same module
	quiet   sync.RWMutex // held by what would crash SoftHSM2 under a running call

	asked atomic.Int64
	good  atomic.Int64
	wrong atomic.Int64
	last  atomic.Int64 // when a signature was made last, in Unix nanoseconds

	mu     sync.Mutex
	errors []string
}

func newHealing(t *testing.T, m misfortune) *healing {
	h := &healing{t: t, m: m, hsm: system.StartSoftHSM(t)}
	h.path = h.hsm.Module
	if m.remote {
		h.path = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
		system.NeedFile(t, h.path, "p11-kit-modules")
		h.startServer()
		t.Cleanup(h.stopServer)
		t.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+h.socket())
	}
	var err error
	var slot *cryptoki.Slot
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if h.module, err = cryptoki.Open(h.path, nil); err == nil {
			if slot, err = h.module.FindToken(h.hsm.Label); err == nil {
				break
			}
			h.module.Close()
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { h.module.Close() })
	h.pool = slot.NewPool(&cryptoki.PoolOptions{Size: 8, ReadWrite: true, Patience: 20 * time.Second, PIN: func(context.Context, cryptoki.PINRequest) ([]byte, error) {
		h.asked.Add(1)
		return []byte(h.hsm.PIN), nil
	}})
	t.Cleanup(func() { h.pool.Close() })
	ctx := t.Context()
	// Keys of others around those that are used: whoever takes a wrong handle meets one.
	for i := range 6 {
		label := fmt.Sprintf("key %d", i)
		err := h.pool.Do(ctx, func(s *cryptoki.Session) error {
			_, _, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: label, ID: []byte{byte(i + 1)}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if i%3 != 1 {
			h.others = append(h.others, label)
			continue
		}
		k, err := h.pool.Key(ctx, cryptoki.KeyQuery{Label: label})
		if err != nil {
			t.Fatal(err)
		}
		h.keys = append(h.keys, k)
	}
	if !m.remote {
		h.foreign = pkcs11.New(h.path)
		t.Cleanup(h.foreign.Destroy)
	}
	return h
}

func (h *healing) socket() string { return filepath.Join(h.hsm.Dir, "p11-kit") }

func (h *healing) startServer() {
	h.server = exec.Command(system.Need(h.t, "p11-kit", "p11-kit"), "server", "-f", "-n", h.socket(), "--provider", h.hsm.Module, "pkcs11:token="+strings.ReplaceAll(h.hsm.Label, " ", "%20"))
	h.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with those that it starts for each connection
	if err := h.server.Start(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *healing) stopServer() {
	syscall.Kill(-h.server.Process.Pid, syscall.SIGKILL)
	h.server.Wait()
	os.Remove(h.socket())
}

// run goes through the rounds, with the load of 64 goroutines.
func (h *healing) run() *healed {
	ctx, stop := context.WithCancel(h.t.Context())
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() { h.work(ctx, i) })
	}
	f := &healed{}
	var recovered []time.Duration
	for range *chaosRounds {
		h.awaitSignatures(64)
		start := time.Now()
		h.m.happen(h)
		start = time.Unix(0, max(start.UnixNano(), h.last.Load()))
		h.awaitSignatures(1)
		recovered = append(recovered, time.Since(start))
		f.Rounds++
	}
	h.awaitSignatures(64)
	stop()
	wg.Wait()
	if n := h.pool.Stats(); n.InUse != 0 || n.Hanging != 0 || n.Waiting != 0 {
		h.t.Errorf("after all is over: got %+v, want nothing in use", n)
	}
	slices.Sort(recovered)
	f.Median, f.Max = recovered[len(recovered)/2], recovered[len(recovered)-1]
	f.Signatures, f.Wrong, f.Asked, f.Errors = int(h.good.Load()), int(h.wrong.Load()), int(h.asked.Load()), h.errors
	f.Restarts = int(h.pool.Stats().Restarts)
	return f
}

// work signs until ctx ends.
func (h *healing) work(ctx context.Context, i int) {
	key := h.keys[i%len(h.keys)]
	digest := make([]byte, 32)
	for ctx.Err() == nil {
		rand.Read(digest)
		use := context.Background()
		cancel := func() {}
		if i%2 == 0 {
			use, cancel = context.WithTimeout(use, stepLimit)
		}
		h.quiet.RLock()
		signature, err := key.Sign(use, digest, crypto.SHA256)
		h.quiet.RUnlock()
		cancel()
		switch {
		case err != nil:
			h.mu.Lock()
			if len(h.errors) < 10 {
				h.errors = append(h.errors, err.Error())
			}
			h.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
		case !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest, signature):
			h.wrong.Add(1)
		default:
			h.good.Add(1)
			h.last.Store(time.Now().UnixNano())
		}
	}
}

// awaitSignatures waits for n more.
func (h *healing) awaitSignatures(n int64) {
	h.t.Helper()
	for want, deadline := h.good.Load()+n, time.Now().Add(30*time.Second); h.good.Load() < want; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			h.mu.Lock()
			defer h.mu.Unlock()
			stacks := make([]byte, 1<<20)
			h.t.Fatalf("nobody has signed for 30 s; %+v, errors %q\n%s", h.pool.Stats(), h.errors, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func (h *healing) killServer() {
	h.stopServer()
	time.Sleep(50 * time.Millisecond) // the daemon takes its time too
	h.startServer()
}

func (h *healing) removeToken() {
	tokens := filepath.Join(h.hsm.Dir, "tokens")
	entries, err := os.ReadDir(tokens)
	if err != nil || len(entries) == 0 {
		h.t.Fatalf("got %d tokens, %v", len(entries), err)
	}
	at, away := filepath.Join(tokens, entries[0].Name()), filepath.Join(h.hsm.Dir, "away")
	if err := os.Rename(at, away); err != nil {
		h.t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if err := os.Rename(away, at); err != nil {
		h.t.Fatal(err)
	}
}

// theirs opens a session of somebody else.
func (h *healing) theirs() pkcs11.SessionHandle {
	slots, err := h.foreign.GetSlotList(true)
	for _, slot := range slots {
		var t pkcs11.TokenInfo
		if t, err = h.foreign.GetTokenInfo(slot); err != nil || t.Label != h.hsm.Label {
			continue
		}
		s, err := h.foreign.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			break
		}
		return s
	}
	h.t.Fatalf("no session for somebody else: %v", err)
	return 0
}

// silence keeps all callers out of the module until end is called: SoftHSM2 crashes when it is
// finalised under a call, be it one of C_CloseSession for which nobody waits.
func (h *healing) silence() (end func()) {
	h.quiet.Lock()
	for deadline := time.Now().Add(stepLimit); h.pool.Stats().Closing > 0; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("sessions do not close: %+v", h.pool.Stats())
		}
	}
	return h.quiet.Unlock
}

func (h *healing) closeSessions() {
	defer h.silence()()
	s := h.theirs()
	for n := range s {
		h.foreign.CloseSession(n) // most are none
	}
	h.foreign.CloseSession(s)
}

func (h *healing) logOut() {
	defer h.silence()()
	s := h.theirs()
	if err := h.foreign.Logout(s); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN)) {
		h.t.Fatal(err)
	}
	h.foreign.CloseSession(s)
}

// reinitialize finalises and initialises the module, and lets somebody else open sessions
// and find keys, which get the numbers from the beginning again.
func (h *healing) reinitialize() {
	defer h.silence()()
	if err := h.foreign.Finalize(); err != nil {
		h.t.Fatal(err)
	}
	if err := h.foreign.Initialize(); err != nil {
		h.t.Fatal(err)
	}
	var s pkcs11.SessionHandle
	for range 40 {
		s = h.theirs()
	}
	if err := h.foreign.Login(s, pkcs11.CKU_USER, h.hsm.PIN); err != nil {
		h.t.Fatal(err)
	}
	for range 3 {
		for _, label := range h.others {
			if err := h.foreign.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)}); err != nil {
				h.t.Fatal(err)
			}
			if objects, _, err := h.foreign.FindObjects(s, 10); err != nil || len(objects) != 1 {
				h.t.Fatalf("got %d objects, %v", len(objects), err)
			}
			h.foreign.FindObjectsFinal(s)
		}
	}
}
