//go:build cgo

package peers

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ThalesGroup/crypto11"
	google "github.com/google/go-pkcs11/pkcs11"
	miekg "github.com/miekg/pkcs11"
	"github.com/miekg/pkcs11/p11"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/peers/floor"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/signer"
)

// A token is one token as cardoki, C and the peers have it, all in this process. Some of
// the peers want to be the ones who initialise the module: they get it as testdata/shared.c.
type token struct {
	path    string // of the module
	pin     string // empty: nobody logs in
	options *cryptoki.Options

	pool    *cryptoki.Pool
	hasty   *cryptoki.Pool // verifies no signature
	slot    *cryptoki.Slot
	session *cryptoki.Session
	ck      *ck.Instance
	raw     uint // a session for ck and the floor
	floor   *floor.Module

	miekg  *miekg.Ctx
	handle miekg.SessionHandle

	p11 p11.Session

	crypto11 *crypto11.Context
	google   *google.Slot // or nil
}

var background = context.Background()

// compile makes a library of a file in testdata.
func compile(tb testing.TB, dir, file string, flags ...string) string {
	tb.Helper()
	source, err := filepath.Abs(filepath.Join("testdata", file))
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, file+".so")
	args := append(flags, "-shared", "-fPIC", "-O2", "-o", path, source)
	if out, err := exec.Command(system.Need(tb, "gcc", "gcc"), args...).CombinedOutput(); err != nil {
		tb.Fatalf("gcc: %v\n%s", err, out)
	}
	return path
}

// openToken opens the token with the label in the module at path; without a PIN nobody
// logs in.
func openToken(tb testing.TB, path, label, pin string, o *cryptoki.Options) *token {
	tb.Helper()
	fatal := func(err error) {
		if err != nil {
			tb.Helper()
			tb.Fatal(err)
		}
	}
	t := &token{path: path, pin: pin, options: o}
	m, err := cryptoki.Open(path, o)
	fatal(err)
	tb.Cleanup(func() { m.Close() })
	t.slot, err = m.FindToken(label)
	fatal(err)
	options := &cryptoki.PoolOptions{ReadWrite: true}
	if pin != "" {
		options.PIN = cryptoki.FixedPIN([]byte(pin))
	}
	t.pool = t.slot.NewPool(options)
	tb.Cleanup(func() { t.pool.Close() })
	fatal(t.pool.Do(background, func(*cryptoki.Session) error { return nil })) // which logs in
	options.Verify = signer.VerifyNever
	t.hasty = t.slot.NewPool(options)
	tb.Cleanup(func() { t.hasty.Close() })
	t.session, err = t.slot.OpenSession(background, true)
	fatal(err)
	tb.Cleanup(func() { t.session.Close() })

	t.ck, err = ck.Open(path)
	fatal(err)
	t.raw = openRaw(tb, t)
	t.floor, err = floor.Open(path)
	fatal(err)

	flags := []string{fmt.Sprintf("-DREAL=%q", path)}
	if t.floor.Messages() {
		flags = append(flags, "-DTAG=16") // NSS, see there
	}
	shared := compile(tb, tb.TempDir(), "shared.c", flags...)
	t.miekg = miekg.New(shared)
	if t.miekg == nil {
		tb.Fatal("miekg/pkcs11 cannot load the module")
	}
	tb.Cleanup(t.miekg.Destroy)
	t.handle, err = t.miekg.OpenSession(uint(t.slot.ID()), miekg.CKF_SERIAL_SESSION|miekg.CKF_RW_SESSION)
	fatal(err)
	tb.Cleanup(func() { t.miekg.CloseSession(t.handle) })

	module, err := p11.OpenModule(shared)
	fatal(err)
	tb.Cleanup(module.Destroy)
	slots, err := module.Slots()
	fatal(err)
	for _, s := range slots {
		if s.ID() == uint(t.slot.ID()) {
			t.p11, err = s.OpenWriteSession()
			fatal(err)
			tb.Cleanup(func() { t.p11.Close() })
		}
	}

	t.crypto11, err = crypto11.Configure(&crypto11.Config{Path: shared, TokenLabel: label, Pin: pin, LoginNotSupported: pin == "", GCMIVLength: 12})
	fatal(err)
	tb.Cleanup(func() { t.crypto11.Close() })

	its, err := google.Open(shared)
	fatal(err)
	tb.Cleanup(func() { its.Close() })
	t.google, err = its.Slot(uint32(t.slot.ID()), google.Options{ReadWrite: true})
	fatal(err)
	tb.Cleanup(func() { t.google.Close() })
	return t
}

