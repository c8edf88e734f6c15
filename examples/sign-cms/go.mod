// This example is a module of its own: its library for CMS is in no program that
// imports cardoki.
module github.com/cardoki/cardoki/examples/sign-cms

go 1.26.0

replace github.com/cardoki/cardoki => ../..

require (
	github.com/cardoki/cardoki v0.0.0
	github.com/smallstep/pkcs7 v0.2.3 // CMS with any crypto.Signer; needs nothing but the standard library
)

require (
	github.com/ebfe/scard v0.0.0-20241214075232-7af069cabc25 // indirect
	github.com/miekg/pkcs11 v1.1.2 // indirect
	golang.org/x/crypto v0.59.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/term v0.48.0 // indirect
)
