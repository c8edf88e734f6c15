package pcsctest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// ReaderOptions are settings of [Daemon.AddReader]. The zero value is useful.
type ReaderOptions struct {
	// Attributes are what SCardGetAttrib returns, by number, at most 264 bytes each.
	// The answer to reset (0x00090303) and the names of the device (0x7FFF0003 and
	// 0x7FFF0004) are there without being listed.
	Attributes map[uint32][]byte
	// SetAttribute is asked when a client sets an attribute, and returns the return
	// value. Without it that is 0x80100016.
	SetAttribute func(attribute uint32, value []byte) uint32

	// Features are what the reader can do by PC/SC part 10, such as FEATURE_VERIFY_PIN_DIRECT
	// (0x06), by their tags. The daemon lists them when it is asked for the features,
	// and calls them by the control codes that it lists.
	Features map[byte]ControlFunc
	// Control is called for every control code that is not one of the above. Without
	// it, and without any feature, the return value is 0x8010001F.
	Control ControlFunc

	// Motorized makes the reader eject its card when a client asks for that.
	Motorized bool
}

// A Reader is a reader of a [Daemon].
type Reader struct {
	d            *Daemon
	name         string
	features     map[byte]ControlFunc
	control      ControlFunc
	setAttribute func(uint32, []byte) uint32
	motorized    bool

	plug    sync.Mutex // held while a card goes in or out
	busy    sync.Mutex // held while a client has the card called
	gone    chan struct{}
	pending sync.WaitGroup // of timer

	// The rest is guarded by Daemon.mu.
	attributes map[uint32][]byte
	unplugged  bool  // gone is closed
	card       Card  // what is in the reader; nil for none
	slot       *slot // of card; nil when the daemon is down
	last       *slot // the one before, which may still be busy
	timer      *time.Timer

	present  bool // what the daemon knows
	powered  bool
	state    uint32
	protocol uint32
	atr      []byte
	counter  uint32
	sharing  int32 // connections, -1 for exclusive

	handles   map[uint32]*handle
	lock      uint32 // handle that holds the transaction; 0 for none
	lockCount int
	released  chan struct{} // closed and made anew when lock becomes 0
}

// A handle is a connection of a client to a reader.
type handle struct {
	id     uint32
	reader *Reader
	event  uint32 // the warning for the client, 0 for none; guarded by Daemon.mu
}

// AddReader plugs in a reader without a card. opts may be nil. There is room for 16
// readers, with different names of 1 to 127 bytes. The maps of opts are copied.
func (d *Daemon) AddReader(name string, opts *ReaderOptions) (*Reader, error) {
	if opts == nil {
		opts = &ReaderOptions{}
	}
	if n := len(name); n == 0 || n >= maxReaderName || strings.IndexByte(name, 0) >= 0 {
		return nil, fmt.Errorf("pcsctest: reader name of %d bytes: want 1 to %d, none of them zero", n, maxReaderName-1)
	}
	r := &Reader{
		d: d, name: name, motorized: opts.Motorized,
		features: maps.Clone(opts.Features), control: opts.Control, setAttribute: opts.SetAttribute,
		attributes: map[uint32][]byte{},
		gone:       make(chan struct{}), released: make(chan struct{}),
		handles: map[uint32]*handle{}, state: stateAbsent,
	}
	for id, value := range opts.Attributes {
		if len(value) > maxAttribute {
			return nil, fmt.Errorf("pcsctest: attribute 0x%08X of %d bytes: want at most %d", id, len(value), maxAttribute)
		}
		r.attributes[id] = bytes.Clone(value)
	}
	d.mu.Lock()
	if d.lookup(name) != nil {
		d.mu.Unlock()
		return nil, fmt.Errorf("pcsctest: there is a reader %q already", name)
	}
	place := -1
	for i := range d.readers {
		if d.readers[i] == nil {
			place = i
			break
		}
	}
	if place < 0 {
		d.mu.Unlock()
		return nil, fmt.Errorf("pcsctest: no room for more than %d readers", maxReaders)
	}
	d.readers[place] = r
	d.events++
	w := d.event()
	d.mu.Unlock()
	notify(w, success)
	return r, nil
}

// Name returns the name of the reader.
func (r *Reader) Name() string { return r.name }

