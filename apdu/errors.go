package apdu

import (
	"errors"
	"fmt"
)

// ErrLength is what a length out of range wraps: data too long for the form,
// the card or the transport, or Ne out of range.
var ErrLength = errors.New("apdu: length out of range")

// A LengthError reports a field that is too long to be encoded or carried. It
// wraps [ErrLength].
type LengthError struct {
	Field string // "Nc", "Ne", "Nr", "command", "response"
	Value int    // its length in bytes
	Max   int    // the longest allowed, in bytes
}

// Error returns the field with its length and limit.
func (e *LengthError) Error() string {
	return fmt.Sprintf("apdu: %s of %d bytes is not in 0..%d", e.Field, e.Value, e.Max)
}

// Unwrap returns [ErrLength].
func (e *LengthError) Unwrap() error { return ErrLength }

// A SyntaxError reports bytes that are no command or response APDU, or text that is
// not hexadecimal. It carries no byte of them.
type SyntaxError struct {
	What   string // "command", "response" or "hexadecimal text"
	Offset int    // where the bytes stop making sense, counted from 0
	Reason string
}

// Error returns what is malformed, where and why.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("apdu: malformed %s at offset %d: %s", e.What, e.Offset, e.Reason)
}

func commandError(offset int, reason string) error {
	return &SyntaxError{What: "command", Offset: offset, Reason: reason}
}

// What can happen to a transport. Every [Transmitter] maps its own errors to
// these, so that errors.Is works the same above a reader, a card in software, a
// recording and a fault injector. After any of them the state of the card is
// unknown or lost; a status word in a response is never one of them.
var (
	// ErrReset: somebody else reset the card since the last command. Selection
	// and security status are gone; the command was not executed. Reconnect
	// ([Reconnecter]), select and verify again.
	ErrReset = errors.New("apdu: card was reset")
	// ErrRemoved: the card, or its reader, is gone.
	ErrRemoved = errors.New("apdu: card was removed")
	// ErrRetired: this connection was given up, after a cancelled call or by
	// Close. Reconnect, where the transport is a [Reconnecter] that can, or open a
	// new one.
	ErrRetired = errors.New("apdu: connection is no longer usable")
	// ErrNotSent: the command did not reach the card and may be sent again.
	ErrNotSent = errors.New("apdu: command was not sent")
)
