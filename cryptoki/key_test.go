//lint:file-ignore SA1019 PKCS #1 v1.5 encryption is deprecated, and what is tested here among the rest

package cryptoki_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	"crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/signer"
)

func digest(h crypto.Hash, msg string) []byte {
	d := h.New()
	d.Write([]byte(msg))
	return d.Sum(nil)
}

func TestKey_ECDSASignaturesVerify(t *testing.T) {
	p, _ := openPool(t, 1)
	for i, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k := generate(t, p, cryptoki.KeyPairOptions{Curve: curve, Label: curve.Params().Name, ID: []byte{byte(i)}})
		pub := k.Public().(*ecdsa.PublicKey)
		if pub.Curve != curve {
			t.Fatalf("got curve %s, want %s", pub.Curve.Params().Name, curve.Params().Name)
		}
		for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256} {
			// Enough signatures to meet r and s with leading zeros and high bits.
			for n := range 20 {
				d := digest(h, fmt.Sprint(n))
				sig, err := k.Sign(context.Background(), d, h)
				if err != nil {
					t.Fatalf("%s with %v: %v", curve.Params().Name, h, err)
				}
				if !ecdsa.VerifyASN1(pub, d, sig) {
					t.Fatalf("%s with %v: the signature does not verify", curve.Params().Name, h)
				}
			}
		}
		// Unhashed data longer than the order of the curve is truncated to its bits.
		long := bytes.Repeat([]byte{0xA5}, 100)
		sig, err := k.Sign(context.Background(), long, crypto.Hash(0))
		if err != nil || !ecdsa.VerifyASN1(pub, long, sig) {
			t.Errorf("%s with 100 bytes of unhashed data: does not verify: %v", curve.Params().Name, err)
		}
	}
}

func TestKey_RSASignaturesVerify(t *testing.T) {
	p, _ := openPool(t, 1)
	k := generate(t, p, cryptoki.KeyPairOptions{RSABits: 2048, Label: "rsa", ID: []byte{1}})
	pub := k.Public().(*rsa.PublicKey)
	if pub.N.BitLen() != 2048 || pub.E != 65537 {
		t.Fatalf("got a key of %d bits with exponent %d, want 2048 and 65537", pub.N.BitLen(), pub.E)
	}
	hashes := []crypto.Hash{crypto.SHA1, crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA512_256}
	for _, h := range hashes {
		d := digest(h, "message")
		if h != crypto.SHA3_256 { // has no DigestInfo in crypto/rsa
			sig, err := k.Sign(context.Background(), d, h)
			if err != nil {
				t.Errorf("PKCS #1 v1.5 with %v: %v", h, err)
			} else if err := rsa.VerifyPKCS1v15(pub, h, d, sig); err != nil {
				t.Errorf("PKCS #1 v1.5 with %v: %v", h, err)
			}
		}
		for _, salt := range []int{rsa.PSSSaltLengthEqualsHash, rsa.PSSSaltLengthAuto, 1, 20} {
			// SHA3 and SHA512/256 are padded here: SoftHSM2 has no PSS with them.
			opts := &rsa.PSSOptions{SaltLength: salt, Hash: h}
			sig, err := k.Sign(context.Background(), d, opts)
			if err != nil {
				t.Errorf("PSS with %v, salt %d: %v", h, salt, err)
				continue
			}
			want := *opts
			if salt == rsa.PSSSaltLengthAuto {
				want.SaltLength = pub.Size() - h.Size() - 2
			}
			if err := rsa.VerifyPSS(pub, h, d, sig, &want); err != nil {
				t.Errorf("PSS with %v, salt %d: %v", h, salt, err)
			}
		}
	}
	sig, err := k.Sign(context.Background(), []byte("as it is"), crypto.Hash(0))
	if err != nil {
		t.Error(err)
	} else if err := rsa.VerifyPKCS1v15(pub, 0, []byte("as it is"), sig); err != nil {
		t.Errorf("PKCS #1 v1.5 of unhashed data: %v", err)
	}
}