// openRaw opens a session for the floor.
func openRaw(tb testing.TB, t *token) uint {
	tb.Helper()
	s, rv := t.ck.OpenSession(uint(t.slot.ID()), uint(cryptoki.CKF_RW_SESSION))
	if rv != 0 {
		tb.Fatalf("C_OpenSession: %#x", rv)
	}
	tb.Cleanup(func() { t.ck.CloseSession(s) })
	return s
}

// A handled object is one that all know how to name.
type handled struct {
	object cryptoki.Object
	raw    uint
}

// find returns the only object of a class with a label.
func (t *token) find(tb testing.TB, class cryptoki.ObjectClass, label string) handled {
	tb.Helper()
	template := cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, class), cryptoki.String(cryptoki.CKA_LABEL, label)}
	objects, err := t.session.FindObjects(background, template)
	if err != nil || len(objects) != 1 {
		tb.Fatalf("%v with label %q: %v, found %d", class, label, err, len(objects))
	}
	var a ck.Template
	for _, attribute := range template {
		a.AddBytes(uint(attribute.Type), attribute.Value)
	}
	handles := make([]uint, 2)
	if r := t.ck.FindObjects(t.raw, &a, handles); r.RV != 0 || r.N != 1 {
		tb.Fatalf("%v with label %q: %+v", class, label, r)
	}
	return handled{objects[0], handles[0]}
}

