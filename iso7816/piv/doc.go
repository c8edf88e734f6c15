// Package piv is both ends of a PIV card, the identity card of FIPS 201 that
// YubiKeys are too: [Client] uses one, [Application] is one in software.
//
// A card with a simulated finger, for a program's own tests, in two lines:
//
//	app := piv.NewApplication(&piv.ApplicationOptions{Touch: func(context.Context, piv.Slot) bool { return true }})
//	client, err := piv.Open(ctx, iso7816.NewChannel(card.New(nil, app), nil), nil)
//
// A program with a real card finds it in whatever reader it is, and has a key for
// package signer, or a TLS certificate in one call:
//
//	client, err := piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{}, &piv.Options{PIN: askPIN})
//	cert, err := client.TLSCertificate(ctx, piv.SlotAuthentication)
//
// # PINs
//
// No PIN is ever tried that the caller did not give for this purpose. The number
// of tries left is read before each try; when one is left it is spent only when
// the caller said so: [PINRequest.AllowLastTry], [Client.AllowLastTry]. A refused PIN is
// never tried again by itself. While [Options].PIN asks the user no lock is held and no
// transaction is open. A PIN is kept only where [Options].CachePIN says so.
//
// A verified PIN stays verified, for every program that can reach the card,
// until the card is reset or another application selected; the transaction of
// [iso7816.Options] End can reset it.
//
// # Touch
//
// Some keys of YubiKeys want the card to be touched. The PIN is settled first; when the
// card then takes long, [Options].Touch tells the user, and its context ends when the
// touch came. [ErrTouchTimeout] is a touch that did not come.
//
// # Shared cards
//
// Each operation is one transaction, which begins by proving that the PIV
// application is still selected: another program may have selected its own. No
// PIN reaches another application.
//
// # What is here
//
// Keys: generate, import, move, delete, attest; RSA of 1024 to 4096 bits (PKCS #1 v1.5,
// PSS, OAEP), P-256, P-384, Ed25519, and key agreement with the curves and X25519, as far
// as the card has them. Certificates and all other data objects: CHUID, CCC, discovery,
// key history, security object, printed information; what has no type is bytes
// ([Client.Object]). PIN, global PIN, PUK and their counters; management keys of AES and
// triple DES, also kept on the card under the PIN; serial number, version, factory reset.
//
// What a card can is decided by what it says: metadata and version where it has
// YubiKey's commands, else the standard's defaults. [NewAuthority] issues certificates
// for tests and demonstrations.
//
// The card in software has the same, with its state in a card.Store, and is a plain card
// of the standard with [ApplicationOptions].StandardOnly.
//
// Not here: secure messaging and the virtual contact interface, biometric comparison.
//
// # Concurrency
//
// [Client] and [Key] are safe for concurrent use. An [Application] belongs to
// one card.Card, which calls it from one goroutine at a time.
//
// # Documents
//
// SP 800-73-5 and SP 800-78-5, and Yubico's description of its PIV extensions.
package piv
