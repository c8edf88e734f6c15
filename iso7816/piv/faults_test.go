package piv

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// An operation is one public operation of the host on a card that prepare left behind:
// the management key authenticated, the PIN verified.
type operation struct {
	name string
	run  func(c *Client) error
}

func operations(t *testing.T) []operation {
	t.Helper()
	imported := newPrivateKey(t, AlgorithmP256)
	cert := issue(t, imported.Public())
	return []operation{
		{"Serial", func(c *Client) error { return second(c.Serial(ctx)) }},
		{"Version", func(c *Client) error { return second(c.Version(ctx)) }},
		{"PINStatus", func(c *Client) error { return second(c.PINStatus(ctx)) }},
		{"PUKTries", func(c *Client) error { return second(c.PUKTries(ctx)) }},
		{"VerifyPIN", func(c *Client) error { return c.VerifyPIN(ctx, testPIN) }},
		{"VerifyPIN with a wrong one", func(c *Client) error {
			if err := c.VerifyPIN(ctx, []byte("999999")); !errors.Is(err, apdu.StatusVerificationFailed) {
				return err
			}
			return nil
		}},
		{"ChangePIN", func(c *Client) error { return c.ChangePIN(ctx, testPIN, []byte("112233")) }},
		{"ChangePUK", func(c *Client) error { return c.ChangePUK(ctx, []byte(defaultPUK), []byte("87654321")) }},
		{"UnblockPIN", func(c *Client) error { return c.UnblockPIN(ctx, []byte(defaultPUK), []byte("112233")) }},
		{"SetTries", func(c *Client) error { return c.SetTries(ctx, 5, 6) }},
		{"AuthenticateManagementKey", func(c *Client) error { return c.AuthenticateManagementKey(ctx, 0, testManagementKey) }},
		{"SetManagementKey", func(c *Client) error {
			return c.SetManagementKey(ctx, AlgorithmAES128, []byte("0123456789abcdef"), false)
		}},
		{"GenerateKey", func(c *Client) error {
			return second(c.GenerateKey(ctx, SlotAuthentication, AlgorithmP256, nil))
		}},
		{"ImportKey", func(c *Client) error { return c.ImportKey(ctx, SlotAuthentication, imported, nil) }},
		{"MoveKey", func(c *Client) error { return c.MoveKey(ctx, SlotAuthentication, SlotRetired1) }},
		{"DeleteKey", func(c *Client) error { return c.DeleteKey(ctx, SlotAuthentication) }},
		{"Attest", func(c *Client) error { return second(c.Attest(ctx, SlotAuthentication)) }},
		{"PutCertificate", func(c *Client) error { return c.PutCertificate(ctx, SlotAuthentication, cert) }},
		{"Certificate", func(c *Client) error { return second(c.Certificate(ctx, SlotAuthentication)) }},
		{"DeleteCertificate", func(c *Client) error { return c.DeleteCertificate(ctx, SlotAuthentication) }},
		{"CHUID", func(c *Client) error { return second(c.CHUID(ctx)) }},
		{"PrintedInformation", func(c *Client) error {
			if err := second(c.PrintedInformation(ctx)); !errors.Is(err, ErrNoObject) {
				return err
			}
			return nil
		}},
		{"Key", func(c *Client) error { return second(c.Key(ctx, SlotAuthentication)) }},
		{"FindKey", func(c *Client) error {
			if err := second(c.FindKey(ctx, imported.Public())); !errors.Is(err, ErrNoKey) {
				return err
			}
			return nil
		}},
		{"Sign", func(c *Client) error {
			k, err := c.Key(ctx, SlotAuthentication)
			if err != nil {
				return err
			}
			return second(k.Sign(ctx, digest[:], crypto.SHA256))
		}},
		{"FactoryReset", func(c *Client) error { return c.FactoryReset(ctx, "4711") }},
	}
}

