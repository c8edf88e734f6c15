//go:build cgo && libpcsclite

package pcsctest_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ebfe/scard"
	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

// theirs is a winscard over libpcsclite.
type theirs struct {
	ctx  *scard.Context
	card *scard.Card
}

func openTheirs(t *testing.T) winscard {
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	return &theirs{ctx: ctx}
}

func scardCode(err error) uint32 {
	var e scard.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return uint32(e)
	}
	return 1
}

func (s *theirs) connect(reader string, share, protocols uint32) (uint32, uint32) {
	card, err := s.ctx.Connect(reader, scard.ShareMode(share), scard.Protocol(protocols))
	if err != nil {
		return 0, scardCode(err)
	}
	s.card = card
	return uint32(card.ActiveProtocol()), 0
}

func (s *theirs) reconnect(share, protocols, initialization uint32) (uint32, uint32) {
	err := s.card.Reconnect(scard.ShareMode(share), scard.Protocol(protocols), scard.Disposition(initialization))
	return uint32(s.card.ActiveProtocol()), scardCode(err)
}

func (s *theirs) disconnect(d uint32) uint32 {
	return scardCode(s.card.Disconnect(scard.Disposition(d)))
}
func (s *theirs) begin() uint32 { return scardCode(s.card.BeginTransaction()) }
func (s *theirs) end(d uint32) uint32 {
	return scardCode(s.card.EndTransaction(scard.Disposition(d)))
}
func (s *theirs) status() uint32 {
	_, err := s.card.Status()
	return scardCode(err)
}
func (s *theirs) transmit(command []byte) ([]byte, uint32) {
	if p := s.card.ActiveProtocol(); p != scard.ProtocolT0 && p != scard.ProtocolT1 {
		return nil, 1 // ebfe/scard panics
	}
	out, err := s.card.Transmit(command)
	return out, scardCode(err)
}
func (s *theirs) attribute(id uint32) ([]byte, uint32) {
	out, err := s.card.GetAttrib(scard.Attrib(id))
	return out, scardCode(err)
}
func (s *theirs) setAttribute(id uint32, value []byte) uint32 {
	return scardCode(s.card.SetAttrib(scard.Attrib(id), value))
}
func (s *theirs) control(code uint32, in []byte) ([]byte, uint32) {
	out, err := s.card.Control(code, in)
	return out, scardCode(err)
}
func (s *theirs) waits() bool { return true }
func (s *theirs) close()      { s.ctx.Release() }

// childEnv names the daemon for a child process: libpcsclite reads the name of the
// socket once in the life of a process. childResult is the file for the answers.
const childEnv, childResult = "PCSCTEST_CHILD", "PCSCTEST_RESULT"

// child runs this test in another process and returns what it has written.
func child(t *testing.T, daemon string) []string {
	t.Helper()
	result := filepath.Join(t.TempDir(), "result")
	cmd := exec.CommandContext(within(t, 3*patience), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+daemon, childResult+"="+result)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", daemon, err, out)
	}
	b, err := os.ReadFile(result)
	if err != nil {
		return nil // the child was skipped
	}
	var lines []string
	if err := json.Unmarshal(b, &lines); err != nil {
		t.Fatal(err)
	}
	return lines
}

