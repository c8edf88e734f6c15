package system_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

// examplePatience is how long these tests wait for anything.
const examplePatience = 10 * time.Second

// buildExample builds an example and returns its path.
func buildExample(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	goTool(t, []string{"CGO_ENABLED=0"}, "build", "-o", path, "./examples/"+name)
	return path
}

// An example is a running program whose output is looked at while it runs.
type example struct {
	t   *testing.T
	cmd *exec.Cmd

	mu    sync.Mutex
	out   bytes.Buffer
	seen  int           // what expect has passed over
	grown chan struct{} // has one element when there is more
}

// startExample starts a program that uses the daemon at a socket.
func startExample(t *testing.T, socket, program string, args ...string) *example {
	t.Helper()
	e := &example{t: t, cmd: exec.Command(program, args...), grown: make(chan struct{}, 1)}
	e.cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+socket)
	e.cmd.Stdout, e.cmd.Stderr = e, e
	e.cmd.WaitDelay = examplePatience
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if e.cmd.ProcessState == nil {
			e.cmd.Process.Kill()
			e.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(program), e.output())
		}
	})
	return e
}

func (e *example) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out.Write(b)
	select {
	case e.grown <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (e *example) output() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.out.String()
}

// expect waits until the program says the texts, in this order, after what was expected
// before.
func (e *example) expect(texts ...string) {
	e.t.Helper()
	deadline := time.After(examplePatience)
	for _, text := range texts {
		for {
			out := e.output()
			if i := strings.Index(out[e.seen:], text); i >= 0 {
				e.seen += i + len(text)
				break
			}
			select {
			case <-e.grown:
			case <-deadline:
				e.t.Fatalf("it does not say %q", text)
			}
		}
	}
}

// interrupt ends the program as Ctrl-C does, which is no error.
func (e *example) interrupt() {
	e.t.Helper()
	e.cmd.Process.Signal(syscall.SIGINT)
	if err := e.cmd.Wait(); err != nil {
		e.t.Errorf("interrupted: %v", err)
	}
}

// runExample runs a program to its end and returns what it printed.
func runExample(t *testing.T, socket, input, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), examplePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+socket)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// checkSays checks that a text has all of want.
func checkSays(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("it does not say %q:\n%s", w, out)
		}
	}
}

// A spyCard is a card that notes what is sent to it and how often it was reset.
type spyCard struct {
	*card.Card
	mu       sync.Mutex
	commands []apdu.Instruction
	resets   int
}

func (s *spyCard) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	s.mu.Lock()
	s.commands = append(s.commands, apdu.Instruction(command[1]))
	s.mu.Unlock()
	return s.Card.Transmit(ctx, dst, command)
}

func (s *spyCard) Reset()    { s.note(); s.Card.Reset() }
func (s *spyCard) PowerOff() { s.note(); s.Card.PowerOff() }

func (s *spyCard) note() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resets++
}

func (s *spyCard) noted() (commands []apdu.Instruction, resets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands), s.resets
}

// putIn puts a card into a reader of a daemon until remove is called or the test ends.
func putIn(t *testing.T, daemon *system.PCSCD, reader int, c vpcd.Card) (remove func()) {
	t.Helper()
	slot := vpcd.NewSlot(daemon.Addresses[reader])
	ctx, cancel := context.WithTimeout(t.Context(), examplePatience)
	defer cancel()
	if err := slot.Insert(ctx, c); err != nil {
		t.Fatal(err)
	}
	remove = func() { slot.Remove() }
	t.Cleanup(remove)
	cardIn(t, daemon, reader)
	return remove
}

