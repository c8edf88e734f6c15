// Package peers measures cardoki beside other libraries, in one run: commands and
// responses, data objects, and round trips over the same pcscd to the same card in
// software. It needs cgo and libpcsclite-dev.
//
//	go test -bench . -count 5
package peers
