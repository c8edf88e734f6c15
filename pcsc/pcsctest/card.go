package pcsctest

import (
	"context"
	"errors"
	"sync"

	"github.com/cardoki/cardoki/apdu"
)

// A Card is what a reader needs of a card: contacts for power and reset, and an
// exchange of commands and responses. It has the method set of vpcd.Card, so one
// card fits both.
//
// A Transmit that returns an error takes the card out of the reader, as tearing it
// out does, unless the error Is [apdu.ErrNotSent]: what is no command is answered
// with 6700. The context of Transmit ends when the card is taken out and when the
// daemon goes.
type Card interface {
	apdu.Transmitter
	ATR() []byte // 2 to 33 bytes; any other length makes the card mute
	PowerOn()
	PowerOff()
	Reset()
}

// errGone reports that the card was taken out during a call.
var errGone = errors.New("pcsctest: no card in the reader")

// A slot is a card in a reader, from insertion to removal, with the goroutine that
// calls it. do and transmit are called under [Reader.busy].
type slot struct {
	card   Card
	ctx    context.Context
	cancel context.CancelFunc
	gone   chan struct{} // closed when the card is out
	once   sync.Once     // closes gone
	ended  chan struct{} // closed when the card is called no more

	todo     chan func() // nil: transmit command
	done     chan error
	command  []byte // after gone it is the goroutine's
	response []byte
	powered  bool // of the goroutine
}

func newSlot(card Card) *slot {
	s := &slot{card: card, gone: make(chan struct{}), ended: make(chan struct{}), todo: make(chan func()), done: make(chan error, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.run()
	return s
}

// run calls the card until it is out, and takes the power from it.
func (s *slot) run() {
	defer close(s.ended)
	defer s.powerOff()
	for {
		select {
		case <-s.gone:
			return
		case f := <-s.todo:
			var err error
			if f != nil {
				f()
			} else {
				s.response, err = s.card.Transmit(s.ctx, s.response[:0], s.command)
			}
			s.done <- err
		}
	}
}

// takeOut ends what the card does, and does not wait for it.
func (s *slot) takeOut() {
	s.once.Do(func() {
		s.cancel()
		close(s.gone)
	})
}

// do calls f on the goroutine of the card.
func (s *slot) do(f func()) error {
	select {
	case <-s.gone:
		return errGone
	default:
	}
	select {
	case s.todo <- f:
	case <-s.gone:
		return errGone
	}
	select {
	case err := <-s.done:
		return err
	case <-s.gone:
		return errGone
	}
}

// transmit appends the response of the card to dst.
func (s *slot) transmit(dst, command []byte) ([]byte, error) {
	select {
	case <-s.gone:
		return dst, errGone // command and response are not ours
	default:
	}
	s.command = append(s.command[:0], command...)
	err := s.do(nil)
	switch {
	case err == nil:
		return append(dst, s.response...), nil
	case errors.Is(err, apdu.ErrNotSent) && s.ctx.Err() == nil:
		return append(dst, apdu.StatusWrongLength.SW1(), apdu.StatusWrongLength.SW2()), nil
	}
	return dst, err
}

// power does with the card what kind says and returns its answer to reset, nil
// without power.
func (s *slot) power(kind powering) ([]byte, error) {
	atr := new([]byte) // when the card is gone it is not ours
	err := s.do(func() {
		if kind == powerDown || kind == powerCycle {
			s.powerOff()
		}
		switch kind {
		case powerUp, powerCycle:
			s.card.PowerOn()
			s.powered = true
		case warmReset:
			s.card.Reset()
		}
		if kind != powerDown {
			*atr = append(*atr, s.card.ATR()...)
		}
	})
	if err != nil {
		return nil, err
	}
	return *atr, nil
}

func (s *slot) powerOff() {
	if s.powered {
		s.card.PowerOff()
		s.powered = false
	}
}

// A powering is what can be done with the contacts of a card.
type powering int

const (
	powerUp powering = iota
	powerDown
	powerCycle // down, then up
	warmReset
)

// protocols returns the protocols that an answer to reset offers, as bits, and
// that which is used when nothing is chosen (ISO/IEC 7816-3).
func protocols(atr []byte) (offered, standard uint32) {
	if len(atr) < 2 {
		return protocolT0, protocolT0
	}
	y, i := atr[1]>>4, 2
	for level := 1; y != 0; level++ {
		for bit := byte(1); bit < 8; bit <<= 1 { // TA, TB, TC
			if y&bit == 0 {
				continue
			}
			if i >= len(atr) {
				return max(offered, protocolT0), max(standard, protocolT0)
			}
			if bit == 1 && level == 2 { // TA2: no choice
				t := uint32(1) << (atr[i] & 0x0F)
				return t, t
			}
			i++
		}
		if y&8 == 0 || i >= len(atr) {
			break
		}
		if t := uint32(1) << (atr[i] & 0x0F); t <= protocolT1 {
			offered |= t
			if standard == 0 {
				standard = t
			}
		}
		y = atr[i] >> 4
		i++
	}
	if offered == 0 {
		return protocolT0, protocolT0
	}
	return offered, standard
}
