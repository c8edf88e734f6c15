// Package apdu encodes and decodes the commands and responses that pass between
// an interface device and a card (ISO/IEC 7816-3:2006 clause 12.1 and ISO/IEC
// 7816-4:2013 clause 5), and names the one-method transport that carries them.
//
// Most programs use package iso7816, which chains commands, collects long
// responses and checks status words, and need only [Command] and [Status] from
// here. Whoever brings a new kind of reader, or a new kind of card, implements
// [Transmitter] and may implement its optional companions [Transactor],
// [Described] and [Reconnecter].
//
//	cmd := apdu.Command{Instruction: apdu.InsGetChallenge, Ne: 8}
//	b, err := cmd.AppendBinary(nil)           // 00 84 00 00 08
//	b, err = transmitter.Transmit(ctx, nil, b) // 8 bytes, 90 00
//	resp, err := apdu.ParseResponse(b)
//
// [Trace] puts a line in plain words for each exchange beside a transport, and
// [Explain] makes that line; both hide what may be secret, as does whatever prints a
// [Command] or a [Response]. An application brings a [Vocabulary] with names for what
// the standard does not know. [ParseHex] and [FormatHex] are for bytes that people
// write and read. Package apdu/apdutest has what tests need: recordings, replays,
// faults.
//
// # Exactness
//
// [ParseCommand] accepts the seven forms of a command and refuses every other
// byte string with a [*SyntaxError] that tells where it went wrong. Appending
// what was parsed gives the same bytes again. Nothing here allocates, except
// errors and text.
//
// # Concurrency
//
// The values of this package are plain data. A [Transmitter] is used by one
// goroutine at a time, unless its own documentation says more.
package apdu
