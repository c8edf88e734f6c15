//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

//go:build cgo

package system_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cardoki/cardoki/cryptoki"
)

func vectorTests() []vectorTest {
	var tests []vectorTest
	add := func(file string, m cryptoki.MechanismType, begin func(x *tokenTrial, g *vectorGroup) (func(v *testVector) (bool, error), error)) {
		tests = append(tests, vectorTest{file, m, begin})
	}
	for _, file := range []string{"ecdsa_secp256r1_sha256", "ecdsa_secp256r1_sha256_p1363", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512"} {
		add(file, cryptoki.CKM_ECDSA, (*tokenTrial).beginECDSA)
	}
	add("ed25519", cryptoki.CKM_EDDSA, (*tokenTrial).beginEd25519)
	for _, file := range []string{"rsa_signature_2048_sha256", "rsa_signature_3072_sha384", "rsa_signature_4096_sha512"} {
		add(file, cryptoki.CKM_RSA_PKCS, (*tokenTrial).beginRSA)
	}
	add("rsa_pkcs1_2048_sig_gen", cryptoki.CKM_RSA_PKCS, (*tokenTrial).beginRSASign)
	for _, file := range []string{"rsa_pss_2048_sha256_mgf1_32", "rsa_pss_3072_sha256_mgf1_32", "rsa_pss_4096_sha512_mgf1_64", "rsa_pss_misc"} {
		add(file, cryptoki.CKM_RSA_PKCS_PSS, (*tokenTrial).beginPSS)
	}
	add("rsa_pkcs1_2048", cryptoki.CKM_RSA_PKCS, (*tokenTrial).beginRSADecrypt)
	for _, file := range []string{"rsa_oaep_2048_sha1_mgf1sha1", "rsa_oaep_2048_sha256_mgf1sha256", "rsa_oaep_3072_sha512_mgf1sha512"} {
		add(file, cryptoki.CKM_RSA_PKCS_OAEP, (*tokenTrial).beginOAEP)
	}
	for _, file := range []string{"ecdh_secp256r1", "ecdh_secp384r1", "ecdh_secp521r1"} {
		add(file, cryptoki.CKM_ECDH1_DERIVE, (*tokenTrial).beginECDH)
	}
	add("x25519", cryptoki.CKM_ECDH1_DERIVE, (*tokenTrial).beginX25519)
	add("aes_gcm", cryptoki.CKM_AES_GCM, (*tokenTrial).beginGCM)
	add("aes_cbc_pkcs5", cryptoki.CKM_AES_CBC_PAD, (*tokenTrial).beginCBC)
	add("aes_cmac", cryptoki.CKM_AES_CMAC, (*tokenTrial).beginCMAC)
	add("aes_wrap", cryptoki.CKM_AES_KEY_WRAP, func(x *tokenTrial, g *vectorGroup) (func(v *testVector) (bool, error), error) {
		return x.beginWrap(cryptoki.CKM_AES_KEY_WRAP)
	})
	add("aes_kwp", cryptoki.CKM_AES_KEY_WRAP_KWP, func(x *tokenTrial, g *vectorGroup) (func(v *testVector) (bool, error), error) {
		return x.beginWrap(cryptoki.CKM_AES_KEY_WRAP_KWP)
	})
	for file, h := range map[string]*tokenHash{"hmac_sha1": &tokenHashes[0], "hmac_sha256": &tokenHashes[2], "hmac_sha512": &tokenHashes[4]} {
		add(file, h.hmac, func(x *tokenTrial, g *vectorGroup) (func(v *testVector) (bool, error), error) { return x.beginHMAC(h) })
	}
	for file, h := range map[string]*tokenHash{"hkdf_sha256": &tokenHashes[2], "hkdf_sha512": &tokenHashes[4]} {
		add(file, cryptoki.CKM_HKDF_DERIVE, func(x *tokenTrial, g *vectorGroup) (func(v *testVector) (bool, error), error) { return x.beginHKDF(h) })
	}
	for _, file := range []string{"mlkem_768", "mlkem_1024"} {
		add(file, cryptoki.CKM_ML_KEM, (*tokenTrial).beginMLKEM)
	}
	slices.SortStableFunc(tests, func(a, b vectorTest) int { return strings.Compare(a.file, b.file) })
	return tests
}

