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
// [TLSCertificate] does all that in one call, by a PKCS#11 URI.
//
// # Sessions
//
// Everything in PKCS#11 is done in a session, which belongs to one goroutine at a
// time, while the login belongs to the whole process and ends with the last session.
// A [Pool] takes care of both, opens sessions as they are needed, and heals: after a
// logout, a removal or a restart of what is behind the module the next caller goes on; its
// page says how. [Pool.Do] lends a [Session] for what the package has no shorter
// way for, such as [Session.GenerateKeyPair] and [Session.PutCertificate].
// [Slot.OpenSession] gives one without a pool.
//
// The handle of an object is good for one life of its session or pool; an [Object]
// remembers which, and is refused in another. A [Key] finds itself again, compares
// the public key, and verifies the first signature, so that it never signs with
// another key that has come to have its number; PoolOptions.Verify says more.
//
// # Keys
//
// [Key] is a private key: a signer.Key for RSA, ECDSA, Ed25519, key agreement and ML-KEM.
// [SecretKey] is a secret key: MACs, and [SecretKey.AEAD] for AES-GCM, AES-CCM and
// ChaCha20-Poly1305, also with nonces that the token makes. A [Session] generates,
// imports, copies, derives, wraps, unwraps, encapsulates and destroys them, by typed
// mechanisms such as [GCM], [PSS] and [HKDF]; encrypts, signs and digests streams
// ([Session.EncryptTo], [Session.SignWriter], [Session.Digester]); and makes many messages
// under one init ([Session.MessageSealer]).
//
// Keys that are made here never leave the token, unless the options say that they may, and
// then only wrapped by mechanisms that protect them: see [Session.WrapKey] and, for a
// report of what could leave, [Session.Exportable].
//
// # PINs
//
// A PIN comes from a callback, [PINFunc], is wiped after use, and is held by nothing
// here. What the token says about the PIN is read first; the last try before it locks
// is made only if the callback allows it; a PIN that was refused is not tried again. PIN
// pads, and keys that want the PIN for each use, are served by the same callback.
//
// # Errors
//
// What a module returned is an [*Error], and errors.Is works with the constants:
// errors.Is(err, cryptoki.CKR_SESSION_COUNT). What the token cannot do Is also
// errors.ErrUnsupported. Errors have no PINs, keys or plaintexts in them, nor has the log
// of calls that Options.Logger makes.
//
// # Modules
//
// [Open] asks a module for the function list of PKCS#11 3.2, 3.0 or 2.40; what a list
// promises and does not do is [CKR_FUNCTION_NOT_SUPPORTED]. What known modules do
// differently is in [Quirks]. [Adopt] takes a module that a program uses through
// github.com/miekg/pkcs11 already. [ParseURI] reads the URIs of RFC 7512. For tests, package
// cryptokitest has a module that misbehaves on request.
//
// The module is trusted: it runs in this process, with the memory of the process.
//
// Modules are loaded in programs that were built with cgo. On Linux that is tested; for
// Windows and macOS it compiles, and nobody has run it there. Elsewhere the package
// compiles, and Open says what is missing.
//
// # Documents
//
// PKCS#11 (OASIS) 2.40 to 3.2; RFC 7512 for URIs; RFC 8017 for RSA; FIPS 186-5 and
// RFC 3279 for ECDSA signatures; RFC 8032 for Ed25519; FIPS 203 for ML-KEM.
//
// # Concurrency
//
// [Module], [Slot], [Pool], [Key], [SecretKey] and [AEAD] are safe for concurrent use. A
// [Session] is used by one goroutine at a time, and refuses a second one.
package cryptoki
