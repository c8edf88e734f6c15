package pcsctest

import (
	"bytes"
	"slices"
	"time"
)

// call does what a request asks for, whose body is in c.answer, and fills that in,
// but for the return value. silent: it is not answered.
func (c *client) call(command Command, h *handle) (rv uint32, silent bool) {
	b := c.answer
	switch command {
	case CMD_VERSION:
		return c.version(), false
	case CMD_GET_READERS_STATE:
		c.d.mu.Lock()
		c.answer = c.d.appendStates(b)
		c.d.mu.Unlock()
		return success, false
	case CMD_STOP_WAITING_READER_STATE_CHANGE:
		c.answer = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
		// Who does not wait any more has got its event, or will.
		return success, !c.d.stopWaiting(c)
	case CMD_GET_READER_EVENTS:
		c.d.mu.Lock()
		c.answer = le.AppendUint32(le.AppendUint32(b, c.d.events), 0)
		c.d.mu.Unlock()
		return success, false
	case SCARD_ESTABLISH_CONTEXT:
		return c.establish(), false
	case SCARD_RELEASE_CONTEXT:
		return c.releaseContext(le.Uint32(b)), false
	case SCARD_CANCEL:
		return c.cancel(le.Uint32(b)), false
	case SCARD_CONNECT:
		return c.connect(), false
	case SCARD_RECONNECT:
		protocol, rv := c.reconnect(h, le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:]))
		le.PutUint32(b[16:], protocol)
		return rv, false
	case SCARD_DISCONNECT:
		rv := c.disconnect(h, le.Uint32(b[4:]))
		if rv == success {
			delete(c.handles, h.id)
		}
		return rv, false
	case SCARD_BEGIN_TRANSACTION:
		return c.begin(h), false
	case SCARD_END_TRANSACTION:
		return c.end(h, le.Uint32(b[4:])), false
	case SCARD_STATUS:
		return c.status(h), false
	case SCARD_TRANSMIT:
		return c.transmit(h), false
	case SCARD_CONTROL:
		return c.control(h), false
	case SCARD_GET_ATTRIB:
		return c.getAttribute(h), false
	case SCARD_SET_ATTRIB:
		return c.setAttribute(h), false
	}
	return unsupportedFeature, false
}

func (c *client) version() uint32 {
	major, minor := int32(le.Uint32(c.answer)), int32(le.Uint32(c.answer[4:]))
	ours := int32(c.d.minor)
	le.PutUint32(c.answer, 4)
	le.PutUint32(c.answer[4:], uint32(ours))
	if major == 4 && (minor == ours || c.d.older && minor >= 4 && minor < ours) {
		return success
	}
	return serviceStopped
}

func (c *client) establish() uint32 {
	const scopes = 4 // user, terminal, system, global
	le.PutUint32(c.answer[4:], 0)
	if le.Uint32(c.answer) >= scopes {
		return invalidValue
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.contexts++
	c.context = c.d.contexts
	le.PutUint32(c.answer[4:], c.context)
	return success
}

func (c *client) releaseContext(context uint32) uint32 {
	c.d.mu.Lock()
	ours := c.context
	c.d.mu.Unlock()
	switch ours {
	case 0:
		return invalidHandle
	case context:
		c.release()
		return success
	}
	return invalidValue
}

// release gives back what the client has. A card whose transaction it holds is
// reset.
func (c *client) release() {
	c.d.stopWaiting(c)
	for id, h := range c.handles {
		disposition := uint32(leaveCard)
		c.d.mu.Lock()
		if h.reader.lock == h.id {
			h.reader.unlock()
			if h.event == 0 {
				disposition = resetCard
			}
		}
		c.d.mu.Unlock()
		c.disconnect(h, disposition)
		delete(c.handles, id)
	}
	c.d.mu.Lock()
	c.context = 0
	c.d.mu.Unlock()
}

// stopWaiting reports whether c waited for an event. It waits no more.
func (d *Daemon) stopWaiting(c *client) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.waiting, c)
	if i < 0 {
		return false
	}
	d.waiting = slices.Delete(d.waiting, i, i+1)
	return true
}

func (c *client) cancel(context uint32) uint32 {
	c.d.mu.Lock()
	i := slices.IndexFunc(c.d.waiting, func(w *client) bool { return w.context == context })
	if i < 0 {
		c.d.mu.Unlock()
		return invalidHandle
	}
	target := c.d.waiting[i]
	c.d.waiting = slices.Delete(c.d.waiting, i, i+1)
	c.d.mu.Unlock()
	target.sendEvent(cancelled)
	return success
}

