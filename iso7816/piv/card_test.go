package piv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

func TestTheCardLivesOnInItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "card.json")
	insert := func() *Client {
		store, err := card.OpenFileStore(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(ctx, iso7816.NewChannel(card.New(&card.Options{Store: store}, NewApplication(&ApplicationOptions{PIN: testPIN, ManagementKey: testManagementKey})), nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := insert()
	serial, err := c.Serial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	k := generate(t, c, SlotCardAuthentication, AlgorithmRSA2048)
	cert := issue(t, k.Public())
	if err := c.PutCertificate(ctx, SlotCardAuthentication, cert); err != nil {
		t.Fatal(err)
	}
	c.VerifyPIN(ctx, []byte("999999"))

	c = insert()
	if got, _ := c.Serial(ctx); got != serial {
		t.Errorf("serial: got %s, want %s", got, serial)
	}
	if v, _ := c.PINStatus(ctx); v.Remaining != 2 {
		t.Errorf("tries left: got %d, want 2", v.Remaining)
	}
	tc, err := c.TLSCertificate(ctx, SlotCardAuthentication)
	if err != nil || !tc.Leaf.Equal(cert) {
		t.Fatalf("got %v, %v", tc.Leaf, err)
	}
}

// failing is a store whose commits fail on request.
type failing struct {
	*card.MemoryStore
	fail bool
}

func (s *failing) Commit(name string, data []byte) error {
	if s.fail {
		return errors.New("disk full")
	}
	return s.MemoryStore.Commit(name, data)
}

func TestAFailedCommitChangesNothing(t *testing.T) {
	store := &failing{MemoryStore: card.NewMemoryStore()}
	ch := iso7816.NewChannel(card.New(&card.Options{Store: store}, newApplication()), nil)
	c, err := Open(ctx, ch, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	cert := issue(t, k.Public())
	store.fail = true
	if err := c.VerifyPIN(ctx, testPIN); !errors.Is(err, apdu.StatusMemoryFailure) {
		t.Errorf("VERIFY: got %v, want 6581", err)
	}
	if _, err := c.GenerateKey(ctx, SlotAuthentication, AlgorithmP256, nil); !errors.Is(err, apdu.StatusMemoryFailure) {
		t.Errorf("GENERATE: got %v, want 6581", err)
	}
	if err := c.PutCertificate(ctx, SlotAuthentication, cert); !errors.Is(err, apdu.StatusMemoryFailure) {
		t.Errorf("PUT DATA: got %v, want 6581", err)
	}
	store.fail = false
	if v, err := c.PINStatus(ctx); err != nil || v.Remaining != 3 || v.Verified {
		t.Errorf("PIN: got %+v, %v; want three tries and not verified", v, err)
	}
	again, err := c.Key(ctx, SlotAuthentication)
	if err != nil || fmt.Sprint(again.Public()) != fmt.Sprint(k.Public()) {
		t.Errorf("the key has changed: %v", err)
	}
	if _, err := c.Certificate(ctx, SlotAuthentication); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("got %v, want ErrNoCertificate", err)
	}
}

func TestADamagedStateIsRefused(t *testing.T) {
	good := card.NewMemoryStore()
	if _, err := Open(ctx, iso7816.NewChannel(card.New(&card.Options{Store: good}, newApplication()), nil), nil); err != nil {
		t.Fatal(err)
	}
	name := AID.String() + "/state"
	state, err := good.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new string }{
		{"not JSON", "{", "["},
		{"another format", "cardoki PIV 2", "cardoki PIV 9"},
		{"more tries left than there are", `"remaining":3`, `"remaining":4`},
		{"a negative counter", `"remaining":3`, `"remaining":-1`},
		{"a management key of another length", `"algorithm":10`, `"algorithm":12`},
		{"a key that is none", `"keys":{`, `"keys":{"154":{"algorithm":17,"pkcs8":"AAAA"},`},
		{"a key that is null", `"keys":{`, `"keys":{"154":null,`},
		{"a key in no slot", `"keys":{`, `"keys":{"1":{"algorithm":17},`},
	} {
		s := card.NewMemoryStore()
		bad := strings.Replace(string(state), tt.old, tt.new, 1)
		if bad == string(state) {
			t.Fatalf("%s: nothing to replace in %d bytes", tt.name, len(state))
		}
		s.Commit(name, []byte(bad))
		if _, err := Open(ctx, iso7816.NewChannel(card.New(&card.Options{Store: s}, newApplication()), nil), nil); !errors.Is(err, apdu.StatusNoPreciseDiagnosis) {
			t.Errorf("%s: got %v, want 6F00", tt.name, err)
		}
	}
}

func TestSecretsOfTheCardDoNotPrintThemselves(t *testing.T) {
	a := newApplication()
	ch := iso7816.NewChannel(card.New(nil, a), nil)
	if _, err := Open(ctx, ch, nil); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%x", "%s", "%q", "%d"} {
		text := fmt.Sprintf(verb, *a.state)
		for _, needle := range []string{"654321", "363534333231", "54 53 52 51 50 49", "0123456789ab", "303132333435"} {
			if strings.Contains(text, needle) {
				t.Errorf("%s shows a secret", verb)
			}
		}
	}
}

func TestManagementKeys(t *testing.T) {
	for _, tt := range []struct {
		algorithm Algorithm
		size      int
	}{{AlgorithmTDESLegacy, 24}, {AlgorithmAES128, 16}, {AlgorithmAES192, 24}, {AlgorithmAES256, 32}} {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			key := bytes.Repeat([]byte("keyKEY12"), tt.size/8)
			for i := range key {
				key[i] += byte(i)
			}
			c, err := Open(ctx, iso7816.NewChannel(card.New(nil, NewApplication(&ApplicationOptions{ManagementKey: key, ManagementAlgorithm: tt.algorithm})), nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.AuthenticateManagementKey(ctx, 0, key); err != nil {
				t.Errorf("right key: %v", err)
			}
			wrong := append([]byte(nil), key...)
			wrong[3] ^= 0x10
			if err := c.AuthenticateManagementKey(ctx, tt.algorithm, wrong); !errors.Is(err, ErrManagementKey) {
				t.Errorf("wrong key: got %v, want ErrManagementKey", err)
			}
			if err := c.AuthenticateManagementKey(ctx, tt.algorithm, key[1:]); err == nil {
				t.Error("short key: got nil, want an error")
			}
		})
	}
}

func TestACardThatDoesNotHaveTheManagementKeyIsFoundOut(t *testing.T) {
	c, _, s := open(t, nil)
	s.answer = func(c *apdu.Command) []byte {
		if c.Instruction == apdu.InsGeneralAuthenticateOdd && len(c.Data) > 20 {
			return append(tlv.Append(nil, 0x7C, tlv.Append(nil, 0x82, make([]byte, 16))), 0x90, 0)
		}
		return nil
	}
	err := c.AuthenticateManagementKey(ctx, AlgorithmAES192, testManagementKey)
	if err == nil || !strings.Contains(err.Error(), "did not prove") {
		t.Errorf("got %v, want an error: the card proved nothing", err)
	}
}

func TestManagementIsNeededToWrite(t *testing.T) {
	c, _, _ := open(t, nil)
	if _, err := c.GenerateKey(ctx, SlotAuthentication, AlgorithmP256, nil); !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) || !strings.Contains(err.Error(), "management key first") {
		t.Errorf("got %v", err)
	}
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	cert := issue(t, k.Public())
	c.Channel().Exclusive(ctx, func(tx *iso7816.Channel) error { return nil })
	// A session that begins anew has no security status.
	other, err := Open(ctx, iso7816.NewChannel(card.New(nil, newApplication()), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.PutCertificate(ctx, SlotAuthentication, cert); !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		t.Errorf("got %v", err)
	}
}

// TestAnswersOfTheCard is the application's side of SP 800-73-5 part 2, byte by
// byte.
func TestAnswersOfTheCard(t *testing.T) {
	const sel = "00A4040009A00000030800001000"
	const apt = "61114F0600001000010079074F05A0000003089000"
	for _, tt := range []struct {
		name  string
		pairs []string
	}{
		{"SELECT by partial AID", []string{sel, apt}},
		{"SELECT again keeps the PIN", []string{sel, apt, "0020008008363534333231FFFF", "9000", sel, apt, "00200080", "9000"}},
		{"VERIFY asks for the counter", []string{sel, apt, "00200080", "63C3"}},
		{"VERIFY of another reference", []string{sel, apt, "00200081", "6A88", "00200180", "6A86"}},
		{"VERIFY with another length spends nothing", []string{sel, apt, "0020008006363534333231", "6A80", "00200080", "63C3"}},
		{"VERIFY with P1 FF forgets", []string{sel, apt, "0020008008363534333231FFFF", "9000", "0020FF80", "9000", "00200080", "63C3"}},
		{"VERIFY wrong three times blocks", []string{sel, apt, "00200080083131313131313131", "63C2", "00200080083131313131313131", "63C1", "00200080083131313131313131", "6983", "0020008008363534333231FFFF", "6983", "00200080", "6983"}},
		{"the discovery object", []string{sel, apt, "00CB3FFF035C017E00", "7E124F0BA0000003080000100001005F2F0240009000"}},
		{"objects that are not there", []string{sel, apt, "00CB3FFF055C035FC10500", "6A82", "00CB3FFF055C035FC10300", "6982", "00CB3FFE055C035FC10500", "6A86", "00CB3FFF045C035FC100", "6A80"}},
		{"PUT DATA without the management key", []string{sel, apt, "00DB3FFF095C035FC10553027000", "6982"}},
		{"GENERATE without the management key", []string{sel, apt, "0047009A05AC0380011100", "6982"}},
		{"a key that is not there", []string{sel, apt, "0087119A067C0482008100" + "00", "6A88"}},
		{"a management key of another algorithm", []string{sel, apt, "0087039B047C02810000", "6A86"}},
		{"an answer without a challenge", []string{sel, apt, "00870A9B147C1282100000000000000000000000000000000000", "6985"}},
		{"the serial number", []string{sel, apt, "00F8000000", "000012679000"}},
		{"metadata of an empty slot", []string{sel, apt, "00F7009A00", "6A88", "00F7009B00", "01010A020200010501009000"}},
		{"an unknown instruction", []string{sel, apt, "0001000000", "6D00", "80CB3FFF035C017E00", "6E00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := card.New(nil, newApplication())
			for i := 0; i < len(tt.pairs); i += 2 {
				command := tt.pairs[i]
				if command == sel {
					command += "00"
				}
				got, err := c.Transmit(ctx, nil, unhex(command))
				if err != nil || strings.ToUpper(fmt.Sprintf("%x", got)) != tt.pairs[i+1] {
					t.Fatalf("%s: got %X, %v; want %s", command, got, err, tt.pairs[i+1])
				}
			}
		})
	}
}

func unhex(s string) []byte {
	var b []byte
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		panic(s)
	}
	return b
}

