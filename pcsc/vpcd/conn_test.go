package vpcd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

var (
	_ apdu.Transmitter = (*vpcd.Conn)(nil)
	_ apdu.Described   = (*vpcd.Conn)(nil)
)

var selectMF = []byte{0, 0xA4, 0, 0}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

const patience = 20 * time.Second

// pair connects a card, served by Serve over TCP, to a reader.
func pair(t testing.TB, c vpcd.Card) (*vpcd.Conn, *vpcd.Slot) {
	t.Helper()
	l, err := vpcd.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	slot := vpcd.NewSlot(l.Addr().String())
	if err := slot.Insert(within(t, patience), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slot.Remove() })
	conn, err := l.Accept(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, slot
}

// wantErrors fails the test unless err is each of the wanted errors and says the
// words.
func wantErrors(t testing.TB, err error, wanted []error, words ...string) {
	t.Helper()
	for _, want := range wanted {
		if !errors.Is(err, want) {
			t.Errorf("got %v, want an error that is %v", err, want)
		}
	}
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want an error that says %q", err, w)
		}
	}
}

func wantNot(t testing.TB, err error, unwanted ...error) {
	t.Helper()
	for _, u := range unwanted {
		if errors.Is(err, u) {
			t.Errorf("got %v, which must not be %v", err, u)
		}
	}
}

