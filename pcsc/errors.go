package pcsc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/cardoki/cardoki/apdu"
)

// An Error reports a failed call. It wraps its Code, its Kind and its Err, so that
// errors.Is finds each of them.
type Error struct {
	Op      string   // what was tried: "establish", "list readers", "wait", "watch", "open", "connect", "transmit", "begin", "end", "status", "reconnect", "reset", "change", "eject", "control", "features", "attribute", "verify PIN", "close", …
	Reader  string   // name of the reader, or what was asked for; may be empty
	Code    Code     // what the PC/SC service returned, or 0
	Kind    error    // apdu.ErrReset, ErrRemoved, ErrRetired or ErrNotSent, or nil
	Readers []string // the readers that there are, when one was looked for
	Err     error    // further cause: the context's error, an *AccessError, an error of package net, …; may be nil
	Remedy  string   // what to do, in words
}

// Error returns what was tried, what happened and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("pcsc: " + e.Op)
	if e.Reader != "" {
		fmt.Fprintf(&b, " %q", e.Reader)
	}
	switch {
	case e.Code != 0:
		b.WriteString(": " + e.Code.Error())
	case e.Err == nil && e.Kind != nil:
		b.WriteString(": " + strings.TrimPrefix(e.Kind.Error(), "apdu: "))
	}
	if e.Err != nil && e.Err != error(e.Code) {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// Unwrap returns Code, Kind and Err, as far as they are set.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Code != 0 {
		errs = append(errs, e.Code)
	}
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// A serviceError reports that a session could not be opened.
type serviceError struct {
	code Code
	path string // of the socket, if there is one
	err  error
}

func (e *serviceError) Error() string   { return e.err.Error() }
func (e *serviceError) Unwrap() []error { return []error{e.code, e.err} }

// newError makes the error of a call on a session.
func newError(op, reader string, err error) *Error {
	e := &Error{Op: op, Reader: reader}
	var lost *lostError
	var service *serviceError
	switch {
	case errors.As(err, &service):
		e.Code, e.Err = service.code, service.err
		if !beforeConnection(op) {
			e.Kind = apdu.ErrRetired
		}
	case errors.As(err, &lost):
		e.Code, e.Err = lost.code, lost.cause
		if !beforeConnection(op) { // else there is nothing that could be retired
			e.Kind = apdu.ErrRetired
		}
	case errors.As(err, &e.Code):
		e.Kind = kind(op, e.Code)
		if err != error(e.Code) {
			e.Err = err
		}
	case errors.Is(err, apdu.ErrNotSent):
		e.Kind, e.Err = apdu.ErrNotSent, err
	default:
		e.Err = err
	}
	e.Remedy = remedy(e, service)
	return e
}

// beforeConnection reports whether op has no connection to a card that it could lose.
func beforeConnection(op string) bool {
	switch op {
	case "establish", "list readers", "wait", "watch", "open", "connect":
		return true
	}
	return false
}

// kind returns what a return value means for the card, in the terms of package
// apdu, or nil. Before there is a connection it means nothing.
func kind(op string, code Code) error {
	if beforeConnection(op) {
		return nil
	}
	switch code {
	case SCARD_W_RESET_CARD, SCARD_W_UNPOWERED_CARD:
		return apdu.ErrReset
	case SCARD_W_REMOVED_CARD, SCARD_E_NO_SMARTCARD, SCARD_E_UNKNOWN_READER, SCARD_E_READER_UNAVAILABLE,
		SCARD_E_INVALID_VALUE: // what pcscd says of a handle whose reader was unplugged
		return apdu.ErrRemoved
	case SCARD_E_NOT_TRANSACTED, SCARD_E_COMM_DATA_LOST:
		// What pcscd makes of a failed exchange before it has seen the card go.
		if op == "transmit" {
			return apdu.ErrRemoved
		}
	case SCARD_E_SHARING_VIOLATION:
		if op == "transmit" {
			return apdu.ErrNotSent
		}
	case SCARD_E_PROTO_MISMATCH:
		// The protocol that was agreed is so no more: the card was reset, as pcscd does at
		// the end of a program within a transaction, just when this connection was made.
		if op != "reconnect" && op != "reset" && op != "change" {
			return apdu.ErrReset
		}
	case SCARD_F_COMM_ERROR, SCARD_E_NO_SERVICE, SCARD_E_SERVICE_STOPPED, SCARD_E_INVALID_HANDLE:
		return apdu.ErrRetired
	}
	return nil
}