// p11Object returns what find does, as p11 has it.
func (t *token) p11Object(tb testing.TB, class cryptoki.ObjectClass, label string) p11.Object {
	tb.Helper()
	o, err := t.p11.FindObject([]*miekg.Attribute{miekg.NewAttribute(miekg.CKA_CLASS, uint(class)), miekg.NewAttribute(miekg.CKA_LABEL, label)})
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// crypto11Key returns a key pair as crypto11 has it.
func (t *token) crypto11Key(tb testing.TB, label string) crypto11.Signer {
	tb.Helper()
	k, err := t.crypto11.FindKeyPair(nil, []byte(label))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// googleObject returns what find does, as google/go-pkcs11 has it.
func (t *token) googleObject(tb testing.TB, class google.Class, label string) google.Object {
	tb.Helper()
	objects, err := t.google.Objects(google.Filter{Class: class, Label: label})
	if err != nil || len(objects) != 1 {
		tb.Fatalf("%v with label %q: %v, found %d", class, label, err, len(objects))
	}
	return objects[0]
}

// signers returns players who sign a digest of SHA-256, each as its library does: C, ck, a
// session, miekg/pkcs11 and p11 have r and s of ECDSA, the others have them in DER. Only cardoki
// verifies what the token gave, each signature of RSA and the first of ECDSA, unless it is
// hasty. prefix is what the token wants before the digest.
func (t *token) signers(tb testing.TB, label string, m cryptoki.MechanismType, prefix []byte, size int) []player {
	tb.Helper()
	digest := make([]byte, 32)
	input := append(append([]byte(nil), prefix...), digest...)
	key := t.find(tb, cryptoki.CKO_PRIVATE_KEY, label)
	out := make([]byte, size)
	mech := &ck.Mechanism{Type: uint(m)}
	ours, err := t.pool.Key(background, cryptoki.KeyQuery{Label: label})
	if err != nil {
		tb.Fatal(err)
	}
	hasty, err := t.hasty.Key(background, cryptoki.KeyQuery{Label: label})
	if err != nil {
		tb.Fatal(err)
	}
	its := p11.PrivateKey(t.p11Object(tb, cryptoki.CKO_PRIVATE_KEY, label))
	public, err := t.googleObject(tb, google.ClassPublicKey, label).PublicKey()
	if err != nil {
		tb.Fatal(err)
	}
	private, err := t.googleObject(tb, google.ClassPrivateKey, label).PrivateKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	signer := func(k crypto.Signer) func(int) error {
		return times(func() error {
			_, err := k.Sign(rand.Reader, digest, crypto.SHA256)
			return err
		})
	}
	return []player{
		{name: "C", outside: true, do: func(n int) error { return t.floor.Sign(t.raw, uint(m), key.raw, input, out, n) }},
		{name: "ck", do: times(func() error {
			if r := t.ck.Sign(t.raw, mech, key.raw, input, out); r.RV != 0 {
				return fmt.Errorf("%v: %#x", r.Step, r.RV)
			}
			return nil
		})},
		{name: "session", do: times(func() error {
			_, err := t.session.AppendSign(background, out[:0], cryptoki.Plain(m), key.object, input, size)
			return err
		})},
		{name: "cardoki", do: times(func() error {
			_, err := ours.Sign(background, digest, crypto.SHA256)
			return err
		})},
		{name: "hasty", do: times(func() error {
			_, err := hasty.Sign(background, digest, crypto.SHA256)
			return err
		})},
		{name: "miekg", do: times(func() error {
			if err := t.miekg.SignInit(t.handle, []*miekg.Mechanism{miekg.NewMechanism(uint(m), nil)}, miekg.ObjectHandle(key.raw)); err != nil {
				return err
			}
			_, err := t.miekg.Sign(t.handle, input)
			return err
		})},
		{name: "p11", do: times(func() error {
			_, err := its.Sign(*miekg.NewMechanism(uint(m), nil), input)
			return err
		})},
		{name: "crypto11", do: signer(t.crypto11Key(tb, label))},
		{name: "google", do: signer(private.(crypto.Signer))},
	}
}

// attributes returns players who read attributes of the public key with a label.
// p11 asks for one at a time; google/go-pkcs11 gives the label alone.
func (t *token) attributes(tb testing.TB, label string, types ...cryptoki.AttributeType) []player {
	tb.Helper()
	key := t.find(tb, cryptoki.CKO_PUBLIC_KEY, label)
	var numbers, rooms []uint
	var theirs []*miekg.Attribute
	var template ck.Template
	var reused cryptoki.Attributes
	for _, a := range types {
		room := uint(128)
		if a == cryptoki.CKA_CLASS {
			room = ck.UlongSize
		}
		numbers, rooms = append(numbers, uint(a)), append(rooms, room)
		theirs = append(theirs, miekg.NewAttribute(uint(a), nil))
	}
	buf := make([]byte, 128*len(types))
	its := t.p11Object(tb, cryptoki.CKO_PUBLIC_KEY, label)
	pair := t.crypto11Key(tb, label)
	players := []player{
		{name: "C", outside: true, do: func(n int) error { return t.floor.Attributes(t.raw, key.raw, numbers, rooms, buf, n) }},
		{name: "ck", do: times(func() error {
			template.Reset()
			for i, a := range numbers {
				template.Ask(a, int(rooms[i]))
			}
			if rv := t.ck.GetAttributeValue(t.raw, key.raw, &template); rv != 0 {
				return fmt.Errorf("C_GetAttributeValue: %#x", rv)
			}
			return nil
		})},
		{name: "cardoki", do: times(func() error {
			got, err := t.session.Attributes(background, key.object, types...)
			if err == nil && len(got) != len(types) {
				err = errShort
			}
			return err
		})},
		{name: "append", do: times(func() (err error) {
			if reused, err = t.session.AppendAttributes(background, reused[:0], key.object, types...); err == nil && len(reused) != len(types) {
				err = errShort
			}
			return err
		})},
		{name: "miekg", do: times(func() error {
			_, err := t.miekg.GetAttributeValue(t.handle, miekg.ObjectHandle(key.raw), theirs)
			return err
		})},
		{name: "p11", do: times(func() error {
			for _, a := range numbers {
				if _, err := its.Attribute(a); err != nil {
					return err
				}
			}
			return nil
		})},
		{name: "crypto11", do: times(func() error {
			_, err := t.crypto11.GetPubAttributes(pair, numbers)
			return err
		})},
	}
	if len(types) == 1 && types[0] == cryptoki.CKA_LABEL {
		object := t.googleObject(tb, google.ClassPublicKey, label)
		players = append(players, player{name: "google", do: times(func() error {
			_, err := object.Label()
			return err
		})})
	}
	return players
}

var errShort = errors.New("something is missing in the result")

// objects returns players who find all secret keys, of which there are at least n, and
// read id, label and class of each. google/go-pkcs11 cannot read the id.
func (t *token) objects(tb testing.TB, n int) []player {
	tb.Helper()
	const most = 2000
	numbers := []uint{uint(cryptoki.CKA_ID), uint(cryptoki.CKA_LABEL), uint(cryptoki.CKA_CLASS)}
	rooms := []uint{128, 128, ck.UlongSize}
	objects := make([]uint, most)
	buf := make([]byte, most*(128+128+ck.UlongSize))
	secret := cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY)}
	theirs := []*miekg.Attribute{miekg.NewAttribute(miekg.CKA_CLASS, miekg.CKO_SECRET_KEY)}
	var wanted []*miekg.Attribute
	for _, a := range numbers {
		wanted = append(wanted, miekg.NewAttribute(a, nil))
	}
	enough := func(got int) error {
		if got < n || got == most {
			return fmt.Errorf("found %d objects, want at least %d", got, n)
		}
		return nil
	}
	return []player{
		{name: "C", outside: true, do: func(n int) error {
			found, err := t.floor.Objects(t.raw, uint(cryptoki.CKO_SECRET_KEY), numbers, rooms, objects, buf, n)
			return errors.Join(err, enough(found))
		}},
		{name: "cardoki", do: times(func() error {
			found := 0
			for e, err := range t.session.Objects(background, secret, cryptoki.CKA_ID, cryptoki.CKA_LABEL, cryptoki.CKA_CLASS) {
				if err != nil {
					return err
				}
				if len(e.Attributes) == 3 {
					found++
				}
			}
			return enough(found)
		})},
		{name: "miekg", do: times(func() error {
			if err := t.miekg.FindObjectsInit(t.handle, theirs); err != nil {
				return err
			}
			found, _, err := t.miekg.FindObjects(t.handle, most)
			if err != nil {
				return err
			}
			if err := t.miekg.FindObjectsFinal(t.handle); err != nil {
				return err
			}
			for _, o := range found {
				if _, err := t.miekg.GetAttributeValue(t.handle, o, wanted); err != nil {
					return err
				}
			}
			return enough(len(found))
		})},
		{name: "p11", do: times(func() error {
			found, err := t.p11.FindObjects(theirs)
			if err != nil {
				return err
			}
			for _, o := range found {
				for _, a := range numbers {
					if _, err := o.Attribute(a); err != nil {
						return err
					}
				}
			}
			return enough(len(found))
		})},
		{name: "crypto11", do: times(func() error {
			found, err := t.crypto11.FindAllKeys()
			if err != nil {
				return err
			}
			for _, k := range found {
				if _, err := t.crypto11.GetAttributes(k, numbers); err != nil {
					return err
				}
			}
			return enough(len(found))
		})},
		{name: "google", do: times(func() error {
			found, err := t.google.Objects(google.Filter{Class: google.ClassSecretKey})
			if err != nil {
				return err
			}
			for _, o := range found {
				if _, err := o.Label(); err != nil {
					return err
				}
			}
			return enough(len(found))
		})},
	}
}

