// Package pcsclite speaks the socket protocol of pcscd, the PC/SC daemon of
// pcsc-lite, in pure Go: no cgo, no libpcsclite, no headers.
//
// [Dial] opens one client context on one unix socket. Package pcsc is the API
// for programs; this package knows commands, structures and return values only.
//
// # Protocol
//
// Numbers are in native byte order. A request is the length of its body, a
// command number and the body; the answer is the body again, filled in, without
// a header. [Client.Transmit] has the command APDU after the request and the
// response APDU after the answer. The structures are those of protocol 4:4, which
// pcsc-lite has spoken since 1.8.24 and which daemons up to 2.5 accept or differ
// from only in commands that are not used here. The handshake offers 4:4 and, to
// a daemon that refuses it, the minor version that the daemon names, where it is
// one of those listed in this package.
//
// Nothing that the daemon sends is trusted: answers have fixed lengths, the
// length of a response is checked against what was offered, and memory grows
// with the bytes that have come.
//
// # Cancellation and concurrency
//
// A [Client] is used by one goroutine at a time, except for Close, which may be
// called at any time and ends a running call at once. When a context ends during
// a call the exchange is cut in the middle: the socket is closed, the client is
// spent, and the error is a [*BrokenError] that wraps ctx.Err(). Waiting for a
// change of the readers is the exception: it can be called off and leaves the
// client whole.
//
// A command that was on its way to the card when its client was closed is not
// recalled: the daemon finishes it, and holds the card until then.
package pcsclite
