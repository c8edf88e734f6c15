// Package signer gives keys that live in hardware the shape that Go programs
// expect: [crypto.Signer], [crypto.MessageSigner] and [crypto.Decrypter], for
// tls.Config, x509.CreateCertificate, ssh and everything else that takes them.
//
// A key comes from a card (piv.Client.Key) or from a PKCS#11 token
// (cryptoki.Key); both implement [Key]. The short way to a TLS certificate is
// theirs too: piv.Client.TLSCertificate and cryptoki.Pool.TLSCertificate. By
// hand it is
//
//	cert := tls.Certificate{
//		Certificate: [][]byte{leaf.Raw},
//		PrivateKey:  signer.New(key, nil),
//	}
//
// # What is honoured, what is refused
//
// RSA PKCS #1 v1.5, RSA-PSS with any salt length, RSA-OAEP, ECDSA and Ed25519.
// Options are honoured or refused, never ignored: [ParseSign] and [ParseDecrypt]
// check them against the key before anything is sent to it. What a key, a token
// or this package cannot do gives an error that Is [errors.ErrUnsupported].
//
// # Faults and wrong keys
//
// A signature made by a disturbed device can give an RSA key away, and a handle
// that has come to mean another key makes signatures of that other key. So every
// RSA signature, and the first of any other key, is verified before it is
// returned: see [Options].
//
// # Concurrency
//
// A [Signer] is safe for concurrent use when its [Key] is, as those of piv and
// cryptoki are.
package signer
