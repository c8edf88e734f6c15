package iso7816

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
)

// A CommandError reports that the card answered a command with another status
// than the caller could accept. The card is in a known state: errors.Is(err,
// status) and errors.As(err, &status) reach the [apdu.Status].
type CommandError struct {
	Class       apdu.Class
	Instruction apdu.Instruction
	P1, P2      byte
	Status      apdu.Status
}

func commandError(c *apdu.Command, sw apdu.Status) *CommandError {
	return &CommandError{Class: c.Class, Instruction: c.Instruction, P1: c.P1, P2: c.P2, Status: sw}
}

// Error returns the command and what the card said, such as "iso7816: SELECT:
// 6A82 file or application not found".
func (e *CommandError) Error() string {
	return "iso7816: " + e.Instruction.String() + ": " + e.Status.Error()
}

// Unwrap returns the status.
func (e *CommandError) Unwrap() error { return e.Status }

// A VerifyError reports a refused PIN, password or key. It wraps the status.
type VerifyError struct {
	Instruction apdu.Instruction // VERIFY, CHANGE REFERENCE DATA, …
	Reference   byte             // reference data qualifier, P2
	Remaining   int              // tries left; 0 means blocked; -1 when the card does not tell
	Status      apdu.Status      // 63CX, 6983, ...
}

// Error returns what the card said and what can be done, never the PIN.
func (e *VerifyError) Error() string {
	what := cmp.Or(e.Instruction, apdu.InsVerify)
	switch {
	case e.Remaining == 0:
		return fmt.Sprintf("iso7816: %v: %v: reference data %02X is blocked; unblock it with the card's PUK or ask its issuer", what, e.Status, e.Reference)
	case e.Remaining > 0:
		return fmt.Sprintf("iso7816: %v: %v", what, e.Status)
	}
	return fmt.Sprintf("iso7816: %v: %v; the card does not tell how many tries are left", what, e.Status)
}

// Unwrap returns the status.
func (e *VerifyError) Unwrap() error { return e.Status }

// ErrBound is what a [BoundError] wraps.
var ErrBound = errors.New("iso7816: the card exceeded a bound of Options")

// A BoundError reports a card that went on answering beyond a bound of
// [Options]. What it sent so far is dropped. It wraps [ErrBound].
type BoundError struct {
	Bound string // the field of Options
	Value int    // its value
}

// Error names the bound.
func (e *BoundError) Error() string {
	return fmt.Sprintf("iso7816: the card exceeded Options.%s, which is %d", e.Bound, e.Value)
}

// Unwrap returns [ErrBound].
func (e *BoundError) Unwrap() error { return ErrBound }

// ErrSecureMessaging is what the failure of secure messaging wraps: a response
// that was not protected, or whose protection was wrong. The session is over;
// no later command is sent until [Channel.SetSecureMessaging] is called again.
var ErrSecureMessaging = errors.New("iso7816: secure messaging session ended")
