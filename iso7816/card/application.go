package card

import (
	"context"
	"io"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// An Application is one application on a card. Its lasting state belongs to it
// and is shared by its sessions; what a user proved belongs to a [Session].
type Application interface {
	// AID returns the full application identifier. SELECT finds the application
	// by it or by a right-truncated form of at least 5 bytes.
	AID() iso7816.AID
	// Open begins a session, before the application's first answer to SELECT. An
	// error makes SELECT fail with 6F00 and leaves what was selected before.
	Open(env *Env) (Session, error)
}

// A Session is one selection of an [Application] on one logical channel. An
// application that is selected on several channels has a session for each.
type Session interface {
	// Select answers the SELECT command that opened the session: it writes the
	// FCI or application property template to w. A status other than 9000 or a
	// warning refuses the selection.
	Select(w *ResponseWriter) apdu.Status
	// ServeAPDU answers a command: c is whole (its chain joined, its secure
	// messaging taken off, its channel number removed from CLA) and valid until
	// ServeAPDU returns. Data is written to w; more than c.Ne bytes go out by way
	// of 61XX and GET RESPONSE. SELECT by name, MANAGE CHANNEL and GET RESPONSE
	// are the card's and never come here.
	//
	// ctx is the one of Card.Transmit: a session that waits, for a touch say, ends
	// when it ends.
	ServeAPDU(ctx context.Context, w *ResponseWriter, c *apdu.Command) apdu.Status
	// Close ends the session: another application was selected, the logical channel
	// was closed, or power went.
	// The security status must be gone and secrets wiped.
	Close()
}

// A Reselecter is a [Session] that goes on, with its security status, when its
// application is selected again on the same channel. A session that is no
// Reselecter is closed then, and a new one opened.
type Reselecter interface {
	Session
	// Reselect answers SELECT of the application that is selected already.
	Reselect(w *ResponseWriter) apdu.Status
}

// A Protected is a [Session] that can be under secure messaging.
type Protected interface {
	Session
	// SecureMessaging returns the session keys' owner, or nil when no secure
	// messaging session is open; protected commands are then refused with 6882.
	SecureMessaging() iso7816.CardSecureMessaging
}

// A Powered is an [Application] that keeps its lasting state in memory too, for
// speed. It is told when power goes, and when the store was put back to a snapshot:
// what it then does not forget is wrong.
type Powered interface {
	Application
	// PowerOff forgets everything that is not in the store. All sessions have been
	// closed.
	PowerOff()
}

// An Env is what a card lends to an application.
type Env struct {
	// Channel is the logical channel of the session.
	Channel int
	// Store holds the application's lasting state, apart from that of others.
	// What must change together belongs under one name.
	Store Store
	// Rand is the card's source of randomness, crypto/rand unless Options names
	// another.
	Rand io.Reader
	// Contactless tells that the card is used through its contactless interface.
	Contactless bool
	// Now is the card's clock, time.Now unless Options names another.
	Now func() time.Time
}

// A ResponseWriter collects the data field of a response. It takes at most
// 65,536 bytes; the rest is dropped and the response becomes 6F00.
type ResponseWriter struct {
	buf      []byte
	overflow bool
	unasked  bool
}

// Unasked lets the first 256 bytes go out although the command has no Le, which the
// standard answers with 61XX: some cards do so, and some programs need it.
func (w *ResponseWriter) Unasked() { w.unasked = true }

// Write appends p to the data field. It never returns an error.
func (w *ResponseWriter) Write(p []byte) (int, error) {
	if len(w.buf)+len(p) > apdu.MaxExtendedNe {
		w.overflow = true
		return len(p), nil
	}
	w.buf = append(w.buf, p...)
	return len(p), nil
}

// Len returns the number of bytes written so far.
func (w *ResponseWriter) Len() int { return len(w.buf) }
