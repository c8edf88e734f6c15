// Package piv is both ends of a PIV card, the identity card of FIPS 201 that
// YubiKeys are too: [Client] uses one, [Application] is one in software.
//
// A program finds the card with package pcsc, opens the client and has a key for
// package signer, or a TLS certificate in one call:
//
//	conn, err := pcsc.Open(ctx, "", nil)
//	client, err := piv.Open(ctx, iso7816.NewChannel(conn, nil), &piv.Options{PIN: askPIN})
//	cert, err := client.TLSCertificate(ctx, piv.SlotAuthentication)
//
// A card for a program's own tests needs no hardware:
//
//	ch := iso7816.NewChannel(card.New(nil, piv.NewApplication(nil)), nil)
//	client, err := piv.Open(ctx, ch, nil)
//
// # PINs
//
// No PIN is ever tried that the caller did not give for this purpose. The number
// of tries left is read before each try; when one is left it is spent only when
// the callback calls [PINRequest.AllowLastTry]. A refused PIN is never tried again by itself. While
// [Options.PIN] asks the user no lock is held and no transaction is open.
//
// A verified PIN stays verified, for every program that can reach the card,
// until the card is reset or another application selected; the transaction of
// [iso7816.Options] End can reset it.
//
// # Shared cards
//
// Each operation is one transaction, which begins by proving that the PIV
// application is still selected: another program may have selected its own. No
// PIN reaches another application.
//
// # What is here
//
// Keys of P-256, P-384 and RSA 2048: generate, sign (ECDSA, PKCS #1 v1.5, PSS),
// decrypt (PKCS #1 v1.5, OAEP), key agreement; certificates; the PIN; the
// management key with mutual authentication (AES and triple DES); and YubiKey's
// serial number and metadata where the card has them.
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