func TestKey_decryptsWhatCryptoRSAEncrypts(t *testing.T) {
	p, _ := openPool(t, 1)
	k := generate(t, p, cryptoki.KeyPairOptions{RSABits: 2048, Label: "rsa", ID: []byte{1}, Decrypt: true})
	pub := k.Public().(*rsa.PublicKey)
	msg := []byte("\x00zeros at both ends stay\x00\x00")
	ctx := context.Background()

	pkcs1, err := rsa.EncryptPKCS1v15(rand.Reader, pub, msg)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Decrypt(ctx, pkcs1, nil)
	if err != nil || !bytes.Equal(got, msg) {
		t.Errorf("PKCS #1 v1.5: got %q, %v, want %q", got, err, msg)
	}
	got, err = k.Decrypt(ctx, pkcs1, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: len(msg)})
	if err != nil || !bytes.Equal(got, msg) {
		t.Errorf("session key: got %q, %v, want %q", got, err, msg)
	}

	for _, tt := range []struct {
		name      string
		hash, mgf crypto.Hash
		label     string
	}{
		{"SHA-1, in the token", crypto.SHA1, crypto.SHA1, ""},
		{"SHA-1 with a label, which SoftHSM2 ignores", crypto.SHA1, crypto.SHA1, "label"},
		{"SHA-256, which SoftHSM2 does not take", crypto.SHA256, crypto.SHA256, ""},
		{"SHA-512 with a label", crypto.SHA512, crypto.SHA512, "label"},
		{"SHA-256 with the mask of SHA-1", crypto.SHA256, crypto.SHA1, ""},
	} {
		t.Run("OAEP "+tt.name, func(t *testing.T) {
			c, err := rsa.EncryptOAEPWithOptions(rand.Reader, pub, msg, &rsa.OAEPOptions{Hash: tt.hash, MGFHash: tt.mgf, Label: []byte(tt.label)})
			if err != nil {
				t.Fatal(err)
			}
			opts := &rsa.OAEPOptions{Hash: tt.hash, MGFHash: tt.mgf, Label: []byte(tt.label)}
			got, err := k.Decrypt(ctx, c, opts)
			if err != nil || !bytes.Equal(got, msg) {
				t.Errorf("got %q, %v, want %q", got, err, msg)
			}
			opts.Label = []byte("another")
			if got, err := k.Decrypt(ctx, c, opts); !errors.Is(err, cryptoki.ErrDecryption) {
				t.Errorf("with another label: got %q, %v, want %v", got, err, cryptoki.ErrDecryption)
			}
		})
	}
}

func TestKey_badCiphertextsTellNothing(t *testing.T) {
	p, _ := openPool(t, 1)
	k := generate(t, p, cryptoki.KeyPairOptions{RSABits: 2048, Label: "rsa", ID: []byte{1}, Decrypt: true})
	pub := k.Public().(*rsa.PublicKey)
	ctx := context.Background()
	notLess := bytes.Repeat([]byte{0xFF}, pub.Size()) // not less than the modulus
	wrong := append([]byte{0}, bytes.Repeat([]byte{0x42}, pub.Size()-1)...)
	for name, c := range map[string][]byte{"garbage": wrong, "not less than the modulus": notLess} {
		for _, opts := range []crypto.DecrypterOpts{nil, &rsa.OAEPOptions{Hash: crypto.SHA1}, &rsa.OAEPOptions{Hash: crypto.SHA256}} {
			if got, err := k.Decrypt(ctx, c, opts); !errors.Is(err, cryptoki.ErrDecryption) || got != nil {
				t.Errorf("%s with %T: got %q, %v, want nothing and %v", name, opts, got, err, cryptoki.ErrDecryption)
			}
		}
	}
	opts := &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 16}
	one, err := k.Decrypt(ctx, wrong, opts)
	if err != nil || len(one) != 16 {
		t.Fatalf("session key from garbage: got %d bytes, %v, want 16 random ones", len(one), err)
	}
	two, err := k.Decrypt(ctx, wrong, opts)
	if err != nil || bytes.Equal(one, two) {
		t.Errorf("session key from garbage: got the same bytes twice, or %v", err)
	}
	short, _ := rsa.EncryptPKCS1v15(rand.Reader, pub, []byte("fifteen bytes.."))
	if got, err := k.Decrypt(ctx, short, opts); err != nil || len(got) != 16 {
		t.Errorf("session key of another length: got %d bytes, %v, want 16 random ones", len(got), err)
	}
	// The session is as good as before.
	if _, err := k.Sign(ctx, digest(crypto.SHA256, "x"), crypto.SHA256); err != nil {
		t.Errorf("signing after failures: %v", err)
	}
}

