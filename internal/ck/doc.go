// Package ck is the PKCS#11 function list as a Go interface, and the backend that
// loads a module into this process.
//
// [FunctionList] is what package cryptoki calls. [Open] gives the one for a
// module's path, shared by everyone in the process, as C_Initialize is the
// process's and not the caller's: see [Instance].
//
// The work is divided by one rule. github.com/miekg/pkcs11 does what carries no
// secret, is rare and has a fixed size: initialising, library, slot and token
// information, opening and closing of sessions. What carries a PIN or a key's value, has
// a mechanism parameter or a length that the module tells, or is called often goes
// through the small C core in core.h, on the same handles: both take their functions
// from one loaded library. So does all that is newer than 2.40: C_GetInterface is
// asked for 3.2, 3.0 and 2.40, and a module without it for its one list.
//
// The core makes one crossing into C an operation, or a search, or a whole list of
// objects ([ReadRows]). Output goes into the caller's slices, templates are one buffer with
// offsets ([Template]), parameters of mechanisms are built in C ([Mechanism]). Nothing is
// allocated on either heap, and nothing of what is given stays in C.
//
// Without cgo everything compiles and Open says what is missing. On Windows, where
// CK_ULONG has 4 bytes and structures are packed, the core compiles and its
// layout is checked; nobody has run it there.
//
// The package checks nothing that crashes a module when it is wrong, such as two
// goroutines in one session or calls after C_Finalize: that is cryptoki's task.
//
// It follows PKCS#11 2.40 to 3.2.
package ck