// cardIn waits for the card in a reader and returns how to reach it.
func cardIn(t *testing.T, daemon *system.PCSCD, reader int) *pcsc.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), examplePatience)
	defer cancel()
	pc, err := pcsc.Establish(ctx, &pcsc.Options{Socket: daemon.SocketName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	if _, err := pc.WaitForCard(ctx, func(r pcsc.Reader) bool { return r.Name == daemon.Readers[reader] }); err != nil {
		t.Fatal(err)
	}
	return pc
}

func TestListReaders(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "list-readers")

	t.Run("readers and cards as they are, with contacts and without", func(t *testing.T) {
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
		c := card.New(nil, newApplication())
		putIn(t, daemon, 0, c)
		putIn(t, daemon, 1, card.New(&card.Options{Contactless: true}, newApplication()))
		out, err := runExample(t, daemon.SocketName, "", program)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		first, second, _ := strings.Cut(out, daemon.Readers[1]+"\n")
		checkSays(t, first, daemon.Readers[0]+"\n", "card present", "with contacts", fmt.Sprintf("ATR    % X", c.ATR()))
		checkSays(t, second, "card present", "contactless, by its ATR")
	})

	t.Run("what happens, through a restart of pcscd", func(t *testing.T) {
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
		name := daemon.Readers[0]
		e := startExample(t, daemon.SocketName, program, "-watch")
		e.expect("reader added: "+name, "reader added: "+daemon.Readers[1])
		remove := putIn(t, daemon, 0, card.New(nil, newApplication()))
		e.expect("card inserted: "+name+", with contacts", "ATR 3B")
		remove()
		e.expect("card removed: " + name)
		daemon.Restart()
		e.expect("service lost", "reader removed: "+name, "service restored", "reader added: "+name)
		putIn(t, daemon, 0, card.New(nil, newApplication()))
		e.expect("card inserted: " + name)
		e.interrupt()
	})

	t.Run("readers coming and going, and a storage card", func(t *testing.T) {
		daemon := fakeDaemon(t, "Reader A")
		e := startExample(t, daemon.Socket(), program, "-watch")
		e.expect("reader added: Reader A")
		b, err := daemon.AddReader("Reader B\x1b[2J", nil)
		if err != nil {
			t.Fatal(err)
		}
		e.expect("reader added: Reader B?[2J")
		mifare := iso7816.StorageCard{Standard: 3, Name: iso7816.MIFAREClassic1K}.ATR()
		atr, _ := mifare.AppendBinary(nil)
		if err := b.Insert(card.New(&card.Options{ATR: atr}, newApplication())); err != nil {
			t.Fatal(err)
		}
		e.expect("card inserted", "contactless storage card, MIFARE Classic 1K")
		b.Unplug()
		e.expect("card removed", "reader removed")
		e.interrupt()
	})

	t.Run("without pcscd it says what to do", func(t *testing.T) {
		out, err := runExample(t, filepath.Join(t.TempDir(), "none"), "", program)
		if err == nil {
			t.Error("it succeeds")
		}
		checkSays(t, out, "list-readers:", "pcscd")
	})

	t.Run("without a reader it says so", func(t *testing.T) {
		out, err := runExample(t, fakeDaemon(t).Socket(), "", program)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "No reader.")
	})
}

// fakeDaemon starts a daemon in software.
func fakeDaemon(t *testing.T, readers ...string) *pcsctest.Daemon {
	t.Helper()
	daemon, err := pcsctest.Start(&pcsctest.Options{Readers: readers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { daemon.Close() })
	return daemon
}

func TestCardInfo(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "card-info")

	t.Run("a card in software", func(t *testing.T) {
		out, err := runExample(t, "/nowhere", "", program, "-emulate")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "direct convention", "T=1: up to", "extended Lc and Le", "category 80 COMPACT-TLV", "found          PIV",
			`certificate of "CN=Card in software"`, "slot 9A        P-256, PIN policy once", "GUID")
	})

	t.Run("a card in a reader, asked nothing that counts", func(t *testing.T) {
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
		c := &spyCard{Card: card.New(nil, newApplication())}
		ca, err := newAuthority()
		if err != nil {
			t.Fatal(err)
		}
		client, err := piv.Open(t.Context(), iso7816.NewChannel(c.Card, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := provision(t.Context(), client, ca, piv.SlotSignature, piv.AlgorithmP384); err != nil {
			t.Fatal(err)
		}
		putIn(t, daemon, 1, c)
		_, resetsBefore := c.noted()
		out, err := runExample(t, daemon.SocketName, "", program)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, fmt.Sprintf("reader         %q", daemon.Readers[1]), fmt.Sprintf("ATR % X", c.ATR()), "EF.DIR", "EF.ATR/INFO", "6A82",
			"others", fmt.Sprintf("serial number  %d", testSerial), "slot 9C        P-384, PIN policy always", `"CN=card holder 9C (Digital Signature)"`, `"CN=Test CA"`)
		if strings.Contains(out, "beware") || strings.Contains(out, "Contactless") {
			t.Errorf("it is told to accept any name, or to be contactless:\n%s", out)
		}
		commands, resets := c.noted()
		harmless := []apdu.Instruction{apdu.InsSelect, apdu.InsGetDataOdd, apdu.InsGetResponse, 0xF7, 0xF8, 0xFD} // the last three: YubiKey's GET METADATA, GET SERIAL, GET VERSION
		for _, ins := range commands {
			if !slices.Contains(harmless, ins) {
				t.Errorf("it sends %v", ins)
			}
		}
		if len(commands) < 40 || resets != resetsBefore {
			t.Errorf("got %d commands, and %d resets more than before", len(commands), resets-resetsBefore)
		}
	})

	t.Run("a contactless card with its UID and ATS", func(t *testing.T) {
		daemon := fakeDaemon(t, "Reader")
		plain := card.New(nil, newApplication())
		if err := daemon.Reader("Reader").Insert(pcsctest.Contactless(plain, []byte{4, 0xA, 0xB, 0xC}, []byte{6, 0x78, 0x80, 0x70, 2, 0x80})); err != nil {
			t.Fatal(err)
		}
		out, err := runExample(t, daemon.Socket(), "", program, "-reader", "reader")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "Contactless", "UID            04 0A 0B 0C", "ATS            80 (its historical bytes", "found          PIV")
	})

	t.Run("a card that accepts every name", func(t *testing.T) {
		daemon := fakeDaemon(t, "Reader")
		if err := daemon.Reader("Reader").Insert(yesCard{card.New(nil, newApplication())}); err != nil {
			t.Fatal(err)
		}
		out, err := runExample(t, daemon.Socket(), "", program)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "accepts a name that nobody has")
	})

	t.Run("a card that is removed meanwhile ends it", func(t *testing.T) {
		for _, nth := range []int{1, 20, 55} { // in EF.ATR/INFO, in the applications, in PIV
			daemon := fakeDaemon(t, "Reader")
			daemon.SetFault(func(c pcsctest.Call) *pcsctest.Fault {
				if c.Command == pcsctest.SCARD_TRANSMIT && c.N == nth {
					return &pcsctest.Fault{Code: uint32(pcsc.SCARD_W_REMOVED_CARD)}
				}
				return nil
			})
			if err := daemon.Reader("Reader").Insert(card.New(nil, newApplication())); err != nil {
				t.Fatal(err)
			}
			out, err := runExample(t, daemon.Socket(), "", program)
			if err == nil {
				t.Errorf("at command %d: it succeeds:\n%s", nth, out)
			}
			checkSays(t, out, "card-info: ", "SCARD_W_REMOVED_CARD")
		}
	})
}

