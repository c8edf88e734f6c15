//go:build cgo

package system_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cardoki/cardoki/internal/system"
)

// opensslHashes are openssl's names.
var opensslHashes = map[crypto.Hash]string{
	crypto.MD5: "md5", crypto.MD5SHA1: "md5-sha1", crypto.SHA1: "sha1", crypto.SHA224: "sha224", crypto.SHA256: "sha256", crypto.SHA384: "sha384", crypto.SHA512: "sha512",
	crypto.SHA512_224: "sha512-224", crypto.SHA512_256: "sha512-256", crypto.SHA3_224: "sha3-224", crypto.SHA3_256: "sha3-256", crypto.SHA3_384: "sha3-384", crypto.SHA3_512: "sha3-512",
}

// openssl runs it in a folder with these files, and returns its standard output.
func (x *signerTrial) openssl(files map[string][]byte, args ...string) ([]byte, error) {
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(x.dir, name), content, 0o600); err != nil {
			x.t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(x.ctx, system.Need(x.t, "openssl", "openssl"), args...)
	cmd.Dir = x.dir
	var out, says bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &says
	err := cmd.Run()
	if args[0] == "req" && err == nil && !strings.Contains(says.String(), "verify OK") { // 3.0 exits with 0
		err = errors.New("not verified")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s%s", strings.Join(args, " "), err, &out, &says)
	}
	return out.Bytes(), nil
}

func (x *signerTrial) publicPEM(public crypto.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: mustPKIX(x.t, public)})
}

// opensslVerifies lets openssl verify a signature.
func (x *signerTrial) opensslVerifies(public crypto.PublicKey, input, sig []byte, opts crypto.SignerOpts) error {
	args := []string{"pkeyutl", "-verify", "-pubin", "-inkey", "public", "-in", "input", "-sigfile", "signature"}
	switch public := public.(type) {
	case ed25519.PublicKey:
		args = append(args, "-rawin")
	case *rsa.PublicKey:
		if name, ok := opensslHashes[opts.HashFunc()]; ok {
			args = append(args, "-pkeyopt", "digest:"+name)
		}
		if o, ok := opts.(*rsa.PSSOptions); ok {
			args = append(args, "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:"+strconv.Itoa(saltLength(public, o)))
		}
	}
	_, err := x.openssl(map[string][]byte{"public": x.publicPEM(public), "input": input, "signature": sig}, args...)
	return err
}

// opensslEncrypts lets openssl encrypt for the key; with nil options by PKCS #1 v1.5.
func (x *signerTrial) opensslEncrypts(public *rsa.PublicKey, plaintext []byte, o *rsa.OAEPOptions) ([]byte, error) {
	args := []string{"pkeyutl", "-encrypt", "-pubin", "-inkey", "public", "-in", "plaintext"}
	if o != nil {
		mgf := o.MGFHash
		if mgf == 0 {
			mgf = o.Hash
		}
		args = append(args, "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:"+opensslHashes[o.Hash], "-pkeyopt", "rsa_mgf1_md:"+opensslHashes[mgf])
		if len(o.Label) > 0 {
			args = append(args, "-pkeyopt", "rsa_oaep_label:"+hex.EncodeToString(o.Label))
		}
	}
	return x.openssl(map[string][]byte{"public": x.publicPEM(public), "plaintext": plaintext}, args...)
}

// opensslAgrees lets openssl make a secret of the key and a private one.
func (x *signerTrial) opensslAgrees(private *ecdh.PrivateKey, public *ecdh.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		x.t.Fatal(err)
	}
	return x.openssl(map[string][]byte{"public": x.publicPEM(public), "private": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})},
		"pkeyutl", "-derive", "-inkey", "private", "-peerkey", "public")
}

// otherKey returns another public key of the same kind and size, always the same: for RSA that
// with the exponent 17.
func otherKey(public crypto.PublicKey) crypto.PublicKey {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return &rsa.PublicKey{N: public.N, E: 17}
	case *ecdsa.PublicKey:
		scalar := make([]byte, (public.Curve.Params().BitSize+7)/8)
		scalar[len(scalar)-1] = 2
		k, err := ecdsa.ParseRawPrivateKey(public.Curve, scalar)
		if err != nil {
			panic(err)
		}
		return k.Public()
	case ed25519.PublicKey:
		return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public()
	case *ecdh.PublicKey:
		scalar := make([]byte, len(public.Bytes()))
		k, err := ecdh.X25519().NewPrivateKey(scalar)
		if err != nil || public.Curve() != ecdh.X25519() {
			panic(err)
		}
		return k.PublicKey()
	case *mlkem.EncapsulationKey768:
		return mustSeed(mlkem.NewDecapsulationKey768).EncapsulationKey()
	case *mlkem.EncapsulationKey1024:
		return mustSeed(mlkem.NewDecapsulationKey1024).EncapsulationKey()
	}
	panic(fmt.Sprintf("a public key of type %T", public))
}

// mustSeed makes a key of a seed that is not that of signerTestKeys.
func mustSeed[K any](f func([]byte) (K, error)) K {
	k, err := f(bytes.Repeat([]byte{1}, mlkem.SeedSize))
	if err != nil {
		panic(err)
	}
	return k
}
