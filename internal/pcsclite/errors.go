package pcsclite

import (
	"errors"
	"fmt"
)

// ErrClosed is returned by the calls of a client after Close, or after a call
// that broke it.
var ErrClosed = errors.New("pcsclite: client is closed")

// A BrokenError reports that an exchange with the daemon could not be finished;
// the client is closed. It wraps the reason: the error of the context, io.EOF or
// an error of package net when the daemon went away, or a [*ProtocolError].
type BrokenError struct {
	Cause error
}

// Error returns the reason.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("pcsclite: exchange with pcscd not finished: %v", e.Cause)
}

// Unwrap returns the reason.
func (e *BrokenError) Unwrap() error { return e.Cause }

// A ProtocolError reports an answer that the protocol does not know.
type ProtocolError struct {
	Reason string
}

// Error returns what was wrong with the answer.
func (e *ProtocolError) Error() string { return "pcsclite: malformed answer from pcscd: " + e.Reason }

// A VersionError reports a daemon of another protocol version.
type VersionError struct {
	Major, Minor int32 // what the daemon speaks
	RV           RV    // what it said to ours, or 0
}

// Error returns both versions.
func (e *VersionError) Error() string {
	return fmt.Sprintf("pcsclite: pcscd speaks protocol %d:%d, this client %d:%d to %d:%d",
		e.Major, e.Minor, versionMajor, versionMinor, versionMajor, versionMinorMax)
}

// ErrRefused reports that the daemon closed the connection before it answered
// the first message: it does so when its policy (polkit) does not admit the user.
var ErrRefused = errors.New("pcsclite: pcscd closed the connection before it answered")
