package system_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// A watchedCard is a card that looks at what it is told: which application a PIN goes
// to, above all. It can be made to wait in the middle of a command.
type watchedCard struct {
	*card.Card

	mu       sync.Mutex
	selected []byte // by name, on the basic channel; nil: nothing
	tried    int    // PINs presented to PIV
	strays   int    // PINs presented to anything else
	hold     *hold  // nil: none
}

// A hold is a command during which the card waits.
type hold struct {
	after   int           // so many commands go by
	late    bool          // the command is carried out before the card waits
	reached chan struct{} // closed when the card waits
	release chan struct{} // close it to let the card answer
}

// arm makes the card wait in the command after the next n.
func (c *watchedCard) arm(n int, late bool) *hold {
	h := &hold{after: n, late: late, reached: make(chan struct{}), release: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold = h
	return h
}

func (c *watchedCard) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold = nil
}

// counts returns how many PINs were presented to PIV, and to anything else.
func (c *watchedCard) counts() (tried, strays int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tried, c.strays
}

// Transmit implements apdu.Transmitter.
func (c *watchedCard) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	h := c.before(command)
	if h != nil && !h.late {
		if err := h.wait(ctx); err != nil {
			return dst, err
		}
	}
	out, err := c.Card.Transmit(ctx, dst, command)
	c.after(command, out)
	if h != nil && h.late && err == nil {
		if err := h.wait(ctx); err != nil {
			return dst, err
		}
	}
	return out, err
}

func (h *hold) wait(ctx context.Context) error {
	close(h.reached)
	select {
	case <-h.release:
		return nil
	case <-ctx.Done(): // the card is taken out
		return ctx.Err()
	}
}

// before notes a command and returns the hold that it meets.
func (c *watchedCard) before(command []byte) *hold {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cmd, err := apdu.ParseCommand(command); err == nil && cmd.Instruction == apdu.InsVerify && len(cmd.Data) > 0 {
		if bytes.Equal(c.selected, piv.AID.AppendTo(nil)[:len(c.selected)]) && len(c.selected) > 0 {
			c.tried++
		} else {
			c.strays++
		}
	}
	h := c.hold
	if h == nil {
		return nil
	}
	if h.after > 0 {
		h.after--
		return nil
	}
	c.hold = nil
	return h
}

// after notes a selection that was made.
func (c *watchedCard) after(command, response []byte) {
	cmd, err := apdu.ParseCommand(command)
	if err != nil || cmd.Instruction != apdu.InsSelect || cmd.P1 != 0x04 || len(response) < 2 {
		return
	}
	if sw1 := response[len(response)-2]; sw1 == 0x90 || sw1 == 0x61 {
		c.forget(cmd.Data)
	}
}

func (c *watchedCard) forget(selected []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selected = bytes.Clone(selected)
}

// PowerOn, PowerOff and Reset forget the selection.
func (c *watchedCard) PowerOn()  { c.forget(nil); c.Card.PowerOn() }
func (c *watchedCard) PowerOff() { c.forget(nil); c.Card.PowerOff() }
func (c *watchedCard) Reset()    { c.forget(nil); c.Card.Reset() }

// counterAID is the identifier of the counter number i.
func counterAID(i byte) iso7816.AID {
	aid, err := iso7816.AIDFromBytes([]byte{0xF0, 'c', 'o', 'u', 'n', 't', i})
	if err != nil {
		panic(err)
	}
	return aid
}

// Commands of a counter. Each carries the number of the program, P1-P2.
const (
	insBegin apdu.Instruction = 0x02 // a group of commands; answered by the value
	insRead  apdu.Instruction = 0x04 // the value
	insWrite apdu.Instruction = 0x06 // the value, of 4 bytes
	insEcho  apdu.Instruction = 0x08 // the data
	insEnd   apdu.Instruction = 0x0A // of the group
)

// A counter is an application with one number, that knows whose group of commands is
// under way and notes when another program comes between.
type counter struct {
	aid iso7816.AID

	mu          sync.Mutex
	value       uint32
	owner       int // program whose group is under way; 0: none
	groups      int // that ended
	interleaved int
	torn        int // ended by a reset, or by another selection
}

func (a *counter) AID() iso7816.AID                        { return a.aid }
func (a *counter) Open(*card.Env) (card.Session, error)    { return a, nil }
func (a *counter) Select(*card.ResponseWriter) apdu.Status { return apdu.StatusOK }

// Close ends a selection, which no program does within its own group.
func (a *counter) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.owner != 0 {
		a.torn++
	}
	a.owner = 0
}

func (a *counter) ServeAPDU(_ context.Context, w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	program := int(c.P1)<<8 | int(c.P2)
	switch c.Instruction {
	case insBegin:
		if a.owner != 0 {
			a.interleaved++
		}
		a.owner = program
	case insRead, insWrite, insEcho, insEnd:
		if a.owner != program {
			a.interleaved++
		}
	default:
		return apdu.StatusInstructionNotSupported
	}
	switch c.Instruction {
	case insBegin, insRead:
		w.Write(binary.BigEndian.AppendUint32(nil, a.value))
	case insWrite:
		if len(c.Data) != 4 {
			return apdu.StatusWrongLength
		}
		a.value = binary.BigEndian.Uint32(c.Data)
	case insEcho:
		w.Write(c.Data)
	case insEnd:
		a.owner = 0
		a.groups++
	}
	return apdu.StatusOK
}