// available returns why h cannot be used at all. mu is held.
func (h *handle) available() uint32 {
	if h.reader.handles[h.id] == nil {
		return invalidValue // the reader was unplugged
	}
	return success
}

// allowed returns why h cannot be used now: another client holds a transaction. mu
// is held.
func (h *handle) allowed() uint32 {
	if rv := h.available(); rv != success {
		return rv
	}
	if r := h.reader; r.lock != 0 && r.lock != h.id {
		return sharingViolation
	}
	return success
}

// untouched returns why h cannot be used with the card as it is, which was reset or
// removed. mu is held.
func (h *handle) untouched() uint32 {
	if rv := h.allowed(); rv != success {
		return rv
	}
	return h.event
}

// readerName returns the name in the body of SCARD_CONNECT.
func readerName(body []byte) string {
	name, _, _ := bytes.Cut(body[4:4+maxReaderName-1], []byte{0})
	return string(name)
}

func usable(protocols uint32) bool {
	return protocols&(protocolT0|protocolT1|protocolRaw|protocolAnyOld) != 0
}

func (c *client) connect() uint32 {
	b := c.answer
	const at = 4 + maxReaderName
	share, preferred := le.Uint32(b[at:]), le.Uint32(b[at+4:])
	le.PutUint32(b[at+8:], 0)
	switch {
	case share != shareDirect && !usable(preferred):
		return protoMismatch
	case share < shareExclusive || share > shareDirect:
		return invalidValue
	}
	c.d.mu.Lock()
	r := c.d.lookup(readerName(b))
	c.d.mu.Unlock()
	if r == nil {
		return unknownReader
	}
	if rv := c.await(r); rv != success {
		return rv
	}
	if share != shareDirect {
		r.powerUpIfNeeded()
	}
	c.d.mu.Lock()
	h, protocol, rv := c.connectNow(r, le.Uint32(b), share, preferred)
	var w []*client
	if rv == success {
		w = c.d.event() // the number of connections changed
	}
	c.d.mu.Unlock()
	notify(w, success)
	if rv != success {
		return rv
	}
	c.handles[h.id] = h
	le.PutUint32(b[at+8:], h.id)
	le.PutUint32(b[at+12:], protocol)
	return success
}

// await waits until no client holds a transaction.
func (c *client) await(r *Reader) uint32 {
	for {
		c.d.mu.Lock()
		sharing, lock, released := r.sharing, r.lock, r.released
		c.d.mu.Unlock()
		switch {
		case sharing < 0:
			return sharingViolation
		case lock == 0:
			return success
		}
		select {
		case <-released:
		case <-r.gone:
			return readerUnavailable
		case <-c.stop:
			return readerUnavailable
		}
	}
}

// connectNow makes a handle. mu is held.
func (c *client) connectNow(r *Reader, context, share, preferred uint32) (h *handle, protocol, rv uint32) {
	switch {
	case r.unplugged:
		return nil, 0, readerUnavailable
	case c.context == 0:
		return nil, 0, invalidHandle
	case c.context != context:
		return nil, 0, invalidValue
	case r.sharing < 0:
		return nil, 0, sharingViolation
	case share != shareDirect && r.state&statePresent == 0:
		return nil, 0, noSmartcard
	case share != shareDirect && r.state&statePowered == 0:
		return nil, 0, unpoweredCard
	}
	if rv := r.choose(share, preferred); rv != success {
		return nil, 0, rv
	}
	if share == shareExclusive && r.sharing > 0 {
		return nil, 0, sharingViolation
	}
	c.d.handles++
	h = &handle{id: c.d.handles, reader: r}
	r.handles[h.id] = h
	if share == shareExclusive {
		r.sharing = -1
		r.lock, r.lockCount = h.id, 1
	} else {
		r.sharing++
	}
	return h, r.protocol, success
}

// choose agrees on a protocol with the card, as often as it gets power once. mu is
// held.
func (r *Reader) choose(share, preferred uint32) uint32 {
	switch {
	case preferred&protocolRaw != 0:
		r.protocol = protocolRaw
		return success
	case share == shareDirect:
		return success
	case r.protocol == 0:
		if preferred&protocolAnyOld != 0 {
			preferred = protocolT0 | protocolT1
		}
		offered, _ := protocols(r.atr)
		switch preferred &= offered; {
		case preferred&protocolT1 != 0:
			r.protocol = protocolT1
		case preferred&protocolT0 != 0:
			r.protocol = protocolT0
		default:
			return protoMismatch
		}
		return success
	case preferred&r.protocol == 0:
		return protoMismatch
	}
	return success
}