// public puts a public key into the token.
func (x *tokenTrial) public(keyType cryptoki.KeyType, more ...cryptoki.Attribute) (cryptoki.Object, error) {
	return x.s.CreateObject(x.ctx, append(cryptoki.Attributes{
		cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, keyType), cryptoki.Bool(cryptoki.CKA_TOKEN, false),
		cryptoki.Bool(cryptoki.CKA_PRIVATE, false), cryptoki.Bool(cryptoki.CKA_VERIFY, true),
	}, more...))
}

func (x *tokenTrial) publicRSA(key *rsa.PublicKey) (cryptoki.Object, error) {
	return x.public(cryptoki.CKK_RSA, cryptoki.Bytes(cryptoki.CKA_MODULUS, key.N.Bytes()), cryptoki.Bytes(cryptoki.CKA_PUBLIC_EXPONENT, big.NewInt(int64(key.E)).Bytes()))
}

// inDER returns b as an OCTET STRING.
func inDER(b []byte) []byte {
	var out cryptobyte.Builder
	out.AddASN1(asn1.OCTET_STRING, func(c *cryptobyte.Builder) { c.AddBytes(b) })
	return out.BytesOrPanic()
}

// curveOIDs are the values of CKA_EC_PARAMS.
var curveOIDs = map[elliptic.Curve]string{
	elliptic.P256(): "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", elliptic.P384(): "\x06\x05\x2b\x81\x04\x00\x22", elliptic.P521(): "\x06\x05\x2b\x81\x04\x00\x23",
}

func (x *tokenTrial) beginECDSA(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	parsed, err := x509.ParsePKIXPublicKey(g.PublicKey)
	if err != nil {
		return nil, err
	}
	public := parsed.(*ecdsa.PublicKey)
	point, err := public.Bytes()
	if err != nil {
		return nil, err
	}
	key, err := x.public(cryptoki.CKK_EC, cryptoki.Bytes(cryptoki.CKA_EC_PARAMS, []byte(curveOIDs[public.Curve])), cryptoki.Bytes(cryptoki.CKA_EC_POINT, inDER(point)))
	if err != nil {
		return nil, err
	}
	size, h := (public.Curve.Params().BitSize+7)/8, hashNamed(g.SHA)
	return func(v *testVector) (bool, error) {
		digest := h.sum(v.Msg)
		sig, right := []byte(v.Sig), false
		if len(sig) > 0 && sig[0] == 0x30 && len(sig) > 2*size { // in DER, which tokens never see
			var ok bool
			if sig, ok = rawSignature(v.Sig, size); !ok {
				return false, errNotForTokens
			}
			right = ecdsa.VerifyASN1(public, digest, v.Sig)
		} else {
			right = verifyRaw(public, digest, sig)
		}
		return right, x.s.Verify(x.ctx, cryptoki.Plain(cryptoki.CKM_ECDSA), key, digest, sig)
	}, nil
}

func (x *tokenTrial) beginEd25519(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	parsed, err := x509.ParsePKIXPublicKey(g.PublicKey)
	if err != nil {
		return nil, err
	}
	public := parsed.(ed25519.PublicKey)
	params := cryptoki.Bytes(cryptoki.CKA_EC_PARAMS, []byte("\x06\x03\x2b\x65\x70"))
	key, err := x.public(cryptoki.CKK_EC_EDWARDS, params, cryptoki.Bytes(cryptoki.CKA_EC_POINT, inDER(public)))
	if err != nil {
		bare, other := x.public(cryptoki.CKK_EC_EDWARDS, params, cryptoki.Bytes(cryptoki.CKA_EC_POINT, public))
		if other != nil {
			return nil, err
		}
		key = bare
	}
	return func(v *testVector) (bool, error) {
		return ed25519.Verify(public, v.Msg, v.Sig), x.s.Verify(x.ctx, cryptoki.Plain(cryptoki.CKM_EDDSA), key, v.Msg, v.Sig)
	}, nil
}

// rsaKey returns the public key of a group.
func (g *vectorGroup) rsaKey() (*rsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(g.PublicKey)
	if err == nil {
		return parsed.(*rsa.PublicKey), nil
	}
	return x509.ParsePKCS1PublicKey(g.PublicASN) // some groups name an algorithm that crypto/x509 refuses
}

func (x *tokenTrial) beginRSA(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	public, err := g.rsaKey()
	if err != nil {
		return nil, err
	}
	key, err := x.publicRSA(public)
	if err != nil {
		return nil, err
	}
	h := hashNamed(g.SHA)
	return func(v *testVector) (bool, error) {
		right := rsa.VerifyPKCS1v15(public, h.hash, h.sum(v.Msg), v.Sig) == nil
		return right, x.s.Verify(x.ctx, cryptoki.Plain(h.rsa), key, v.Msg, v.Sig)
	}, nil
}