func TestKey_refusesWhatItCannotDo(t *testing.T) {
	p, _ := openPool(t, 1)
	ec := generate(t, p, cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "ec", ID: []byte{1}})
	rsaKey := generate(t, p, cryptoki.KeyPairOptions{RSABits: 2048, Label: "rsa", ID: []byte{2}})
	ctx := context.Background()
	d := digest(crypto.SHA256, "x")
	if _, err := ec.Sign(ctx, d, &rsa.PSSOptions{Hash: crypto.SHA256}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("PSS with an EC key: got %v, want errors.ErrUnsupported", err)
	}
	if _, err := ec.Sign(ctx, d[:31], crypto.SHA256); err == nil {
		t.Error("a digest that is too short was signed")
	}
	if _, err := ec.Decrypt(ctx, make([]byte, 64), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("decryption with an EC key: got %v, want errors.ErrUnsupported", err)
	}
	// This key was made without CKA_DECRYPT.
	c, _ := rsa.EncryptPKCS1v15(rand.Reader, rsaKey.Public().(*rsa.PublicKey), []byte("x"))
	_, err := rsaKey.Decrypt(ctx, c, nil)
	if !errors.Is(err, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED) {
		t.Errorf("decryption with a signing key: got %v, want CKR_KEY_FUNCTION_NOT_PERMITTED", err)
	}
}

func TestPool_KeySaysWhatThereIs(t *testing.T) {
	p, _ := openPool(t, 2)
	ctx := context.Background()
	_, err := p.Key(ctx, cryptoki.KeyQuery{Label: "none"})
	if !errors.Is(err, cryptoki.ErrNotFound) || !strings.Contains(err.Error(), "no private key") {
		t.Errorf("on an empty token: got %v, want ErrNotFound and that there is no key", err)
	}
	generate(t, p, cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "twin", ID: []byte{1}})
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, _, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "twin", ID: []byte{0xAB}})
		return err
	})
	_, err = p.Key(ctx, cryptoki.KeyQuery{Label: "none"})
	if !errors.Is(err, cryptoki.ErrNotFound) || !strings.Contains(err.Error(), `label "twin", id AB`) {
		t.Errorf("unknown label: got %v, want ErrNotFound and the keys that there are", err)
	}
	_, err = p.Key(ctx, cryptoki.KeyQuery{Label: "twin"})
	if !errors.Is(err, cryptoki.ErrAmbiguous) || !strings.Contains(err.Error(), "id 01") || !strings.Contains(err.Error(), "id AB") {
		t.Errorf("two with the label: got %v, want ErrAmbiguous and both", err)
	}
	if _, err := p.Key(ctx, cryptoki.KeyQuery{Label: "twin", ID: []byte{0xAB}}); err != nil {
		t.Errorf("label and id: %v", err)
	}
	nobody := p.Slot().NewPool(nil)
	defer nobody.Close()
	_, err = nobody.Key(ctx, cryptoki.KeyQuery{Label: "none"})
	if !errors.Is(err, cryptoki.ErrNotFound) {
		t.Errorf("without login: got %v, want ErrNotFound", err)
	}
}

func TestKey_publicKeyComesFromTheCertificate(t *testing.T) {
	p, _ := openPool(t, 1)
	k := generate(t, p, cryptoki.KeyPairOptions{Curve: elliptic.P384(), Label: "ec", ID: []byte{1}})
	cert := certify(t, k)
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		pubs, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY)})
		if err != nil {
			return err
		}
		for _, o := range pubs {
			if err := s.DestroyObject(ctx, o); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := p.Key(context.Background(), cryptoki.KeyQuery{Label: "ec"})
	if !errors.Is(err, cryptoki.ErrNotFound) || !strings.Contains(err.Error(), "public key") {
		t.Errorf("without public key and certificate: got %v, want ErrNotFound", err)
	}
	do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
		_, err := s.PutCertificate(ctx, "cert", []byte{1}, cert)
		return err
	})
	again, err := p.Key(context.Background(), cryptoki.KeyQuery{Label: "ec"})
	if err != nil {
		t.Fatal(err)
	}
	if !k.Public().(*ecdsa.PublicKey).Equal(again.Public()) {
		t.Error("the public key from the certificate is another one")
	}
}

