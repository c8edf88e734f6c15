// Package signer gives keys that live in hardware the shape that Go programs
// expect, for tls.Config, x509.CreateCertificate, ssh, hpke and everything else that
// takes a key by an interface of the standard library.
//
// A key comes from a card (piv.Client.Key) or from a PKCS#11 token (cryptoki.Key);
// both implement [Key], and so can any other. [New] makes it a crypto.Signer:
//
//	s := signer.New(key, nil)
//	der, err := x509.CreateCertificateRequest(nil, template, s)
//
// and [Certificate] a tls.Certificate with its chain. The short way there is the
// keys' own: piv.Client.TLSCertificate and cryptoki.Pool.TLSCertificate. [NewTLS]
// follows a certificate that is renewed on the token, and a card that comes and goes:
//
//	t := signer.NewTLS(func(ctx context.Context) (tls.Certificate, error) {
//		return pool.TLSCertificate(ctx, query)
//	}, nil)
//	config := &tls.Config{GetCertificate: t.GetCertificate}
//
// What there is for each interface of the standard library:
//
//	crypto.Signer, crypto.MessageSigner   New              Key
//	crypto.Decrypter                      NewDecrypter     Decrypting (RSA)
//	ecdh.KeyExchanger                     NewKeyExchanger  Agreeing (P-256, P-384, P-521, X25519)
//	crypto.Decapsulator                   NewDecapsulator  Decapsulating (ML-KEM-768, ML-KEM-1024)
//
// # What is honoured, what is refused
//
// RSA PKCS #1 v1.5, RSA-PSS with any salt length, RSA-OAEP with any hash functions
// and label, ECDSA on all curves, Ed25519, and Ed25519ph and Ed25519ctx with keys
// that are [Able] to. Options are honoured or refused, never ignored: [ParseSign] and
// [ParseDecrypt] check them against the key before anything is sent to it. What a
// key, a token or this package cannot do gives an error that Is
// [errors.ErrUnsupported]; what does not fit gives [ErrInvalid]; what
// [Options].Policy does not allow gives a [PolicyError].
//
// Messages are hashed in Go, or in the device where Options.Hash says so and the key
// is [Hashing].
//
// # Waiting
//
// The interfaces of the standard library have no context, and a key can wait for a
// PIN, a touch or a busy device. [Options] has a context, a time limit for each use,
// and Before, which tells the user what is about to be done; WithContext gives a copy
// with the context of one request.
//
// # Faults and wrong keys
//
// A signature made by a disturbed device can give an RSA key away, and a handle
// that has come to mean another key makes signatures of that other key. So every
// RSA signature, and the first of any other key, is verified before it is
// returned: see [VerifyPolicy]. [Check] proves the match of private and public key
// for all other uses, when it is asked to.
//
// # FIPS 140
//
// Where a program enforces it (GODEBUG=fips140=only), a key in a device does what the
// same key in memory does: what the standard library refuses there is refused before
// the device is asked, with an error that Is [ErrUnsupported]. docs/security.md lists
// it, and what is computed in Go at all. fips140.WithoutEnforcement lets a program use
// for a moment what only its device computes.
//
// # Concurrency
//
// [Signer], [Decrypter], [KeyExchanger] and [Decapsulator] are safe for concurrent use
// when their keys are, as those of piv and cryptoki are. [TLS] is safe for concurrent
// use. There are no goroutines, and nothing to close.
//
// # What is not here
//
// ML-DSA and ML-KEM-512, which the standard library of Go 1.26 has no types for.
//
// # Documents
//
// RFC 8017 (RSA), FIPS 186-5 (ECDSA), RFC 8032 (Ed25519), RFC 7748 (X25519), FIPS 203
// (ML-KEM).
package signer
