package piv

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// exercise uses a key in the way that its algorithm has, and checks the result against
// its public key.
func exercise(t *testing.T, k *Key) {
	t.Helper()
	message := []byte("message")
	digest := sha256.Sum256(message)
	switch pub := k.Public().(type) {
	case *rsa.PublicKey:
		sig, err := k.Sign(ctx, digest[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig); err != nil {
			t.Error(err)
		}
	case *ecdsa.PublicKey:
		sig, err := k.Sign(ctx, digest[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if !ecdsa.VerifyASN1(pub, digest[:], sig) {
			t.Error("the signature is wrong")
		}
		peer, err := pub.ECDH()
		if err != nil {
			t.Fatal(err)
		}
		agreeWith(t, k, peer)
	case ed25519.PublicKey:
		sig, err := k.Sign(ctx, message, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		if !ed25519.Verify(pub, message, sig) {
			t.Error("the signature is wrong")
		}
		if _, err := k.Sign(ctx, digest[:], crypto.SHA256); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a digest: got %v, want ErrUnsupported", err)
		}
		if _, err := k.ECDH(ctx, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("key agreement: got %v, want ErrUnsupported", err)
		}
	case *ecdh.PublicKey:
		agreeWith(t, k, pub)
		if _, err := k.Sign(ctx, message, crypto.Hash(0)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("signature: got %v, want ErrUnsupported", err)
		}
	default:
		t.Fatalf("a key of type %T", pub)
	}
}

func agreeWith(t *testing.T, k *Key, public *ecdh.PublicKey) {
	t.Helper()
	own, err := public.Curve().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.ECDH(ctx, own.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	want, err := own.ECDH(public)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the secrets differ: %v", err)
	}
}

// asymmetric are the algorithms of keys, the slow RSA ones left to those who want them.
var asymmetric = []Algorithm{AlgorithmRSA1024Legacy, AlgorithmRSA2048, AlgorithmP256, AlgorithmP384, AlgorithmEd25519, AlgorithmX25519}

func TestGenerateEachAlgorithm(t *testing.T) {
	c, _, _ := open(t, nil)
	all := asymmetric
	if !testing.Short() {
		all = append([]Algorithm{AlgorithmRSA3072, AlgorithmRSA4096}, all...)
	}
	for _, a := range all {
		t.Run(a.String(), func(t *testing.T) {
			k := generate(t, c, SlotCardAuthentication, a)
			if k.Algorithm() != a {
				t.Errorf("got %v", k.Algorithm())
			}
			exercise(t, k)
			m, err := c.Metadata(ctx, SlotCardAuthentication)
			if err != nil || !m.Generated || m.PINPolicy != PINPolicyNever || m.TouchPolicy != TouchPolicyNever {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
}

func newPrivateKey(t *testing.T, a Algorithm) privateKey {
	t.Helper()
	k, err := generateKey(rand.Reader, a)
	if err != nil {
		t.Fatal(err)
	}
	return k.private
}

func TestImportEachAlgorithm(t *testing.T) {
	c, _, _ := open(t, nil)
	manage(t, c)
	for _, a := range asymmetric {
		t.Run(a.String(), func(t *testing.T) {
			private := newPrivateKey(t, a)
			if err := c.ImportKey(ctx, SlotRetired1, private, &KeyOptions{PINPolicy: PINPolicyNever, TouchPolicy: TouchPolicyCached}); err != nil {
				t.Fatal(err)
			}
			k, err := c.Key(ctx, SlotRetired1)
			if err != nil {
				t.Fatal(err)
			}
			if !private.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Public()) {
				t.Error("it is another key")
			}
			exercise(t, k)
			m, err := c.Metadata(ctx, SlotRetired1)
			if err != nil || m.Generated || m.PINPolicy != PINPolicyNever || m.TouchPolicy != TouchPolicyCached {
				t.Errorf("got %+v, %v", m, err)
			}
			if _, err := c.Attest(ctx, SlotRetired1); !errors.Is(err, apdu.StatusConditionsNotSatisfied) {
				t.Errorf("attest: got %v, want 6985", err)
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	c, _, s := open(t, nil)
	odd, err := rsa.GenerateKey(rand.Reader, 1536)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	three := *odd
	three.E = 3
	s.seen = nil
	for name, k := range map[string]crypto.PrivateKey{
		"no key": "key", "RSA of 1536 bits": odd, "P-521": p521, "RSA with exponent 3": &three, "nil": nil,
	} {
		if err := c.ImportKey(ctx, SlotRetired1, k, nil); err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
	if err := c.ImportKey(ctx, 0x42, newPrivateKey(t, AlgorithmP256), nil); err == nil {
		t.Error("no slot: got nil, want an error")
	}
	if len(s.seen) != 0 {
		t.Errorf("%d commands were sent", len(s.seen))
	}
	err = c.ImportKey(ctx, SlotRetired1, newPrivateKey(t, AlgorithmP256), nil)
	if !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) || errors.Is(err, ErrAuthenticationLost) {
		t.Errorf("without the management key: got %v, want 6982", err)
	}
}

func TestMoveAndDelete(t *testing.T) {
	c, _, _ := open(t, nil)
	k := generate(t, c, SlotKeyManagement, AlgorithmP256)
	generate(t, c, SlotRetired1, AlgorithmP384)
	if err := c.MoveKey(ctx, SlotKeyManagement, SlotRetired1); err != nil {
		t.Fatal(err)
	}
	m, err := c.Metadata(ctx, SlotRetired1)
	if err != nil || !k.Public().(*ecdsa.PublicKey).Equal(m.Public) {
		t.Errorf("the key is not where it was moved to: %v", err)
	}
	if _, err := c.Metadata(ctx, SlotKeyManagement); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("the key is where it was: %v", err)
	}
	if err := c.MoveKey(ctx, SlotKeyManagement, SlotRetired1); !errors.Is(err, apdu.StatusReferencedDataNotFound) {
		t.Errorf("an empty slot: got %v", err)
	}
	if err := c.MoveKey(ctx, SlotRetired1, SlotRetired1); !errors.Is(err, apdu.StatusIncorrectP1P2) {
		t.Errorf("a slot to itself: got %v", err)
	}
	if err := c.DeleteKey(ctx, SlotRetired1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Metadata(ctx, SlotRetired1); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("the key was not deleted: %v", err)
	}
	for name, err := range map[string]error{"move": c.MoveKey(ctx, 1, SlotRetired1), "delete": c.DeleteKey(ctx, 1)} {
		if err == nil {
			t.Errorf("%s of no slot: got nil, want an error", name)
		}
	}
}

func TestObjects(t *testing.T) {
	c, _, _ := open(t, nil)
	manage(t, c)
	const tag = 0x5FFF11
	if _, err := c.Object(ctx, tag); !errors.Is(err, ErrNoObject) {
		t.Errorf("got %v, want ErrNoObject", err)
	}
	object := append([]byte{0x53, 0x82, 0x0B, 0xB8}, bytes.Repeat([]byte{1}, 3000)...)
	if err := c.PutObject(ctx, tag, object); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Object(ctx, tag); err != nil || !bytes.Equal(got, object) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if err := c.PutObject(ctx, tag, []byte{0x53, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Object(ctx, tag); !errors.Is(err, ErrNoObject) {
		t.Errorf("got %v, want ErrNoObject", err)
	}
	for _, bad := range [][]byte{nil, {0x53}, {0x54, 0}, {0x53, 0, 0}} {
		if err := c.PutObject(ctx, tag, bad); err == nil {
			t.Errorf("%X: got nil, want an error", bad)
		}
	}
	if _, err := c.Object(ctx, ObjectPrintedInformation); !errors.Is(err, ErrNoObject) && !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		t.Errorf("printed information without the PIN: got %v", err)
	}
	k := generate(t, c, SlotSignature, AlgorithmP256)
	if err := c.PutCertificate(ctx, SlotSignature, issue(t, k.Public())); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteCertificate(ctx, SlotSignature); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Certificate(ctx, SlotSignature); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("got %v, want ErrNoCertificate", err)
	}
}

func TestManagementKey(t *testing.T) {
	for _, a := range []Algorithm{AlgorithmTDESLegacy, AlgorithmAES128, AlgorithmAES192, AlgorithmAES256} {
		t.Run(a.String(), func(t *testing.T) {
			c, ch, _ := open(t, nil)
			key := make([]byte, algorithms[a].keyLen)
			rand.Read(key)
			if err := c.SetManagementKey(ctx, a, key, false); !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
				t.Errorf("without the old one: got %v, want 6982", err)
			}
			manage(t, c)
			if err := c.SetManagementKey(ctx, a, key[1:], false); err == nil {
				t.Error("a short key: got nil, want an error")
			}
			if err := c.SetManagementKey(ctx, a, key, true); err != nil {
				t.Fatal(err)
			}
			m, err := c.ManagementKeyMetadata(ctx)
			if err != nil || m.Algorithm != a || m.TouchPolicy != TouchPolicyAlways || m.Default {
				t.Errorf("got %+v, %v", m, err)
			}
			other, err := Open(ctx, ch, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := other.AuthenticateManagementKey(ctx, 0, key); err != nil {
				t.Error(err)
			}
			key[0] ^= 0x10
			if err := other.AuthenticateManagementKey(ctx, a, key); !errors.Is(err, ErrManagementKey) && err == nil {
				t.Errorf("a wrong key: got %v", err)
			}
		})
	}
}

func TestProtectedManagementKey(t *testing.T) {
	pin, _ := pinCallback(testPIN)
	c, ch, _ := open(t, &Options{PIN: pin})
	if err := c.AuthenticateProtectedManagementKey(ctx); !errors.Is(err, ErrNotProtected) {
		t.Errorf("got %v, want ErrNotProtected", err)
	}
	manage(t, c)
	if err := c.ProtectManagementKey(ctx, AlgorithmAES256); err != nil {
		t.Fatal(err)
	}
	ch2 := ch
	other, err := Open(ctx, ch2, &Options{PIN: pin})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.AuthenticateManagementKey(ctx, AlgorithmAES192, testManagementKey); err == nil {
		t.Error("the old key: got nil, want an error")
	}
	if err := other.AuthenticateProtectedManagementKey(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := other.GenerateKey(ctx, SlotAuthentication, AlgorithmP256, nil); err != nil {
		t.Error(err)
	}
	if err := c.ProtectManagementKey(ctx, AlgorithmP256); err == nil {
		t.Error("no algorithm of management keys: got nil, want an error")
	}
}

func TestAttestation(t *testing.T) {
	c, _, _ := open(t, nil)
	issuer, err := c.Certificate(ctx, SlotAttestation)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(issuer)
	manage(t, c)
	pub, err := c.GenerateKey(ctx, SlotRetired20, AlgorithmP384, &KeyOptions{PINPolicy: PINPolicyAlways, TouchPolicy: TouchPolicyCached})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := c.Attest(ctx, SlotRetired20)
	if err != nil {
		t.Fatal(err)
	}
	if !pub.(*ecdsa.PublicKey).Equal(cert.PublicKey) {
		t.Error("it is the attestation of another key")
	}
	a, err := VerifyAttestation(cert, issuer, roots, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Attestation{Slot: SlotRetired20, Version: Version{5, 7, 2}, Serial: 4711, PINPolicy: PINPolicyAlways, TouchPolicy: TouchPolicyCached}); *a != want {
		t.Errorf("got %+v, want %+v", *a, want)
	}
	for name, err := range map[string]error{
		"other roots":     second(VerifyAttestation(cert, issuer, x509.NewCertPool(), nil, time.Time{})),
		"another issuer":  second(VerifyAttestation(cert, issue(t, pub), roots, nil, time.Time{})),
		"of no slot":      second(VerifyAttestation(issuer, issuer, roots, nil, time.Time{})),
		"before its time": second(VerifyAttestation(cert, issuer, roots, nil, time.Unix(0, 0))),
	} {
		if !errors.Is(err, ErrAttestation) {
			t.Errorf("%s: got %v, want ErrAttestation", name, err)
		}
	}
	if _, err := c.Attest(ctx, SlotRetired1); !errors.Is(err, apdu.StatusReferencedDataNotFound) {
		t.Errorf("an empty slot: got %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestPUK(t *testing.T) {
	ch := iso7816.NewChannel(card.New(nil, NewApplication(&ApplicationOptions{PIN: testPIN, PUK: []byte("pukpuk"), PUKTries: 2, ManagementKey: testManagementKey})), nil)
	c, err := Open(ctx, ch, nil)
	if err != nil {
		t.Fatal(err)
	}
	tries := func(want int) {
		t.Helper()
		if n, err := c.PUKTries(ctx); err != nil || n != want {
			t.Errorf("PUK: got %d tries, %v; want %d", n, err, want)
		}
	}
	remaining := func(err error, want int) {
		t.Helper()
		if e, ok := errors.AsType[*iso7816.VerifyError](err); !ok || e.Remaining != want {
			t.Errorf("got %v, want a VerifyError with %d left", err, want)
		}
	}
	tries(2)
	newPIN := []byte("112233")
	remaining(c.UnblockPIN(ctx, []byte("wrong!"), newPIN), 1)
	if err := c.UnblockPIN(ctx, []byte("wrong!"), newPIN); !errors.Is(err, ErrLastTry) {
		t.Errorf("got %v, want ErrLastTry", err)
	}
	tries(1)
	if err := c.AllowLastTry().UnblockPIN(ctx, []byte("pukpuk"), newPIN); err != nil {
		t.Fatal(err)
	}
	tries(2)
	if err := c.VerifyPIN(ctx, newPIN); err != nil {
		t.Error(err)
	}
	if err := c.ChangePUK(ctx, []byte("pukpuk"), []byte("87654321")); err != nil {
		t.Error(err)
	}
	remaining(c.ChangePUK(ctx, []byte("pukpuk"), []byte("11111111")), 1)
	remaining(c.AllowLastTry().ChangePUK(ctx, []byte("pukpuk"), []byte("11111111")), 0)
	if err := c.ChangePUK(ctx, []byte("87654321"), []byte("11111111")); !errors.Is(err, apdu.StatusAuthenticationMethodBlocked) {
		t.Errorf("a blocked PUK: got %v", err)
	}

	remaining(c.ChangePIN(ctx, []byte("wrong!"), testPIN), 2)
	if err := c.ChangePIN(ctx, newPIN, testPIN); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"short", "muchtoolong", "12345\xFF"} {
		if err := c.ChangePIN(ctx, testPIN, []byte(bad)); err == nil {
			t.Errorf("%q: got nil, want an error", bad)
		}
	}
	if v, err := c.PINStatus(ctx); err != nil || v.Remaining == 2 {
		t.Errorf("a try was spent: %+v, %v", v, err)
	}
}

func TestSetTries(t *testing.T) {
	c, _, _ := open(t, nil)
	if err := c.SetTries(ctx, 5, 6); !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		t.Errorf("got %v, want 6982", err)
	}
	manage(t, c)
	if err := c.SetTries(ctx, 5, 6); !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		t.Errorf("without the PIN: got %v, want 6982", err)
	}
	if err := c.VerifyPIN(ctx, testPIN); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][2]int{{0, 3}, {3, 0}, {16, 3}, {3, 16}} {
		if err := c.SetTries(ctx, bad[0], bad[1]); err == nil {
			t.Errorf("%v: got nil, want an error", bad)
		}
	}
	if err := c.SetTries(ctx, 5, 6); err != nil {
		t.Fatal(err)
	}
	v, err := c.PINStatus(ctx)
	n, err2 := c.PUKTries(ctx)
	if err != nil || err2 != nil || v.Remaining != 5 || n != 6 {
		t.Errorf("got %d and %d tries, %v, %v", v.Remaining, n, err, err2)
	}
}

func TestFactoryReset(t *testing.T) {
	c, _, s := open(t, nil)
	generate(t, c, SlotAuthentication, AlgorithmP256)
	if err := c.ChangePIN(ctx, testPIN, []byte("000000")); err != nil {
		t.Fatal(err)
	}
	s.tries()
	if err := c.FactoryReset(ctx, "4712"); !errors.Is(err, ErrConsent) || s.tries() != 0 {
		t.Errorf("another card's serial number: got %v, want ErrConsent and no try", err)
	}
	serial, err := c.Serial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.FactoryReset(ctx, serial); err != nil {
		t.Fatal(err)
	}
	if again, err := c.Serial(ctx); err != nil || again != serial {
		t.Errorf("serial number: got %s, %v; want %s", again, err, serial)
	}
	if _, err := c.Metadata(ctx, SlotAuthentication); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("the key is still there: %v", err)
	}
	if err := c.VerifyPIN(ctx, testPIN); err != nil {
		t.Errorf("the PIN is not the one from the factory: %v", err)
	}
	manage(t, c)
}

// A card of the standard alone: the host does without what YubiKeys have.
func TestStandardOnly(t *testing.T) {
	pin, asked := pinCallback(testPIN)
	app := NewApplication(&ApplicationOptions{PIN: testPIN, ManagementKey: testManagementKey, StandardOnly: true})
	c, err := Open(ctx, iso7816.NewChannel(card.New(nil, app), nil), &Options{PIN: pin})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(ctx); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("version: got %v", err)
	}
	if n, err := c.PUKTries(ctx); err != nil || n != -1 {
		t.Errorf("PUK tries: got %d, %v; want -1", n, err)
	}
	if _, err := c.Metadata(ctx, SlotAuthentication); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("metadata: got %v", err)
	}
	if serial, err := c.Serial(ctx); err != nil || len(serial) != 32 {
		t.Errorf("serial: got %q, %v; want the GUID", serial, err)
	}
	manage(t, c)
	for _, slot := range []Slot{SlotAuthentication, SlotSignature, SlotCardAuthentication} {
		pub, err := c.GenerateKey(ctx, slot, AlgorithmP256, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.PutCertificate(ctx, slot, issue(t, pub)); err != nil {
			t.Fatal(err)
		}
		*asked = nil
		k, err := c.Key(ctx, slot)
		if err != nil {
			t.Fatal(err)
		}
		exercise(t, k)
		want := map[Slot]int{SlotAuthentication: 1, SlotSignature: 2, SlotCardAuthentication: 0}[slot]
		if len(*asked) != want {
			t.Errorf("slot %v: asked %d times for the PIN, want %d", slot, len(*asked), want)
		}
	}
	for name, err := range map[string]error{
		"import":             c.ImportKey(ctx, SlotRetired1, newPrivateKey(t, AlgorithmP256), nil),
		"attest":             second(c.Attest(ctx, SlotAuthentication)),
		"Ed25519":            second(c.GenerateKey(ctx, SlotRetired1, AlgorithmEd25519, nil)),
		"policies":           second(c.GenerateKey(ctx, SlotRetired1, AlgorithmP256, &KeyOptions{PINPolicy: PINPolicyNever})),
		"set management key": c.SetManagementKey(ctx, AlgorithmAES192, testManagementKey, false),
		"move":               c.MoveKey(ctx, SlotAuthentication, SlotRetired1),
	} {
		if _, ok := errors.AsType[*iso7816.CommandError](err); !ok {
			t.Errorf("%s: got %v, want a refusal by the card", name, err)
		}
	}
	serial, err := c.Serial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.FactoryReset(ctx, serial); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("factory reset: got %v, want ErrUnsupported, with nothing blocked", err)
	}
	if err := c.VerifyPIN(ctx, testPIN); err != nil {
		t.Error(err)
	}
}

// Through the contactless interface the standard lets the door's key through, and
// what identifies the card.
func TestContactless(t *testing.T) {
	store := card.NewMemoryStore()
	newCard := func(contactless bool) *Client {
		app := NewApplication(&ApplicationOptions{PIN: testPIN, ManagementKey: testManagementKey, StandardOnly: true})
		c, err := Open(ctx, iso7816.NewChannel(card.New(&card.Options{Store: store, Contactless: contactless}, app), nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := newCard(false)
	manage(t, c)
	for _, slot := range []Slot{SlotAuthentication, SlotCardAuthentication} {
		pub, err := c.GenerateKey(ctx, slot, AlgorithmP256, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.PutCertificate(ctx, slot, issue(t, pub)); err != nil {
			t.Fatal(err)
		}
	}
	c = newCard(true)
	door, err := c.Key(ctx, SlotCardAuthentication)
	if err != nil {
		t.Fatal(err)
	}
	exercise(t, door)
	if _, err := c.Object(ctx, ObjectCHUID); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another certificate": second(c.Certificate(ctx, SlotAuthentication)),
		"the PIN":             c.VerifyPIN(ctx, testPIN),
		"a new PIN":           c.ChangePIN(ctx, testPIN, []byte("111111")),
		"unblocking":          c.UnblockPIN(ctx, []byte("12345678"), []byte("111111")),
		"the management key":  c.AuthenticateManagementKey(ctx, AlgorithmAES192, testManagementKey),
	} {
		if !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
			t.Errorf("%s: got %v, want 6982", name, err)
		}
	}
}

func TestGlobalPIN(t *testing.T) {
	global := []byte("777777")
	for _, preferred := range []bool{false, true} {
		t.Run(fmt.Sprint("preferred ", preferred), func(t *testing.T) {
			app := NewApplication(&ApplicationOptions{PIN: testPIN, GlobalPIN: global, PreferGlobalPIN: preferred, ManagementKey: testManagementKey})
			s := &spy{Transmitter: card.New(nil, app)}
			want := testPIN
			if preferred {
				want = global
			}
			pin, asked := pinCallback(want)
			c, err := Open(ctx, iso7816.NewChannel(s, nil), &Options{PIN: pin})
			if err != nil {
				t.Fatal(err)
			}
			if d := c.Discovery(); !d.GlobalPIN || !d.PIN || d.PreferGlobalPIN != preferred {
				t.Errorf("got %+v", d)
			}
			exercise(t, generate(t, c, SlotAuthentication, AlgorithmP256))
			if len(*asked) != 1 || (*asked)[0].Global != preferred {
				t.Errorf("asked %+v", *asked)
			}
			for _, cmd := range s.seen {
				if cmd.Instruction == apdu.InsVerify && (cmd.P2 == 0) != preferred {
					t.Errorf("VERIFY with the reference %02X", cmd.P2)
				}
			}
			if err := c.ChangePIN(ctx, want, []byte("888888")); err != nil {
				t.Error(err)
			}
			if err := c.VerifyPIN(ctx, []byte("888888")); err != nil {
				t.Error(err)
			}
		})
	}
}
