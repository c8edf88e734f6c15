// Package pcsctest is a PC/SC daemon for tests: pcscd in Go, with readers and cards
// in software, without installing, starting or waiting for anything.
//
//	d, err := pcsctest.Start(&pcsctest.Options{Readers: []string{"Reader 00 00"}})
//	d.Reader("Reader 00 00").Insert(card)
//
// A program under test reaches it at [Daemon.Socket]: package pcsc through
// pcsc.Options.Socket, any other through the environment variable
// PCSCLITE_CSOCK_NAME, which libpcsclite reads once in the life of a process.
//
// What a [Daemon] does is what pcscd 1.9.9 does, number for number: a test of this
// package puts the same questions to both and compares. Share modes, transactions,
// resets by other clients, cards that come, go and are torn out, event counters,
// attributes, control codes and the features of PC/SC part 10 are there. Beyond
// that it fails on demand, by [Daemon.SetFault]: any return value at any call,
// calls that hang, connections that break, answers that lie.
//
// # What is different
//
// Nothing is polled: what pcscd notices within 0.4 s is noticed at once, unless
// [Options] say otherwise. A card is not powered off when nobody has used it for a
// while, unless [Reader.PowerDown] says so. A client that uses a handle which is not
// its own is cut off at once, not after 2 s. The answer to reset and the names of the
// device are attributes, as with drivers of real readers; the driver vpcd spoils them.
// There is no access control, though [Accepted] can be made to fail as one does, and no
// limit on clients.
//
// # Protocol
//
// The daemon speaks version 4:4 of pcsc-lite's socket protocol, 4:5 on demand,
// in the byte order of the machine. A request is the length of its body, a command
// number and the body; the answer is the body again, filled in. The layouts are
// those of winscard_msg.h of pcsc-lite; a command has at most 65,548 bytes.
//
// # Concurrency
//
// All types are safe for concurrent use. The methods of one [Card] are called by one
// goroutine at a time.
package pcsctest
