package system

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The daemon and its virtual reader, and what to install for them.
const (
	vpcdDriver    = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
	pcscdRunDir   = "/run/pcscd" // pcscd wants it, though it listens elsewhere
	pcscdPackages = "pcscd vsmartcard-vpcd"
)

// PCSCDOptions are settings of [StartPCSCD]. The zero value is useful.
type PCSCDOptions struct {
	// Readers is how many virtual readers there are: 2 for 0, else rounded up to
	// an even number, at most 16. Negative: none.
	Readers int
	// Name is what the names of the readers begin with; "Virtual PCD" when empty.
	Name string
	// KeepEnv leaves PCSCLITE_CSOCK_NAME alone, as parallel tests must; give
	// SocketName or Env to whoever needs it.
	KeepEnv bool
}

// PCSCD is a private pcscd with virtual readers, for one test. It needs no root,
// where /run/pcscd exists, and any number of them run side by side.
type PCSCD struct {
	SocketName string   // path of the daemon's socket
	Readers    []string // names of the readers
	Addresses  []string // where the card of each reader connects to, host:port

	t       testing.TB
	program string
	dir     string
	config  string
	port    int // of the first reader
	guard   net.Listener
	cmd     *exec.Cmd     // nil when it does not run
	ended   chan struct{} // closed when cmd was waited for
	log     logBuffer
}

// StartPCSCD starts a private pcscd and stops it when the test ends; its log is
// printed if the test failed. Unless told otherwise it sets PCSCLITE_CSOCK_NAME for
// the rest of the test, so that this process and its children use that daemon. opts
// may be nil. Where the parts are missing the test is skipped, or fails in CI.
func StartPCSCD(t testing.TB, opts *PCSCDOptions) *PCSCD {
	t.Helper()
	if opts == nil {
		opts = &PCSCDOptions{}
	}
	program := Need(t, "pcscd", pcscdPackages)
	NeedFile(t, vpcdDriver, pcscdPackages)
	if err := os.Mkdir(pcscdRunDir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		missing(t, fmt.Sprintf("pcscd needs the directory %s: sudo mkdir %s", pcscdRunDir, pcscdRunDir))
	}
	// Not t.TempDir, whose path may be longer than a socket's may be.
	dir, err := os.MkdirTemp("", "pcscd-")
	if err != nil {
		t.Fatal(err)
	}
	p := &PCSCD{t: t, program: program, dir: dir, config: filepath.Join(dir, "readers"), SocketName: filepath.Join(dir, "comm")}
	t.Cleanup(p.cleanup)
	if err := os.Mkdir(p.config, 0o755); err != nil {
		t.Fatal(err)
	}
	if !opts.KeepEnv {
		t.Setenv("PCSCLITE_CSOCK_NAME", p.SocketName)
	}
	const attempts = 5
	for i := range attempts {
		p.choosePorts()
		p.configure(opts)
		if err = p.start(); err == nil {
			return p
		}
		p.Kill()
		p.guard.Close()
		p.guard = nil
		t.Logf("pcscd, attempt %d of %d: %v", i+1, attempts, err)
	}
	t.Fatalf("pcscd does not start: %v", err)
	return nil
}

// Env returns the environment of this process, so changed that a child uses this
// daemon.
func (p *PCSCD) Env() []string {
	return append(os.Environ(), "PCSCLITE_CSOCK_NAME="+p.SocketName)
}

// PID returns the process id of the daemon.
func (p *PCSCD) PID() int { return p.cmd.Process.Pid }

// Log returns what the daemon has written so far.
func (p *PCSCD) Log() string { return p.log.String() }

// blockSize is the number of ports that belong to one fixture. The last of them is
// held for as long as the fixture lives, by which fixtures of all processes keep
// out of each other's way without a file.
const blockSize = 20

// choosePorts finds a free block of ports below the range that the kernel gives
// out by itself.
func (p *PCSCD) choosePorts() {
	p.t.Helper()
	const first, last = 20000, 32000
	for range 1000 {
		base := first + rand.IntN((last-first)/blockSize)*blockSize
		guard, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", base+blockSize-1))
		if err != nil {
			continue
		}
		if free(base, blockSize-1) {
			p.port, p.guard = base, guard
			return
		}
		guard.Close()
	}
	p.t.Fatal("no free ports for virtual readers between 20000 and 32000")
}

