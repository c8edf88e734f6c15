//lint:file-ignore SA1019 PKCS #1 v1.5 decryption is what many cards, tokens and their peers still do.

package piv

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

func TestSign(t *testing.T) {
	c, _, _ := open(t, nil)
	d1, d256, d512 := sha1.Sum([]byte("m")), sha256.Sum256([]byte("m")), sha512.Sum512([]byte("m"))
	for _, a := range []Algorithm{AlgorithmP256, AlgorithmP384, AlgorithmRSA2048} {
		k := generate(t, c, SlotCardAuthentication, a)
		for _, d := range []struct {
			hash   crypto.Hash
			digest []byte
		}{{crypto.SHA1, d1[:]}, {crypto.SHA256, d256[:]}, {crypto.SHA512, d512[:]}} {
			sig, err := k.Sign(ctx, d.digest, d.hash)
			if err != nil {
				t.Fatalf("%v, %v: %v", a, d.hash, err)
			}
			switch pub := k.Public().(type) {
			case *ecdsa.PublicKey:
				if !ecdsa.VerifyASN1(pub, d.digest, sig) {
					t.Errorf("%v, %v: signature does not verify", a, d.hash)
				}
			case *rsa.PublicKey:
				if err := rsa.VerifyPKCS1v15(pub, d.hash, d.digest, sig); err != nil {
					t.Errorf("%v, %v: %v", a, d.hash, err)
				}
				for _, salt := range []int{rsa.PSSSaltLengthEqualsHash, rsa.PSSSaltLengthAuto, 0, 7} {
					opts := &rsa.PSSOptions{Hash: d.hash, SaltLength: salt}
					sig, err := k.Sign(ctx, d.digest, opts)
					if err != nil {
						t.Fatalf("PSS %v, salt %d: %v", d.hash, salt, err)
					}
					if salt == 0 {
						opts = &rsa.PSSOptions{Hash: d.hash, SaltLength: rsa.PSSSaltLengthAuto}
					}
					if err := rsa.VerifyPSS(pub, d.hash, d.digest, sig, opts); err != nil {
						t.Errorf("PSS %v, salt %d: %v", d.hash, salt, err)
					}
				}
			}
		}
		if _, err := k.Sign(ctx, d256[:31], crypto.SHA256); err == nil {
			t.Errorf("%v: a digest of 31 bytes as SHA-256: got nil, want an error", a)
		}
	}
}

func TestDecrypt(t *testing.T) {
	c, _, s := open(t, nil)
	k := generate(t, c, SlotCardAuthentication, AlgorithmRSA2048)
	pub := k.Public().(*rsa.PublicKey)
	message := []byte("\x00\x00attack at dawn\x00")
	pkcs1, err := rsa.EncryptPKCS1v15(rand.Reader, pub, message)
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range []crypto.DecrypterOpts{nil, &rsa.PKCS1v15DecryptOptions{}, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: len(message)}} {
		if got, err := k.Decrypt(ctx, pkcs1, opts); err != nil || !bytes.Equal(got, message) {
			t.Errorf("PKCS #1, %#v: got %q, %v", opts, got, err)
		}
	}
	one, err1 := k.Decrypt(ctx, pkcs1, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 16})
	two, err2 := k.Decrypt(ctx, pkcs1, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 16})
	if err1 != nil || err2 != nil || len(one) != 16 || bytes.Equal(one, two) {
		t.Errorf("a session key of another length: got %x and %x, %v, %v; want two random ones", one, two, err1, err2)
	}
	for _, opts := range []*rsa.OAEPOptions{{Hash: crypto.SHA1}, {Hash: crypto.SHA256, Label: []byte("label")}, {Hash: crypto.SHA256, MGFHash: crypto.SHA1}} {
		oaep, err := rsa.EncryptOAEPWithOptions(rand.Reader, pub, message, opts)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Decrypt(ctx, oaep, opts); err != nil || !bytes.Equal(got, message) {
			t.Errorf("OAEP, %+v: got %q, %v", opts, got, err)
		}
		other := *opts
		other.Label = []byte("another")
		if _, err := k.Decrypt(ctx, oaep, &other); err == nil {
			t.Error("OAEP with another label: got nil, want an error")
		}
	}
	s.seen = nil
	if _, err := k.Decrypt(ctx, pkcs1[1:], nil); err == nil || len(s.seen) != 0 {
		t.Errorf("a short ciphertext: got %v, want an error and nothing sent", err)
	}
	ec := generate(t, c, SlotCardAuthentication, AlgorithmP256)
	if _, err := ec.Decrypt(ctx, pkcs1, nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("decryption with EC: got %v, want ErrUnsupported", err)
	}
}

