// Package apdutest helps to test what talks to cards: it records exchanges and
// plays them back, makes transports fail, and checks whoever claims to be an
// [apdu.Transmitter].
//
//   - [Record] writes every exchange to a transcript, readable and one a line.
//   - [Replay] is a card that answers as the transcript says, and refuses
//     whatever differs from it.
//   - [NewFaults] tears the card out, resets it, cuts a response, flips a bit of it,
//     sends a command twice, answers with any status or waits, at the exchange that
//     the test names.
//   - [TestTransmitter] is the conformance suite of the interface.
//
// A test of a card program that costs no card is
//
//	card, err := apdutest.Replay(transcript)
//	…
//	ch := iso7816.NewChannel(card, nil)
//	… // use ch
//	if err := card.Done(); err != nil {
//		t.Error(err)
//	}
//
// # Transcripts
//
// A transcript is a text. Empty lines, and what follows a # on a line, are
// comments. ATR, protocol and limits come first, as far as they are known, then
// the exchanges in their order:
//
//	atr 3B 80 80 01 01
//	protocol T=1
//	limits 65544 65538
//	00A404000BA00000030800001000010000 -> 61114F0600001000010079074F05A0000003089000
//	0020008008313233343536FFFF -> ! removed
//
// Bytes are written as [apdu.ParseHex] reads them. Behind ! stands the error of the transport: removed, reset, retired, not sent,
// or the text of any other in quotes. Lines that begin with begin, end or
// reconnect are written only where that failed, reconnect also where it did not.
//
// Transcripts are raw: they hold the PINs, keys and plaintexts that were
// exchanged. Create their files with mode 0600, and commit only those made with
// test cards. What people look at is better made with [apdu.Trace], which hides
// secrets.
//
// # Concurrency
//
// The types of this package are used by one goroutine at a time, as every
// [apdu.Transmitter] is.
package apdutest