// leave writes the answers of a child.
func leave(t *testing.T, lines []string) {
	t.Helper()
	b, err := json.Marshal(lines)
	if err == nil {
		err = os.WriteFile(os.Getenv(childResult), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The real libpcsclite gets the same answers from both daemons.
func TestLibpcscliteGetsTheAnswersOfPCSCD(t *testing.T) {
	switch os.Getenv(childEnv) {
	case "pcscd":
		w := realWorld(t)
		leave(t, script(w, func() winscard { return openTheirs(t) }))
	case "pcsctest":
		socket := filepath.Join(t.TempDir(), "s")
		t.Setenv("PCSCLITE_CSOCK_NAME", socket)
		w := fakeWorld(t, &pcsctest.Options{Socket: socket})
		leave(t, script(w, func() winscard { return openTheirs(t) }))
	default:
		real, fake := child(t, "pcscd"), child(t, "pcsctest")
		if real == nil {
			t.Skip("no pcscd to compare with")
		}
		if len(real) < 100 {
			t.Errorf("got %d answers of pcscd, want more than 100", len(real))
		}
		if diff := cmp.Diff(real, fake); diff != "" {
			t.Errorf("answers (-pcscd +pcsctest):\n%s", diff)
		}
	}
}

// What libpcsclite does with the rest of the protocol: lists, events, cancelling,
// faults, the end of the daemon and its return.
func TestLibpcsclite(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		child(t, "pcsctest")
		return
	}
	socket := filepath.Join(t.TempDir(), "s")
	t.Setenv("PCSCLITE_CSOCK_NAME", socket)
	d := start(t, &pcsctest.Options{Socket: socket})
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	readers, err := ctx.ListReaders()
	if diff := cmp.Diff([]string{reader0, reader1}, readers); diff != "" || err != nil {
		t.Errorf("readers, %v (-want +got):\n%s", err, diff)
	}
	states := []scard.ReaderState{{Reader: reader0, CurrentState: scard.StateUnaware}}
	wait := func() <-chan error {
		states[0].CurrentState = states[0].EventState
		result := make(chan error, 1)
		go func() { result <- ctx.GetStatusChange(states, patience) }()
		return result
	}
	if err := ctx.GetStatusChange(states, patience); err != nil {
		t.Fatal(err)
	}
	result := wait()
	insert(t, d, &card{})
	if err := <-result; err != nil || states[0].EventState&scard.StatePresent == 0 || states[0].EventState>>16 != 1 || string(states[0].Atr) != string(atrT1) {
		t.Errorf("got %+v, %v, want a card", states, err)
	}
	states[0].CurrentState = states[0].EventState
	if err := ctx.GetStatusChange(states, 0); err != scard.ErrTimeout {
		t.Errorf("got %v, want a time-out", err)
	}
	result = wait()
	for {
		if err := ctx.Cancel(); err != nil && err != scard.ErrInvalidHandle {
			t.Fatal(err)
		}
		select {
		case err = <-result:
		default:
			continue
		}
		break
	}
	if err != scard.ErrCancelled {
		t.Errorf("got %v, want cancelled", err)
	}
	c, err := ctx.Connect(reader0, scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	// Lc 65,535 and Le 65,536, echoed but for its end.
	d.Reader(reader0).Eject()
	insert(t, d, &card{})
	if err := c.Reconnect(scard.ShareShared, scard.ProtocolAny, scard.LeaveCard); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Transmit(append([]byte{0, 0xCB, 0, 0, 0, 0xFF, 0xFF}, make([]byte, 65537)...)); err != nil || len(out) != 65546 {
		t.Errorf("got %d bytes, %v, want 65,546", len(out), err)
	}
	st, err := c.Status()
	if err != nil || st.Reader != reader0 || st.ActiveProtocol != scard.ProtocolT1 || string(st.Atr) != string(atrT1) {
		t.Errorf("got %+v, %v", st, err)
	}
	for _, command := range []pcsctest.Command{pcsctest.SCARD_TRANSMIT, pcsctest.SCARD_STATUS, pcsctest.SCARD_CONTROL, pcsctest.SCARD_GET_ATTRIB} {
		d.SetFault(at(command, pcsctest.Fault{Code: 0x8010002F}))
		var err error
		switch command {
		case pcsctest.SCARD_TRANSMIT:
			_, err = c.Transmit(selectMF)
		case pcsctest.SCARD_STATUS:
			_, err = c.Status()
		case pcsctest.SCARD_CONTROL:
			_, err = c.Control(1, []byte{1})
		case pcsctest.SCARD_GET_ATTRIB:
			_, err = c.GetAttrib(scard.AttrAtrString)
		}
		if scardCode(err) != 0x8010002F {
			t.Errorf("%v: got %v, want 0x8010002F", command, err)
		}
	}
	d.SetFault(nil)
	d.SetFault(at(pcsctest.SCARD_TRANSMIT, pcsctest.Fault{Kill: true}))
	if _, err = c.Transmit(selectMF); scardCode(err) != 0x80100013 {
		t.Errorf("got %v, want 0x80100013", err)
	}
	if _, err := scard.EstablishContext(); scardCode(err) != 0x8010001D {
		t.Errorf("got %v, want 0x8010001D", err)
	}
	d.SetFault(nil)
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	ctx2, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	c2, err := ctx2.Connect(reader0, scard.ShareExclusive, scard.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c2.Transmit(selectMF); err != nil || len(out) != 6 {
		t.Errorf("got % X, %v", out, err)
	}
	if err := errors.Join(c2.Disconnect(scard.ResetCard), ctx2.Release()); err != nil {
		t.Error(err)
	}
	d.Reader(reader0).Unplug()
	d.Reader(reader1).Unplug()
	ctx3, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ctx3.ListReaders(); err != scard.ErrNoReadersAvailable {
		t.Errorf("got %v, want no readers", err)
	}
	ctx3.Release()
	leave(t, nil)
}