func TestECDH(t *testing.T) {
	c, _, _ := open(t, nil)
	for _, tt := range []struct {
		algorithm    Algorithm
		curve, other ecdh.Curve
	}{{AlgorithmP256, ecdh.P256(), ecdh.P384()}, {AlgorithmP384, ecdh.P384(), ecdh.X25519()}} {
		k := generate(t, c, SlotCardAuthentication, tt.algorithm)
		peer, err := tt.curve.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		own, err := k.Public().(*ecdsa.PublicKey).ECDH()
		if err != nil {
			t.Fatal(err)
		}
		want, err := peer.ECDH(own)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.ECDH(ctx, peer.PublicKey()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: the two ends do not agree: %v", tt.algorithm, err)
		}
		wrong, _ := tt.other.GenerateKey(rand.Reader)
		if _, err := k.ECDH(ctx, wrong.PublicKey()); err == nil {
			t.Errorf("%v: a peer on another curve: got nil, want an error", tt.algorithm)
		}
	}
	r := generate(t, c, SlotCardAuthentication, AlgorithmRSA2048)
	peer, _ := ecdh.P256().GenerateKey(rand.Reader)
	if _, err := r.ECDH(ctx, peer.PublicKey()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("RSA: got %v, want ErrUnsupported", err)
	}
}

// plain answers as a PIV card without YubiKey's extensions and without the
// discovery object does.
func plain(c *apdu.Command) []byte {
	if c.Instruction == insGetMetadata || c.Instruction == insGetSerial {
		return []byte{0x6D, 0x00}
	}
	return withoutDiscovery(c)
}

func TestAPlainPIVCard(t *testing.T) {
	ask, _ := pinCallback(testPIN)
	s := &spy{Transmitter: card.New(nil, newApplication()), answer: plain}
	c, err := Open(ctx, iso7816.NewChannel(s, nil), &Options{PIN: ask})
	if err != nil {
		t.Fatal(err)
	}
	if serial, err := c.Serial(ctx); err != nil || len(serial) != 32 {
		t.Errorf("got serial %q, %v; want a GUID", serial, err)
	}
	if err := c.AuthenticateManagementKey(ctx, 0, testManagementKey); err == nil {
		t.Error("the algorithm of the management key: got nil, want an error")
	}
	manage(t, c)
	pub, err := c.GenerateKey(ctx, SlotAuthentication, AlgorithmRSA2048, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Key(ctx, SlotAuthentication); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("a key that the card does not tell of: got %v, want ErrNoCertificate", err)
	}
	if err := c.PutCertificate(ctx, SlotAuthentication, issue(t, pub)); err != nil {
		t.Fatal(err)
	}
	k, err := c.Key(ctx, SlotAuthentication)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
		t.Error(err)
	}
}

func TestACertificateOfAnotherKeyIsRefused(t *testing.T) {
	c, _, _ := open(t, nil)
	generate(t, c, SlotAuthentication, AlgorithmP256)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PutCertificate(ctx, SlotAuthentication, issue(t, other.Public())); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TLSCertificate(ctx, SlotAuthentication); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("got %v, want an error that says so", err)
	}
}

func TestNoPIVOnTheCard(t *testing.T) {
	_, err := Open(ctx, iso7816.NewChannel(card.New(nil, &other{}), nil), nil)
	if !errors.Is(err, apdu.StatusFileNotFound) || !strings.Contains(err.Error(), "no PIV application") {
		t.Errorf("got %v", err)
	}
}

func TestCertificateContainers(t *testing.T) {
	b, err := os.ReadFile("testdata/cert-containers.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Rows []struct {
			Slot, Tag, Object string
			GetData           string `json:"get_data"`
			SHA256            string `json:"cert_der_sha256"`
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors.Rows) == 0 {
		t.Fatal(err, len(vectors.Rows))
	}
	for i, v := range vectors.Rows {
		object := unhex(v.Object)
		der, err := ParseCertificateObject(object)
		if err != nil {
			t.Errorf("row %d: %v", i, err)
			continue
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(der)); got != v.SHA256 {
			t.Errorf("row %d: SHA-256 of the certificate: got %s, want %s", i, got, v.SHA256)
		}
		tag, err := Slot(unhex(v.Slot)[0]).object()
		if err != nil || tag.String() != v.Tag {
			t.Errorf("row %d: tag: got %v, %v; want %s", i, tag, err, v.Tag)
		}
		get := apdu.Command{Instruction: apdu.InsGetDataOdd, P1: 0x3F, P2: 0xFF, Data: iso7816.AppendTagList(nil, tag), Ne: 256}
		if b, _ := get.AppendBinary(nil); !strings.EqualFold(hex.EncodeToString(b), v.GetData) {
			t.Errorf("row %d: GET DATA: got %X, want %s", i, b, v.GetData)
		}
		if again, err := ParseCertificateObject(AppendCertificateObject(nil, der)); err != nil || !bytes.Equal(again, der) {
			t.Errorf("row %d: appended and parsed: %v", i, err)
		}
	}
}