func free(base, n int) bool {
	for port := base; port < base+n; port++ {
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// configure writes reader.conf: one entry makes two readers, at neighbouring ports.
func (p *PCSCD) configure(opts *PCSCDOptions) {
	p.t.Helper()
	n := opts.Readers
	if n == 0 {
		n = 2
	}
	pairs := min(max(n+1, 0)/2, 8)
	name := cmp.Or(opts.Name, "Virtual PCD")
	var conf strings.Builder
	p.Readers, p.Addresses = nil, nil
	for i := range pairs {
		lib, friendly := vpcdDriver, name
		if i > 0 {
			// The driver keeps its state in static variables: each further pair
			// needs a copy of its own, and a name.
			lib = filepath.Join(p.dir, fmt.Sprintf("vpcd%d.so", i))
			if err := copyFile(lib, vpcdDriver); err != nil {
				p.t.Fatal(err)
			}
			friendly = fmt.Sprintf("%s %c", name, 'A'+i)
		}
		port := p.port + 2*i
		fmt.Fprintf(&conf, "FRIENDLYNAME %q\nDEVICENAME /dev/null:%d\nLIBPATH %s\nCHANNELID %d\n\n", friendly, port, lib, port)
		for slot := range 2 {
			p.Readers = append(p.Readers, fmt.Sprintf("%s 00 %02X", friendly, slot))
			p.Addresses = append(p.Addresses, fmt.Sprintf("127.0.0.1:%d", port+slot))
		}
	}
	if err := os.WriteFile(filepath.Join(p.config, "vpcd"), []byte(conf.String()), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// start runs the daemon. Its socket is handed over in systemd's way, so clients
// are never refused while it starts.
func (p *PCSCD) start() error {
	os.Remove(p.SocketName)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.SocketName, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	l.Close()
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command("sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" --foreground --config "$1"`, p.program, p.config)
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = dieWithParent()
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // how it ended is in the log
		close(ended)
	}()
	return p.ready()
}

// ready waits until the readers listen.
func (p *PCSCD) ready() error {
	want := map[string]bool{}
	for i := range p.Addresses {
		want[fmt.Sprintf("%04X", p.port+i)] = true
	}
	const patience = 15 * time.Second
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.ended:
			return fmt.Errorf("pcscd ended: %s", p.log.String())
		default:
		}
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			return err
		}
		if listening(table, want) {
			return nil
		}
	}
	return fmt.Errorf("no virtual reader listens after %v: %s", patience, p.log.String())
}

// listening reports whether all ports, in hexadecimal, are listened to according
// to /proc/net/tcp.
func listening(table []byte, ports map[string]bool) bool {
	n := 0
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) < 4 || string(f[3]) != "0A" {
			continue
		}
		if _, port, ok := bytes.Cut(f[1], []byte(":")); ok && ports[string(port)] {
			n++
		}
	}
	return n >= len(ports)
}

// Stop ends the daemon as an administrator does.
func (p *PCSCD) Stop() { p.end(syscall.SIGTERM) }

// Kill ends the daemon at once, as a crash does.
func (p *PCSCD) Kill() { p.end(syscall.SIGKILL) }

func (p *PCSCD) end(sig os.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	p.cmd = nil
}

// Restart starts the daemon again, after ending it if it runs, with the same socket
// name, readers and addresses.
func (p *PCSCD) Restart() {
	p.t.Helper()
	p.Stop()
	if err := p.start(); err != nil {
		p.t.Fatalf("pcscd does not start again: %v", err)
	}
}

func (p *PCSCD) cleanup() {
	p.Stop()
	if p.guard != nil {
		p.guard.Close()
	}
	if p.t.Failed() {
		p.t.Logf("log of pcscd:\n%s", p.log.String())
	}
	os.RemoveAll(p.dir)
}

// logBuffer keeps the end of a log.
type logBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (l *logBuffer) Write(b []byte) (int, error) {
	const keep = 64 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, b...)
	if len(l.b) > 2*keep {
		l.b = append([]byte(nil), l.b[len(l.b)-keep:]...)
	}
	return len(b), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

var _ io.Writer = (*logBuffer)(nil)
