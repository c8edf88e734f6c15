package apdu

import "context"

// A Transmitter carries command APDUs to a card and brings the responses back:
// a reader connection, a card in software, a recording, a fault injector.
//
// Transmit carries one command APDU, at most [MaxCommandSize] bytes, and appends
// the response APDU, SW1-SW2 last, to dst. It interprets nothing: every complete
// response is returned with a nil error, whatever its status. It must not modify
// or retain command, nor retain dst.
//
// An error means that no response was obtained; dst is then returned unchanged.
// Unless the error Is [ErrNotSent] or [ErrReset], the command may have run.
// Errors of the kinds [ErrRemoved], [ErrReset] and [ErrRetired] are told apart by
// errors.Is. When ctx ends first the error wraps ctx.Err(); a command already at
// the card is not recalled.
//
// A Transmitter is used by one goroutine at a time.
type Transmitter interface {
	Transmit(ctx context.Context, dst, command []byte) ([]byte, error)
}

// A Transactor is a [Transmitter] that can keep other programs away from the
// card for a while. Begin waits until the card is free; every Begin that
// returned nil is followed by one End, which says what happens to the card.
//
// Begin that finds the card reset by another program returns an error that Is
// [ErrReset] and holds no transaction. A decorator, such as a recording,
// implements Transactor always and forwards to what it decorates.
type Transactor interface {
	Begin(ctx context.Context) error
	End(Disposition) error
}

// A Disposition says what to do with the card when a transaction or a connection
// ends. The values are those of PC/SC.
type Disposition uint32

// What can be done with a card at the end.
const (
	LeaveCard   Disposition = 0 // nothing: selection and verified PINs stay, for other programs too
	ResetCard   Disposition = 1 // warm reset: selection and security status are lost
	UnpowerCard Disposition = 2 // power off
	EjectCard   Disposition = 3 // power off and eject, where the reader can
)

// Described is implemented by a [Transmitter] that knows the card's answer to
// reset and what it can carry.
type Described interface {
	// ATR returns the card's answer to reset, or nil when it is not known. The
	// caller must not modify it.
	ATR() []byte
	// Limits returns what can be carried.
	Limits() Limits
}

// A Protocol is the transmission protocol between reader and card.
type Protocol byte

// The transmission protocols. The values of T0, T1 and Raw are those of PC/SC.
const (
	ProtocolUnknown Protocol = 0
	ProtocolT0      Protocol = 1 // character oriented, ISO/IEC 7816-3
	ProtocolT1      Protocol = 2 // block oriented, ISO/IEC 7816-3; also what contactless readers report
	ProtocolRaw     Protocol = 4
)

// String returns "T=0", "T=1", "raw" or "unknown".
func (p Protocol) String() string {
	switch p {
	case ProtocolT0:
		return "T=0"
	case ProtocolT1:
		return "T=1"
	case ProtocolRaw:
		return "raw"
	}
	return "unknown"
}

// Limits tells what a [Transmitter] can carry. A zero field is not known.
type Limits struct {
	Protocol    Protocol
	MaxCommand  int // longest command APDU, in bytes
	MaxResponse int // longest response APDU with its status, in bytes
}

// A Reconnecter is a [Transmitter] that can be used again after [ErrReset]:
// Reconnect accepts the reset. Some can after [ErrRemoved] and [ErrRetired] too, with
// whatever card is there then. Selection and security status are gone.
type Reconnecter interface {
	Reconnect(ctx context.Context) error
}
