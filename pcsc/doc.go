// Package pcsc reaches cards in readers through PC/SC: pcscd on Linux, the system's
// own service on Windows and macOS.
//
// [Open] connects to a card, and its [Conn] is an [apdu.Transmitter] to give to
// iso7816.NewChannel; most programs need no more. [Establish] gives a [Context],
// which lists readers, waits for cards and changes, and connects by exact name.
//
//	conn, err := pcsc.Open(ctx, "", nil) // the only reader that holds a card
//	if err != nil {
//		return err // says what to do
//	}
//	defer conn.Close()
//	response, err := conn.Transmit(ctx, nil, []byte{0x00, 0xA4, 0x04, 0x00})
//
// Connections are shared unless asked otherwise: other programs may use the card
// between two commands. What belongs together goes between Begin and End.
//
// # Errors
//
// Every error is an [*Error]. It wraps the [Code] that the service returned, what
// that means for the card ([apdu.ErrReset], [apdu.ErrRemoved], [apdu.ErrRetired],
// [apdu.ErrNotSent]), and the error of a context that ended; its message says what
// happened and what to do.
//
// # Contexts
//
// A context ends every wait. On Linux the call below is interrupted, by closing the
// connection to pcscd; elsewhere it goes on behind the caller's back until the
// service returns. Either way the Conn is spent, as [apdu.ErrRetired] says: nobody
// knows what the card has done. With a context that cannot end calls run directly,
// without a goroutine, and wait as long as the service does.
//
// # Backends
//
// On Linux pcscd's socket is spoken in pure Go: nothing else is needed to build.
// The build tag libpcsclite, with cgo and the headers of pcsc-lite, goes through
// libpcsclite and ebfe/scard instead, as other systems with pcsc-lite must.
// Windows (without cgo) and macOS (with cgo) use ebfe/scard; these two are compiled
// and vetted, but nobody has run them yet. In other builds [Establish] says what is
// missing.
//
// # Limits
//
// No direct connections, reader attributes, control codes or Part 10 features yet.
//
// # Documents
//
// PC/SC part 5 for the calls and their return values; PC/SC part 3 and ISO/IEC
// 7816-3 for the mapping of commands to T=0.
//
// # Concurrency
//
// A [Context] is safe for concurrent use. So are the methods of a [Conn], one after
// the other; a conversation with a card needs one owner all the same.
package pcsc
