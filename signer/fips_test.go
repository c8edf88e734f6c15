//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package signer_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/signer"
)

// TestFIPS makes the tables of docs/security.md of what is refused where FIPS 140 is
// enforced, and compares them with those that are there. What is refused is what the
// standard library refuses.
func TestFIPS(t *testing.T) {
	if !fips140.Enforced() {
		if runtime.GOARCH == "wasm" {
			t.Skip("starts itself, which a program in WebAssembly cannot")
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS", fmt.Sprintf("-update=%v", *update))
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("where FIPS 140 is enforced: %v\n%s", err, out)
		}
		return
	}
	var b bytes.Buffer
	fipsSignatures(t, &b)
	fipsOthers(t, &b)
	compareSection(t, filepath.Join("..", "docs", "security.md"), "signer in FIPS mode", b.String())
}

// outcome is what the table says of an error.
func outcome(t *testing.T, what string, err error) string {
	t.Helper()
	switch {
	case err == nil:
		return "yes"
	case errors.Is(err, signer.ErrUnsupported) && strings.Contains(err.Error(), "FIPS 140"):
		return "refused"
	}
	t.Errorf("%s: got error %v, want none or one that Is ErrUnsupported and names FIPS 140", what, err)
	return "?"
}

func fipsSignatures(t *testing.T, b *bytes.Buffer) {
	rsa2048, rsa1024, rsa2049 := newRSA(t, 2048), newRSA(t, 1024), newRSA(t, 2049)
	rsa3 := relabelled{rsa2048, &rsa.PublicKey{N: rsa2048.key.N, E: 3}}
	edKey := newEd25519(t)
	edKey.can = signer.AbilityEd25519ph | signer.AbilityEd25519ctx
	p256, brainpool := newECDSA(t, elliptic.P256()), newECDSA(t, brainpoolP256t1(t))
	pss := func(salt int, hash crypto.Hash) *rsa.PSSOptions { return &rsa.PSSOptions{SaltLength: salt, Hash: hash} }
	asked := func() int64 { // of those whose use is refused
		return rsa2048.signed.Load() + rsa1024.signed.Load() + rsa2049.signed.Load() + edKey.signed.Load() + brainpool.signed.Load()
	}
	b.WriteString(`
| signature | Sign | SignMessage |
|---|---|---|
`)
	for _, row := range []struct {
		name string
		key  signer.Key
		opts crypto.SignerOpts
	}{
		{"RSA PKCS #1 v1.5, SHA-256", rsa2048, crypto.SHA256},
		{"RSA PKCS #1 v1.5, SHA3-384", rsa2048, crypto.SHA3_384},
		{"RSA PKCS #1 v1.5, SHA-1", rsa2048, crypto.SHA1},
		{"RSA PKCS #1 v1.5, hash function not named", rsa2048, crypto.Hash(0)},
		{"RSA-PSS, SHA-256, a salt of 32 bytes", rsa2048, pss(rsa.PSSSaltLengthEqualsHash, crypto.SHA256)},
		{"RSA-PSS, SHA-256, PSSSaltLengthAuto", rsa2048, pss(rsa.PSSSaltLengthAuto, crypto.SHA256)},
		{"RSA-PSS, SHA-256, a salt of 33 bytes", rsa2048, pss(33, crypto.SHA256)},
		{"RSA-PSS, SHA-1", rsa2048, pss(rsa.PSSSaltLengthEqualsHash, crypto.SHA1)},
		{"RSA of 1024 bits", rsa1024, crypto.SHA256},
		{"RSA of 2049 bits", rsa2049, crypto.SHA256},
		{"RSA with the public exponent 3", rsa3, crypto.SHA256},
		{"ECDSA, P-224", newECDSA(t, elliptic.P224()), crypto.SHA256},
		{"ECDSA, P-256", p256, crypto.SHA256},
		{"ECDSA, P-256, SHA-1", p256, crypto.SHA1},
		{"ECDSA, P-384", newECDSA(t, elliptic.P384()), crypto.SHA384},
		{"ECDSA, P-521", newECDSA(t, elliptic.P521()), crypto.SHA512},
		{"ECDSA, brainpoolP256t1", brainpool, crypto.SHA256},
		{"Ed25519", edKey, crypto.Hash(0)},
		{"Ed25519ph", edKey, &ed25519.Options{Hash: crypto.SHA512}},
		{"Ed25519ctx", edKey, &ed25519.Options{Context: "context"}},
	} {
		const msg = "message"
		input := []byte(msg)
		if hash := row.opts.HashFunc(); hash != 0 {
			input = sum(hash, msg)
		}
		s, before := signer.New(row.key, nil), asked()
		_, err := s.Sign(nil, input, row.opts)
		signs := outcome(t, row.name, err)
		if signs == "refused" && asked() != before {
			t.Errorf("%s: the device was asked, and then refused", row.name)
		}
		_, err = s.SignMessage(nil, []byte(msg), row.opts)
		fmt.Fprintf(b, "| %s | %s | %s |\n", row.name, signs, outcome(t, row.name, err))
		if does := standardVerifies(t, row.key, input, row.opts); does != (signs == "yes") {
			t.Errorf("%s: the standard library verifies it: %v; the Signer says %q", row.name, does, signs)
		}
	}
}