func TestReaderForACardServedByServe(t *testing.T) {
	c := &card{}
	conn, slot := pair(t, c)
	ctx := within(t, patience)
	if got := conn.ATR(); !bytes.Equal(got, c.ATR()) {
		t.Errorf("got ATR % X, want % X", got, c.ATR())
	}
	if diff := cmp.Diff(apdu.Limits{Protocol: apdu.ProtocolT1, MaxCommand: 65535, MaxResponse: 65535}, conn.Limits()); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	dst := []byte{1, 2}
	got, err := conn.Transmit(ctx, dst, selectMF)
	if want := []byte{1, 2, 0, 0xA4, 0, 0, 0x90, 0}; err != nil || !bytes.Equal(got, want) {
		t.Errorf("got % X, %v, want % X", got, err, want)
	}
	for _, call := range []func(context.Context) error{conn.Reset, conn.Status, conn.PowerOff, conn.PowerOn} {
		if err := call(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := slot.Remove(); err != nil {
		t.Errorf("remove: %v", err)
	}
	want := []string{"power on", "command", "reset", "power off", "power on", "power off"}
	if diff := cmp.Diff(want, c.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for range 2 {
		got, err = conn.Transmit(ctx, dst, selectMF)
		wantErrors(t, err, []error{apdu.ErrRemoved})
		wantNot(t, err, apdu.ErrRetired, apdu.ErrReset)
		if !bytes.Equal(got, dst) {
			t.Errorf("got % X beside the error, want dst unchanged", got)
		}
	}
	wantErrors(t, err, []error{apdu.ErrNotSent}, "accept another card")
}

func TestConnIsATransmitter(t *testing.T) {
	apdutest.TestTransmitter(t, func(t *testing.T) apdu.Transmitter {
		conn, _ := pair(t, &card{})
		return conn
	})
}

func TestFramesOfAReaderHave65535Bytes(t *testing.T) {
	long := append(bytes.Repeat([]byte{0x5A}, 65533), 0x90, 0)
	conn, _ := pair(t, &card{transmit: func(dst, command []byte) ([]byte, error) {
		if len(command) > 7 {
			return append(dst, byte(len(command)>>8), byte(len(command)), 0x90, 0), nil
		}
		return append(dst, long...), nil
	}})
	ctx := within(t, patience)
	if got, err := conn.Transmit(ctx, nil, make([]byte, 65535)); err != nil || !bytes.Equal(got, []byte{0xFF, 0xFF, 0x90, 0}) {
		t.Errorf("got % X, %v, want FF FF 90 00", got, err)
	}
	if got, err := conn.Transmit(ctx, nil, []byte{0, 0xB0, 0, 0, 0, 0, 0}); err != nil || !bytes.Equal(got, long) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(long))
	}
	_, err := conn.Transmit(ctx, nil, make([]byte, 65536))
	wantErrors(t, err, []error{apdu.ErrNotSent, apdu.ErrLength}, "65536", "65535")
	for n := range 4 { // one byte is a control in this protocol
		_, err := conn.Transmit(ctx, nil, make([]byte, n))
		wantErrors(t, err, []error{apdu.ErrNotSent}, "shorter than a header")
	}
	if err := conn.Status(ctx); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

func TestCancelledCallRetiresTheConn(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	conn, slot := pair(t, &card{transmit: func(dst, _ []byte) ([]byte, error) {
		close(started)
		<-release
		return append(dst, 0x90, 0), nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-started
		cancel()
	}()
	dst := []byte{7}
	got, err := conn.Transmit(ctx, dst, selectMF)
	wantErrors(t, err, []error{apdu.ErrRetired, context.Canceled})
	wantNot(t, err, apdu.ErrNotSent, apdu.ErrRemoved)
	if !bytes.Equal(got, dst) {
		t.Errorf("got % X beside the error, want dst unchanged", got)
	}
	_, err = conn.Transmit(context.Background(), nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRetired, apdu.ErrNotSent})
	close(release)
	if err := slot.Remove(); err != nil && !errors.Is(err, vpcd.ErrReaderGone) {
		t.Logf("the card's end: %v", err)
	}
}

func TestContextThatEndsBeforeOrAfterACallDoesNoHarm(t *testing.T) {
	conn, _ := pair(t, &card{})
	for range 100 {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		_, err := conn.Transmit(ctx, nil, selectMF)
		switch {
		case err == nil, errors.Is(err, apdu.ErrNotSent):
		case errors.Is(err, apdu.ErrRetired) && errors.Is(err, context.Canceled):
			conn, _ = pair(t, &card{})
		default:
			t.Fatal(err)
		}
		if got, err := conn.Transmit(context.Background(), nil, selectMF); err != nil || len(got) != 6 {
			t.Fatalf("next call: % X, %v", got, err)
		}
	}
}

// A late conn has its answer read only after the context of the call has ended, and
// the deadline was set for it.
type late struct {
	scripted
	cancel   func()
	set      chan struct{}
	deadline time.Time
}

func (c *late) Read(b []byte) (int, error) {
	if c.cancel != nil {
		c.cancel()
		<-c.set
		c.cancel = nil
	}
	return c.scripted.Read(b)
}

func (c *late) SetDeadline(t time.Time) error {
	c.deadline = t
	if !t.IsZero() {
		close(c.set)
	}
	return nil
}

func TestAnswerThatCameIsKeptWhenTheContextEnds(t *testing.T) {
	conn := &late{set: make(chan struct{}), scripted: scripted{sent: bytes.NewReader(append(frame((&card{}).ATR()...), frame(0x90, 0)...))}}
	c, err := vpcd.NewConn(context.Background(), conn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	conn.cancel = cancel
	got, err := c.Transmit(ctx, nil, selectMF)
	if err != nil || !bytes.Equal(got, []byte{0x90, 0}) {
		t.Errorf("got % X, %v, want 90 00", got, err)
	}
	if !conn.deadline.IsZero() {
		t.Error("the deadline stays for the next call")
	}
}

func TestCloseEndsARunningCall(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{})
	conn, _ := pair(t, &card{transmit: func(dst, _ []byte) ([]byte, error) {
		close(started)
		<-release
		return append(dst, 0x90, 0), nil
	}})
	result := make(chan error)
	go func() {
		_, err := conn.Transmit(context.Background(), nil, selectMF)
		result <- err
	}()
	<-started
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	err := <-result
	wantErrors(t, err, []error{apdu.ErrRetired}, "closed during the call")
	wantNot(t, err, apdu.ErrNotSent)
	close(release)
	_, err = conn.Transmit(context.Background(), nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRetired, apdu.ErrNotSent})
}

func TestCardThatFailsIsRemovedFromTheReader(t *testing.T) {
	conn, slot := pair(t, &card{transmit: func(dst, _ []byte) ([]byte, error) { return dst, errors.New("broken") }})
	_, err := conn.Transmit(within(t, patience), nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRemoved})
	wantNot(t, err, apdu.ErrNotSent)
	var failed *vpcd.CardError
	if err := slot.Remove(); !errors.As(err, &failed) {
		t.Errorf("got %v, want a CardError", err)
	}
}

func TestAnswersThatAreNoneRetireTheConn(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent []byte
		want error
	}{
		{"no byte", frame(), apdu.ErrRetired},
		{"half a status", frame(0x90), apdu.ErrRetired},
		{"a torn length", []byte{0}, apdu.ErrRemoved},
		{"a torn response", []byte{0xFF, 0xFF, 1, 2, 3}, apdu.ErrRemoved},
		{"nothing", nil, apdu.ErrRemoved},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := vpcd.NewConn(context.Background(), &scripted{sent: bytes.NewReader(append(frame((&card{}).ATR()...), tt.sent...))})
			if err != nil {
				t.Fatal(err)
			}
			dst := []byte{1}
			got, err := conn.Transmit(context.Background(), dst, selectMF)
			wantErrors(t, err, []error{tt.want})
			wantNot(t, err, apdu.ErrNotSent)
			if !bytes.Equal(got, dst) {
				t.Errorf("got % X beside the error, want dst unchanged", got)
			}
			var malformed *vpcd.FrameError
			if errors.As(err, &malformed) != (tt.want == apdu.ErrRetired) {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, atr := range [][]byte{frame(), frame(0x3B), frame(make([]byte, 34)...)} {
		if _, err := vpcd.NewConn(context.Background(), &scripted{sent: bytes.NewReader(atr)}); !errors.Is(err, apdu.ErrRetired) {
			t.Errorf("ATR of %d bytes: got %v, want ErrRetired", len(atr)-2, err)
		}
	}
}

func TestCommandsAreClearedAfterSending(t *testing.T) {
	keeps := &keeper{scripted: scripted{sent: bytes.NewReader(append(frame((&card{}).ATR()...), frame(0x90, 0)...))}}
	conn, err := vpcd.NewConn(context.Background(), keeps)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Transmit(context.Background(), nil, []byte{0, 0x20, 0, 0x80, 2, '1', '2'}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(keeps.last, make([]byte, 9)) {
		t.Errorf("got % X left of the frame, want zeros", keeps.last)
	}
}

// A keeper keeps what it was told to write, which it must not.
type keeper struct {
	scripted
	last []byte
}

func (k *keeper) Write(b []byte) (int, error) {
	k.last = b
	return k.scripted.Write(b)
}

func TestListenerSharesNothingAndDropsStrangers(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0"} {
		l, err := vpcd.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		if host, _, _ := net.SplitHostPort(l.Addr().String()); host != "127.0.0.1" {
			t.Errorf("Listen(%q) is at %s, want the loopback interface", address, l.Addr())
		}
		l.Close()
	}
	if _, err := vpcd.Listen("no port"); err == nil {
		t.Error("got no error for an address without a port")
	}
	l, err := vpcd.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Accept(done); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	_, err = l.Accept(within(t, 20*time.Millisecond))
	wantErrors(t, err, []error{context.DeadlineExceeded}, "no card")
	// Who sends something else is dropped; the card behind him gets in.
	stranger, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := io.WriteString(stranger, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var slots [2]*vpcd.Slot
	for i := range slots {
		slots[i] = vpcd.NewSlot(l.Addr().String())
		if err := slots[i].Insert(within(t, patience), &card{}); err != nil {
			t.Fatal(err)
		}
		defer slots[i].Remove()
		conn, err := l.Accept(within(t, patience))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.Status(within(t, patience)); err != nil {
			t.Error(err)
		}
	}
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, err = l.Accept(within(t, 50*time.Millisecond))
	wantErrors(t, err, []error{context.DeadlineExceeded})
	result := make(chan error)
	go func() {
		_, err := l.Accept(context.Background())
		result <- err
	}()
	l.Close()
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

// A quiet card writes nothing down.
type quiet struct{ *card }

func (quiet) Transmit(_ context.Context, dst, _ []byte) ([]byte, error) {
	return append(dst, 0x90, 0), nil
}

func TestExchangesDoNotAllocateOnEitherEnd(t *testing.T) {
	conn, _ := pair(t, quiet{&card{}})
	dst := make([]byte, 0, 16)
	ctx := context.Background()
	var failed error
	n := testing.AllocsPerRun(200, func() {
		if _, err := conn.Transmit(ctx, dst, selectMF); err != nil {
			failed = err
		}
	})
	if failed != nil || n != 0 {
		t.Errorf("got %v allocations, %v, want 0", n, failed)
	}
}

// vicc of vsmartcard, written by others, is a card for our reader.
func TestReaderForVicc(t *testing.T) {
	const debian = "vsmartcard-vpicc python3-pycryptodome"
	vicc := system.Need(t, "vicc", debian)
	system.NeedFile(t, "/usr/lib/python3/dist-packages/Cryptodome/__init__.py", debian)
	// vicc looks for PyCryptodome under the name of what it replaced.
	alias := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(alias, "Crypto"), 0o755),
		os.WriteFile(filepath.Join(alias, "Crypto", "__init__.py"), []byte("from Cryptodome import __path__\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	l, err := vpcd.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	newCard := func(t *testing.T) *vpcd.Conn {
		cmd := exec.Command(vicc, "-t", "iso7816", "-H", "127.0.0.1", "-P", port)
		// Debian 12 puts the module where Python does not look.
		const modules = "/usr/lib/python3/site-packages"
		cmd.Env = append(os.Environ(), "PYTHONPATH="+alias+":"+modules+"/virtualsmartcard", "PYTHONDONTWRITEBYTECODE=1")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
			if t.Failed() {
				t.Logf("vicc:\n%s", out.String())
			}
		})
		conn, err := l.Accept(within(t, patience))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	conn := newCard(t)
	ctx := within(t, patience)
	if n := len(conn.ATR()); n < 2 || conn.ATR()[0] != 0x3B {
		t.Errorf("got ATR % X", conn.ATR())
	}
	for _, tt := range []struct {
		name    string
		command []byte
		want    apdu.Status
		nr      int
	}{
		{"SELECT the master file", []byte{0, 0xA4, 0, 0x0C, 2, 0x3F, 0}, apdu.StatusOK, 0},
		{"SELECT a file that is not there", []byte{0, 0xA4, 0, 0x0C, 2, 0xAB, 0xCD}, apdu.StatusFileNotFound, 0},
		{"GET CHALLENGE", []byte{0, 0x84, 0, 0, 8}, apdu.StatusOK, 8},
	} {
		out, err := conn.Transmit(ctx, nil, tt.command)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		r, err := apdu.ParseResponse(out)
		if err != nil || r.Status != tt.want || len(r.Data) != tt.nr {
			t.Errorf("%s: got %d bytes, %v, %v, want %d, %v", tt.name, len(r.Data), r.Status, err, tt.nr, tt.want)
		}
	}
	for _, call := range []func(context.Context) error{conn.Reset, conn.Status, conn.PowerOff, conn.PowerOn, conn.Status} {
		if err := call(ctx); err != nil {
			t.Error(err)
		}
	}
	conn.Close()
	apdutest.TestTransmitter(t, func(t *testing.T) apdu.Transmitter { return newCard(t) })
}

// The driver sends length and body in two packets and waits for the first to be
// acknowledged, which takes 40 ms without TCP_QUICKACK. So does this one.
func TestRoundTripsAreNotHeldUpByTCP(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("TCP_QUICKACK is an option of Linux")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	slot := vpcd.NewSlot(l.Addr().String())
	if err := slot.Insert(within(t, patience), &card{}); err != nil {
		t.Fatal(err)
	}
	defer slot.Remove()
	driver, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	driver.SetDeadline(time.Now().Add(patience))
	if err := driver.(*net.TCPConn).SetNoDelay(false); err != nil {
		t.Fatal(err)
	}
	const trips = 50
	begin := time.Now()
	for range trips {
		for _, part := range [][]byte{binary.BigEndian.AppendUint16(nil, 4), selectMF} {
			if _, err := driver.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		readFrame(t, driver)
	}
	if took := time.Since(begin); took > trips*10*time.Millisecond {
		t.Errorf("%d round trips took %v, want less than 10 ms each", trips, took)
	}
}

// FuzzConn is a reader with a card that sends any bytes. No call panics or hangs,
// what comes back is a response, and after an error there is no way back.
func FuzzConn(f *testing.F) {
	atr := frame((&card{}).ATR()...)
	f.Add(append(bytes.Clone(atr), frame(0x90, 0)...), uint16(4))
	f.Add(append(bytes.Clone(atr), frame()...), uint16(4))
	f.Add(append(bytes.Clone(atr), 0xFF, 0xFF, 0x90), uint16(65535))
	f.Add(append(bytes.Clone(atr), append(frame(1, 2, 0x90, 0), atr...)...), uint16(300))
	f.Add([]byte{0, 34}, uint16(0))
	f.Fuzz(func(t *testing.T, sent []byte, n uint16) {
		conn, err := vpcd.NewConn(context.Background(), &scripted{sent: bytes.NewReader(sent)})
		if err != nil {
			if !errors.Is(err, apdu.ErrRemoved) && !errors.Is(err, apdu.ErrRetired) {
				t.Errorf("got %v, want ErrRemoved or ErrRetired", err)
			}
			return
		}
		if a := len(conn.ATR()); a < 2 || a > 33 {
			t.Errorf("got an ATR of %d bytes", a)
		}
		for range 3 {
			out, err := conn.Transmit(context.Background(), []byte{1}, make([]byte, n))
			if out[0] != 1 {
				t.Fatal("dst was changed")
			}
			if err != nil {
				if len(out) != 1 {
					t.Errorf("got %d bytes beside the error", len(out)-1)
				}
				if n >= apdu.HeaderSize {
					if _, err = conn.Transmit(context.Background(), nil, selectMF); !errors.Is(err, apdu.ErrNotSent) {
						t.Errorf("after an error: got %v, want ErrNotSent", err)
					}
				}
				return
			}
			if len(out) < 3 || len(out) > 65536 {
				t.Errorf("got a response of %d bytes", len(out)-1)
			}
			conn.Reset(context.Background())
		}
	})
}
