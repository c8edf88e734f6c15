//go:build cgo

package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	miekg "github.com/miekg/pkcs11"

	"github.com/cardoki/cardoki/internal/system"
)

const (
	misfortuneCallers = 64
	misfortuneRuns    = 5
)

// A misfortune is one thing that happens to a service at a token.
type misfortune struct {
	name   string
	remote bool // the module is p11-kit's client
	happen func(s *scene)
}

var misfortunes = []misfortune{
	{"daemon behind the module killed and restarted", true, (*scene).killServer},
	{"token removed and restored", false, (*scene).removeToken},
	{"sessions closed from outside", false, (*scene).closeSessions},
	{"logged out from outside", false, (*scene).logOut},
	{"finalised and initialised from outside, with other keys under the same numbers", false, (*scene).reinitialize},
}

// A scene is a token of SoftHSM2 with keys, those in use and those of others.
type scene struct {
	t       *testing.T
	hsm     *system.SoftHSM
	load    load
	foreign *miekg.Ctx // somebody else's use of the module
	labels  []string   // of keys in use
	others  []string

	server *exec.Cmd
	lease  io.Closer // the server ends with it, and so with this process
}

// meetMisfortune is a process in which a library meets a misfortune again and again. It
// reports all the time, as it may crash.
func meetMisfortune(t *testing.T, p *part, report *json.Encoder) {
	m := misfortunes[slices.IndexFunc(misfortunes, func(m misfortune) bool { return m.name == p.Misfortune })]
	lib := libraries[slices.IndexFunc(libraries, func(l library) bool { return l.name == p.Library })]
	s := &scene{t: t, hsm: &p.HSM}
	s.load.healed.Name = m.name
	s.makeKeys()
	o := &opening{path: p.HSM.Module, token: p.HSM.Label, pin: p.HSM.PIN, labels: s.labels, sessions: 8, deadline: 5 * time.Second}
	if m.remote {
		o.path = p11KitClient(t)
		t.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+s.socket())
		s.startServer()
		defer s.stopServer()
	}
	if s.load.service = lib.open(t, o); s.load.service == nil {
		return
	}
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				report.Encode(s.load.snapshot())
			case <-ended:
				tick.Stop()
				return
			}
		}
	}()
	s.load.over.Add(1) // the start
	s.load.start(misfortuneCallers)
	if !s.load.awaitSigning(recoveryLimit) {
		t.Error("the callers cannot sign, though nothing has happened")
	} else {
		for range misfortuneRuns {
			if !s.load.run(recoveryLimit, func() { m.happen(s) }) {
				break
			}
		}
	}
	s.load.end()
	close(ended)
	<-stopped
	h := s.load.snapshot()
	h.Logins = s.load.service.logins() - 1
	h.Done = true
	report.Encode(h)
	if s.load.service.close != nil {
		s.load.service.close()
	}
}

// makeKeys makes six key pairs, of which two are used, by a use of the module that ends with it.
func (s *scene) makeKeys() {
	s.foreign = miekg.New(s.hsm.Module)
	s.check(s.foreign.Initialize())
	session := s.theirs(miekg.CKF_RW_SESSION)
	s.check(s.foreign.Login(session, miekg.CKU_USER, s.hsm.PIN))
	curve, err := asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7})
	s.check(err)
	for i := range 6 {
		label := fmt.Sprintf("key %d", i)
		common := []*miekg.Attribute{
			miekg.NewAttribute(miekg.CKA_TOKEN, true), miekg.NewAttribute(miekg.CKA_LABEL, label), miekg.NewAttribute(miekg.CKA_ID, []byte{byte(i + 1)}),
		}
		public, _, err := s.foreign.GenerateKeyPair(session, []*miekg.Mechanism{miekg.NewMechanism(miekg.CKM_EC_KEY_PAIR_GEN, nil)},
			append(slices.Clone(common), miekg.NewAttribute(miekg.CKA_EC_PARAMS, curve), miekg.NewAttribute(miekg.CKA_VERIFY, true)),
			append(slices.Clone(common), miekg.NewAttribute(miekg.CKA_PRIVATE, true), miekg.NewAttribute(miekg.CKA_SENSITIVE, true), miekg.NewAttribute(miekg.CKA_SIGN, true)))
		s.check(err)
		if i%3 != 1 {
			s.others = append(s.others, label)
			continue
		}
		values, err := s.foreign.GetAttributeValue(session, public, []*miekg.Attribute{miekg.NewAttribute(miekg.CKA_EC_POINT, nil)})
		s.check(err)
		var point []byte
		_, err = asn1.Unmarshal(values[0].Value, &point)
		s.check(err)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		s.check(err)
		s.labels = append(s.labels, label)
		s.load.publics = append(s.load.publics, key)
	}
	s.check(s.foreign.Finalize())
}