// rsaPrivate puts the private key of a group into the token.
func (x *tokenTrial) rsaPrivate(g *vectorGroup) (*rsa.PrivateKey, cryptoki.Object, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(g.PKCS8)
	if err != nil {
		return nil, cryptoki.Object{}, err
	}
	_, key, err := x.s.ImportKey(x.ctx, parsed, &cryptoki.KeyPairOptions{SessionOnly: true, Decrypt: true})
	return parsed.(*rsa.PrivateKey), key, err
}

func (x *tokenTrial) beginRSASign(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	private, key, err := x.rsaPrivate(g)
	if err != nil {
		return nil, err
	}
	h := hashNamed(g.SHA)
	return func(v *testVector) (bool, error) {
		want, err := rsa.SignPKCS1v15(nil, private, h.hash, h.sum(v.Msg))
		if err != nil || !bytes.Equal(want, v.Sig) {
			return false, errInvalid
		}
		got, err := x.s.AppendSign(x.ctx, nil, cryptoki.Plain(h.rsa), key, v.Msg, private.Size())
		return true, same(got, want, err)
	}, nil
}

// same is err, or errInvalid if got is not want.
func same(got, want []byte, err error) error {
	if err == nil && !bytes.Equal(got, want) {
		return errInvalid
	}
	return err
}

func (x *tokenTrial) beginPSS(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	public, err := g.rsaKey()
	if err != nil {
		return nil, err
	}
	key, err := x.publicRSA(public)
	if err != nil {
		return nil, err
	}
	h, mgf := hashNamed(g.SHA), hashNamed(g.MGFSHA)
	return func(v *testVector) (bool, error) {
		right := v.Result == "valid" // what Go does not have: two hashes
		if h == mgf {
			right = rsa.VerifyPSS(public, h.hash, h.sum(v.Msg), v.Sig, &rsa.PSSOptions{SaltLength: g.SaltLen}) == nil
		}
		return right, x.s.Verify(x.ctx, cryptoki.PSS(h.digest, mgf.mgf, g.SaltLen), key, h.sum(v.Msg), v.Sig)
	}, nil
}

func (x *tokenTrial) beginRSADecrypt(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	private, key, err := x.rsaPrivate(g)
	if err != nil {
		return nil, err
	}
	return func(v *testVector) (bool, error) {
		want, refused := rsa.DecryptPKCS1v15(nil, private, v.CT)
		got, err := x.s.AppendDecrypt(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_RSA_PKCS), key, v.CT, private.Size())
		if refused != nil {
			return false, err
		}
		return true, same(got, want, err)
	}, nil
}

func (x *tokenTrial) beginOAEP(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	private, key, err := x.rsaPrivate(g)
	if err != nil {
		return nil, err
	}
	h, mgf := hashNamed(g.SHA), hashNamed(g.MGFSHA)
	return func(v *testVector) (bool, error) {
		want, refused := private.Decrypt(nil, v.CT, &rsa.OAEPOptions{Hash: h.hash, MGFHash: mgf.hash, Label: v.Label})
		got, err := x.s.AppendDecrypt(x.ctx, nil, cryptoki.OAEP(h.digest, mgf.mgf, v.Label), key, v.CT, private.Size())
		if refused != nil {
			return false, err
		}
		return true, same(got, want, err)
	}, nil
}

// agreed derives a secret and compares it.
func (x *tokenTrial) agreed(private crypto.PrivateKey, point, want []byte) error {
	pub, priv, err := x.s.ImportKey(x.ctx, private, &cryptoki.KeyPairOptions{SessionOnly: true, Derive: true})
	if err != nil {
		return err
	}
	defer x.s.DestroyObject(x.ctx, pub)
	defer x.s.DestroyObject(x.ctx, priv)
	n := len(want)
	if n == 0 {
		n = 32
	}
	key, err := x.s.DeriveKey(x.ctx, cryptoki.ECDH1(cryptoki.CKM_ECDH1_DERIVE, uint(cryptoki.CKD_NULL), point, nil), priv, readable(n))
	if err != nil {
		return err
	}
	defer x.s.DestroyObject(x.ctx, key)
	if want == nil {
		return nil
	}
	if err := x.has(key, want); err != nil {
		return errInvalid
	}
	return nil
}

