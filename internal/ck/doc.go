// Package ck is the PKCS#11 function list as a Go interface, and the backend that
// loads a module into this process.
//
// [FunctionList] is what package cryptoki calls. [Open] gives the one for a
// module's path, shared by everyone in the process, as C_Initialize is the
// process's and not the caller's: see [Instance].
//
// The work is divided by one rule. github.com/miekg/pkcs11 does what carries no
// secret and is rare: initialising, library, slot and token information, mechanism
// lists, opening and closing of sessions. What carries a PIN or a key's value, has
// a mechanism parameter or is called often goes through the small C core in
// core.h, on the same handles: both take their functions from one loaded library.
//
// Without cgo, and on Windows, everything compiles and Open says what is missing.
//
// The package checks nothing that crashes a module when it is wrong, such as two
// goroutines in one session or calls after C_Finalize: that is cryptoki's task.
//
// It follows PKCS#11 2.40.
package ck