// streams returns players who encrypt 1 MiB with AES-CBC in pieces of 64 KiB. p11 and
// google/go-pkcs11 have no such thing.
func (t *token) streams(tb testing.TB, label string) []player {
	tb.Helper()
	const piece = 64 << 10
	key := t.find(tb, cryptoki.CKO_SECRET_KEY, label)
	iv, in, out := make([]byte, 16), make([]byte, 1<<20), make([]byte, piece+64)
	its, err := t.crypto11.FindKey(nil, []byte(label))
	if err != nil {
		tb.Fatal(err)
	}
	return []player{
		{name: "C", outside: true, do: func(n int) error {
			return t.floor.Encrypt(t.raw, uint(cryptoki.CKM_AES_CBC), iv, key.raw, in, piece, out, n)
		}},
		{name: "cardoki", do: times(func() error {
			w, err := t.session.EncryptTo(background, io.Discard, cryptoki.Parameter(cryptoki.CKM_AES_CBC, iv), key.object)
			if err != nil {
				return err
			}
			for at := 0; at < len(in); at += piece {
				if _, err := w.Write(in[at : at+piece]); err != nil {
					return err
				}
			}
			return w.Close()
		})},
		{name: "miekg", do: times(func() error {
			if err := t.miekg.EncryptInit(t.handle, []*miekg.Mechanism{miekg.NewMechanism(miekg.CKM_AES_CBC, iv)}, miekg.ObjectHandle(key.raw)); err != nil {
				return err
			}
			for at := 0; at < len(in); at += piece {
				if _, err := t.miekg.EncryptUpdate(t.handle, in[at:at+piece]); err != nil {
					return err
				}
			}
			if _, err := t.miekg.EncryptFinal(t.handle); err != nil && t.pin != "" {
				return err // with NSS it fails: a question for the length of the rest ends the operation
			}
			return nil
		})},
		{name: "crypto11", do: times(func() error {
			mode, err := its.NewCBCEncrypterCloser(iv)
			if err != nil {
				return err
			}
			for at := 0; at < len(in); at += piece {
				mode.CryptBlocks(out[:piece], in[at:at+piece])
			}
			defer func() { recover() }() // its Close panics with NSS, for the reason above
			mode.Close()
			return nil
		})},
	}
}

