package piv

import (
	"bytes"
	"sync"
	"time"
)

// A pinCache keeps a padded PIN for a while.
type pinCache struct {
	mu    sync.Mutex
	pin   []byte // nil: none
	timer *time.Timer
}

// get returns a copy of the PIN, or nil.
func (p *pinCache) get() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.pin)
}

// put keeps a copy of pin for the time given.
func (p *pinCache) put(pin []byte, d time.Duration) {
	if d <= 0 {
		return
	}
	p.forget()
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := bytes.Clone(pin)
	p.pin = kept
	p.timer = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		clear(kept)
		if len(p.pin) > 0 && &p.pin[0] == &kept[0] {
			p.pin = nil
		}
	})
}

// forget wipes the PIN.
func (p *pinCache) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.pin)
	p.pin = nil
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// ForgetPIN wipes the PIN that [Options].CachePIN keeps.
func (c *client) ForgetPIN() { c.pin.forget() }
