// Package system holds what tests of the whole stack on real parts share: a private
// pcscd with virtual readers ([StartPCSCD]), and what to say when a program or file
// is missing ([Need], [NeedFile]).
//
// Code that is no test imports the standard library only, so that the tests of any
// package can use it. A fixture belongs to the goroutine of its test.
package system