func FuzzCard(f *testing.F) {
	f.Add([]byte("\x00\x87\x0A\x9B\x04\x7C\x02\x80\x00\x00"))
	f.Add([]byte("\x00\xCB\x3F\xFF\x05\x5C\x03\x5F\xC1\x05\x00"))
	f.Add([]byte("\x00\x87\x11\x9A\x06\x7C\x04\x82\x00\x81\x00\x00"))
	f.Add([]byte("\x00\x20\x00\x80\x08654321\xFF\xFF"))
	f.Fuzz(func(t *testing.T, command []byte) {
		a := newApplication()
		c := card.New(nil, a)
		ch := iso7816.NewChannel(c, nil)
		if _, err := ch.SelectApplication(ctx, AID); err != nil {
			t.Fatal(err)
		}
		// The management key is there, so that all instructions are within reach.
		if err := authenticateManagement(ctx, ch, AlgorithmAES192, testManagementKey); err != nil {
			t.Fatal(err)
		}
		r, err := c.Transmit(context.Background(), nil, command)
		if err == nil {
			_, err = apdu.ParseResponse(r)
		}
		if err != nil && !errors.Is(err, apdu.ErrNotSent) {
			t.Fatalf("%X: %v", command, err)
		}
		if p := a.state; p != nil && (p.PIN.Remaining < 2 || p.PIN.Remaining > 3) {
			t.Fatalf("%X: one command left %d tries", command, p.PIN.Remaining)
		}
	})
}