// standardVerifies reports whether the standard library, as it is, verifies a signature
// that is right.
func standardVerifies(t *testing.T, key signer.Key, input []byte, opts crypto.SignerOpts) (ok bool) {
	t.Helper()
	var sig []byte
	var err error
	if r, is := key.(relabelled); is { // it can only be refused
		sig, err = make([]byte, r.Key.Public().(*rsa.PublicKey).Size()), nil
	} else {
		outside(func() { sig, err = key.Sign(t.Context(), input, opts) })
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() != nil { // so it refuses a hash function
			ok = false
		}
	}()
	hash := opts.HashFunc()
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		if pss, is := opts.(*rsa.PSSOptions); is {
			return rsa.VerifyPSS(pub, hash, input, sig, pss) == nil
		}
		return rsa.VerifyPKCS1v15(pub, hash, input, sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(pub, input, sig)
	case ed25519.PublicKey:
		o, is := opts.(*ed25519.Options)
		if !is {
			o = &ed25519.Options{Hash: hash}
		}
		return ed25519.VerifyWithOptions(pub, input, sig, o) == nil
	}
	return false
}

func fipsOthers(t *testing.T, b *bytes.Buffer) {
	rsaKey := newRSA(t, 2048)
	pub := rsaKey.Public().(*rsa.PublicKey)
	decrypt := func(opts crypto.DecrypterOpts) func() error {
		return func() error {
			d, err := signer.NewDecrypter(rsaKey, nil)
			if err != nil {
				return err
			}
			oaep, _ := opts.(*rsa.OAEPOptions)
			_, err = d.Decrypt(nil, encrypt(t, pub, []byte("plaintext"), oaep), opts)
			return err
		}
	}
	agree := func(curve ecdh.Curve) func() error {
		return func() error {
			k, err := signer.NewKeyExchanger(newAgreer(t, curve), nil)
			if err != nil {
				return err
			}
			_, err = k.ECDH(generate(t, curve).PublicKey())
			return err
		}
	}
	check := func(key interface{ Public() crypto.PublicKey }) func() error {
		return func() error { return signer.Check(t.Context(), key) }
	}
	b.WriteString(`
| other use | |
|---|---|
`)
	for _, row := range []struct {
		name string
		use  func() error
	}{
		{"Decrypt, RSA-OAEP, SHA-256", decrypt(&rsa.OAEPOptions{Hash: crypto.SHA256})},
		{"Decrypt, RSA-OAEP, SHA-1", decrypt(&rsa.OAEPOptions{Hash: crypto.SHA1})},
		{"Decrypt, RSA PKCS #1 v1.5", decrypt(&rsa.PKCS1v15DecryptOptions{})},
		{"ECDH, P-256, P-384, P-521", func() error {
			return errors.Join(agree(ecdh.P256())(), agree(ecdh.P384())(), agree(ecdh.P521())())
		}},
		{"ECDH, X25519", agree(ecdh.X25519())},
		{"Decapsulate, ML-KEM-768, ML-KEM-1024", func() error {
			for _, key := range kems(t) {
				k, err := signer.NewDecapsulator(key, nil)
				if err != nil {
					return err
				}
				_, ciphertext := k.Encapsulator().Encapsulate()
				if _, err := k.Decapsulate(ciphertext); err != nil {
					return err
				}
			}
			return nil
		}},
		{"Check, RSA of 2048 bits", check(rsaKey)},
		{"Check, RSA of 2048 bits that only decrypts", check(decryptOnly{rsaKey})},
		{"Check, RSA of 1024 bits", check(newRSA(t, 1024))},
		{"Check, P-256", check(newECDSA(t, elliptic.P256()))},
		{"Check, brainpoolP256t1", check(newECDSA(t, brainpoolP256t1(t)))},
		{"Check, Ed25519", check(newEd25519(t))},
		{"Check, X25519", check(newAgreer(t, ecdh.X25519()))},
		{"Check, ML-KEM-768", check(newKEM(t))},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", row.name, outcome(t, row.name, row.use()))
	}
}

// compareSection compares what is between two comments of a page with what was made, or
// writes it there.
func compareSection(t *testing.T, path, name, made string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name, "<!-- end of "+name+" -->"
	head, rest, ok := strings.Cut(string(page), begin)
	comment, rest, ok2 := strings.Cut(rest, "-->\n")
	there, tail, ok3 := strings.Cut(rest, end)
	if !ok || !ok2 || !ok3 {
		t.Fatalf("%s has no section %q", path, name)
	}
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+comment+"-->\n"+made+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(there, made); d != "" {
		t.Errorf("%s is out of date (-there +made):\n%s\ngo test ./signer -run TestFIPS -update makes it anew", path, d)
	}
}

// What is refused is refused before the device is asked, touched and doubted.
func TestFIPS_refusesBeforeTheDeviceIsAsked(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("TestFIPS runs it where FIPS 140 is enforced")
	}
	key := newRSA(t, 2048)
	s := signer.New(key, nil)
	_, err := s.Sign(rand.Reader, sum(crypto.SHA1, "message"), crypto.SHA1)
	checkError(t, err, "unsupported")
	_, err = s.SignMessage(rand.Reader, []byte("message"), crypto.SHA1)
	checkError(t, err, "unsupported")
	small := newRSA(t, 1024)
	checkError(t, signer.Check(t.Context(), small), "unsupported")
	if n := key.signed.Load() + small.signed.Load(); n != 0 {
		t.Errorf("the devices were asked for %d signatures, want none", n)
	}
}
