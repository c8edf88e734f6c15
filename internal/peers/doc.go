// Package peers measures cardoki beside other libraries, in one run: commands and
// responses, data objects, and round trips over the same pcscd to the same card in
// software; PKCS#11 on the same tokens, beside a program in C too (package floor).
// It needs cgo and libpcsclite-dev, and for the tokens gcc, softhsm2, libnss3,
// firefox-esr, p11-kit and p11-kit-modules. Of a benchmark of tokens, a name with -ns is a median, with -min-ns the
// fastest turn, and what is divided by C a ratio of medians.
//
//	go test -bench . -count 5
package peers
