package piv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// reader is a reader in memory: the card in it, or why there is none.
type reader struct {
	apdu.Transmitter
	name   string
	err    error
	open   int
	during func() // called by Connect
}

func (r *reader) Close() error { r.open--; return nil }

func (r *reader) connector() apdu.Connector {
	return apdu.Connector{Name: r.name, Connect: func(context.Context) (apdu.Conn, error) {
		if r.during != nil {
			r.during()
		}
		if r.err != nil {
			return nil, r.err
		}
		r.open++
		return r, nil
	}}
}

func connectors(readers ...*reader) iter.Seq2[apdu.Connector, error] {
	return func(yield func(apdu.Connector, error) bool) {
		for _, r := range readers {
			if !yield(r.connector(), nil) {
				return
			}
		}
	}
}

// pivReader returns a reader with a card of the given serial number, with a certificate.
func pivReader(t *testing.T, serial uint32, standard bool) (*reader, *Client) {
	t.Helper()
	app := NewApplication(&ApplicationOptions{PIN: testPIN, ManagementKey: testManagementKey, Serial: serial, StandardOnly: standard})
	r := &reader{Transmitter: card.New(nil, app), name: fmt.Sprint("Reader ", serial)}
	c, err := Open(ctx, iso7816.NewChannel(r, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	manage(t, c)
	ca, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue(ctx, c, SlotKeyManagement, AlgorithmP256, nil); err != nil {
		t.Fatal(err)
	}
	return r, c
}

func TestFind(t *testing.T) {
	one, first := pivReader(t, 11, false)
	two, _ := pivReader(t, 22, false)
	three, third := pivReader(t, 33, true)
	other := &reader{Transmitter: card.New(nil), name: "Other card"}
	busy := &reader{name: "Busy", err: errors.New("another program has the card for itself")}
	all := []*reader{other, one, busy, two, three}

	cert, err := third.Certificate(ctx, SlotKeyManagement)
	if err != nil {
		t.Fatal(err)
	}
	key, err := first.Key(ctx, SlotKeyManagement)
	if err != nil {
		t.Fatal(err)
	}
	chuid, err := third.CHUID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		readers []*reader
		match   Match
		want    *reader
		says    []string // the error, when want is nil
		not     string
	}{
		{"the only one", []*reader{other, one, busy}, Match{}, one, nil, ""},
		{"by serial number", all, Match{Serial: "22"}, two, nil, ""},
		{"by GUID", all, Match{GUID: chuid.GUID}, three, nil, ""},
		{"by certificate", all, Match{Certificate: cert}, three, nil, ""},
		{"by the public key of metadata", all, Match{PublicKey: key.Public()}, one, nil, ""},
		{"by the public key of a certificate", all, Match{PublicKey: cert.PublicKey}, three, nil, ""},
		{"by all of them", all, Match{GUID: chuid.GUID, Certificate: cert, PublicKey: cert.PublicKey, Serial: fmt.Sprintf("%X", chuid.GUID)}, three, nil, ""},
		{"two that fit are listed", []*reader{other, one, two}, Match{}, nil, []string{"2 cards fit", "Reader 11 (serial number 11)", "Reader 22 (serial number 22)"}, "Other card"},
		{"none is listed with what was there", []*reader{other, one, busy}, Match{Serial: "99"}, nil, []string{"no card fits", "Other card: ", "Reader 11 (serial number 11): it is another card", "Busy: another program"}, ""},
		{"one field does not fit", all, Match{Serial: "22", PublicKey: key.Public()}, nil, []string{"no card fits"}, ""},
		{"no reader with a card", nil, Match{}, nil, []string{"insert one"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Find(ctx, connectors(tt.readers...), tt.match, nil)
			if tt.want == nil {
				e, ok := errors.AsType[*FindError](err)
				if !ok {
					t.Fatalf("got %v, want a FindError", err)
				}
				for _, s := range tt.says {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("%q is missing in %q", s, err)
					}
				}
				if tt.not != "" && strings.Contains(err.Error(), tt.not) {
					t.Errorf("%q is in %q", tt.not, err)
				}
				if len(e.Cards) != len(tt.readers) {
					t.Errorf("%d cards were looked at, want %d", len(e.Cards), len(tt.readers))
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				if tt.want.open != 1 {
					t.Errorf("it is another reader's card")
				}
				c.Close()
				c.Close() // idempotent
			}
			for _, r := range all {
				if r.open != 0 {
					t.Errorf("%s is left open %d times", r.name, r.open)
					r.open = 0
				}
			}
		})
	}
}

func TestFindGivesUpWithItsContext(t *testing.T) {
	one, _ := pivReader(t, 11, false)
	two, _ := pivReader(t, 22, false)
	ctx, cancel := context.WithCancel(ctx)
	two.during = cancel
	if _, err := Find(ctx, connectors(one, two), Match{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	failing := func(yield func(apdu.Connector, error) bool) {
		if yield(one.connector(), nil) {
			yield(apdu.Connector{}, apdu.ErrRetired)
		}
	}
	if _, err := Find(t.Context(), failing, Match{}, nil); !errors.Is(err, apdu.ErrRetired) {
		t.Errorf("got %v", err)
	}
	for _, r := range []*reader{one, two} {
		if r.open != 0 {
			t.Errorf("%s is left open", r.name)
		}
	}
}

func TestFindKey(t *testing.T) {
	_, c := pivReader(t, 11, false)
	k := generate(t, c, SlotRetired20, AlgorithmEd25519)
	if got, err := c.FindKey(ctx, k.Public()); err != nil || got.Slot() != SlotRetired20 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := c.FindKey(ctx, newPrivateKey(t, AlgorithmP256).Public()); !errors.Is(err, ErrNoKey) {
		t.Errorf("got %v, want ErrNoKey", err)
	}
	if _, err := c.FindKey(ctx, "key"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
	if n := len(slices.Collect(slots)); n != 24 {
		t.Errorf("%d slots, want 24", n)
	}
}

func TestAuthority(t *testing.T) {
	ca, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	c, _, _ := open(t, nil)
	manage(t, c)
	for _, a := range []Algorithm{AlgorithmP384, AlgorithmRSA2048, AlgorithmEd25519} {
		cert, err := ca.Issue(ctx, c, SlotAuthentication, a, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Certificate(ctx, SlotAuthentication); err != nil || !got.Equal(cert) {
			t.Errorf("%v: the card has another certificate: %v", a, err)
		}
		if err := cert.CheckSignatureFrom(ca.Certificate()); err != nil {
			t.Error(err)
		}
		if tc, err := c.TLSCertificate(ctx, SlotAuthentication); err != nil || !tc.Leaf.Equal(cert) {
			t.Errorf("%v: %v", a, err)
		}
	}
	if _, err := ca.Issue(ctx, c, SlotAuthentication, AlgorithmX25519, nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
}
