// Package card is a card in software: it answers command APDUs as a card in a
// reader does, for tests, demonstrations and services.
//
// A [Card] is an [apdu.Transmitter], so it stands wherever a reader connection
// can: below an iso7816.Channel, or behind a real pcscd by way of package vpcd.
// What it can do is the work of its applications, such as piv.Application:
//
//	ch := iso7816.NewChannel(card.New(nil, piv.NewApplication(nil)), nil)
//	client, err := piv.Open(ctx, ch, nil)
//
// # What the card does, what an application does
//
// The card parses commands, joins chains, keeps what does not fit a response for
// GET RESPONSE, selects applications by full or partial AID, unwraps and wraps
// secure messaging and forgets everything but its [Store] when power goes. An
// [Application] opens a [Session] for each selection; the session answers whole
// logical commands and holds the security status, which dies with it.
//
// One logical channel, the basic one, is there; commands on others are refused
// with 6881.
//
// # Persistence
//
// What must survive power off is in a [Store]: in memory ([NewMemoryStore]), or
// in a file ([OpenFileStore]). A commit is all or nothing.
//
// # Concurrency
//
// A Card is safe for concurrent use and handles one command at a time. It calls
// its applications and sessions from one goroutine at a time.
//
// # Documents
//
// ISO/IEC 7816-3:2006 and ISO/IEC 7816-4:2013.
package card