// A yesCard answers every command with 9000.
type yesCard struct{ *card.Card }

func (yesCard) Transmit(_ context.Context, dst, _ []byte) ([]byte, error) {
	return append(dst, 0x90, 0x00), nil
}

func TestAPDUShell(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "apdu-shell")
	daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
	c := &spyCard{Card: card.New(nil, newApplication())}
	client, err := piv.Open(t.Context(), iso7816.NewChannel(c.Card, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if err := provision(t.Context(), client, ca, piv.SlotAuthentication, piv.AlgorithmP256); err != nil {
		t.Fatal(err)
	}
	putIn(t, daemon, 0, c)
	verify := "00 20 00 80 08 32 34 36 38 31 30 FF FF"
	const readCertificate = "00CB3FFF055C035FC10500"

	t.Run("from a pipe, with a transcript that replays", func(t *testing.T) {
		transcript := filepath.Join(t.TempDir(), "transcript")
		input := "select piv\n# the PIN\n" + verify + "\n\nbegin\n0x00,0xCB:3F-FF 05 5C035FC105 00\nend\natr\nquit\nzz\n"
		out, err := runExample(t, daemon.SocketName, input, program, "-transcript", transcript)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "SELECT PIV → 9000", "VERIFY reference 80, 8 bytes hidden → 9000", "GET DATA 5FC105 (certificate of slot 9A)", "begin: done", "end: done", fmt.Sprintf("ATR % X", c.ATR()))
		if strings.Contains(out, "32 34 36 38") || strings.Contains(out, "246810") {
			t.Errorf("it shows the PIN:\n%s", out)
		}
		if info, err := os.Stat(transcript); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("transcript: got %v, %v; want mode 0600", info, err)
		}
		replayTranscript(t, transcript)
		if out, err := runExample(t, daemon.SocketName, "", program, "-transcript", transcript); err == nil {
			t.Errorf("it overwrites a transcript:\n%s", out)
		}
	})

	t.Run("every byte when asked for", func(t *testing.T) {
		out, err := runExample(t, daemon.SocketName, "select A000000308\n"+verify+"\n", program, "-insecure-log-secrets")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "> "+verify, "< 90 00")
	})

	t.Run("raw: what is typed and nothing else", func(t *testing.T) {
		before, _ := c.noted()
		out, err := runExample(t, daemon.SocketName, "select piv\n"+readCertificate+"\n00\n", program, "-raw")
		if err == nil {
			t.Errorf("one byte is no error:\n%s", out)
		}
		checkSays(t, out, "61", "line 3")
		after, _ := c.noted()
		if got := after[len(before):]; !slices.Equal(got, []apdu.Instruction{apdu.InsSelect, apdu.InsGetDataOdd}) {
			t.Errorf("the card got %v", got)
		}
	})

	t.Run("not raw: the rest of the answer is fetched", func(t *testing.T) {
		before, _ := c.noted()
		if out, err := runExample(t, daemon.SocketName, "select piv\n"+readCertificate+"\n", program); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		after, _ := c.noted()
		if !slices.Contains(after[len(before):], apdu.InsGetResponse) {
			t.Errorf("the card got %v", after[len(before):])
		}
	})

	t.Run("reset takes the verified PIN away", func(t *testing.T) {
		out, err := runExample(t, daemon.SocketName, "select piv\n"+verify+"\n00200080\nreset\nselect piv\n00200080\n", program)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		before, after, _ := strings.Cut(out, "reset: done")
		checkSays(t, before, "VERIFY reference 80, query → 9000")
		checkSays(t, after, "VERIFY reference 80, query → 63C3")
	})

	t.Run("what is wrong in a pipe ends it", func(t *testing.T) {
		for _, tt := range []struct{ input, want string }{
			{"00A4\n", "-raw"},
			{"select nothing\n", "help lists the names"},
			{"end\n", "no transaction"},
			{"246810\n", "line 1"},
		} {
			out, err := runExample(t, "/nowhere", tt.input+"select piv\n", program, "-emulate")
			if err == nil || strings.Contains(out, "9000") || tt.input == "246810\n" && strings.Contains(out, "246810") {
				t.Errorf("%q: it goes on, or shows it:\n%s", tt.input, out)
			}
			checkSays(t, out, tt.want)
		}
	})

	t.Run("at a terminal, with a history, and going on after what is wrong", func(t *testing.T) {
		script := system.Need(t, "script", "bsdutils")
		out, err := runExample(t, "/nowhere", "zz\rselect piv\r\x1b[A\rhelp\rquit\r", script, "-qec", program+" -emulate", "/dev/null")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "apdu> ", "not a hexadecimal digit", "openpgp")
		if n := strings.Count(out, "SELECT PIV → 9000"); n != 2 {
			t.Errorf("PIV was selected %d times, want 2:\n%s", n, out)
		}
	})
}

