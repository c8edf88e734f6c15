// Module peers measures cardoki beside other libraries. It is a module of its own,
// so that none of them becomes a dependency of cardoki.
module github.com/cardoki/cardoki/internal/peers

go 1.26.0

replace github.com/cardoki/cardoki => ../..

require (
	cunicu.li/go-iso7816 v0.8.6 // codec and TLV
	github.com/ThalesGroup/crypto11 v1.6.2 // PKCS#11
	github.com/cardoki/cardoki v0.0.0
	github.com/ebfe/scard v0.0.0-20241214075232-7af069cabc25 // needs cgo and libpcsclite-dev
	github.com/google/go-pkcs11 v0.3.0 // PKCS#11
	github.com/miekg/pkcs11 v1.1.2 // PKCS#11, and its package p11
	github.com/moov-io/bertlv v0.1.0 // TLV
	github.com/skythen/apdu v0.2.0 // codec
	github.com/skythen/bertlv v0.1.2 // TLV
)

require (
	github.com/pkg/errors v0.9.1 // indirect
	github.com/thales-e-security/pool v0.0.2 // indirect
	golang.org/x/crypto v0.59.0 // indirect
)