// newStore returns the store of a card with a key and certificate in slot 9A.
func newStore(t *testing.T) *card.MemoryStore {
	t.Helper()
	store := card.NewMemoryStore()
	c, err := Open(ctx, iso7816.NewChannel(card.New(&card.Options{Store: store}, newApplication()), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	if err := c.PutCertificate(ctx, SlotAuthentication, issue(t, k.Public())); err != nil {
		t.Fatal(err)
	}
	return store
}

// prepare returns a client of a card with the given store, and the faults below it.
func prepare(t *testing.T, store card.Store) (*Client, *card.Card, func(plan func(int) apdutest.Fault)) {
	t.Helper()
	c := card.New(&card.Options{Store: store}, newApplication())
	var plan func(int) apdutest.Fault
	n := 0
	faults := apdutest.NewFaults(c, func(int, []byte) apdutest.Fault {
		if plan == nil {
			return apdutest.Fault{}
		}
		n++
		return plan(n - 1)
	})
	faults.Lost = c.Reset
	client, err := Open(ctx, iso7816.NewChannel(faults, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	manage(t, client)
	if err := client.VerifyPIN(ctx, testPIN); err != nil {
		t.Fatal(err)
	}
	return client, c, func(p func(int) apdutest.Fault) { plan, n = p, 0 }
}

// counters matches the tries left in an outline.
var counters = regexp.MustCompile(`[0-9]+/`)

// between returns why got is no state that the card may be left in: one that the
// undisturbed operation goes through, and, but for tries that were spent, the first or the
// last of these.
func (s *states) between(got string) string {
	same := func(o string) bool { return counters.ReplaceAllString(o, "/") == counters.ReplaceAllString(got, "/") }
	if s.outlines[got] && (same(s.first) || same(s.last)) {
		return ""
	}
	return fmt.Sprintf("the card is left with\n%s, between\n%s and\n%s", got, s.first, s.last)
}

// outline is what a card's state is compared by: everything but what is random each time.
func outline(t *testing.T, store card.Store) string {
	t.Helper()
	s, err := loadState(part(store))
	if err != nil || s == nil {
		t.Fatalf("the state is not whole: %v", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "PIN %x %d/%d PUK %x %d/%d", []byte(s.PIN.Value), s.PIN.Remaining, s.PIN.Tries, []byte(s.PUK.Value), s.PUK.Remaining, s.PUK.Tries)
	fmt.Fprintf(&b, " management %v %x", s.Management.Algorithm, []byte(s.Management.Key))
	for _, slot := range slices.Sorted(maps.Keys(s.Keys)) {
		k := s.Keys[slot]
		fmt.Fprintf(&b, " key %v %v imported %v", slot, k.Algorithm, k.Imported)
	}
	for _, tag := range slices.Sorted(maps.Keys(s.Objects)) {
		fmt.Fprintf(&b, " object %s", tag)
	}
	return b.String()
}

// part returns the application's part of a card's store.
func part(store card.Store) card.Store { return pivPart{store} }

type pivPart struct{ card.Store }

func (p pivPart) Load(name string) ([]byte, error) { return p.Store.Load(AID.String() + "/" + name) }

func (p pivPart) Commit(name string, data []byte) error {
	return p.Store.Commit(AID.String()+"/"+name, data)
}

// states is a store that notes the outline of every state that is committed.
type states struct {
	*card.MemoryStore
	t        *testing.T
	outlines map[string]bool
	first    string // outline before the operation
	last     string // and of its last commit
	failAt   int    // commit that fails, counted from 1; 0: none
	lasting  bool
	n        int
}

// begin begins to note the states of an operation.
func (s *states) begin() {
	s.first = outline(s.t, s.MemoryStore)
	s.n, s.last, s.outlines = 0, s.first, map[string]bool{s.first: true}
}

func (s *states) Commit(name string, data []byte) error {
	s.n++
	if s.n == s.failAt && !s.lasting {
		return errors.New("power cut")
	}
	if err := s.MemoryStore.Commit(name, data); err != nil {
		return err
	}
	if s.n == s.failAt {
		return errors.New("power cut")
	}
	if s.outlines != nil {
		s.last = outline(s.t, s.MemoryStore)
		s.outlines[s.last] = true
	}
	return nil
}

// copyOf returns a store with the content of another.
func copyOf(t *testing.T, store *card.MemoryStore) *card.MemoryStore {
	t.Helper()
	c := card.NewMemoryStore()
	if err := c.Restore(store.Snapshot()); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEachOperationFailsAtEachExchange fails every operation of the host at each of its
// exchanges in each way, before and after the card has had the command: there is an error
// without a secret, or the operation is mended and done; the card's state is the old one or
// the new one, but for tries that were spent; and the next operations work.
func TestEachOperationFailsAtEachExchange(t *testing.T) {
	original := newStore(t)
	faults := map[string]apdutest.Fault{
		"removed before":  {Remove: true},
		"removed after":   {Remove: true, Late: true},
		"reset":           {Reset: true},
		"no answer":       {Err: apdu.ErrRetired},
		"answer lost":     {Err: apdu.ErrRetired, Late: true},
		"6F00":            {Status: apdu.StatusNoPreciseDiagnosis},
		"6F00 after":      {Status: apdu.StatusNoPreciseDiagnosis, Late: true},
		"a byte less":     {Cut: 1},
		"nothing":         {Cut: 1 << 20},
		"a bit of status": {Flip: 1},
	}
	for _, op := range operations(t) {
		t.Run(op.name, func(t *testing.T) {
			// What an undisturbed run goes through.
			good := &states{MemoryStore: copyOf(t, original), t: t}
			client, _, fail := prepare(t, good)
			good.begin()
			exchanges := 0
			fail(func(int) apdutest.Fault { exchanges++; return apdutest.Fault{} })
			if err := op.run(client); err != nil {
				t.Fatal(err)
			}
			if exchanges == 0 {
				t.Fatal("no exchange")
			}
			for name, fault := range faults {
				for n := range exchanges {
					store := copyOf(t, original)
					client, c, fail := prepare(t, store)
					fail(func(i int) apdutest.Fault {
						if i == n {
							return fault
						}
						return apdutest.Fault{}
					})
					err := op.run(client)
					if err != nil {
						for _, secret := range []string{string(testPIN), "363534333231", string(testManagementKey), "123456"} {
							if strings.Contains(strings.ToLower(err.Error()), secret) {
								t.Errorf("%s at %d: a secret is in %q", name, n, err)
							}
						}
					} else if fault.Remove || fault.Err != nil {
						t.Errorf("%s at %d: got nil, want an error", name, n)
					}
					if why := good.between(outline(t, store)); why != "" {
						t.Errorf("%s at %d: %s", name, n, why)
					}
					c.Reset()
					again, err := Open(ctx, iso7816.NewChannel(c, nil), nil)
					if err != nil {
						t.Fatalf("%s at %d: afterwards: %v", name, n, err)
					}
					if v, err := again.PINStatus(ctx); err != nil || v.Verified || v.Remaining < 2 && op.name != "FactoryReset" {
						t.Errorf("%s at %d: afterwards: PIN %+v, %v", name, n, v, err)
					}
				}
			}
		})
	}
}

// TestPowerIsCutAtEachWrite cuts the power at every write of every operation, before and
// after the write lasts: the state is the old one or the new one, but for tries that were
// spent, and the card starts again.
func TestPowerIsCutAtEachWrite(t *testing.T) {
	original := newStore(t)
	for _, op := range operations(t) {
		t.Run(op.name, func(t *testing.T) {
			good := &states{MemoryStore: copyOf(t, original), t: t}
			client, _, _ := prepare(t, good)
			good.begin()
			if err := op.run(client); err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= good.n; n++ {
				for _, lasting := range []bool{false, true} {
					store := &states{MemoryStore: copyOf(t, original), t: t}
					client, c, _ := prepare(t, store)
					store.n, store.failAt, store.lasting = 0, n, lasting
					err := op.run(client)
					if err == nil && op.name != "VerifyPIN with a wrong one" {
						t.Errorf("write %d: got nil, want an error", n)
					}
					c.PowerOff()
					if why := good.between(outline(t, store)); why != "" {
						t.Errorf("write %d, lasting %v: %s", n, lasting, why)
					}
					c.PowerOn()
					if _, err := Open(ctx, iso7816.NewChannel(c, nil), nil); err != nil {
						t.Errorf("write %d: afterwards: %v", n, err)
					}
				}
			}
		})
	}
}

// A fault in one exchange must not let another exchange take its place unnoticed: the
// signature that comes is that of the digest.
func TestDuplicatedCommandsGiveNoWrongAnswer(t *testing.T) {
	client, _, fail := prepare(t, copyOf(t, newStore(t)))
	fail(func(int) apdutest.Fault { return apdutest.Fault{Duplicate: true} })
	k, err := client.Key(context.Background(), SlotAuthentication)
	if err != nil {
		t.Fatal(err)
	}
	one, err := k.Sign(ctx, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	two, err := k.Sign(ctx, digest[:], crypto.SHA256)
	if err != nil || bytes.Equal(one, two) {
		t.Errorf("the same signature twice, %v", err)
	}
}
