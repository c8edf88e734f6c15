package cryptoki

import (
	"context"
	"crypto"
	"crypto/mlkem"
	"fmt"

	"github.com/cardoki/cardoki/signer"
)

var _ signer.Decapsulating = (*Key)(nil)

// Decapsulate returns the shared key, 32 bytes, that ciphertext carries, as
// [signer.Decapsulating] says. The key is one of ML-KEM (PKCS#11 3.2). The shared key leaves
// the token: it exists there for the time of the call only, as an object of the session.
func (k *Key) Decapsulate(ctx context.Context, ciphertext []byte) ([]byte, error) {
	var size int
	switch k.pub.(type) {
	case *mlkem.EncapsulationKey768:
		size = mlkem.CiphertextSize768
	case *mlkem.EncapsulationKey1024:
		size = mlkem.CiphertextSize1024
	default:
		return nil, fmt.Errorf("%w: decapsulation with a key of type %T", ErrUnsupported, k.pub)
	}
	if len(ciphertext) != size {
		return nil, fmt.Errorf("cryptoki: an encapsulation of %d bytes; it must have %d", len(ciphertext), size)
	}
	var secret []byte
	err := k.use(ctx, func(s *Session, found *foundKey) (err error) {
		secret, err = s.reveal(ctx, Plain(CKM_ML_KEM), found.object, ciphertext, mlkem.SharedKeySize, (*Session).callUncover)
		return err
	})
	return secret, err
}

func (s *Session) callUncover() {
	s.res = s.fl.DecapsulateKey(s.handle, &s.mech, s.object, s.in, &s.tmpl)
	s.readSecret()
}

// parseMLKEM returns the public key of ML-KEM in CKA_VALUE.
func parseMLKEM(set uint, value []byte) (pub crypto.PublicKey, err error) {
	switch set {
	case CKP_ML_KEM_768:
		return mlkem.NewEncapsulationKey768(value)
	case CKP_ML_KEM_1024:
		return mlkem.NewEncapsulationKey1024(value)
	}
	return nil, fmt.Errorf("%w: ML-KEM with parameter set %d", ErrUnsupported, set)
}
