// Package pcsc reaches cards in readers through PC/SC: pcscd on Linux, the system's
// own service on Windows and macOS.
//
// [Open] connects to a card, and its [Conn] is an [apdu.Transmitter] to give to
// iso7816.NewChannel; most programs need no more. [Establish] gives a [Context],
// which lists readers, waits for cards, watches what comes and goes, and connects by
// exact name.
//
//	conn, err := pcsc.Open(ctx, "", nil) // the only reader that holds a card
//	if err != nil {
//		return err // says what to do
//	}
//	defer conn.Close()
//	response, err := conn.Transmit(ctx, nil, []byte{0x00, 0xA4, 0x04, 0x00})
//
// Connections are shared unless [ConnectOptions] ask otherwise: other programs may use
// the card between two commands. What belongs together goes into [Conn.Transaction]. A
// direct connection is for the reader and needs no card.
//
// # Readers
//
// [Conn.Attribute] asks for what a reader tells of itself, [Conn.Control] speaks to its
// driver. Readers with a keypad take the PIN without this computer seeing it:
// [Conn.Features], [Conn.VerifyPIN], [Conn.ModifyPIN]. For contactless cards there are
// [UID] and [StorageCard].
//
// # Errors
//
// Every error is an [*Error], but for [*PINPadError] and [*StatusError], which are the
// reader's own answers. It wraps the [Code] that the service returned, what that means
// for the card ([apdu.ErrReset], [apdu.ErrRemoved], [apdu.ErrRetired],
// [apdu.ErrNotSent]), and the error of a context that ended; its message says what
// happened and what to do. Who may not use the service, or a card, gets an
// [*AccessError] with user, polkit action and remedy.
//
// # Recovery
//
// Nothing that a card knew is lost in silence. When somebody resets the card
// ([apdu.ErrReset]), when the card or its reader goes ([apdu.ErrRemoved]), when the
// service is stopped or restarted, or a call is given up ([apdu.ErrRetired]), every
// further call of the Conn says so and sends nothing, until [Conn.Reconnect]. That
// brings back the connection, to whatever card is in the reader of that name then, and
// through a new connection to the service where the old one is lost; the application is
// then selected, and the PIN verified, anew.
//
// A [Context] has nothing to lose. It connects to the service again when a call needs
// it, and [Context.Watch] and [Context.WaitForCard] wait for a service that is away. So a
// laptop that slept, a reader that was pulled, and pcscd restarted or ended for lack of
// work are events of a watch and one Reconnect.
//
// # Contexts
//
// A context ends every wait. On Linux the call below is interrupted, by closing the
// connection to pcscd; elsewhere it goes on behind the caller's back until the
// service returns. Either way the Conn is lost, as [apdu.ErrRetired] says: nobody
// knows what the card has done. Exceptions are in the comments: waiting for another
// program's transaction loses nothing on Linux. With a context that cannot end calls run
// directly, without a goroutine, and wait as long as the service does.
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
// Through ebfe/scard some things differ:
//
//   - [Options].Socket cannot be given; libpcsclite reads PCSCLITE_CSOCK_NAME once in the
//     life of a process.
//   - [Reader].Protocol is not known, and no watch sees a reset.
//   - Changes are noticed up to 0.1 s late, and later where many Contexts wait: the process
//     has one wait at a time. Readers that come are found by listing them at each turn, so
//     that the name \\?PnP?\Notification of Windows is not needed.
//   - A call that is given up, a Begin too, holds its connection until the service
//     returns.
//   - With [apdu.ProtocolRaw] nothing can be transmitted.
//   - libpcsclite cannot go from shared to exclusive use: see [Conn.Change].
//   - Each Transmit allocates 64 KiB.
//
// # Documents
//
// PC/SC part 5 for the calls and their return values; PC/SC part 3 and ISO/IEC
// 7816-3 for the mapping of commands to T=0; PC/SC part 3, supplement for contactless
// ICCs; PC/SC part 10 for features and PIN pads, with the layouts in reader.h of
// pcsc-lite.
//
// # Concurrency
//
// A [Context] is safe for concurrent use. So are the methods of a [Conn], one after
// the other; a conversation with a card needs one owner all the same.
package pcsc