// Insert puts a card into the reader, which powers it on. The daemon knows it when
// Insert returns. It waits for the card that was there before, if that is still
// busy, and fails when there is a card or the reader was unplugged.
//
// While the daemon is down the card is put in, and found by [Daemon.Restart].
func (r *Reader) Insert(card Card) error {
	if card == nil {
		return errors.New("pcsctest: no card to insert")
	}
	r.plug.Lock()
	defer r.plug.Unlock()
	r.d.mu.Lock()
	switch {
	case r.unplugged:
		r.d.mu.Unlock()
		return fmt.Errorf("pcsctest: reader %q was unplugged", r.name)
	case r.card != nil:
		r.d.mu.Unlock()
		return fmt.Errorf("pcsctest: reader %q has a card already: eject it first", r.name)
	}
	r.stopTimer()
	w := r.notice()
	r.card = card
	r.d.mu.Unlock()
	notify(w, success)
	r.powerOn(1)
	return nil
}

// powerAgain powers the card on after a restart of the daemon.
func (r *Reader) powerAgain() {
	r.plug.Lock()
	defer r.plug.Unlock()
	r.powerOn(0)
}

// powerOn begins with the card that is in the reader, if any and if the daemon runs.
// plug is held.
func (r *Reader) powerOn(count uint32) {
	r.d.mu.Lock()
	card, last := r.card, r.last
	idle := card == nil || r.slot != nil || r.d.down
	r.d.mu.Unlock()
	if idle {
		return
	}
	if last != nil {
		<-last.ended
	}
	s := newSlot(card)
	atr, _ := s.power(powerUp) // nobody else knows s: no error
	r.d.mu.Lock()
	r.last = s
	if r.d.down || r.card == nil {
		s.takeOut()
		r.d.mu.Unlock()
		return
	}
	r.slot = s
	r.present = true
	r.setPowered(atr)
	r.counter = (r.counter + count) & 0xFFFF
	w := r.d.event()
	r.d.mu.Unlock()
	notify(w, success)
}

// setPowered notes the state of a card after power-on or reset. mu is held.
func (r *Reader) setPowered(atr []byte) {
	r.protocol = 0
	if len(atr) < 2 || len(atr) > maxATR {
		r.state, r.atr, r.powered = statePresent|stateSwallowed, nil, false
		return
	}
	r.state, r.atr, r.powered = statePresent|statePowered|stateNegotiable, atr, true
}

// Eject takes the card out, and the daemon knows it when Eject returns: at once for
// clients, whose running commands are answered with success and no byte, as pcscd
// does. Eject waits until the card is called no more, so the card itself must not
// call it. Without a card it only lets the daemon notice a card that was torn out.
func (r *Reader) Eject() {
	r.plug.Lock()
	defer r.plug.Unlock()
	r.d.mu.Lock()
	s := r.takeOut()
	r.stopTimer()
	w := r.notice()
	last := r.last
	r.d.mu.Unlock()
	if s != nil {
		s.takeOut()
	}
	notify(w, success)
	if last != nil {
		<-last.ended
	}
}

// TearOut takes the card out behind the back of the daemon, which notices after
// [Options].Poll: running commands are answered with success and no byte, the next
// ones with 0x80100016 while the status is still fine, and with 0x80100069 once the
// daemon knows. [Reader.Eject] lets it know. TearOut does not wait for the card.
func (r *Reader) TearOut() {
	r.d.mu.Lock()
	s := r.takeOut()
	w := r.noticeLater()
	r.d.mu.Unlock()
	if s != nil {
		s.takeOut()
	}
	notify(w, success)
}

// failed takes a card out that gave no response.
func (r *Reader) failed(s *slot) {
	r.d.mu.Lock()
	var w []*client
	if r.slot == s {
		r.takeOut()
		w = r.noticeLater()
	}
	r.d.mu.Unlock()
	s.takeOut()
	notify(w, success)
}

// takeOut forgets the card and returns its slot, if it has one. mu is held.
func (r *Reader) takeOut() *slot {
	s := r.slot
	r.card, r.slot = nil, nil
	return s
}

