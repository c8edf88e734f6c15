// Package peers measures cardoki beside other libraries, in one run, over the same
// pcscd and the same card in software. It needs cgo and libpcsclite-dev.
//
//	go test -bench . -count 5
package peers