// remedy returns what the user can do about e.
func remedy(e *Error, service *serviceError) string {
	switch {
	case service != nil:
		return serviceRemedy(service)
	case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded):
		switch {
		case e.Op == "establish", e.Op == "list readers" && !errors.Is(e.Err, apdu.ErrNotSent):
			return "the PC/SC service did not answer, and the attempt was given up"
		case e.Op == "connect":
			return "another program holds the card, or the PC/SC service did not answer: the attempt was given up"
		case e.Kind == apdu.ErrRetired && e.Op == "transmit":
			return "the command may have run, and this connection was given up; " + whatIsLost
		case e.Kind == apdu.ErrRetired:
			return "the PC/SC service did not answer, and this connection was given up; " + whatIsLost
		case e.Kind == apdu.ErrNotSent && e.Op == "transmit":
			return "the command was not sent"
		}
		return ""
	case e.Kind == apdu.ErrReset:
		return "reconnect, then select the application and verify the PIN again"
	case e.Kind == apdu.ErrRemoved:
		return "insert the card and reconnect"
	case e.Kind == apdu.ErrRetired && e.Code != 0:
		return "the PC/SC service was stopped or restarted; " + whatIsLost
	case e.Kind == apdu.ErrRetired:
		return whatIsLost
	}
	switch e.Code {
	case SCARD_E_NO_READERS_AVAILABLE:
		return "plug in a reader, and see that its driver is installed (Debian: libccid)"
	case SCARD_E_NO_SMARTCARD:
		return "insert a card" + found(e.Readers)
	case SCARD_E_UNKNOWN_READER:
		return strings.TrimPrefix(found(e.Readers), ": ")
	case SCARD_E_SHARING_VIOLATION:
		return "close the program that uses the card, or connect shared in both"
	case SCARD_W_UNRESPONSIVE_CARD, SCARD_W_UNSUPPORTED_CARD:
		return "see that the card is the right way round and clean"
	case SCARD_E_PROTO_MISMATCH:
		return "connect with both protocols allowed, or reconnect"
	case SCARD_E_UNSUPPORTED_FEATURE:
		return "the reader or its driver does not know this"
	}
	return ""
}

// whatIsLost is said of a connection that is lost.
const whatIsLost = "selection, security status and any transaction are lost: Reconnect, then select and verify again"

// found lists readers for a message.
func found(readers []string) string {
	if len(readers) == 0 {
		return ""
	}
	return fmt.Sprintf(": readers found: %q", readers)
}

// serviceRemedy says how to get at the PC/SC service.
func serviceRemedy(e *serviceError) string {
	var access *AccessError
	switch {
	case errors.As(e.err, &access):
		return access.Remedy
	case errors.Is(e.err, errors.ErrUnsupported):
		return ""
	case runtime.GOOS == "windows":
		return "start the Smart Card service (SCardSvr) and plug in a reader"
	case runtime.GOOS == "darwin":
		return "plug in a reader"
	case e.code == SCARD_E_SERVICE_STOPPED:
		return fmt.Sprintf("pcscd at %s is too old or too new for this program: install pcsc-lite 1.8.24 or later, or update this program", e.path)
	}
	if e.path == "" || strings.Contains(e.err.Error(), e.path) {
		return "is pcscd installed and running? (Debian: apt-get install pcscd; systemctl start pcscd.socket)"
	}
	return fmt.Sprintf("nothing answers at %s: is pcscd installed and running? (Debian: apt-get install pcscd; systemctl start pcscd.socket)", e.path)
}