// messages returns players who encrypt 1 KiB with AES-GCM: by messages of PKCS#11 3.0,
// with one Init for many, or at once, in a session or through a pool. The peers know no
// messages.
func (t *token) messages(tb testing.TB, label string) []player {
	tb.Helper()
	key := t.find(tb, cryptoki.CKO_SECRET_KEY, label)
	nonce, tag, aad, in := make([]byte, 12), make([]byte, 16), make([]byte, 16), make([]byte, 1024)
	out := make([]byte, len(in)+len(tag))
	count := func() {
		for i := 11; i >= 4; i-- {
			if nonce[i]++; nonce[i] != 0 {
				break
			}
		}
	}
	gcm := &ck.Mechanism{Type: uint(cryptoki.CKM_AES_GCM)}
	message := &ck.Mechanism{Type: uint(cryptoki.CKM_AES_GCM), Kind: ck.GCMMessage, Data: nonce, Data2: tag}
	secret := p11.SecretKey(t.p11Object(tb, cryptoki.CKO_SECRET_KEY, label))
	its, err := t.crypto11.FindKey(nil, []byte(label))
	if err != nil {
		tb.Fatal(err)
	}
	aead, err := its.NewGCM()
	if err != nil {
		tb.Fatal(err)
	}
	ours, err := t.pool.SecretKey(background, cryptoki.KeyQuery{Label: label})
	if err != nil {
		tb.Fatal(err)
	}
	pooled, err := ours.AEAD(nil)
	if err != nil {
		tb.Fatal(err)
	}
	parameters := func() (*miekg.GCMParams, []*miekg.Mechanism) {
		count()
		p := miekg.NewGCMParams(nonce, aad, 128)
		return p, []*miekg.Mechanism{miekg.NewMechanism(miekg.CKM_AES_GCM, p)}
	}
	return []player{
		{name: "C", outside: true, do: func(n int) error { return t.floor.SealMessages(t.raw, key.raw, nonce, aad, in, out, tag, n) }},
		{name: "ck", do: func(n int) error {
			if rv := t.ck.MessageEncryptInit(t.raw, gcm, key.raw); rv != 0 {
				return fmt.Errorf("C_MessageEncryptInit: %#x", rv)
			}
			defer t.ck.MessageEncryptFinal(t.raw)
			return times(func() error {
				count()
				if r := t.ck.EncryptMessage(t.raw, message, aad, in, out); r.RV != 0 {
					return fmt.Errorf("C_EncryptMessage: %#x", r.RV)
				}
				return nil
			})(n)
		}},
		{name: "cardoki", do: func(n int) error {
			sealer, err := t.session.MessageSealer(background, key.object, nil)
			if err != nil {
				return err
			}
			defer sealer.Close(background)
			return times(func() error {
				count()
				_, err := sealer.Append(background, out[:0], nonce, in, aad)
				return err
			})(n)
		}},
		{name: "pool", do: times(func() error {
			count()
			_, err := pooled.AppendSeal(background, out[:0], nonce, in, aad)
			return err
		})},
		{name: "once", do: times(func() error {
			count()
			_, err := t.session.AppendEncrypt(background, out[:0], cryptoki.GCM(nonce, aad, 16), key.object, in, len(in)+16)
			return err
		})},
		{name: "miekg", do: times(func() error {
			p, m := parameters()
			defer p.Free()
			if err := t.miekg.EncryptInit(t.handle, m, miekg.ObjectHandle(key.raw)); err != nil {
				return err
			}
			_, err := t.miekg.Encrypt(t.handle, in)
			return err
		})},
		{name: "p11", do: times(func() error {
			p, m := parameters()
			defer p.Free()
			_, err := secret.Encrypt(*m[0], in)
			return err
		})},
		{name: "crypto11", do: times(func() error {
			count()
			aead.Seal(out[:0], nonce, in, aad)
			return nil
		})},
	}
}