func TestPool_TLSCertificate(t *testing.T) {
	p, _ := openPool(t, 2)
	ctx := context.Background()
	for _, o := range []cryptoki.KeyPairOptions{
		{Curve: elliptic.P256(), Label: "ec", ID: []byte{1}},
		{RSABits: 2048, Label: "rsa", ID: []byte{2}},
	} {
		t.Run(o.Label, func(t *testing.T) {
			k := generate(t, p, o)
			q := cryptoki.KeyQuery{Label: o.Label}
			_, err := p.TLSCertificate(ctx, q)
			if !errors.Is(err, cryptoki.ErrNotFound) || !strings.Contains(err.Error(), "store one") {
				t.Errorf("without certificate: got %v, want ErrNotFound and what to do", err)
			}
			other := softwareKey(t)
			put := func(c *x509.Certificate) {
				do(t, p, func(ctx context.Context, s *cryptoki.Session) error {
					_, err := s.PutCertificate(ctx, o.Label, o.ID, c)
					return err
				})
			}
			put(issue(t, other.Public(), other))
			_, err = p.TLSCertificate(ctx, q)
			if !errors.Is(err, cryptoki.ErrNotFound) || !strings.Contains(err.Error(), "another key") {
				t.Errorf("with the certificate of another key: got %v, want ErrNotFound that says so", err)
			}
			want := certify(t, k)
			put(want)
			got, err := p.TLSCertificate(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Leaf.Equal(want) || len(got.Certificate) != 1 || !bytes.Equal(got.Certificate[0], want.Raw) {
				t.Error("got another certificate than was stored")
			}
			if _, ok := got.PrivateKey.(crypto.MessageSigner); !ok {
				t.Errorf("private key of type %T is no crypto.MessageSigner", got.PrivateKey)
			}
			if _, ok := got.PrivateKey.(crypto.Decrypter); ok != (o.RSABits > 0) {
				t.Errorf("private key of type %T is a crypto.Decrypter: %v", got.PrivateKey, ok)
			}
			handshake(t, got)
		})
	}
}

// handshake makes a TLS connection in which the server proves that it has the key.
func handshake(t *testing.T, cert tls.Certificate) {
	t.Helper()
	a, b := net.Pipe()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{cert}})
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	client := tls.Client(b, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	done := make(chan error, 1)
	go func() {
		err := server.Handshake()
		if err == nil {
			_, err = server.Write([]byte("hello"))
		}
		a.Close()
		done <- err
	}()
	buf := make([]byte, 5)
	_, err := client.Read(buf)
	b.Close()
	if serr := <-done; err != nil || serr != nil || string(buf) != "hello" {
		t.Errorf("client: %v, server: %v", err, serr)
	}
}

func TestKey_sharedByGoroutines(t *testing.T) {
	p, _ := openPool(t, 3)
	ec := generate(t, p, cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "ec", ID: []byte{1}})
	rsaKey := generate(t, p, cryptoki.KeyPairOptions{RSABits: 2048, Label: "rsa", ID: []byte{2}})
	withDeadline, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			ctx := context.Background()
			if g%2 == 1 {
				ctx = withDeadline
			}
			for i := range 20 {
				d := sha256.Sum256(fmt.Append(nil, g, i))
				sig, err := ec.Sign(ctx, d[:], crypto.SHA256)
				if err != nil || !ecdsa.VerifyASN1(ec.Public().(*ecdsa.PublicKey), d[:], sig) {
					t.Errorf("EC signature: %v", err)
				}
				if i%5 == 0 {
					sig, err := rsaKey.Sign(ctx, d[:], crypto.SHA256)
					if err != nil || rsa.VerifyPKCS1v15(rsaKey.Public().(*rsa.PublicKey), crypto.SHA256, d[:], sig) != nil {
						t.Errorf("RSA signature: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestKey_worksBehindASigner(t *testing.T) {
	p, _ := openPool(t, 1)
	k := generate(t, p, cryptoki.KeyPairOptions{RSABits: 2048, Label: "rsa", ID: []byte{2}, Decrypt: true})
	d, err := signer.NewDecrypter(k, &signer.Options{Context: t.Context()})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := rsa.EncryptPKCS1v15(rand.Reader, k.Public().(*rsa.PublicKey), []byte("x"))
	if got, err := d.Decrypt(nil, c, nil); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v, want x", got, err)
	}
}

func TestKey_IsNotUsedWhenItChanged(t *testing.T) {
	p, _ := openPool(t, 1)
	o := cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "ec", ID: []byte{1}}
	k := generate(t, p, o)
	ctx := context.Background()
	d := digest(crypto.SHA256, "x")
	destroyAll := func(ctx context.Context, s *cryptoki.Session) error {
		objects, err := s.FindObjects(ctx, nil)
		for _, o := range objects {
			err = errors.Join(err, s.DestroyObject(ctx, o))
		}
		return err
	}
	do(t, p, destroyAll)
	if _, err := k.Sign(ctx, d, crypto.SHA256); err == nil {
		t.Error("a key that was destroyed signed")
	}
	if _, err := k.Sign(ctx, d, crypto.SHA256); !errors.Is(err, cryptoki.ErrNotFound) {
		t.Errorf("a key that was destroyed: got %v, want ErrNotFound", err)
	}
	generate(t, p, o)
	if _, err := k.Sign(ctx, d, crypto.SHA256); !errors.Is(err, cryptoki.ErrKeyChanged) {
		t.Errorf("another key under the same name: got %v, want ErrKeyChanged", err)
	}
}