func (x *tokenTrial) beginECDH(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	return func(v *testVector) (bool, error) {
		// The point of the public key, if it is one of the curve that the private key is on.
		var curve elliptic.Curve
		var point []byte
		in := cryptobyte.String(v.Public)
		var outer, algorithm cryptobyte.String
		if in.ReadASN1(&outer, asn1.SEQUENCE) && in.Empty() && outer.ReadASN1(&algorithm, asn1.SEQUENCE) && outer.ReadASN1BitStringAsBytes(&point) && algorithm.SkipASN1(asn1.OBJECT_IDENTIFIER) {
			for c, oid := range curveOIDs {
				if string(algorithm) == oid && (len(v.Private)+1)/2 <= c.Params().BitSize/8 && len(v.Private) <= (c.Params().BitSize+7)/8+1 {
					curve = c
				}
			}
		}
		if curve == nil || len(point) == 0 || point[0] != 4 {
			return false, errNotForTokens // another curve, or compressed
		}
		size := (curve.Params().BitSize + 7) / 8
		scalar := new(big.Int).SetBytes(v.Private).FillBytes(make([]byte, max(size, len(v.Private))))
		private, err := ecdsa.ParseRawPrivateKey(curve, scalar[len(scalar)-size:])
		if err != nil {
			return false, errNotForTokens
		}
		own, err := private.ECDH()
		if err != nil {
			return false, errNotForTokens
		}
		var want []byte
		peer, err := own.Curve().NewPublicKey(point)
		if err == nil {
			want, err = own.ECDH(peer)
		}
		return err == nil, x.agreed(private, point, want)
	}, nil
}

func (x *tokenTrial) beginX25519(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	return func(v *testVector) (bool, error) {
		private, err := ecdh.X25519().NewPrivateKey(v.Private)
		if err != nil {
			return false, errNotForTokens
		}
		var want []byte
		peer, err := ecdh.X25519().NewPublicKey(v.Public)
		if err == nil {
			want, err = private.ECDH(peer)
		}
		return err == nil, x.agreed(private, v.Public, want)
	}, nil
}

func (x *tokenTrial) beginGCM(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	return func(v *testVector) (bool, error) {
		block, err := aes.NewCipher(v.Key)
		if err != nil {
			return false, errNotForTokens
		}
		right := false
		if len(v.IV) > 0 {
			gcm, err := cipher.NewGCMWithNonceSize(block, len(v.IV))
			if err != nil {
				return false, errNotForTokens
			}
			got, err := gcm.Open(nil, v.IV, append(bytes.Clone(v.CT), v.Tag...), v.AAD)
			right = err == nil && bytes.Equal(got, v.Msg)
		}
		key, err := x.secret(cryptoki.CKK_AES, v.Key)
		if err != nil {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, key)
		m := cryptoki.GCM(v.IV, v.AAD, len(v.Tag))
		got, err := x.s.AppendDecrypt(x.ctx, nil, m, key, append(bytes.Clone(v.CT), v.Tag...), len(v.CT)+len(v.Tag))
		if err = same(got, v.Msg, err); err != nil || !right {
			return right, err
		}
		got, err = x.s.AppendEncrypt(x.ctx, nil, m, key, v.Msg, len(v.CT)+len(v.Tag))
		return right, same(got, append(bytes.Clone(v.CT), v.Tag...), err)
	}, nil
}

func (x *tokenTrial) beginCBC(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	return func(v *testVector) (bool, error) {
		block, err := aes.NewCipher(v.Key)
		if err != nil {
			return false, errNotForTokens
		}
		right := false
		if n := len(v.CT); n > 0 && n%16 == 0 {
			plain := make([]byte, n)
			cipher.NewCBCDecrypter(block, v.IV).CryptBlocks(plain, v.CT)
			pad := int(plain[n-1])
			right = pad >= 1 && pad <= 16 && bytes.Equal(plain[n-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) && bytes.Equal(plain[:n-pad], v.Msg)
		}
		key, err := x.secret(cryptoki.CKK_AES, v.Key)
		if err != nil {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, key)
		m := cryptoki.Parameter(cryptoki.CKM_AES_CBC_PAD, v.IV)
		got, err := x.s.AppendDecrypt(x.ctx, nil, m, key, v.CT, len(v.CT))
		if !right || err != nil {
			return right, err
		}
		return right, same(got, v.Msg, nil)
	}, nil
}

func (x *tokenTrial) beginCMAC(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	return func(v *testVector) (bool, error) {
		if _, err := aes.NewCipher(v.Key); err != nil {
			return false, errNotForTokens
		}
		key, err := x.secret(cryptoki.CKK_AES, v.Key)
		if err != nil {
			return v.Result == "valid", err
		}
		defer x.s.DestroyObject(x.ctx, key)
		right := bytes.Equal(cmac(v.Key, v.Msg), v.Tag)
		got, err := x.s.AppendSign(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_AES_CMAC), key, v.Msg, 16)
		return right, same(got, v.Tag, err)
	}, nil
}

