package pcsctest

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Options are settings of [Start]. The zero value is useful.
type Options struct {
	// Readers are the names of readers that are there from the start, without
	// cards. pcscd names readers like "Name 00 00"; any name will do.
	Readers []string

	// Socket is the path of the socket, at most about 100 bytes; empty for one in a
	// new directory, which Close removes.
	Socket string

	// Minor is the minor version of the protocol: 4 for 0, as pcscd 1.8.24 to 2.2.3
	// speak it; 5 as pcscd 2.3.0 to 2.4.0 do. Another number is only told to clients,
	// and the layouts stay as they are. Clients of any other version are refused.
	Minor int
	// OlderClients accepts clients of lower minor versions too, down to 4, as pcscd
	// 2.4.1 and later do.
	OlderClients bool

	// Poll is how late the daemon notices that a card was torn out: 0 for at once.
	// pcscd takes up to 0.4 s.
	Poll time.Duration
	// LockPoll is how long the daemon holds back the answer to a client that begins a
	// transaction while another one is under way: 0.1 s for 0, as pcscd does.
	LockPoll time.Duration
}

// A Daemon is a PC/SC daemon with its readers.
type Daemon struct {
	socket   string
	dir      string // to remove; empty when the path was given
	minor    int
	older    bool
	poll     time.Duration
	lockPoll time.Duration

	// life is locked by what starts and ends the daemon; before Reader.plug, which is
	// before Reader.busy, which is before mu.
	life   sync.Mutex
	closed bool

	mu       sync.Mutex
	fault    func(Call) *Fault
	calls    [len(messages)]int
	readers  [maxReaders]*Reader
	events   uint32        // readers that came or went
	listener net.Listener  // nil when it does not run
	down     bool          // cards get no power
	running  chan struct{} // closed when the daemon ends
	clients  map[*client]bool
	accepted int
	contexts uint32 // numbers given out
	handles  uint32
	waiting  []*client       // for an event
	work     *sync.WaitGroup // goroutines of this run
}

// Start starts a daemon. opts may be nil. The caller closes it.
func Start(opts *Options) (*Daemon, error) {
	if opts == nil {
		opts = &Options{}
	}
	d := &Daemon{
		socket:   opts.Socket,
		minor:    cmp.Or(opts.Minor, 4),
		older:    opts.OlderClients,
		poll:     opts.Poll,
		lockPoll: cmp.Or(opts.LockPoll, 100*time.Millisecond),
	}
	for _, name := range opts.Readers {
		if _, err := d.AddReader(name, nil); err != nil {
			return nil, err
		}
	}
	if d.socket == "" {
		dir, err := os.MkdirTemp("", "pcsctest-")
		if err != nil {
			return nil, fmt.Errorf("pcsctest: %w", err)
		}
		d.dir, d.socket = dir, filepath.Join(dir, "comm")
	}
	if err := d.listen(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Socket returns the path of the socket.
func (d *Daemon) Socket() string { return d.socket }

func (d *Daemon) listen() error {
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		return fmt.Errorf("pcsctest: %w", err)
	}
	w := &sync.WaitGroup{}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listener, d.work = l, w
	d.running = make(chan struct{})
	d.clients = map[*client]bool{}
	w.Go(func() { d.accept(l, w) })
	return nil
}

// accept serves the clients that connect to l.
func (d *Daemon) accept(l net.Listener, w *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // the daemon ends
		}
		d.mu.Lock()
		if d.listener != l {
			d.mu.Unlock()
			conn.Close()
			return
		}
		d.accepted++
		c := &client{d: d, conn: conn, number: d.accepted, stop: d.running}
		d.clients[c] = true
		w.Go(c.serve)
		d.mu.Unlock()
	}
}

// stop ends the run without waiting for it.
func (d *Daemon) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener == nil {
		return
	}
	d.listener.Close() // removes the socket
	d.listener = nil
	d.down = true
	for c := range d.clients {
		c.conn.Close() // first, so that nobody is told about the end of a wait
	}
	close(d.running)
	d.waiting = nil
	for _, r := range d.readers {
		if r != nil {
			r.lose()
		}
	}
}

// wait waits for the goroutines of the run that was stopped.
func (d *Daemon) wait() {
	d.mu.Lock()
	w := d.work
	d.mu.Unlock()
	if w != nil {
		w.Wait()
	}
}

// Kill ends the daemon as a crash does: all connections break, and the socket is
// gone. The cards stay in their readers and lose their power. It returns when no
// client is served any more; a card may still be busy with its last command, whose
// context has ended.
func (d *Daemon) Kill() {
	d.life.Lock()
	defer d.life.Unlock()
	d.stop()
	d.wait()
}

// Restart starts the daemon again at the same path, after [Daemon.Kill] if it runs.
// The readers are there from the start, with the cards in them powered on anew, and
// their event counters begin at 0. It waits for cards that are busy.
func (d *Daemon) Restart() error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.closed {
		return errors.New("pcsctest: the daemon was closed")
	}
	d.stop()
	d.wait()
	d.mu.Lock()
	d.down = false
	d.mu.Unlock()
	for _, r := range d.all() {
		r.powerAgain()
	}
	return d.listen()
}

// Close ends the daemon, takes all cards out and waits for everything that runs. It
// may be called repeatedly and always returns nil.
func (d *Daemon) Close() error {
	d.life.Lock()
	defer d.life.Unlock()
	d.stop()
	d.wait()
	for _, r := range d.all() {
		r.Unplug()
	}
	if d.dir != "" && !d.closed {
		os.RemoveAll(d.dir)
	}
	d.closed = true
	return nil
}

// all returns the readers.
func (d *Daemon) all() []*Reader {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.readers[:]), func(r *Reader) bool { return r == nil })
}

// Reader returns the reader of that name, or nil.
func (d *Daemon) Reader(name string) *Reader {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lookup(name)
}

func (d *Daemon) lookup(name string) *Reader {
	for _, r := range d.readers {
		if r != nil && r.name == name {
			return r
		}
	}
	return nil
}

// event takes the waiting clients, who are to be told with [notify] when mu is
// unlocked.
func (d *Daemon) event() []*client {
	w := d.waiting
	d.waiting = nil
	return w
}

// notify sends clients that waited their event.
func notify(clients []*client, rv uint32) {
	for _, c := range clients {
		c.sendEvent(rv)
	}
}