func (s *scene) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) socket() string { return filepath.Join(s.hsm.Dir, "p11-kit") }

// startServer starts p11-kit's server with those that it starts for each connection. They
// end when the lease does.
func (s *scene) startServer() {
	s.server = exec.Command("/bin/sh", "-c", `"$@" & cat >/dev/null; kill -9 0`, "sh",
		system.Need(s.t, "p11-kit", "p11-kit"), "server", "-f", "-n", s.socket(), "--provider", s.hsm.Module, "pkcs11:token="+strings.ReplaceAll(s.hsm.Label, " ", "%20"))
	s.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	s.lease, err = s.server.StdinPipe()
	s.check(err)
	s.check(s.server.Start())
}

func (s *scene) stopServer() {
	s.lease.Close()
	s.server.Wait()
	os.Remove(s.socket())
}

func (s *scene) killServer() {
	s.stopServer()
	time.Sleep(50 * time.Millisecond) // the daemon takes its time too
	s.startServer()
}

func (s *scene) removeToken() {
	tokens := filepath.Join(s.hsm.Dir, "tokens")
	entries, err := os.ReadDir(tokens)
	if err != nil || len(entries) != 1 {
		s.t.Fatalf("got %d tokens, %v", len(entries), err)
	}
	at, away := filepath.Join(tokens, entries[0].Name()), filepath.Join(s.hsm.Dir, "away")
	s.check(os.Rename(at, away))
	time.Sleep(100 * time.Millisecond)
	s.check(os.Rename(away, at))
}

// theirs opens a session of somebody else.
func (s *scene) theirs(flags uint) miekg.SessionHandle {
	s.t.Helper()
	slots, err := s.foreign.GetSlotList(true)
	for _, slot := range slots {
		var i miekg.TokenInfo
		if i, err = s.foreign.GetTokenInfo(slot); err != nil || i.Label != s.hsm.Label {
			continue
		}
		session, err := s.foreign.OpenSession(slot, miekg.CKF_SERIAL_SESSION|flags)
		s.check(err)
		return session
	}
	s.t.Fatalf("there is no token %q: %v", s.hsm.Label, err)
	return 0
}

func (s *scene) closeSessions() {
	defer s.load.silence()()
	last := s.theirs(0)
	for n := range last {
		s.foreign.CloseSession(n) // most are none
	}
	s.foreign.CloseSession(last)
}

func (s *scene) logOut() {
	defer s.load.silence()()
	session := s.theirs(0)
	if err := s.foreign.Logout(session); !errors.Is(err, miekg.Error(miekg.CKR_USER_NOT_LOGGED_IN)) {
		s.check(err)
	}
	s.foreign.CloseSession(session)
}

// reinitialize finalises and initialises the module, and lets somebody else do what a
// service does: numbers are given from the beginning again.
func (s *scene) reinitialize() {
	defer s.load.silence()()
	s.check(s.foreign.Finalize())
	s.check(s.foreign.Initialize())
	var session miekg.SessionHandle
	for range 2 {
		session = s.theirs(miekg.CKF_RW_SESSION)
	}
	s.check(s.foreign.Login(session, miekg.CKU_USER, s.hsm.PIN))
	for _, label := range s.others {
		s.check(s.foreign.FindObjectsInit(session, []*miekg.Attribute{miekg.NewAttribute(miekg.CKA_CLASS, miekg.CKO_PRIVATE_KEY), miekg.NewAttribute(miekg.CKA_LABEL, label)}))
		objects, _, err := s.foreign.FindObjects(session, 10)
		if s.check(err); len(objects) != 1 {
			s.t.Fatalf("got %d keys %q, want one", len(objects), label)
		}
		s.check(s.foreign.FindObjectsFinal(session))
	}
	for range 40 {
		s.theirs(miekg.CKF_RW_SESSION)
	}
}