func (x *tokenTrial) beginWrap(t cryptoki.MechanismType) (func(v *testVector) (bool, error), error) {
	return func(v *testVector) (bool, error) {
		right := v.Result == "valid"
		by, err := x.secret(cryptoki.CKK_AES, v.Key)
		if err != nil {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, by)
		key, err := x.s.UnwrapKey(x.ctx, cryptoki.Plain(t), by, v.CT, readable(0))
		if err != nil {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, key)
		if !right {
			return right, nil
		}
		if err := x.has(key, v.Msg); err != nil {
			return right, errInvalid
		}
		wrapped, err := x.s.WrapKey(x.ctx, cryptoki.Plain(t), by, key, len(v.CT))
		return right, same(wrapped, v.CT, err)
	}, nil
}

func (x *tokenTrial) beginHMAC(h *tokenHash) (func(v *testVector) (bool, error), error) {
	return func(v *testVector) (bool, error) {
		mac := hmac.New(h.new, v.Key)
		mac.Write(v.Msg)
		right := hmac.Equal(mac.Sum(nil), v.Tag)
		key, err := x.secret(cryptoki.CKK_GENERIC_SECRET, v.Key)
		if err != nil {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, key)
		return right, x.s.Verify(x.ctx, cryptoki.Plain(h.hmac), key, v.Msg, v.Tag)
	}, nil
}

func (x *tokenTrial) beginHKDF(h *tokenHash) (func(v *testVector) (bool, error), error) {
	return func(v *testVector) (bool, error) {
		want, refused := hkdf.Key(h.new, v.IKM, v.Salt, string(v.Info), v.Size)
		right := refused == nil && bytes.Equal(want, v.OKM)
		base, err := x.secret(cryptoki.CKK_GENERIC_SECRET, v.IKM)
		if err != nil {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, base)
		key, err := x.s.DeriveKey(x.ctx, cryptoki.HKDF(h.digest, v.Salt, v.Info), base, readable(v.Size))
		if err != nil || !right {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, key)
		if err := x.has(key, want); err != nil {
			return right, errInvalid
		}
		return right, nil
	}, nil
}

func (x *tokenTrial) beginMLKEM(g *vectorGroup) (func(v *testVector) (bool, error), error) {
	set := map[string]uint{"ML-KEM-768": cryptoki.CKP_ML_KEM_768, "ML-KEM-1024": cryptoki.CKP_ML_KEM_1024}[g.ParameterS]
	return func(v *testVector) (bool, error) {
		var secret []byte
		var refused error
		if set == cryptoki.CKP_ML_KEM_768 {
			var k *mlkem.DecapsulationKey768
			if k, refused = mlkem.NewDecapsulationKey768(v.Seed); refused == nil {
				secret, refused = k.Decapsulate(v.C)
			}
		} else {
			var k *mlkem.DecapsulationKey1024
			if k, refused = mlkem.NewDecapsulationKey1024(v.Seed); refused == nil {
				secret, refused = k.Decapsulate(v.C)
			}
		}
		right := refused == nil && bytes.Equal(secret, v.K)
		private, err := x.s.CreateObject(x.ctx, cryptoki.Attributes{
			cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_ML_KEM), cryptoki.Bool(cryptoki.CKA_TOKEN, false),
			cryptoki.Ulong(cryptoki.CKA_PARAMETER_SET, set), cryptoki.Bytes(cryptoki.CKA_SEED, v.Seed), cryptoki.Bool(cryptoki.CKA_DECAPSULATE, true),
		})
		if err != nil {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, private)
		key, err := x.s.Decapsulate(x.ctx, cryptoki.Plain(cryptoki.CKM_ML_KEM), private, v.C, readable(32))
		if err != nil || !right {
			return right, err
		}
		defer x.s.DestroyObject(x.ctx, key)
		if err := x.has(key, secret); err != nil {
			return right, errInvalid
		}
		return right, nil
	}, nil
}