// replayTranscript sends the commands of TestAPDUShell to what a transcript makes of the card.
func replayTranscript(t *testing.T, transcript string) {
	t.Helper()
	text, err := os.ReadFile(transcript)
	if err != nil {
		t.Fatal(err)
	}
	player, err := apdutest.Replay(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ch := iso7816.NewChannel(player, nil)
	for _, c := range []apdu.Command{
		{Instruction: apdu.InsSelect, P1: 4, Data: piv.AID.AppendTo(nil), Ne: 256},
		{Instruction: apdu.InsVerify, P2: 0x80, Data: append(slices.Clone(testPIN), 0xFF, 0xFF)},
		{Instruction: apdu.InsGetDataOdd, P1: 0x3F, P2: 0xFF, Data: []byte{0x5C, 3, 0x5F, 0xC1, 5}, Ne: 256},
	} {
		if _, err := ch.Send(t.Context(), c); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
	if err := player.Done(); err != nil {
		t.Error(err)
	}
}

func TestRelay(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "relay")

	t.Run("to another machine only when told", func(t *testing.T) {
		daemon := fakeDaemon(t, "Reader")
		for _, address := range []string{"192.0.2.1:35963", "example.com:35963", ":35963", "0.0.0.0:1", "nonsense"} {
			out, err := runExample(t, daemon.Socket(), "", program, "-address", address)
			if err == nil {
				t.Errorf("%s: it succeeds", address)
			}
			checkSays(t, out, "-insecure-remote")
		}
		out, _ := runExample(t, daemon.Socket(), "", program, "-reader", "Other")
		checkSays(t, out, `"Reader"`)
	})

	t.Run("a card signs through two daemons, is torn out and comes back", func(t *testing.T) {
		here := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true, Name: "Here"})
		there := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true, Name: "There"})
		c := &spyCard{Card: card.New(nil, newApplication())}
		remove := putIn(t, here, 0, c)
		e := startExample(t, here.SocketName, program, "-reader", here.Readers[0], "-address", there.Addresses[0])
		e.expect("Warning: whoever reaches", "is in the virtual reader")

		conn := connectTo(t, there, 0)
		client, err := piv.Open(t.Context(), iso7816.NewChannel(conn, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		ca, err := newAuthority()
		if err != nil {
			t.Fatal(err)
		}
		if err := provision(t.Context(), client, ca, piv.SlotAuthentication, piv.AlgorithmP256); err != nil {
			t.Fatal(err)
		}
		signInSlot9A(t, client)
		if _, err := contextOf(t, here).Connect(t.Context(), here.Readers[0], nil); !errors.Is(err, pcsc.SCARD_E_SHARING_VIOLATION) {
			t.Errorf("another program at the real reader: got %v", err)
		}

		// A reset there is a reset here.
		_, before := c.noted()
		if err := conn.Reset(t.Context(), apdu.ResetCard); err != nil {
			t.Fatal(err)
		}
		if s, err := client.PINStatus(t.Context()); err != nil || s.Verified {
			t.Errorf("after a reset: got %+v, %v", s, err)
		}
		if _, after := c.noted(); after == before {
			t.Error("the card was not reset")
		}

		remove()
		e.expect("the card was removed")
		if _, err := client.Serial(t.Context()); !errors.Is(err, apdu.ErrRemoved) {
			t.Errorf("without a card: got %v", err)
		}
		putIn(t, here, 0, c)
		e.expect("is in the virtual reader")
		again, err := piv.Open(t.Context(), iso7816.NewChannel(connectTo(t, there, 0), nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		signInSlot9A(t, again)

		there.Restart()
		e.expect("reader closed the connection", "is in the virtual reader")
		if again, err = piv.Open(t.Context(), iso7816.NewChannel(connectTo(t, there, 0), nil), nil); err != nil {
			t.Fatal(err)
		}
		signInSlot9A(t, again)

		// What was verified there is not left to the programs here.
		e.interrupt()
		local, err := piv.Open(t.Context(), iso7816.NewChannel(connectTo(t, here, 0), nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := local.PINStatus(t.Context()); err != nil || s.Verified {
			t.Errorf("after the relay: got %+v, %v", s, err)
		}
	})

	t.Run("a reset by another program takes the card out and puts it in again", func(t *testing.T) {
		here := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true, Name: "Here"})
		there := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true, Name: "There"})
		e := startExample(t, here.SocketName, program, "-share", "-reader", "here 00 00", "-address", there.Addresses[1])
		e.expect("Warning")
		there.Stop()
		putIn(t, here, 0, card.New(nil, newApplication()))
		e.expect("is pcscd running")
		there.Restart()
		e.expect("is in the virtual reader")
		conn := connectTo(t, there, 1)
		client, err := piv.Open(t.Context(), iso7816.NewChannel(conn, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := connectTo(t, here, 0).Reset(t.Context(), apdu.ResetCard); err != nil {
			t.Fatal(err)
		}
		if serial, err := client.Serial(t.Context()); err == nil {
			t.Errorf("after a reset by another program: got %s", serial)
		}
		e.expect("card was reset", "is in the virtual reader")
		here.Restart()
		e.expect("pcscd is gone", "the card was removed")
		putIn(t, here, 0, card.New(nil, newApplication()))
		e.expect("is in the virtual reader")
		again, err := piv.Open(t.Context(), iso7816.NewChannel(connectTo(t, there, 1), nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Serial(t.Context()); err != nil {
			t.Error(err)
		}
		e.interrupt()
	})
}

// contextOf returns a connection to a daemon.
func contextOf(t *testing.T, daemon *system.PCSCD) *pcsc.Context {
	t.Helper()
	pc, err := pcsc.Establish(t.Context(), &pcsc.Options{Socket: daemon.SocketName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

// connectTo waits for a card in a reader and connects to it.
func connectTo(t *testing.T, daemon *system.PCSCD, reader int) *pcsc.Conn {
	t.Helper()
	conn, err := cardIn(t, daemon, reader).Connect(t.Context(), daemon.Readers[reader], nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// signInSlot9A verifies the PIN and signs with the key in slot 9A, which its certificate proves.
func signInSlot9A(t *testing.T, client *piv.Client) {
	t.Helper()
	if err := client.VerifyPIN(t.Context(), testPIN); err != nil {
		t.Fatal(err)
	}
	key, err := client.Key(t.Context(), piv.SlotAuthentication)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("relayed"))
	signature, err := key.Signer(nil).Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], signature) {
		t.Error("the signature is wrong")
	}
}
