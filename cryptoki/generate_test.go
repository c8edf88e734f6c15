package cryptoki

import (
	"crypto/elliptic"
	"errors"
	"testing"
)

func TestKeyPairOptions_MLKEM(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    KeyPairOptions
		set  uint // 0: it is refused
		is   error
	}{
		{"ML-KEM-512", KeyPairOptions{MLKEM: 512}, CKP_ML_KEM_512, nil},
		{"ML-KEM-768", KeyPairOptions{MLKEM: 768}, CKP_ML_KEM_768, nil},
		{"ML-KEM-1024", KeyPairOptions{MLKEM: 1024}, CKP_ML_KEM_1024, nil},
		{"a parameter set that there is not", KeyPairOptions{MLKEM: 2048}, 0, nil},
		{"another kind of key too", KeyPairOptions{MLKEM: 768, Curve: elliptic.P256()}, 0, nil},
		{"decryption", KeyPairOptions{MLKEM: 768, Decrypt: true}, 0, ErrUnsupported},
		{"key agreement", KeyPairOptions{MLKEM: 768, Derive: true}, 0, ErrUnsupported},
	} {
		m, pub, priv, err := tt.o.templates()
		if tt.set == 0 {
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%s: got %v, want a refusal", tt.name, err)
			}
			continue
		}
		set, _ := pub.Ulong(CKA_PARAMETER_SET)
		encapsulate, _ := pub.Bool(CKA_ENCAPSULATE)
		decapsulate, _ := priv.Bool(CKA_DECAPSULATE)
		_, verify := pub.Value(CKA_VERIFY)
		_, sign := priv.Value(CKA_SIGN)
		extractable, _ := priv.Bool(CKA_EXTRACTABLE)
		if err != nil || m != CKM_ML_KEM_KEY_PAIR_GEN || set != tt.set || !encapsulate || !decapsulate || verify || sign || extractable {
			t.Errorf("%s: got %v, %v, %v, %v", tt.name, m, pub, priv, err)
		}
	}
}
