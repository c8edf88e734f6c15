package cryptoki

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/internal/rsapad"
	"github.com/cardoki/cardoki/signer"
)

// Decrypt decrypts as [signer.Decrypting] says; a ciphertext that cannot be decrypted
// is [ErrDecryption]. The padding is taken off here, in constant time, where the
// token does raw RSA: then rsa.PKCS1v15DecryptOptions with SessionKeyLen tells
// nobody whether it was right. Where the token takes it off, how long that takes is
// up to the token.
func (k *Key) Decrypt(ctx context.Context, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	p, err := signer.ParseDecrypt(k.pub, ciphertext, opts)
	if err != nil {
		return nil, err
	}
	var plaintext []byte
	err = k.use(ctx, func(s *Session, found *foundKey) error {
		var err error
		switch {
		case p.Scheme == signer.OAEP:
			plaintext, err = k.decryptOAEP(ctx, s, found.object, p, ciphertext)
		case p.SessionKeyLen > 0:
			plaintext, err = k.decryptSessionKey(ctx, s, found.object, p.SessionKeyLen, ciphertext)
		default:
			plaintext, err = k.decryptPKCS1v15(ctx, s, found.object, ciphertext)
		}
		return err
	})
	return plaintext, err
}

// badCiphertext reports whether the token refused what is in the ciphertext. Tokens
// also say so with general errors.
func badCiphertext(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Function != "C_Decrypt" {
		return false
	}
	switch e.RV {
	case CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_DATA_INVALID, CKR_DATA_LEN_RANGE,
		CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED:
		return true
	}
	return false
}

// unpad decrypts with raw RSA and lets f take the padding off.
func (k *Key) unpad(ctx context.Context, s *Session, key Object, ciphertext []byte, f func(em []byte) ([]byte, error)) ([]byte, error) {
	em, err := k.rawRSA(ctx, s, key, ciphertext, s.AppendDecrypt)
	if err != nil {
		if badCiphertext(err) { // not less than the modulus
			return nil, ErrDecryption
		}
		return nil, err
	}
	defer clear(em)
	plaintext, err := f(em)
	if err != nil {
		if errors.Is(err, rsapad.ErrDecryption) {
			return nil, ErrDecryption
		}
		return nil, err
	}
	return append(make([]byte, 0, len(plaintext)), plaintext...), nil
}

// inToken lets the token take the padding off.
func (k *Key) inToken(ctx context.Context, s *Session, m Mechanism, key Object, ciphertext []byte) ([]byte, error) {
	plaintext, err := s.AppendDecrypt(ctx, make([]byte, 0, len(ciphertext)), m, key, ciphertext, len(ciphertext))
	if badCiphertext(err) {
		return nil, ErrDecryption
	}
	if err != nil {
		return nil, err
	}
	return plaintext, nil
}

func (k *Key) decryptPKCS1v15(ctx context.Context, s *Session, key Object, ciphertext []byte) ([]byte, error) {
	if k.pool.has(CKM_RSA_X_509) {
		return k.unpad(ctx, s, key, ciphertext, rsapad.DecodePKCS1v15)
	}
	return k.inToken(ctx, s, Plain(CKM_RSA_PKCS), key, ciphertext)
}

func (k *Key) decryptSessionKey(ctx context.Context, s *Session, key Object, n int, ciphertext []byte) ([]byte, error) {
	random := make([]byte, n)
	rand.Read(random)
	if k.pool.has(CKM_RSA_X_509) {
		return k.unpad(ctx, s, key, ciphertext, func(em []byte) ([]byte, error) {
			rsapad.DecodePKCS1v15SessionKey(em, random)
			return random, nil
		})
	}
	plaintext, err := k.inToken(ctx, s, Plain(CKM_RSA_PKCS), key, ciphertext)
	if err != nil && err != ErrDecryption {
		return nil, err
	}
	defer clear(plaintext)
	if len(plaintext) < n {
		plaintext = append(plaintext, make([]byte, n)...)
		subtle.ConstantTimeCopy(0, random, plaintext[:n])
		return random, nil
	}
	right := subtle.ConstantTimeEq(int32(len(plaintext)), int32(n))
	subtle.ConstantTimeCopy(right, random, plaintext[:n])
	return random, nil
}

func (k *Key) decryptOAEP(ctx context.Context, s *Session, key Object, p signer.DecryptParams, ciphertext []byte) ([]byte, error) {
	var refused error
	hash, known := hashes[p.Hash]
	mgf, knownMGF := hashes[p.MGFHash]
	// SoftHSM2 2.6.1 takes a label and ignores it: it then decrypts what was
	// encrypted without one, and nothing else. OpenSC 0.23 takes another hash
	// function for the mask generation, and does not decrypt with it.
	ignored := (len(p.Label) > 0 || p.MGFHash != p.Hash) && k.pool.has(CKM_RSA_X_509)
	pair := [2]crypto.Hash{p.Hash, p.MGFHash}
	_, refusedBefore := k.refusedOAEP.Load(pair)
	if known && knownMGF && !ignored && !refusedBefore && k.pool.has(CKM_RSA_PKCS_OAEP) {
		plaintext, err := k.inToken(ctx, s, OAEP(hash.mechanism, mgf.mgf, p.Label), key, ciphertext)
		if !notTaken(err) {
			return plaintext, err
		}
		refused = err
		if k.pool.has(CKM_RSA_X_509) {
			// OpenSC 0.23 leaves the refused operation active: raw RSA works in another session.
			k.refusedOAEP.Store(pair, nil)
		}
	}
	if !k.pool.has(CKM_RSA_X_509) {
		if refused == nil {
			refused = errors.New("it has neither the mechanism nor raw RSA")
		}
		return nil, fmt.Errorf("%w: RSA-OAEP with %v by this token: %w", ErrUnsupported, p.Hash, refused)
	}
	return k.unpad(ctx, s, key, ciphertext, func(em []byte) ([]byte, error) {
		return rsapad.DecodeOAEP(em, p.Hash, p.MGFHash, p.Label)
	})
}
