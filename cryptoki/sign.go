package cryptoki

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/internal/rsapad"
	"github.com/cardoki/cardoki/signer"
)

// Sign signs a digest, or with Ed25519 a message, as [signer.Key] says. ctx ends the wait for a session, the PIN
// and the module, see [Session].
func (k *Key) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	p, err := signer.ParseSign(k.pub, digest, opts)
	if err != nil {
		return nil, err
	}
	var sig []byte
	err = k.use(ctx, func(s *Session, found *foundKey) (err error) {
		sig, err = k.sign(ctx, s, found.object, &p, digest)
		if err != nil || !k.verifies(found) {
			return err
		}
		// A handle that has come to mean another key is caught here.
		if !verify(k.pub, p, digest, sig) {
			sig = nil
			return errMisused
		}
		found.verified.Store(true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sig, nil
}

// verifies reports whether the next signature is to be verified.
func (k *Key) verifies(f *foundKey) bool {
	switch k.pool.opts.Verify {
	case signer.VerifyAlways:
		return true
	case signer.VerifyNever:
		return false
	}
	_, isRSA := k.pub.(*rsa.PublicKey)
	return isRSA || !f.verified.Load()
}

func (k *Key) sign(ctx context.Context, s *Session, key Object, p *signer.SignParams, digest []byte) ([]byte, error) {
	switch p.Scheme {
	case signer.ECDSA:
		return k.signECDSA(ctx, s, key, digest)
	case signer.PKCS1v15:
		return k.signPKCS1v15(ctx, s, key, *p, digest)
	case signer.PSS:
		return k.signPSS(ctx, s, key, *p, digest)
	case signer.Ed25519:
		// The buffer is of the exact size: NSS loses the operation with any other.
		sig, err := s.AppendSign(ctx, make([]byte, 0, ed25519.SignatureSize), Plain(CKM_EDDSA), key, digest, ed25519.SignatureSize)
		if err != nil {
			return nil, err
		}
		return exact(sig, ed25519.SignatureSize, "an Ed25519 signature")
	}
	return nil, fmt.Errorf("%w: %v", ErrUnsupported, p.Scheme)
}

func verify(pub crypto.PublicKey, p signer.SignParams, digest, sig []byte) bool {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(pub, digest, sig)
	case *rsa.PublicKey:
		if p.Scheme == signer.PSS {
			return rsa.VerifyPSS(pub, p.Hash, digest, sig, &rsa.PSSOptions{SaltLength: p.SaltLength}) == nil
		}
		return rsa.VerifyPKCS1v15(pub, p.Hash, digest, sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(pub, digest, sig)
	}
	return false
}

// exact checks that the module gave as many bytes as the algorithm has.
func exact(b []byte, n int, what string) ([]byte, error) {
	if len(b) != n {
		return nil, fmt.Errorf("cryptoki: the module gave %s of %d bytes; it must have %d", what, len(b), n)
	}
	return b, nil
}

func (k *Key) signECDSA(ctx context.Context, s *Session, key Object, digest []byte) ([]byte, error) {
	size := coordinateSize(k.pub.(*ecdsa.PublicKey).Curve)
	// The leftmost bits of a digest that is longer than the order of the curve are
	// what is signed (FIPS 186-5); modules differ in what they do to the rest.
	digest = digest[:min(len(digest), size)]
	rs, err := s.AppendSign(ctx, make([]byte, 0, 2*66), Plain(CKM_ECDSA), key, digest, 2*size)
	if err != nil {
		return nil, err
	}
	if rs, err = exact(rs, 2*size, "an ECDSA signature"); err != nil {
		return nil, err
	}
	return appendECDSA(make([]byte, 0, 2*size+9), rs)
}

// rawRSA returns in to the power of the private exponent.
func (k *Key) rawRSA(ctx context.Context, s *Session, key Object, in []byte, operate func(context.Context, []byte, Mechanism, Object, []byte, int) ([]byte, error)) ([]byte, error) {
	size := k.pub.(*rsa.PublicKey).Size()
	out, err := operate(ctx, make([]byte, 0, size), Plain(CKM_RSA_X_509), key, in, size)
	if err != nil {
		return nil, err
	}
	return exact(out, size, "a result of RSA")
}

func (k *Key) signPKCS1v15(ctx context.Context, s *Session, key Object, p signer.SignParams, digest []byte) ([]byte, error) {
	size := k.pub.(*rsa.PublicKey).Size()
	if !k.pool.has(CKM_RSA_PKCS) && k.pool.has(CKM_RSA_X_509) {
		em, err := rsapad.EncodePKCS1v15(size, p.Hash, digest)
		if err != nil {
			return nil, err
		}
		return k.rawRSA(ctx, s, key, em, s.AppendSign)
	}
	if p.Hash != 0 {
		var err error
		if digest, err = rsapad.DigestInfo(p.Hash, digest); err != nil {
			return nil, err
		}
	}
	sig, err := s.AppendSign(ctx, make([]byte, 0, size), Plain(CKM_RSA_PKCS), key, digest, size)
	if err != nil {
		return nil, err
	}
	return exact(sig, size, "an RSA signature")
}

// hashes has the mechanism and the mask generation function of each hash.
var hashes = map[crypto.Hash]struct {
	mechanism MechanismType
	mgf       uint
}{
	crypto.SHA1:     {CKM_SHA_1, CKG_MGF1_SHA1},
	crypto.SHA224:   {CKM_SHA224, CKG_MGF1_SHA224},
	crypto.SHA256:   {CKM_SHA256, CKG_MGF1_SHA256},
	crypto.SHA384:   {CKM_SHA384, CKG_MGF1_SHA384},
	crypto.SHA512:   {CKM_SHA512, CKG_MGF1_SHA512},
	crypto.SHA3_224: {CKM_SHA3_224, CKG_MGF1_SHA3_224},
	crypto.SHA3_256: {CKM_SHA3_256, CKG_MGF1_SHA3_256},
	crypto.SHA3_384: {CKM_SHA3_384, CKG_MGF1_SHA3_384},
	crypto.SHA3_512: {CKM_SHA3_512, CKG_MGF1_SHA3_512},
}

// notTaken reports whether the token began nothing because it does not do the
// mechanism, or not with these parameters.
func notTaken(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Function != "C_SignInit" && e.Function != "C_DecryptInit" {
		return false
	}
	switch e.RV {
	case CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_ARGUMENTS_BAD, CKR_FUNCTION_NOT_SUPPORTED:
		return true
	}
	return false
}

func (k *Key) signPSS(ctx context.Context, s *Session, key Object, p signer.SignParams, digest []byte) ([]byte, error) {
	pub := k.pub.(*rsa.PublicKey)
	var refused error
	if h, ok := hashes[p.Hash]; ok && k.pool.has(CKM_RSA_PKCS_PSS) {
		sig, err := s.AppendSign(ctx, make([]byte, 0, pub.Size()), PSS(h.mechanism, h.mgf, p.SaltLength), key, digest, pub.Size())
		if err == nil {
			return exact(sig, pub.Size(), "an RSA signature")
		}
		if !notTaken(err) {
			return nil, err
		}
		refused = err
	}
	if !k.pool.has(CKM_RSA_X_509) {
		if refused == nil {
			refused = errors.New("it has neither the mechanism nor raw RSA")
		}
		return nil, fmt.Errorf("%w: RSA-PSS with %v and a salt of %d bytes by this token: %w", ErrUnsupported, p.Hash, p.SaltLength, refused)
	}
	em, err := rsapad.EncodePSS(rand.Reader, pub.N.BitLen(), p.Hash, digest, p.SaltLength)
	if err != nil {
		return nil, err
	}
	return k.rawRSA(ctx, s, key, em, s.AppendSign)
}
