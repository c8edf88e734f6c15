//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
)

// A Decrypter is a [Signer] of an RSA key that also implements crypto.Decrypter.
// It is safe for concurrent use.
type Decrypter struct {
	*Signer
	decrypting Decrypting
}

var _ crypto.Decrypter = (*Decrypter)(nil)

// NewDecrypter returns key as crypto.Signer and crypto.Decrypter. It refuses a
// key that is not RSA. opts may be nil.
//
// Whoever answers to the outside with the result of a PKCS #1 v1.5 decryption
// must use rsa.PKCS1v15DecryptOptions with SessionKeyLen: telling a stranger
// which ciphertexts are well padded gives the plaintext away.
func NewDecrypter(key Decrypting, opts *Options) (*Decrypter, error) {
	if _, ok := key.Public().(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("%w: decryption with a key of type %T", ErrUnsupported, key.Public())
	}
	return &Decrypter{Signer: New(key, opts), decrypting: key}, nil
}

// WithContext returns a copy of d whose use of the key ends with ctx too, see
// [Signer.WithContext].
func (d *Decrypter) WithContext(ctx context.Context) *Decrypter {
	return &Decrypter{Signer: d.Signer.WithContext(ctx), decrypting: d.decrypting}
}

// Decrypt decrypts msg as crypto.Decrypter says. opts is nil or
// *rsa.PKCS1v15DecryptOptions, or *rsa.OAEPOptions. rand is not used.
//
// With SessionKeyLen the result has that length and the error does not depend on
// what was decrypted, even where the key's does: a random key stands for whatever
// does not decrypt. Only the time that the device takes can still tell.
func (d *Decrypter) Decrypt(_ io.Reader, msg []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	p, err := ParseDecrypt(d.d.pub, msg, opts)
	if err != nil {
		return nil, err
	}
	var session []byte
	if p.SessionKeyLen > 0 {
		session = make([]byte, p.SessionKeyLen)
		rand.Read(session)
	}
	var plaintext []byte
	op := Operation{Use: UseDecrypt, Scheme: p.Scheme, Hash: p.Hash, MGFHash: p.MGFHash}
	err = d.d.use(d.ctx, op, func(ctx context.Context) (err error) {
		plaintext, err = d.decrypting.Decrypt(ctx, msg, opts)
		if session != nil && (errors.Is(err, rsa.ErrDecryption) || err == nil && len(plaintext) != len(session)) {
			clear(plaintext)
			plaintext, err = session, nil // before Before's function could see it
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return plaintext, nil
}
