// Package vpcd puts a card in software into the virtual reader of a real pcscd:
// the driver vpcd of vsmartcard (Debian: vsmartcard-vpcd), which listens on a TCP
// port, 35963 by default, for a card to come. And it is such a reader itself, for the
// cards in software of others.
//
// [DialAndServe] connects a card to the driver and serves it until its context
// ends; every PC/SC program of the machine then finds that card in the reader.
//
//	err := vpcd.DialAndServe(ctx, vpcd.DefaultAddress, c, &vpcd.Options{Redial: true})
//
// The card is in the reader for as long as it is served. A [Slot] puts cards in and
// takes them out by calls. Any number of cards can be served at once, each at the
// address of a reader of its own.
//
// [Listen] is the other end: a program that is the reader, without any pcscd, for a
// card that [Serve], vicc of vsmartcard or anything else of that protocol connects.
//
//	l, err := vpcd.Listen("")
//	c, err := l.Accept(ctx) // an apdu.Transmitter
//
// Whoever can reach that pcscd can use the card. The driver listens on all network
// interfaces, takes the first card that comes, and the connection is neither
// encrypted nor authenticated.
//
// # Protocol
//
// A frame is a length of two bytes, big-endian, and as many bytes. A body of one
// byte is a control: 0 power off, 1 power on, 2 reset, which have no answer, and 4,
// answered by the answer to reset, which the driver asks for every 0.4 s. Any other
// body is a command APDU and answered by a response APDU. So a command has at most
// 65,535 bytes, and a response too: 65,533 bytes of data and the status.
//
// # Concurrency
//
// The calls of a [Card] are made by one goroutine, that of Serve. A [Conn] is used by
// one goroutine at a time; a [Slot] by any number.
package vpcd
