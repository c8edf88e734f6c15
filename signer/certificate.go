package signer

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// ErrCertificate is what [Certificate] wraps for a certificate of another key.
var ErrCertificate = fmt.Errorf("%w: the certificate is that of another key", ErrInvalid)

// Certificate returns key and its certificate, ready for tls.Config: with the chain
// that [Chain] finds among others, and with the signature algorithms that opts.Policy
// allows. An RSA key that is [Decrypting] is made a [Decrypter], for the key exchange
// of old TLS clients. others and opts may be nil.
//
// The key is not used: that it is the one in the device is seen at its first
// signature, or by [Check].
func Certificate(key Key, leaf *x509.Certificate, others []*x509.Certificate, opts *Options) (tls.Certificate, error) {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(leaf.PublicKey) {
		return tls.Certificate{}, ErrCertificate
	}
	cert := tls.Certificate{Leaf: leaf, PrivateKey: newPrivate(key, opts)}
	for _, c := range Chain(leaf, others) {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	if opts != nil && opts.Policy != nil {
		cert.SupportedSignatureAlgorithms = allowedByPolicy(opts.Policy, leaf.PublicKey)
		if len(cert.SupportedSignatureAlgorithms) == 0 {
			return tls.Certificate{}, &PolicyError{
				Operation: Operation{Use: UseSign, Public: leaf.PublicKey},
				Reason:    "any signature of TLS with this key",
			}
		}
	}
	return cert, nil
}

func newPrivate(key Key, opts *Options) crypto.Signer {
	if k, ok := key.(Decrypting); ok {
		if d, err := NewDecrypter(k, opts); err == nil {
			return d
		}
	}
	return New(key, opts)
}

// tlsSignatures are the signature algorithms of TLS 1.2 and 1.3, and what they are to a key.
var tlsSignatures = []struct {
	scheme tls.SignatureScheme
	op     Operation
}{
	{tls.PSSWithSHA256, Operation{Scheme: PSS, Hash: crypto.SHA256, MGFHash: crypto.SHA256}},
	{tls.PSSWithSHA384, Operation{Scheme: PSS, Hash: crypto.SHA384, MGFHash: crypto.SHA384}},
	{tls.PSSWithSHA512, Operation{Scheme: PSS, Hash: crypto.SHA512, MGFHash: crypto.SHA512}},
	{tls.PKCS1WithSHA256, Operation{Scheme: PKCS1v15, Hash: crypto.SHA256}},
	{tls.PKCS1WithSHA384, Operation{Scheme: PKCS1v15, Hash: crypto.SHA384}},
	{tls.PKCS1WithSHA512, Operation{Scheme: PKCS1v15, Hash: crypto.SHA512}},
	{tls.PKCS1WithSHA1, Operation{Scheme: PKCS1v15, Hash: crypto.SHA1}},
	{tls.ECDSAWithP256AndSHA256, Operation{Scheme: ECDSA, Hash: crypto.SHA256}},
	{tls.ECDSAWithP384AndSHA384, Operation{Scheme: ECDSA, Hash: crypto.SHA384}},
	{tls.ECDSAWithP521AndSHA512, Operation{Scheme: ECDSA, Hash: crypto.SHA512}},
	{tls.ECDSAWithSHA1, Operation{Scheme: ECDSA, Hash: crypto.SHA1}},
	{tls.Ed25519, Operation{Scheme: Ed25519}},
}

func allowedByPolicy(p *Policy, pub crypto.PublicKey) []tls.SignatureScheme {
	kind, bits := keyKind(pub)
	var allowed []tls.SignatureScheme
	for _, s := range tlsSignatures {
		op := s.op
		op.Use, op.Public = UseSign, pub
		fits := false
		switch op.Scheme {
		case PSS, PKCS1v15:
			fits = bits > 0
		case ECDSA:
			// TLS 1.2 takes each of them with any curve.
			fits = bits == 0 && kind != "Ed25519"
		case Ed25519:
			fits = kind == "Ed25519"
		}
		if fits && p.Check(op) == nil {
			allowed = append(allowed, s.scheme)
		}
	}
	return allowed
}

// Bounds of what a hostile token can make Chain do.
const (
	maxChain          = 10 // certificates, with the leaf
	maxSignatureTries = 100
)

// Chain returns leaf and after it, each followed by its issuer, the certificates
// among others that lead to a root. The root itself is left out: whoever trusts it
// has it. Where several certificates could be next, one whose key identifier fits is
// taken before others, one that is valid now before one that is not, and then the
// one that is valid longest. Signatures are checked, names and constraints are not:
// that is the verifier's. Where no issuer is found the chain ends. It has at most
// 10 certificates.
func Chain(leaf *x509.Certificate, others []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{leaf}
	tries := 0
	for len(chain) < maxChain {
		last := chain[len(chain)-1]
		var issuers []*x509.Certificate
		for _, c := range others {
			if bytes.Equal(c.RawSubject, last.RawIssuer) && !isRoot(c) && !slices.ContainsFunc(chain, c.Equal) {
				issuers = append(issuers, c)
			}
		}
		slices.SortStableFunc(issuers, func(a, b *x509.Certificate) int { return compareIssuers(last, a, b) })
		next := slices.IndexFunc(issuers, func(c *x509.Certificate) bool {
			tries++
			return tries <= maxSignatureTries && last.CheckSignatureFrom(c) == nil
		})
		if next < 0 {
			break
		}
		chain = append(chain, issuers[next])
	}
	return chain
}

func isRoot(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// compareIssuers puts the better issuer of c first.
func compareIssuers(c, a, b *x509.Certificate) int {
	now := time.Now()
	rank := func(i *x509.Certificate) int {
		r := 0
		if len(c.AuthorityKeyId) > 0 && len(i.SubjectKeyId) > 0 && !bytes.Equal(c.AuthorityKeyId, i.SubjectKeyId) {
			r += 2
		}
		if now.Before(i.NotBefore) || now.After(i.NotAfter) {
			r++
		}
		return r
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), b.NotAfter.Compare(a.NotAfter))
}