// notice makes the daemon know that there is no card, if it does not yet, and
// returns the clients to notify. mu is held.
func (r *Reader) notice() []*client {
	if !r.present {
		return nil
	}
	for _, h := range r.handles {
		h.event = removedCard
	}
	r.unlock()
	r.present, r.powered = false, false
	r.state, r.atr, r.protocol = stateAbsent, nil, 0
	r.counter = (r.counter + 1) & 0xFFFF
	return r.d.event()
}

// noticeLater calls notice when the daemon next looks. mu is held.
func (r *Reader) noticeLater() []*client {
	if r.d.poll <= 0 {
		return r.notice()
	}
	if r.timer != nil || !r.present {
		return nil
	}
	r.pending.Add(1)
	r.timer = time.AfterFunc(r.d.poll, func() {
		defer r.pending.Done()
		r.d.mu.Lock()
		var w []*client
		if r.slot == nil {
			w = r.notice()
		}
		r.timer = nil
		r.d.mu.Unlock()
		notify(w, success)
	})
	return nil
}

func (r *Reader) stopTimer() {
	if r.timer != nil && r.timer.Stop() {
		r.timer = nil
		r.pending.Done()
	}
}

// unlock ends the transaction, whoever holds it. mu is held.
func (r *Reader) unlock() {
	r.lockCount = 0
	if r.lock != 0 {
		r.lock = 0
		close(r.released)
		r.released = make(chan struct{})
	}
}

// lose forgets all that the daemon knew, and takes the power from the card. mu is
// held.
func (r *Reader) lose() {
	if r.slot != nil {
		r.slot.takeOut()
		r.slot = nil
	}
	r.stopTimer()
	r.unlock()
	clear(r.handles)
	r.present, r.powered = false, false
	r.state, r.atr, r.protocol, r.counter, r.sharing = stateAbsent, nil, 0, 0, 0
}

// Unplug takes the reader away, with its card, for good; [Daemon.AddReader] plugs in
// another one of that name. It waits until the card is called no more.
func (r *Reader) Unplug() {
	r.plug.Lock()
	defer r.plug.Unlock()
	r.d.mu.Lock()
	if !r.unplugged {
		r.unplugged = true
		close(r.gone)
	}
	for i := range r.d.readers {
		if r.d.readers[i] == r {
			r.d.readers[i] = nil
			r.d.events++
		}
	}
	s := r.slot
	r.lose()
	r.card = nil
	last := r.last
	w := r.d.event()
	r.d.mu.Unlock()
	notify(w, success)
	if s != nil {
		<-s.ended
	}
	if last != nil {
		<-last.ended
	}
	r.pending.Wait()
}

// PowerDown takes the power from a card that no client is connected to, as pcscd
// does some seconds after the last one has gone. The next connection powers it on
// again. It reports whether there was such a card.
func (r *Reader) PowerDown() bool {
	r.busy.Lock()
	defer r.busy.Unlock()
	r.d.mu.Lock()
	s := r.slot
	if r.sharing != 0 || !r.powered {
		s = nil
	}
	r.d.mu.Unlock()
	if s == nil {
		return false
	}
	_, err := s.power(powerDown)
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	if err == nil && r.slot == s {
		r.powered, r.protocol = false, 0
	}
	return err == nil
}

// SetAttribute sets what SCardGetAttrib returns, at most 264 bytes; nil takes the
// attribute away.
func (r *Reader) SetAttribute(attribute uint32, value []byte) error {
	if len(value) > maxAttribute {
		return fmt.Errorf("pcsctest: attribute 0x%08X of %d bytes: want at most %d", attribute, len(value), maxAttribute)
	}
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	if value == nil {
		delete(r.attributes, attribute)
	} else {
		r.attributes[attribute] = bytes.Clone(value)
	}
	return nil
}

// appendState appends what clients are told of r. mu is held.
func (r *Reader) appendState(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, readerSize)...)
	s := b[start:]
	copy(s[:maxReaderName-1], r.name)
	le.PutUint32(s[128:], r.counter)
	le.PutUint32(s[132:], r.state)
	le.PutUint32(s[136:], uint32(r.sharing))
	copy(s[140:140+maxATR], r.atr)
	le.PutUint32(s[176:], uint32(len(r.atr)))
	le.PutUint32(s[180:], r.protocol)
	return b
}
