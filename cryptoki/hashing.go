package cryptoki

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/signer"
)

var _ signer.Hashing = (*Key)(nil)

// hashingMechanisms are those that hash and sign in the token.
var hashingMechanisms = map[crypto.Hash]struct{ pkcs1, pss, ecdsa MechanismType }{
	crypto.SHA1:     {CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS, CKM_ECDSA_SHA1},
	crypto.SHA224:   {CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS, CKM_ECDSA_SHA224},
	crypto.SHA256:   {CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS, CKM_ECDSA_SHA256},
	crypto.SHA384:   {CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS, CKM_ECDSA_SHA384},
	crypto.SHA512:   {CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS, CKM_ECDSA_SHA512},
	crypto.SHA3_256: {CKM_SHA3_256_RSA_PKCS, CKM_SHA3_256_RSA_PKCS_PSS, CKM_ECDSA_SHA3_256},
	crypto.SHA3_384: {CKM_SHA3_384_RSA_PKCS, CKM_SHA3_384_RSA_PKCS_PSS, CKM_ECDSA_SHA3_384},
	crypto.SHA3_512: {CKM_SHA3_512_RSA_PKCS, CKM_SHA3_512_RSA_PKCS_PSS, CKM_ECDSA_SHA3_512},
}

// SignMessage hashes message in the token and signs it, as [signer.Hashing] says. Where the
// token has no mechanism for both at once, the error Is [errors.ErrUnsupported].
func (k *Key) SignMessage(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := opts.HashFunc()
	if hash == 0 || !hash.Available() {
		return nil, fmt.Errorf("%w: %v as a hash function of the token", ErrUnsupported, hash)
	}
	// The digest is for the check of the options and of the signature.
	h := hash.New()
	h.Write(message)
	digest := h.Sum(nil)
	p, err := signer.ParseSign(k.pub, digest, opts)
	if err != nil {
		return nil, err
	}
	m, size, err := k.hashing(p)
	if err != nil {
		return nil, err
	}
	var sig []byte
	err = k.use(ctx, func(s *Session, found *foundKey) (err error) {
		if sig, err = s.AppendSign(ctx, make([]byte, 0, size), m, found.object, message, size); err != nil {
			return err
		}
		if sig, err = exact(sig, size, "a signature"); err != nil {
			return err
		}
		if p.Scheme == signer.ECDSA {
			if sig, err = appendECDSA(make([]byte, 0, size+9), sig); err != nil {
				return err
			}
		}
		if k.verifies(found) {
			if !verify(k.pub, p, digest, sig) {
				return errMisused
			}
			found.verified.Store(true)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sig, nil
}

// hashing returns the mechanism that hashes and signs, and the length of what it gives.
func (k *Key) hashing(p signer.SignParams) (m Mechanism, size int, err error) {
	known := hashingMechanisms[p.Hash]
	switch pub := k.pub.(type) {
	case *rsa.PublicKey:
		size = pub.Size()
		m = Plain(known.pkcs1)
		if p.Scheme == signer.PSS {
			h := hashes[p.Hash]
			m = Mechanism{ck.Mechanism{Type: uint(known.pss), Kind: ck.PSS, A: uint(h.mechanism), B: h.mgf, C: uint(p.SaltLength)}}
		}
	case *ecdsa.PublicKey:
		size = 2 * coordinateSize(pub.Curve)
		m = Plain(known.ecdsa)
	}
	if size == 0 || m.Type() == 0 || !k.pool.has(m.Type()) {
		return m, 0, fmt.Errorf("%w: %v and a hash of %v in one by this token", ErrUnsupported, p.Scheme, p.Hash)
	}
	return m, size, nil
}
