// Package cryptoki uses keys in cryptographic tokens, such as HSMs, smart cards and
// SoftHSM2, through their PKCS#11 modules (Cryptoki).
//
// Begin with [Open], which loads a module, [Module.FindToken], which finds a token by
// its label, and [Slot.NewPool], which makes a set of sessions with one login. From
// there [Pool.TLSCertificate] gives a key with its certificate for tls.Config, and
// [Pool.Key] a key alone:
//
//	module, err := cryptoki.Open("/usr/lib/softhsm/libsofthsm2.so", nil)
//	if err != nil {
//		return err
//	}
//	defer module.Close()
//	slot, err := module.FindToken("my token")
//	if err != nil {
//		return err
//	}
//	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: askPIN})
//	defer pool.Close()
//	cert, err := pool.TLSCertificate(ctx, cryptoki.KeyQuery{Label: "my key"})
//
// # Sessions
//
// Everything in PKCS#11 is done in a session, which belongs to one goroutine at a
// time, while the login belongs to the whole process and ends with the last session.
// A [Pool] takes care of both: [Pool.Do] lends a [Session] for what the package has no
// shorter way for, such as [Session.GenerateKeyPair] and [Session.PutCertificate].
// [Slot.OpenSession] gives one without a pool.
//
// The handle of an object is good for one life of its session or pool; an [Object]
// remembers which, and is refused in another. A [Key] finds itself again, compares
// the public key, and verifies the first signature, so that it never signs with
// another key that has come to have its number.
//
// # PINs
//
// A PIN comes from a callback, [PINFunc], is wiped after use, and is held by nothing
// here. What the token says about the PIN is read first; the last try before it locks
// is made only if the callback allows it; a PIN that was refused is not tried again.
//
// # Errors
//
// What a module returned is an [*Error], and errors.Is works with the constants:
// errors.Is(err, cryptoki.CKR_SESSION_COUNT). What the token cannot do Is also
// errors.ErrUnsupported. Errors have no PINs, keys or plaintexts in them.
//
// # What it does not do
//
// It trusts the module, which runs in this process, with the memory of the process.
// It does not bring a session back in the middle of a call: the caller gets the
// error, and the next call starts anew. PIN pads, keys that want the PIN for each
// use, symmetric keys, wrapping, and derivation other than ECDH are not there yet.
//
// Modules are loaded in programs that were built with cgo, on Unix systems.
// Elsewhere the package compiles, and Open says what is missing.
//
// # Documents
//
// PKCS#11 (OASIS) 2.40, with the numbers of 3.2; RFC 8017 for RSA; FIPS 186-5 and
// RFC 3279 for ECDSA signatures.
//
// # Concurrency
//
// [Module], [Slot], [Pool] and [Key] are safe for concurrent use. A [Session] is used
// by one goroutine at a time, and refuses a second one.
package cryptoki
