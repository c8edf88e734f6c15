//go:build !(cgo && libpcsclite)

package pcsc_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/pcsc"
)

// open establishes a context with a fake daemon and connects.
func (d *fakeDaemon) open(t testing.TB) *pcsc.Conn {
	t.Helper()
	c, err := pcsc.Establish(within(t, patience), &pcsc.Options{Socket: d.start(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return connect(t, c, fakeReader, nil)
}

func version(major, minor, rv uint32) []byte {
	b := le.AppendUint32(nil, major)
	return le.AppendUint32(le.AppendUint32(b, minor), rv)
}

func TestEstablishSaysWhyThereIsNoService(t *testing.T) {
	stranger := filepath.Join(t.TempDir(), "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stranger, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, tt := range []struct {
		name   string
		socket string
		want   error
		words  []string
	}{
		{"no socket", filepath.Join(t.TempDir(), "none"), pcsc.SCARD_E_NO_SERVICE, []string{"is pcscd installed and running?", "none"}},
		{"nobody listens", stranger, pcsc.SCARD_E_NO_SERVICE, []string{"is pcscd installed and running?", "dead"}},
		{"policy refuses the user", (&fakeDaemon{closeAt: cmdVersion}).start(t), pcsc.SCARD_W_SECURITY_VIOLATION, []string{"polkit", "access_pcsc", "user "}},
		{"another major version", (&fakeDaemon{version: version(5, 0, 0x8010001E)}).start(t), pcsc.SCARD_E_SERVICE_STOPPED, []string{"5:0", "4:4"}},
		{"an older minor version", (&fakeDaemon{version: version(4, 3, 0x8010001E)}).start(t), pcsc.SCARD_E_SERVICE_STOPPED, []string{"4:3", "too old"}},
		{"a newer minor version that never agrees", (&fakeDaemon{version: version(4, 5, 0x8010001E)}).start(t), pcsc.SCARD_E_SERVICE_STOPPED, []string{"4:5"}},
		{"handshake fails", (&fakeDaemon{version: version(4, 4, 0x80100001)}).start(t), pcsc.SCARD_F_INTERNAL_ERROR, nil},
		{"no context", (&fakeDaemon{result: map[uint32]uint32{cmdEstablish: 0x80100006}}).start(t), pcsc.SCARD_E_NO_MEMORY, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pcsc.Establish(within(t, patience), &pcsc.Options{Socket: tt.socket})
			wantErrors(t, err, []error{tt.want}, tt.words...)
			t.Log(err)
		})
	}
}

func TestSocketWithoutPermissionNamesUserAndSocket(t *testing.T) {
	if os.Getuid() == 0 {
		runAsNobody(t) // root may open every socket
		return
	}
	socket := (&fakeDaemon{}).start(t)
	if err := os.Chmod(socket, 0); err != nil {
		t.Fatal(err)
	}
	_, err := pcsc.Establish(within(t, patience), &pcsc.Options{Socket: socket})
	wantErrors(t, err, []error{pcsc.SCARD_W_SECURITY_VIOLATION}, socket, "user ", "write permission")
}

// runAsNobody runs the test in a process of a user without rights.
func runAsNobody(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "test")
	if err := errors.Join(os.Chmod(dir, 0o777), os.WriteFile(binary, program, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func TestNewerMinorVersionIsSpokenWhenTheDaemonInsists(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	offered := make(chan uint32, 2)
	go func() {
		defer close(offered)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 20)
		for _, rv := range []uint32{0x8010001E, 0} {
			if _, err := c.Read(b); err != nil {
				return
			}
			offered <- le.Uint32(b[12:])
			c.Write(version(4, 5, rv))
		}
		c.Read(b)
		c.Write(b[8:20])
	}()
	c, err := pcsc.Establish(within(t, patience), &pcsc.Options{Socket: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if a, b := <-offered, <-offered; a != 4 || b != 5 {
		t.Errorf("got minor versions %d, %d offered, want 4, 5", a, b)
	}
}

// A daemon that hangs costs a caller no more than its deadline.
func TestHangingDaemonHangsNobodyWithADeadline(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hangAt uint32
		call   func(ctx context.Context, c *pcsc.Context, conn *pcsc.Conn) error
	}{
		{"list readers", cmdStates, func(ctx context.Context, c *pcsc.Context, _ *pcsc.Conn) error { _, err := c.Readers(ctx); return err }},
		{"wait for a change", cmdWait, func(ctx context.Context, c *pcsc.Context, _ *pcsc.Conn) error {
			known, err := c.Readers(ctx)
			if err != nil {
				return err
			}
			_, err = c.WaitForChange(ctx, known)
			return err
		}},
		{"connect", cmdConnect, func(ctx context.Context, c *pcsc.Context, _ *pcsc.Conn) error {
			_, err := c.Connect(ctx, fakeReader, nil)
			return err
		}},
		{"begin", cmdBegin, func(ctx context.Context, _ *pcsc.Context, conn *pcsc.Conn) error { return conn.Begin(ctx) }},
		{"reconnect", cmdReconnect, func(ctx context.Context, _ *pcsc.Context, conn *pcsc.Conn) error { return conn.Reconnect(ctx) }},
		{"transmit", cmdTransmit, func(ctx context.Context, _ *pcsc.Context, conn *pcsc.Conn) error {
			_, err := conn.Transmit(ctx, nil, selectMF)
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &fakeDaemon{}
			c, err := pcsc.Establish(within(t, patience), &pcsc.Options{Socket: d.start(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conn := connect(t, c, fakeReader, nil)
			hang := &fakeDaemon{hangAt: tt.hangAt}
			if tt.hangAt != cmdConnect {
				// The connections are made; only then the daemon begins to hang.
				c2, err := pcsc.Establish(within(t, patience), &pcsc.Options{Socket: hang.start(t)})
				if err != nil {
					t.Fatal(err)
				}
				defer c2.Close()
				c = c2
				if tt.hangAt != cmdStates {
					conn = connect(t, c, fakeReader, nil)
				}
			} else {
				c2, err := pcsc.Establish(within(t, patience), &pcsc.Options{Socket: hang.start(t)})
				if err != nil {
					t.Fatal(err)
				}
				defer c2.Close()
				c = c2
			}
			start := time.Now()
			err = tt.call(within(t, 50*time.Millisecond), c, conn)
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v, want about 50 ms", took)
			}
			wantErrors(t, err, []error{context.DeadlineExceeded})
			if tt.hangAt != cmdWait {
				wantErrors(t, err, nil, "given up")
			}
			if tt.name == "transmit" {
				wantErrors(t, err, []error{apdu.ErrRetired}, "may have run")
				wantNot(t, err, apdu.ErrNotSent)
				_, err = conn.Transmit(context.Background(), nil, selectMF)
				wantErrors(t, err, []error{apdu.ErrRetired, apdu.ErrNotSent})
			}
		})
	}
	for _, at := range []uint32{cmdVersion, cmdEstablish} {
		_, err := pcsc.Establish(within(t, 50*time.Millisecond), &pcsc.Options{Socket: (&fakeDaemon{hangAt: at}).start(t)})
		wantErrors(t, err, []error{context.DeadlineExceeded}, "did not answer")
	}
}

func TestAnswersThatMakeNoSenseRetireTheConnection(t *testing.T) {
	for _, tt := range []struct {
		name     string
		transmit func([]byte) ([]byte, int)
	}{
		{"a response longer than was asked for", func([]byte) ([]byte, int) { return make([]byte, 65549), 65549 }},
		{"a length of 4 GiB", func([]byte) ([]byte, int) { return []byte{0x90, 0}, -1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := (&fakeDaemon{transmit: tt.transmit}).open(t)
			dst := []byte{1}
			got, err := conn.Transmit(within(t, patience), dst, selectMF)
			wantErrors(t, err, []error{apdu.ErrRetired, pcsc.SCARD_F_COMM_ERROR}, "malformed answer")
			if !bytes.Equal(got, dst) {
				t.Errorf("got % X, want dst unchanged", got)
			}
		})
	}
}

// pcscd may not have noticed yet that the card is gone, or is another one: it would
// let the connection go on with it.
func TestReconnectResetsTheCardAfterARemovalOnly(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    fakeDaemon
		want apdu.Disposition
	}{
		{"after a removal", fakeDaemon{transmit: func([]byte) ([]byte, int) { return nil, 0 }}, apdu.ResetCard},
		{"after a reset", fakeDaemon{result: map[uint32]uint32{cmdTransmit: uint32(pcsc.SCARD_W_RESET_CARD)}}, apdu.LeaveCard},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.d.initialization = make(chan uint32, 1)
			conn := tt.d.open(t)
			if _, err := conn.Transmit(within(t, patience), nil, selectMF); err == nil {
				t.Fatal("got no error")
			}
			if err := conn.Reconnect(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			if got := apdu.Disposition(<-tt.d.initialization); got != tt.want {
				t.Errorf("got initialization %d, want %d", got, tt.want)
			}
		})
	}
}

func TestLongestCommandsAndResponses(t *testing.T) {
	long := append(make([]byte, 65536), 0x90, 0)
	conn := (&fakeDaemon{transmit: func(command []byte) ([]byte, int) {
		if len(command) != 65544 {
			return []byte{0x67, 0}, 2
		}
		return long, len(long)
	}}).open(t)
	command := append([]byte{0, 0xCB, 0, 0, 0, 0xFF, 0xFF}, make([]byte, 65537)...)
	got, err := conn.Transmit(within(t, patience), nil, command)
	if err != nil || !bytes.Equal(got, long) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(long))
	}
}

func TestContextThatEndsAfterTheResponseDoesNoHarm(t *testing.T) {
	conn := (&fakeDaemon{}).open(t)
	for range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		_, err := conn.Transmit(ctx, nil, selectMF)
		if err != nil && errors.Is(err, apdu.ErrRetired) {
			conn = (&fakeDaemon{}).open(t)
		} else if err != nil && !errors.Is(err, apdu.ErrNotSent) {
			t.Fatal(err)
		}
		if _, err := conn.Transmit(context.Background(), nil, selectMF); err != nil {
			t.Fatal(err)
		}
	}
}

// A call that is cancelled while the card works returns at once, and pcscd gives the
// card back when the card has answered.
func TestCancelledTransmitReturnsAtOnce(t *testing.T) {
	p := system.StartPCSCD(t, nil)
	started, release := make(chan struct{}), make(chan struct{})
	card := &testCard{transmit: func(ctx context.Context, dst, command []byte) ([]byte, error) {
		if command[1] == 0xB0 {
			close(started)
			<-release
		}
		return echo(ctx, dst, command)
	}}
	conn, _ := use(t, p, card, nil)
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
	wantErrors(t, err, []error{apdu.ErrRetired, context.Canceled}, "may have run")
	close(release)
	conn = connect(t, establish(t), p.Readers[0], nil)
	exchange(t, conn, selectMF, append(append([]byte{}, selectMF...), 0x90, 0))
}

func TestNoReaderSaysSo(t *testing.T) {
	system.StartPCSCD(t, &system.PCSCDOptions{Readers: -1})
	c := establish(t)
	ctx := within(t, patience)
	readers, err := c.Readers(ctx)
	if err != nil || len(readers) != 0 {
		t.Errorf("got %v, %v, want no reader and no error", readers, err)
	}
	_, err = pcsc.Open(ctx, "", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_NO_READERS_AVAILABLE}, "plug in a reader")
	_, err = c.Connect(ctx, "Reader", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_NO_READERS_AVAILABLE}, "plug in a reader")
	_, err = c.WaitForCard(within(t, 50*time.Millisecond), nil)
	wantErrors(t, err, []error{context.DeadlineExceeded})
	if _, err := c.Readers(ctx); err != nil {
		t.Errorf("after a wait that timed out: %v", err)
	}
}

func TestTransmitDoesNotAllocate(t *testing.T) {
	conn := (&fakeDaemon{transmit: func() func([]byte) ([]byte, int) {
		answer := append(make([]byte, 256), 0x90, 0)
		return func([]byte) ([]byte, int) { return answer, len(answer) }
	}()}).open(t)
	dst := make([]byte, 0, 512)
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
