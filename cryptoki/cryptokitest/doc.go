// Package cryptokitest is a PKCS#11 module for tests: one small file of C, built by the
// test itself, that does what it should and misbehaves on request.
//
//	m, err := cryptokitest.New(t.TempDir(), &cryptokitest.Options{
//		Keys: []cryptokitest.Key{{Label: "key", ID: []byte{1}, Private: key}},
//	})
//	// open m.Path() with any PKCS#11 library, then:
//	m.SetFaults(cryptokitest.Fault{Function: "C_Sign", Skip: 2, RV: 0x30})
//
// It is for any program that takes the path of a module, in this process or in another:
// the test and the module share a file. The package itself is Go without cgo;
// [New] needs a C compiler and a Unix system.
//
// # What it does
//
// One slot with one token, sessions, the state of the login with PINs that count and
// lock, objects with whatever attributes they were given, searches, session objects, private
// objects that are seen only after login and get other handles at each logout, sensitive
// values that are not given out, keys that want a login for each use. It offers
// C_GetInterface with 3.2 and 3.0 ([Options.Interface]), as well as C_GetFunctionList. Numbers
// of sessions and objects start again with each C_Initialize, as they do in
// real modules.
//
// CKM_ECDSA with a [Key] makes signatures that are right. All other cryptography is none at
// all: it is made so that a wrong key, nonce, tag or byte shows. Other keys sign with the first
// 32 bytes of the input and their CKA_ID, whatever the mechanism, so that a test sees who has
// signed. Encryption with CKM_AES_GCM has a tag that depends on key, nonce, additional data and
// ciphertext; a wrapped key is known again by the right wrapping key; random numbers are
// a sequence that is always the same. None of it protects anything.
//
// # What it does on request
//
// A [Fault] makes the n-th call of a function fail with any return value, before or after it
// was carried out, wait, hang until it is told to go on, lie about a length, flip a bit, lose
// all sessions, give keys each other's handles, log out, or take the token out. The methods of
// [Module] do some of this between calls. [Options] has peculiarities of real modules: tokens
// that make the nonce of GCM themselves, that reject a whole template for one attribute, that
// want exact sizes, with a limit on sessions, with a PIN pad. With [Options.Null] every
// function does nothing, for measuring the way there.
//
// What was called is counted, and so is what no program should do: two calls in one session
// at the same time, calls to a module that is not initialised ([Module.Overlaps],
// [Module.Outside]).
//
// # Concurrency
//
// A [Module] is safe for concurrent use. Commands are carried out at the begin of the next call.
package cryptokitest
