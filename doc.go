// Package cardoki holds no code: it is the top of a library to talk to smart cards
// and cryptographic tokens, and to be one.
//
// A Go program that has a key in hardware imports [signer] and one of the two ways
// to get at it:
//
//   - [iso7816/piv] over [pcsc]: a PIV card or YubiKey in a reader, spoken to
//     directly;
//   - [cryptoki]: any token behind a PKCS#11 module.
//
// Both give a tls.Certificate, or a crypto.Signer, in one call. Nothing of the one
// is in a program that uses the other. [signer/prompt] asks the user for PINs.
//
// Below them, for whoever speaks to cards himself:
//
//   - [apdu]: commands and responses, and the one-method transport that carries
//     them; [apdu/apdutest] records, replays and breaks it;
//   - [iso7816]: the engine, which chains, collects and checks; [iso7816/tlv] the
//     data objects;
//   - [iso7816/card]: a card in software, which stands wherever a reader can;
//     [pcsc/vpcd] puts it into a virtual reader of pcscd, [pcsc/pcsctest] is a whole
//     PC/SC daemon for tests.
//
// The quickstart in examples shows all of it in one program:
//
//	go run ./examples/quickstart -trace
//
// [signer]: https://pkg.go.dev/github.com/cardoki/cardoki/signer
// [iso7816/piv]: https://pkg.go.dev/github.com/cardoki/cardoki/iso7816/piv
// [pcsc]: https://pkg.go.dev/github.com/cardoki/cardoki/pcsc
// [cryptoki]: https://pkg.go.dev/github.com/cardoki/cardoki/cryptoki
// [apdu]: https://pkg.go.dev/github.com/cardoki/cardoki/apdu
// [apdu/apdutest]: https://pkg.go.dev/github.com/cardoki/cardoki/apdu/apdutest
// [iso7816]: https://pkg.go.dev/github.com/cardoki/cardoki/iso7816
// [iso7816/tlv]: https://pkg.go.dev/github.com/cardoki/cardoki/iso7816/tlv
// [iso7816/card]: https://pkg.go.dev/github.com/cardoki/cardoki/iso7816/card
// [pcsc/vpcd]: https://pkg.go.dev/github.com/cardoki/cardoki/pcsc/vpcd
// [pcsc/pcsctest]: https://pkg.go.dev/github.com/cardoki/cardoki/pcsc/pcsctest
// [signer/prompt]: https://pkg.go.dev/github.com/cardoki/cardoki/signer/prompt
package cardoki
