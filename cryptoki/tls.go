package cryptoki

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"

	"github.com/cardoki/cardoki/signer"
)

// Signer returns the key as crypto.Signer and crypto.MessageSigner, and as
// crypto.Decrypter if it is an RSA key. opts may be nil. Where opts.Verify is the default,
// PoolOptions.Verify alone says what is verified, so that nothing is so twice.
func (k *Key) Signer(opts *signer.Options) crypto.Signer {
	var o signer.Options
	if opts != nil {
		o = *opts
	}
	if o.Verify == signer.VerifyDefault {
		o.Verify = signer.VerifyNever
	}
	opts = &o
	if _, ok := k.pub.(*rsa.PublicKey); ok {
		if d, err := signer.NewDecrypter(k, opts); err == nil {
			return d
		}
	}
	return signer.New(k, opts)
}

// TLSCertificate returns the key that the query means and its certificate, ready for
// tls.Config. The certificate is the one on the token with the key's CKA_ID; where
// there is none, the error wraps [ErrNotFound] and says what to do. The chain has
// only this certificate: append what the other side needs to Certificate.
//
// ctx ends the wait here. For its use in handshakes see [signer.Options].
func (p *Pool) TLSCertificate(ctx context.Context, q KeyQuery) (tls.Certificate, error) {
	k, err := p.Key(ctx, q)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := k.Certificate(ctx)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: k.Signer(nil), Leaf: cert}, nil
}
