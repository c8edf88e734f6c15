// Package iso7816 exchanges commands with a card by ISO/IEC 7816-4: it splits
// what is too long for the card, collects responses that come in pieces, checks
// status words, and keeps groups of commands together.
//
// A [Channel] stands over any [apdu.Transmitter]: a reader (package pcsc), a card
// in software (package card), a recording or a fault injector (package
// apdutest).
//
//	ch := iso7816.NewChannel(conn, nil)
//	if _, err := ch.SelectApplication(ctx, iso7816.MustParseAID("A000000308000010000100")); err != nil {
//		return err
//	}
//	challenge, err := ch.Send(ctx, apdu.Command{Instruction: apdu.InsGetChallenge, Ne: 8})
//
// Applications have packages of their own above this one, such as iso7816/piv.
//
// # What is here
//
// Commands, each a method of Channel named as in the standard: SELECT and what it
// returns ([FCI]); files ([Channel.ReadFile], [Channel.UpdateBinary],
// [Channel.Records]); data objects ([Channel.GetData], [Channel.PutData]); PINs
// ([Channel.Verify], [Channel.ChangeReferenceData] and their kin); authentication and
// security operations ([Channel.GeneralAuthenticate], [Channel.PerformSecurityOperation]);
// logical channels ([Channel.OpenChannel]).
//
// What a card says of itself: [ParseATR] with its timing values and historical bytes,
// contactless cards' ATRs, EF.ATR/INFO ([Channel.ReadATRInfo]).
//
// # Sharing a card
//
// Other programs may use the card between two commands, and select their own
// application. What belongs together goes into [Channel.Exclusive]; an [Application]
// begins each such group by proving that it is selected still.
//
// A [Profile] is for applications whose status words, GET RESPONSE or classes differ
// from the standard's.
//
// # Statuses and errors
//
// [Channel.Exchange] returns the data and the status, whatever it is.
// [Channel.Send] returns the data when the status is 9000, else a
// [*CommandError]; a warning (62XX, 63XX) comes with its data and the error
// both. errors.Is(err, apdu.StatusFileNotFound) asks for one status or a family.
// An error that holds no status came from the transport: then the state of the
// card is unknown, see the errors of package apdu.
//
// # Bounds
//
// A card decides how often it answers "more data follows" and "wrong length",
// so both are bounded: see [Options].
//
// # Concurrency
//
// A Channel is safe for concurrent use. One command, with its chain and its GET
// RESPONSEs, is never interleaved with another; [Channel.Exclusive] groups
// several, and keeps other programs away where the transport can.
//
// # Documents
//
// ISO/IEC 7816-3:2006 and ISO/IEC 7816-4:2013.
package iso7816