// powerUpIfNeeded gives the power back that was taken from an unused card.
func (r *Reader) powerUpIfNeeded() {
	r.busy.Lock()
	defer r.busy.Unlock()
	r.d.mu.Lock()
	s, needed := r.slot, r.present && !r.powered
	r.d.mu.Unlock()
	if s == nil || !needed {
		return
	}
	if atr, err := s.power(powerUp); err == nil {
		r.d.mu.Lock()
		if r.slot == s {
			r.setPowered(atr)
		}
		r.d.mu.Unlock()
	}
}

// powerAs does to the card what a client wishes: all clients are warned, but the
// reset is no event for those who wait. It returns a return value, which is
// removedCard without a card.
func (r *Reader) powerAs(kind powering) uint32 {
	r.busy.Lock()
	defer r.busy.Unlock()
	r.d.mu.Lock()
	for _, h := range r.handles {
		h.event = resetCardWarning
	}
	s := r.slot
	r.d.mu.Unlock()
	var atr []byte
	err := errGone
	if s != nil {
		atr, err = s.power(kind)
	}
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	r.protocol = 0
	switch {
	case err != nil || r.slot != s:
		r.state, r.atr, r.powered = stateAbsent, nil, false
		return removedCard
	case kind == powerDown:
		r.state, r.powered = statePresent, false
		return success
	}
	r.setPowered(atr)
	if !r.powered {
		return unresponsiveCard
	}
	return success
}

func (c *client) reconnect(h *handle, share, preferred, initialization uint32) (protocol, rv uint32) {
	switch {
	case initialization > unpowerCard:
		return 0, invalidValue
	case share < shareExclusive || share > shareDirect:
		return 0, invalidValue
	case share != shareDirect && !usable(preferred):
		return 0, protoMismatch
	}
	r := h.reader
	c.d.mu.Lock()
	rv = h.allowed()
	c.d.mu.Unlock()
	if rv != success {
		return 0, rv
	}
	switch initialization {
	case resetCard:
		rv = r.powerAs(warmReset)
	case unpowerCard:
		rv = r.powerAs(powerCycle)
	}
	if rv == removedCard {
		rv = noSmartcard
	}
	if rv != success {
		return 0, rv
	}
	c.d.mu.Lock()
	protocol, rv = r.reconnectNow(h, share, preferred)
	var w []*client
	if rv == success {
		w = c.d.event()
	}
	c.d.mu.Unlock()
	notify(w, success)
	return protocol, rv
}

// reconnectNow takes the card over as it is. mu is held.
func (r *Reader) reconnectNow(h *handle, share, preferred uint32) (protocol, rv uint32) {
	if rv := h.available(); rv != success {
		return 0, rv
	}
	switch {
	case r.state&stateAbsent != 0:
		return 0, noSmartcard
	case r.state&stateSwallowed != 0:
		return 0, unresponsiveCard
	}
	if rv := r.choose(share, preferred); rv != success {
		return 0, rv
	}
	switch {
	case share == shareExclusive && r.sharing == 1:
		r.sharing = -1
		r.lock = h.id
		r.lockCount++
	case share == shareExclusive && r.sharing > 1:
		return r.protocol, sharingViolation
	case share != shareExclusive && r.sharing < 0:
		// As pcscd has it, the transaction that came with exclusive access goes on,
		// until the client ends it.
		r.endTransaction()
		r.sharing = 1
	}
	h.event = 0
	return r.protocol, success
}