// A key of slot 9C works with a PIN that was verified by the command just before, and
// once.
func TestPINAlwaysMeansDirectlyBefore(t *testing.T) {
	c, ch, _ := open(t, nil)
	k := generate(t, c, SlotSignature, AlgorithmP256)
	objects := tlv.Append(tlv.Append(nil, tagResponse, nil), tagChallenge, digest[:])
	sign := func() error {
		_, err := ch.GeneralAuthenticate(ctx, byte(k.Algorithm()), byte(SlotSignature), objects)
		return err
	}
	verify := func() {
		t.Helper()
		if err := ch.Verify(ctx, referencePIN, []byte("654321\xFF\xFF")); err != nil {
			t.Fatal(err)
		}
	}
	verify()
	if err := sign(); err != nil {
		t.Errorf("directly after VERIFY: %v", err)
	}
	if err := sign(); !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		t.Errorf("a second time: got %v, want 6982", err)
	}
	verify()
	if _, err := ch.GetData(ctx, iso7816.CurrentDF, ObjectDiscovery); err != nil {
		t.Fatal(err)
	}
	if err := sign(); !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
		t.Errorf("after another command: got %v, want 6982", err)
	}
}

// The management key is not to be had by answering the card with its own bytes, nor
// by a second guess at one challenge.
func TestManagementAuthenticationCannotBeReflected(t *testing.T) {
	block, err := managementCipher(AlgorithmAES192, testManagementKey)
	if err != nil {
		t.Fatal(err)
	}
	_, ch, _ := open(t, nil)
	ask := func(tag tlv.Tag) []byte {
		t.Helper()
		r, err := ch.GeneralAuthenticate(ctx, byte(AlgorithmAES192), referenceManagement, tlv.Append(nil, tag, nil))
		if err != nil {
			t.Fatal(err)
		}
		v, err := tlv.Find(r, tag)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	answer := func(objects []byte) error {
		_, err := ch.GeneralAuthenticate(ctx, byte(AlgorithmAES192), referenceManagement, objects)
		return err
	}
	witnessAnd := func(witness []byte) []byte {
		return tlv.Append(tlv.Append(nil, tagWitness, witness), tagChallenge, make([]byte, 16))
	}
	refused := func(name string, err error) {
		t.Helper()
		if _, ok := errors.AsType[*iso7816.CommandError](err); !ok {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
		if err := answer(witnessAnd(make([]byte, 16))); err == nil {
			t.Errorf("%s: the card is open", name)
		}
	}
	// A challenge comes in plain: sent back as if it were a decrypted witness it
	// would open the card to everybody.
	refused("the challenge as witness", answer(witnessAnd(ask(tagChallenge))))
	// A witness is the encryption of what the card keeps: as a response it would be
	// right without the key.
	refused("the witness as response", answer(tlv.Append(nil, tagResponse, ask(tagWitness))))
	witness, plain := ask(tagWitness), make([]byte, 16)
	block.Decrypt(plain, witness)
	refused("a wrong answer", answer(witnessAnd(make([]byte, 16))))
	refused("the right one after it", answer(witnessAnd(plain)))
	// And with the key, by the one-sided form too.
	response := make([]byte, 16)
	block.Encrypt(response, ask(tagChallenge))
	if err := answer(tlv.Append(nil, tagResponse, response)); err != nil {
		t.Errorf("the right response: %v", err)
	}
}