// fill makes the keys that the benchmarks use, and n secret keys. They are session objects:
// those are read without a look at files, so that what a library adds is the more of it.
func (t *token) fill(tb testing.TB, n int) {
	tb.Helper()
	for i, o := range []cryptoki.KeyPairOptions{{Curve: elliptic.P256(), Label: "P-256"}, {RSABits: 2048, Label: "RSA-2048"}} {
		o.ID, o.SessionOnly = []byte{byte(i + 1)}, true
		if _, _, err := t.session.GenerateKeyPair(background, &o); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range n {
		o := cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, Size: 32, ID: []byte{2, byte(i >> 8), byte(i)}, Label: fmt.Sprint("secret key ", i), Encrypt: true, SessionOnly: true}
		if i == 0 {
			o.Label = "AES"
		}
		if _, err := t.session.GenerateSecretKey(background, &o); err != nil {
			tb.Fatal(err)
		}
	}
}

// digestInfo is what is before a digest of SHA-256 in PKCS #1 v1.5 (RFC 8017 §9.2).
var digestInfo = []byte{0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// five are the attributes that are read of a public key.
var five = []cryptoki.AttributeType{cryptoki.CKA_CLASS, cryptoki.CKA_LABEL, cryptoki.CKA_ID, cryptoki.CKA_EC_PARAMS, cryptoki.CKA_EC_POINT}

// A workload is a benchmark of a token.
type workload struct {
	name string
	run  func(*testing.B, *token)
}

var workloads = []workload{
	{"attributes=1", func(b *testing.B, t *token) { byTurns(b, 0, t.attributes(b, "P-256", cryptoki.CKA_LABEL)...) }},
	{"attributes=5", func(b *testing.B, t *token) { byTurns(b, 0, t.attributes(b, "P-256", five...)...) }},
	{"objects=1000", func(b *testing.B, t *token) { byTurns(b, 0, t.objects(b, 1000)...) }},
	{"encrypt=1MiB", func(b *testing.B, t *token) { byTurns(b, 0, t.streams(b, "AES")...) }},
	{"sign=P-256", func(b *testing.B, t *token) {
		byTurns(b, 0, t.signers(b, "P-256", cryptoki.CKM_ECDSA, nil, 64)...)
	}},
	{"sign=RSA-2048", func(b *testing.B, t *token) {
		byTurns(b, 0, t.signers(b, "RSA-2048", cryptoki.CKM_RSA_PKCS, digestInfo, 256)...)
	}},
	{"callers", callers},
}

// stored are workloads with the key pair that store makes.
var stored = []workload{
	{"attributes=1,token", func(b *testing.B, t *token) {
		byTurns(b, 0, t.attributes(b, "of the token", cryptoki.CKA_LABEL)...)
	}},
	{"attributes=5,token", func(b *testing.B, t *token) { byTurns(b, 0, t.attributes(b, "of the token", five...)...) }},
}

// store makes a key pair that is an object of the token, and lasts.
func (t *token) store(tb testing.TB) {
	tb.Helper()
	if _, _, err := t.session.GenerateKeyPair(background, &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "of the token", ID: []byte{9}}); err != nil {
		tb.Fatal(err)
	}
}