func (c *client) disconnect(h *handle, disposition uint32) uint32 {
	if disposition > ejectCard {
		return invalidValue
	}
	r := h.reader
	for disposition != leaveCard {
		c.d.mu.Lock()
		other, released := h.allowed() == sharingViolation, r.released
		c.d.mu.Unlock()
		if !other {
			break
		}
		select {
		case <-released:
		case <-r.gone:
		case <-c.stop:
			disposition = leaveCard
		}
	}
	c.d.mu.Lock()
	switch h.allowed() {
	case invalidValue:
		c.d.mu.Unlock()
		return success // the reader is gone, and nothing is left to do
	case success:
		r.unlock()
	}
	c.d.mu.Unlock()
	switch disposition {
	case resetCard:
		r.powerAs(warmReset)
	case unpowerCard:
		r.powerAs(powerDown)
	case ejectCard:
		r.ejectForClient()
	}
	c.d.mu.Lock()
	if r.handles[h.id] != nil {
		delete(r.handles, h.id)
		if r.sharing < 0 {
			r.sharing = 0
		} else {
			r.sharing = max(r.sharing-1, 0)
		}
	}
	w := c.d.event()
	c.d.mu.Unlock()
	notify(w, success)
	return success
}

// ejectForClient ejects the card where the reader can.
func (r *Reader) ejectForClient() uint32 {
	if !r.motorized {
		return unsupportedFeature
	}
	r.d.mu.Lock()
	s := r.takeOut()
	r.stopTimer()
	w := r.notice()
	r.d.mu.Unlock()
	if s != nil {
		s.takeOut()
	}
	notify(w, success)
	return success
}

func (c *client) begin(h *handle) uint32 {
	r := h.reader
	c.d.mu.Lock()
	rv := h.available()
	if rv == success {
		rv = h.event
	}
	if rv == success {
		rv = h.allowed()
	}
	if rv == success {
		r.lock = h.id
		r.lockCount++
	}
	c.d.mu.Unlock()
	if rv == sharingViolation {
		// So that the client does not ask again at once.
		t := time.NewTimer(c.d.lockPoll)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.stop:
		}
	}
	return rv
}

func (c *client) end(h *handle, disposition uint32) uint32 {
	if disposition > ejectCard {
		return invalidValue
	}
	r := h.reader
	c.d.mu.Lock()
	rv := h.available()
	if rv == success {
		rv = h.event
	}
	if rv == success && disposition != leaveCard {
		rv = h.allowed()
	}
	c.d.mu.Unlock()
	if rv != success {
		return rv
	}
	switch disposition {
	case resetCard:
		rv = r.powerAs(warmReset)
	case unpowerCard:
		rv = r.powerAs(powerCycle)
	case ejectCard:
		rv = r.ejectForClient()
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	ended := h.allowed()
	if ended == success {
		ended = r.endTransaction()
	}
	if rv == success {
		rv = ended
	}
	return rv
}

// endTransaction ends one transaction of perhaps several, one in another, of the
// client that holds the lock. An exclusive connection keeps its own. mu is held.
func (r *Reader) endTransaction() uint32 {
	kept := 0
	if r.sharing < 0 {
		kept = 1
	}
	if r.lockCount <= kept {
		return notTransacted
	}
	r.lockCount--
	if r.lockCount == 0 {
		r.unlock()
	}
	return success
}

func (c *client) status(h *handle) uint32 {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return h.untouched()
}

func (c *client) transmit(h *handle) uint32 {
	b := c.answer
	r := h.reader
	protocol, room := le.Uint32(b[4:]), le.Uint32(b[24:])
	le.PutUint32(b[24:], 0)
	c.d.mu.Lock()
	rv := r.mayTransmit(h, protocol)
	c.d.mu.Unlock()
	if rv != success {
		return rv
	}
	r.busy.Lock()
	defer r.busy.Unlock()
	c.d.mu.Lock()
	rv = r.mayTransmit(h, protocol) // while another client had the card
	s, powered := r.slot, r.powered
	c.d.mu.Unlock()
	switch {
	case rv != success:
		return rv
	case s == nil || !powered:
		return notTransacted
	}
	out, err := s.transmit(b, c.data)
	if err != nil {
		r.failed(s)
		select {
		case <-r.gone:
			return readerUnavailable
		default:
		}
	}
	n := len(out) - len(b)
	c.answer = out
	le.PutUint32(out[24:], uint32(n))
	if n > maxAPDU || uint32(n) > room {
		return insufficientBuffer
	}
	return success
}

// mayTransmit returns why a command cannot be sent to the card. mu is held.
func (r *Reader) mayTransmit(h *handle, protocol uint32) uint32 {
	if rv := h.untouched(); rv != success || protocol == protocolRaw {
		return rv
	}
	switch {
	case r.state&stateAbsent != 0:
		return noSmartcard
	case protocol != protocolAnyOld && protocol != r.protocol:
		return protoMismatch
	}
	return success
}
