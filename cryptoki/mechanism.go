package cryptoki

import (
	"crypto"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
)

// A Mechanism is a mechanism with its parameter. The zero value is none. Parameters are
// copied when they are used, and must not change before.
type Mechanism struct{ m ck.Mechanism }

// Type returns the mechanism without its parameter.
func (m Mechanism) Type() MechanismType { return MechanismType(m.m.Type) }

// WithType returns the mechanism t with the parameter of m, where the parameter serves more
// than one: [PSS] is that of CKM_SHA256_RSA_PKCS_PSS and its like too, which take the
// message in place of its digest.
func (m Mechanism) WithType(t MechanismType) Mechanism {
	m.m.Type = uint(t)
	return m
}

// Plain returns the mechanism t without a parameter.
func Plain(t MechanismType) Mechanism { return Mechanism{ck.Mechanism{Type: uint(t)}} }

// Parameter returns the mechanism t with the bytes of a parameter that has no pointers in
// it, as modules and vendors define them: an initialization vector, such as that of
// CKM_AES_CBC_PAD (16 bytes) or CKM_AES_KEY_WRAP (8), or a structure in the form of C.
func Parameter(t MechanismType, parameter []byte) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(t), Data: parameter}}
}

// Number returns the mechanism t with a CK_ULONG, such as the length of the MAC in bytes
// for CKM_AES_CMAC_GENERAL and its like.
func Number(t MechanismType, n uint) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(t), Kind: ck.Number, A: n}}
}

// PSS returns CKM_RSA_PKCS_PSS for a digest made with hash, such as CKM_SHA256,
// with mask generation function mgf, such as CKG_MGF1_SHA256, and a salt of
// saltLength bytes.
func PSS(hash MechanismType, mgf uint, saltLength int) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_RSA_PKCS_PSS), Kind: ck.PSS, A: uint(hash), B: mgf, C: uint(saltLength)}}
}

// OAEP returns CKM_RSA_PKCS_OAEP with the given hash, mask generation function and
// label, which may be nil.
func OAEP(hash MechanismType, mgf uint, label []byte) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_RSA_PKCS_OAEP), Kind: ck.OAEP, A: uint(hash), B: mgf, C: uint(CKZ_DATA_SPECIFIED), Data: label}}
}

// OAEPHash is [OAEP] with the mechanism and the mask generation function of a hash of
// package crypto: SHA-1, SHA-2 or SHA-3.
func OAEPHash(hash crypto.Hash, label []byte) (Mechanism, error) {
	h, ok := hashes[hash]
	if !ok {
		return Mechanism{}, fmt.Errorf("%w: OAEP with %v", ErrUnsupported, hash)
	}
	return OAEP(h.mechanism, h.mgf, label), nil
}

// RSAAESWrap returns CKM_RSA_AES_KEY_WRAP: the key is wrapped by AES-KWP under a new AES
// key of aesBits, which is encrypted by RSA-OAEP with hash and mgf.
func RSAAESWrap(aesBits uint, hash MechanismType, mgf uint, label []byte) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_RSA_AES_KEY_WRAP), Kind: ck.RSAAES, A: uint(hash), B: mgf, C: uint(CKZ_DATA_SPECIFIED), D: aesBits, Data: label}}
}

// GCM returns CKM_AES_GCM with a nonce, additional data and a tag of tagSize bytes.
func GCM(nonce, additionalData []byte, tagSize int) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_AES_GCM), Kind: ck.GCM, A: uint(8 * len(nonce)), B: uint(8 * tagSize), Data: nonce, Data2: additionalData}}
}

// CCM returns CKM_AES_CCM for dataSize bytes of plaintext, with a nonce, additional data
// and a MAC of macSize bytes.
func CCM(dataSize int, nonce, additionalData []byte, macSize int) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_AES_CCM), Kind: ck.CCM, A: uint(dataSize), B: uint(macSize), Data: nonce, Data2: additionalData}}
}

// ChaCha20Poly1305 returns CKM_CHACHA20_POLY1305 with a nonce and additional data.
func ChaCha20Poly1305(nonce, additionalData []byte) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_CHACHA20_POLY1305), Kind: ck.ChaCha20Poly1305, Data: nonce, Data2: additionalData}}
}

// CTR returns CKM_AES_CTR with a first counter block of 16 bytes, the last counterBits of
// which count.
func CTR(counterBits uint, block [16]byte) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_AES_CTR), Kind: ck.CTR, A: counterBits, Data: block[:]}}
}

// ECDH1 returns the key agreement t, such as CKM_ECDH1_DERIVE or
// CKM_ECDH1_COFACTOR_DERIVE, with the other side's public key, a key derivation function
// (CKD_NULL, CKD_SHA256_KDF, …) and shared data, which may be nil.
func ECDH1(t MechanismType, kdf uint, public, shared []byte) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(t), Kind: ck.ECDH1, A: kdf, Data: public, Data2: shared}}
}

// HKDF returns CKM_HKDF_DERIVE that extracts with salt, which may be empty, and expands with
// info (RFC 5869); hash is one such as CKM_SHA256. The key that is made is as long as its
// template says.
func HKDF(hash MechanismType, salt, info []byte) Mechanism {
	const extractAndExpand = 3
	saltType := uint(CKF_HKDF_SALT_NULL)
	if len(salt) > 0 { // NSS does not take an empty one, which is none
		saltType = uint(CKF_HKDF_SALT_DATA)
	}
	return Mechanism{ck.Mechanism{Type: uint(CKM_HKDF_DERIVE), Kind: ck.HKDF, A: extractAndExpand, B: uint(hash), C: saltType, Data: salt, Data2: info}}
}

// PBKDF2 returns CKM_PKCS5_PBKD2, which makes a key of a password; prf is one such as
// CKP_PKCS5_PBKD2_HMAC_SHA256. The password is a secret, for the caller to clear after the
// call.
func PBKDF2(prf uint, password, salt []byte, iterations uint) Mechanism {
	return Mechanism{ck.Mechanism{Type: uint(CKM_PKCS5_PBKD2), Kind: ck.PBKDF2, A: iterations, B: prf, C: uint(CKZ_SALT_SPECIFIED), Data: salt, Data2: password}}
}

// EdDSA returns CKM_EDDSA with a parameter: Ed25519ph or Ed448ph of a digest, and a
// context, which may be nil (RFC 8032). Pure EdDSA without a context is Plain(CKM_EDDSA).
func EdDSA(prehashed bool, context []byte) Mechanism {
	m := ck.Mechanism{Type: uint(CKM_EDDSA), Kind: ck.EdDSA, Data: context}
	if prehashed {
		m.A = 1
	}
	return Mechanism{m}
}

// MLDSA returns CKM_ML_DSA or CKM_SLH_DSA with a context, which may be nil. deterministic
// asks for a signature without randomness, where the token can.
func MLDSA(t MechanismType, context []byte, deterministic bool) Mechanism {
	m := ck.Mechanism{Type: uint(t), Kind: ck.Context, A: uint(CKH_HEDGE_PREFERRED), Data: context}
	if deterministic {
		m.A = uint(CKH_DETERMINISTIC_REQUIRED)
	}
	return Mechanism{m}
}
