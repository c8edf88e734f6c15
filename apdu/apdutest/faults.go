package apdutest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// A Fault is what happens at one exchange. The zero Fault is none; fields may be
// combined, and are then applied in their order.
type Fault struct {
	// Delay is how long the exchange hangs before the command is sent. A context
	// that ends meanwhile gives its error, and the connection is then retired, as
	// that of a reader is.
	Delay time.Duration
	// Remove tears the card out: this exchange, and everything after it, gives
	// ErrRemoved until the card is put in again and connected.
	Remove bool
	// Reset is another program resetting the card: this exchange, and everything
	// after it, gives ErrReset until Reconnect. The command is not sent.
	Reset bool
	// Late lets the card execute the command before Remove, Err or Status, so that
	// only its response is lost.
	Late bool
	// Err is returned in place of a response, once.
	Err error
	// Status, if it is not 0, replaces the card's response by this status alone;
	// the command is not sent, unless Late says so.
	Status apdu.Status
	// FlipCommand, if it is above 0, inverts one bit of the command on its way to
	// the card: 1 is the highest of the first byte, 8 the lowest, 9 the highest of
	// the second byte, and so on, and after the last from the first on again.
	FlipCommand int
	// Duplicate sends the command twice, as a transport may that has lost the first
	// response. The second response is returned.
	Duplicate bool
	// Flip, if it is above 0, inverts one bit of the response, counted as for
	// FlipCommand.
	Flip int
	// Cut, if it is above 0, takes so many bytes off the end of the response,
	// the status first, as a broken transport may.
	Cut int
}

// Faults is an [apdu.Transmitter] that makes exchanges fail. It forwards the
// optional companions of what it decorates, unless the card is out or was reset.
type Faults struct {
	apdu.Decorator
	// At returns the fault of exchange n, counted from 0. Nil means none at all.
	At func(n int, command []byte) Fault
	// Lost, if not nil, is called when the card is torn out or reset, so that a
	// card in software can lose its power too.
	Lost func()

	n     int
	state error // what every call gives: nil, ErrRemoved, ErrReset or ErrRetired
	out   bool  // the card is not in the reader
}

// NewFaults returns Faults around t that fail as at says; see [Faults.At].
func NewFaults(t apdu.Transmitter, at func(n int, command []byte) Fault) *Faults {
	return &Faults{Decorator: apdu.Decorator{Transmitter: t}, At: at}
}

// Once returns a function for [NewFaults] with one fault, at exchange n.
func Once(n int, fault Fault) func(int, []byte) Fault {
	return func(i int, _ []byte) Fault {
		if i == n {
			return fault
		}
		return Fault{}
	}
}

// Exchanges returns the number of exchanges so far, the failed ones too.
func (f *Faults) Exchanges() int { return f.n }

// Insert puts the card in again after [Fault.Remove]. What still gives
// ErrRemoved, as with a reader, ends with Reconnect.
func (f *Faults) Insert() { f.out = false }

func (f *Faults) lose(state error) error {
	f.state = state
	if f.Lost != nil {
		f.Lost()
	}
	return f.failed()
}

func (f *Faults) failed() error { return fmt.Errorf("apdutest: fault: %w", f.state) }

// Transmit passes command on, with the fault that is due.
func (f *Faults) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return dst, fmt.Errorf("apdutest: not sent: %w", err)
	}
	if f.state != nil {
		return dst, f.failed()
	}
	var fault Fault
	if f.At != nil {
		fault = f.At(f.n, command)
	}
	f.n++
	if fault.Delay > 0 {
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			f.state = apdu.ErrRetired
			return dst, fmt.Errorf("apdutest: fault: gave up waiting: %w", ctx.Err())
		}
	}
	if fault.Late && (fault.Remove || fault.Err != nil || fault.Status != 0) {
		// What the card answers is lost, and whether it answers at all.
		_, _ = f.Decorator.Transmit(ctx, nil, command)
	}
	switch {
	case fault.Remove:
		f.out = true
		return dst, f.lose(apdu.ErrRemoved)
	case fault.Reset:
		return dst, f.lose(apdu.ErrReset)
	case fault.Err != nil:
		return dst, fault.Err
	case fault.Status != 0:
		return append(dst, fault.Status.SW1(), fault.Status.SW2()), nil
	}
	if fault.FlipCommand > 0 {
		command = bytes.Clone(command)
		flip(command, fault.FlipCommand)
	}
	if fault.Duplicate {
		if _, err := f.Decorator.Transmit(ctx, nil, command); err != nil {
			return dst, err
		}
	}
	n := len(dst)
	out, err := f.Decorator.Transmit(ctx, dst, command)
	if err != nil {
		return dst, err
	}
	if fault.Flip > 0 {
		flip(out[n:], fault.Flip)
	}
	return out[:max(n, len(out)-max(fault.Cut, 0))], nil
}

// flip inverts a bit of b, counted from 1.
func flip(b []byte, bit int) {
	if len(b) > 0 {
		bit = (bit - 1) % (8 * len(b))
		b[bit/8] ^= 0x80 >> (bit % 8)
	}
}

// Begin passes on, unless the card is out or was reset.
func (f *Faults) Begin(ctx context.Context) error {
	if f.state != nil {
		return f.failed()
	}
	return f.Decorator.Begin(ctx)
}

// End passes on in every case, so that nothing stays locked, and returns the
// error of a card that is out or was reset.
func (f *Faults) End(disposition apdu.Disposition) error {
	err := f.Decorator.End(disposition)
	if f.state != nil {
		return f.failed()
	}
	return err
}

// Reconnect ends ErrReset, and ErrRemoved once [Faults.Insert] was called. It
// passes on where there is an [apdu.Reconnecter] below.
func (f *Faults) Reconnect(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("apdutest: not connected again: %w", err)
	}
	if f.out || f.state == apdu.ErrRetired {
		return f.failed()
	}
	if r, ok := f.Transmitter.(apdu.Reconnecter); ok {
		if err := r.Reconnect(ctx); err != nil {
			return err
		}
	}
	f.state = nil
	return nil
}