func run(b *testing.B, t *token, all ...workload) {
	for _, w := range all {
		b.Run(w.name, func(b *testing.B) { w.run(b, t) })
	}
}

// BenchmarkSoftHSM compares cardoki with C and with peers on one token of SoftHSM2. Objects of
// the token, unlike those of a session, are read with a look at their files.
func BenchmarkSoftHSM(b *testing.B) {
	hsm := system.StartSoftHSM(b)
	t := openToken(b, hsm.Module, hsm.Label, hsm.PIN, nil)
	t.fill(b, 1000)
	t.store(b)
	run(b, t, workloads...)
	run(b, t, stored...)
}

// BenchmarkNull compares the ways to a module that does nothing.
func BenchmarkNull(b *testing.B) {
	t := openNull(b)
	run(b, t,
		workload{"sign", func(b *testing.B, t *token) {
			byTurns(b, 0, t.signers(b, "key", cryptoki.CKM_ECDSA, nil, 64)...)
		}},
		workload{"attributes=1", func(b *testing.B, t *token) {
			byTurns(b, 0, t.attributes(b, "key", cryptoki.CKA_LABEL)...)
		}},
		workload{"attributes=5", func(b *testing.B, t *token) { byTurns(b, 0, t.attributes(b, "key", five...)...) }})
}

// header is key.h of testdata/null.c: the public key in DER, and a signature of digest.
func header(tb testing.TB, key *ecdsa.PrivateKey, digest []byte) string {
	tb.Helper()
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		tb.Fatal(err)
	}
	array := func(name string, b []byte) string {
		text := fmt.Sprintf("static const unsigned char %s[%d] = {", name, len(b))
		for _, x := range b {
			text += fmt.Sprintf("%d,", x)
		}
		return text + "};\n"
	}
	rs := make([]byte, 64)
	r.FillBytes(rs[:32])
	s.FillBytes(rs[32:])
	return array("point", append([]byte{0x04, byte(len(raw))}, raw...)) + array("signature", rs)
}