func TestCertificateObjectsThatAreWrong(t *testing.T) {
	zip := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(b)
		w.Close()
		return z.Bytes()
	}
	object := func(cert []byte, info ...byte) []byte {
		return tlv.Append(nil, 0x53, append(tlv.Append(nil, 0x70, cert), tlv.Append(nil, 0x71, info)...))
	}
	for _, tt := range []struct {
		name   string
		object []byte
		want   string
	}{
		{"empty", nil, "not found"},
		{"another tag", []byte{0x54, 0x00}, "not found"},
		{"no certificate", []byte{0x53, 0x00}, "no certificate"},
		{"an empty certificate", object(nil, 0), "no certificate"},
		{"cut off", []byte{0x53, 0x03, 0x70, 0x05, 0x30}, "cut off"},
		{"compressed, and is not", object([]byte("certificate"), 1), "compressed certificate"},
		{"compressed, and cut off", object(zip(make([]byte, 1000))[:20], 1), "compressed certificate"},
		{"a bomb", object(zip(make([]byte, 10<<20)), 1), "more than 65536 bytes"},
	} {
		if _, err := ParseCertificateObject(tt.object); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

func FuzzParseCertificateObject(f *testing.F) {
	f.Add([]byte("\x53\x05\x70\x03abc"))
	f.Add(AppendCertificateObject(nil, []byte("certificate")))
	f.Fuzz(func(t *testing.T, object []byte) {
		der, err := ParseCertificateObject(object)
		if err != nil {
			return
		}
		if len(der) == 0 || len(der) > max(len(object), maxCertificateBytes) {
			t.Fatalf("%d bytes from %d", len(der), len(object))
		}
		if again, err := ParseCertificateObject(AppendCertificateObject(nil, der)); err != nil || !bytes.Equal(again, der) {
			t.Fatalf("appended and parsed: %v", err)
		}
	})
}

// FuzzHostAgainstAnyCard lets a card answer anything, one answer a command, cut
// from the fuzzer's bytes.
func FuzzHostAgainstAnyCard(f *testing.F) {
	f.Add([]byte("\x0A\x61\x06\x4F\x04\x00\x00\x10\x00\x90\x00"))
	f.Add([]byte("\x15\x61\x11\x4F\x06\x00\x00\x10\x00\x01\x00\x79\x07\x4F\x05\xA0\x00\x00\x03\x08\x90\x00\x16\x7E\x12\x4F\x0B\xA0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00\x5F\x2F\x02\x40\x00\x90\x00"))
	f.Fuzz(func(t *testing.T, answers []byte) {
		answering := &spy{}
		answering.answer = func(*apdu.Command) []byte {
			if len(answers) == 0 {
				return []byte{0x90, 0x00}
			}
			n := min(int(answers[0]), len(answers)-1)
			r := answers[1 : 1+n]
			answers = answers[1+n:]
			if n%2 == 0 {
				return append([]byte{}, r...) // its last bytes are the status
			}
			return append(append([]byte{}, r...), 0x90, 0x00)
		}
		ask, _ := pinCallback(testPIN)
		c, err := Open(ctx, iso7816.NewChannel(answering, nil), &Options{PIN: ask})
		if err != nil {
			return
		}
		c.Serial(ctx)
		c.AuthenticateManagementKey(ctx, 0, testManagementKey)
		if k, err := c.Key(ctx, SlotAuthentication); err == nil {
			k.Sign(ctx, digest[:], crypto.SHA256)
		}
		if pub, err := c.GenerateKey(ctx, SlotAuthentication, AlgorithmP256, nil); err == nil {
			if _, err := x509.MarshalPKIXPublicKey(pub); err != nil {
				t.Fatal(err)
			}
		}
	})
}
