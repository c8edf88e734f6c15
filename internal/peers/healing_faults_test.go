//go:build cgo

package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
)

const (
	faultCallers = 8
	faultRuns    = 3
)

// A fault is what becomes of one call into the module that misbehaves. The token does
// what the return value says.
type fault struct {
	function, what string
	fault          cryptokitest.Fault
	logins         int // that it takes to go on
}

func (f *fault) name() string { return f.function + ": " + f.what }

// faults are those of the second table.
func faults() []fault {
	what := []fault{
		{"", "CKR_SESSION_HANDLE_INVALID", cryptokitest.Fault{LoseSessions: true, RV: uint(cryptoki.CKR_SESSION_HANDLE_INVALID)}, 1},
		{"", "CKR_SESSION_CLOSED", cryptokitest.Fault{LoseSessions: true, RV: uint(cryptoki.CKR_SESSION_CLOSED)}, 1},
		{"", "CKR_USER_NOT_LOGGED_IN", cryptokitest.Fault{LogOut: true, RV: uint(cryptoki.CKR_USER_NOT_LOGGED_IN)}, 1},
		{"", "CKR_DEVICE_REMOVED", cryptokitest.Fault{Remove: true, RV: uint(cryptoki.CKR_DEVICE_REMOVED)}, 1},
		{"", "CKR_TOKEN_NOT_PRESENT", cryptokitest.Fault{Remove: true, RV: uint(cryptoki.CKR_TOKEN_NOT_PRESENT)}, 1},
		{"", "CKR_OPERATION_ACTIVE", cryptokitest.Fault{RV: uint(cryptoki.CKR_OPERATION_ACTIVE)}, 0},
		{"", "CKR_SESSION_COUNT", cryptokitest.Fault{RV: uint(cryptoki.CKR_SESSION_COUNT)}, 0},
		{"", "CKR_GENERAL_ERROR", cryptokitest.Fault{RV: uint(cryptoki.CKR_GENERAL_ERROR)}, 0},
		{"", "it does not return", cryptokitest.Fault{Hang: true}, 0},
	}
	var all []fault
	for _, function := range []string{"C_OpenSession", "C_SignInit", "C_Sign"} {
		for _, f := range what {
			f.function = function
			f.fault.Function, f.fault.Times = function, 1
			all = append(all, f)
		}
	}
	return all
}

// faultsAtOnce is how many faults are met at the same time.
const faultsAtOnce = 12

// meetFaults is a process in which a library meets all faults, each with a module of its
// own.
func meetFaults(t *testing.T, p *part, report *json.Encoder) {
	lib := libraries[slices.IndexFunc(libraries, func(l library) bool { return l.name == p.Library })]
	var mu sync.Mutex // of report
	var done sync.WaitGroup
	room := make(chan struct{}, faultsAtOnce)
	for _, f := range faults() {
		done.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			all := &healed{Name: f.name(), Kinds: map[string]int{}}
			for range faultRuns {
				h := meetFault(t, p, lib, &f)
				if h == nil {
					return
				}
				all.Runs += h.Runs
				all.Calls += h.Calls
				all.Right += h.Right
				all.Wrong += h.Wrong
				all.Errors += h.Errors
				for k, n := range h.Kinds {
					all.Kinds[k] += n
				}
				all.Hangs += h.Hangs
				all.Logins += h.Logins
				all.First = append(all.First, h.First...)
				all.Took = append(all.Took, h.Took...)
				if len(h.Took) == 0 {
					break
				}
			}
			all.Done = true
			mu.Lock()
			defer mu.Unlock()
			report.Encode(all)
		})
	}
	done.Wait()
}

// meetFault lets a library meet a fault, or returns nil if it could not.
func meetFault(t *testing.T, p *part, lib library, f *fault) *healed {
	var keys []cryptokitest.Key
	for i, label := range []string{"right", "wrong"} {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Error(err)
			return nil
		}
		keys = append(keys, cryptokitest.Key{Label: label, ID: []byte{byte(i + 1)}, Private: k})
	}
	m, err := cryptokitest.Start(p.Lib, p.Dir, &cryptokitest.Options{Keys: keys, Tries: 10})
	if err != nil {
		t.Error(err)
		return nil
	}
	defer m.Close() // what hangs goes on
	l := &load{publics: []*ecdsa.PublicKey{&keys[0].Private.PublicKey}}
	l.service = lib.open(t, &opening{path: m.Path(), token: "cryptokitest", pin: cryptokitest.DefaultPIN, labels: []string{"right"}, sessions: 4, deadline: time.Second})
	if l.service == nil {
		return nil
	}
	defer func() {
		if l.service.close != nil {
			l.service.close()
		}
	}()
	// So that callers meet, and more than one session is opened.
	slow := cryptokitest.Fault{Function: "C_Sign", Sleep: 10 * time.Millisecond}
	set := func(faults ...cryptokitest.Fault) {
		if err := m.SetFaults(faults...); err != nil {
			t.Error(err)
		}
	}
	set(slow)
	if f.function != "C_OpenSession" {
		l.over.Add(1)
		l.start(faultCallers)
		if !l.awaitSigning(recoveryLimit) {
			t.Errorf("%s: the callers cannot sign, though nothing has happened", f.name())
			return nil
		}
	} else if _, err := l.service.sign(0, make([]byte, 32)); err != nil {
		t.Errorf("%s: %v, though nothing has happened", f.name(), err)
		return nil
	}
	logins := m.Logins()
	l.run(faultRecoveryLimit, func() {
		calls := m.Calls(f.function)
		set(f.fault, slow)
		if f.function == "C_OpenSession" {
			l.start(faultCallers)
		}
		for deadline := time.Now().Add(time.Second); m.Calls(f.function) == calls; time.Sleep(100 * time.Microsecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s: no call met the fault", f.name())
				return
			}
		}
		if f.fault.Remove {
			time.Sleep(50 * time.Millisecond)
			m.Insert(0)
		}
	})
	l.end()
	h := l.snapshot()
	h.Logins = m.Logins() - logins
	if m.Overlaps() != 0 && lib.heals {
		t.Errorf("%s: %d calls came into a session in use", f.name(), m.Overlaps())
	}
	return h
}
