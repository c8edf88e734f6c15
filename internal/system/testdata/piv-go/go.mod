// The card that piv-go's own tests and this program use is one of cardoki's, in a
// reader of a private pcscd.
module github.com/cardoki/cardoki/internal/system/testdata/piv-go

go 1.26.0

require github.com/go-piv/piv-go/v2 v2.6.0 // needs cgo and libpcsclite-dev

require golang.org/x/crypto v0.50.0 // indirect
