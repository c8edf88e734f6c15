package card

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// A brittleStore fails from the given commit on, counted from 1; 0 means never. A
// failed commit has stored the old value, or with tear the new one: both may be.
type brittleStore struct {
	*MemoryStore
	failAt int
	tear   bool
	n      int
}

var errTorn = errors.New("power cut")

func (s *brittleStore) Commit(name string, data []byte) error {
	s.n++
	if s.failAt == 0 || s.n < s.failAt {
		return s.MemoryStore.Commit(name, data)
	}
	if s.tear && s.n == s.failAt {
		s.MemoryStore.Commit(name, data)
	}
	return errTorn
}

func openPIN(t *testing.T, s Store) *PIN {
	t.Helper()
	p, err := OpenPIN(s, "pin", []byte("1234"), 3)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func command(t *testing.T, s string) *apdu.Command {
	t.Helper()
	c, err := apdu.ParseCommand(unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

const (
	verifyRight = "002000000431323334"
	verifyWrong = "002000000430303030"
	verifyEmpty = "00200000"
)

func TestPIN(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pairs []string
	}{
		{"an empty VERIFY tells the tries left", []string{verifyEmpty, "63C3"}},
		{"and that it was verified", []string{verifyRight, "9000", verifyEmpty, "9000"}},
		{"a wrong one counts", []string{verifyWrong, "63C2", verifyEmpty, "63C2", verifyWrong, "63C1", verifyWrong, "6983", verifyEmpty, "6983"}},
		{"a blocked one stays blocked", []string{verifyWrong, "63C2", verifyWrong, "63C1", verifyWrong, "6983", verifyRight, "6983"}},
		{"the right one sets the counter back", []string{verifyWrong, "63C2", verifyRight, "9000", "0020FF00", "9000", verifyEmpty, "63C3"}},
		{"a wrong one takes the verification back", []string{verifyRight, "9000", verifyWrong, "63C2", verifyEmpty, "63C2"}},
		{"another length is wrong, and counts", []string{"0020000003313233", "63C2", "00200000053132333435", "63C1"}},
		{"VERIFY with another P1 is refused", []string{"002001000431323334", "6A86", "0020FF000431323334", "6A86", verifyEmpty, "63C3"}},
		{"CHANGE with the old one", []string{"00240000083132333435363738", "9000", verifyRight, "63C2", "002000000435363738", "9000"}},
		{"CHANGE with the wrong one counts", []string{"00240000083030303035363738", "63C2", verifyRight, "9000"}},
		{"CHANGE of a blocked one", []string{verifyWrong, "63C2", verifyWrong, "63C1", verifyWrong, "6983", "00240000083132333435363738", "6983"}},
		{"CHANGE with the new one alone needs the verification", []string{"002401000435363738", "6982", verifyRight, "9000", "002401000435363738", "9000", "002000000435363738", "9000"}},
		{"CHANGE with a length that may not be", []string{"0024000003313233", "6700", "002400000731323334353637", "6700", "0024010003353637", "6700", verifyEmpty, "63C3"}},
		{"CHANGE without data", []string{"00240000", "6700", "00240100", "6700"}},
		{"CHANGE with another P1 is refused", []string{"00240200083132333435363738", "6A86"}},
		{"others are not its own", []string{"002C0300", "6D00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := openPIN(t, NewMemoryStore())
			for i := 0; i < len(tt.pairs); i += 2 {
				if got := p.Serve(command(t, tt.pairs[i])); fmt.Sprintf("%04X", uint16(got)) != tt.pairs[i+1] {
					t.Fatalf("%s: got %04X, want %s", tt.pairs[i], uint16(got), tt.pairs[i+1])
				}
			}
		})
	}
}

func TestPINLengths(t *testing.T) {
	p := openPIN(t, NewMemoryStore())
	p.MinLength, p.MaxLength = 4, 8
	p.Serve(command(t, verifyRight))
	for n, want := range map[int]apdu.Status{3: apdu.StatusWrongLength, 4: apdu.StatusOK, 8: apdu.StatusOK, 9: apdu.StatusWrongLength} {
		c := &apdu.Command{Instruction: apdu.InsChangeReferenceData, P1: 1, Data: make([]byte, n)}
		if got := p.Serve(c); got != want {
			t.Errorf("%d bytes: got %v, want %v", n, got, want)
		}
	}
	if got := p.Set([]byte("1234")); got != apdu.StatusOK {
		t.Error(got)
	}
	if got := p.Set(nil); got != apdu.StatusWrongLength {
		t.Error(got)
	}
	if got := p.Serve(command(t, verifyRight)); got != apdu.StatusOK {
		t.Error(got)
	}
}

func TestPINUnblocks(t *testing.T) {
	p := openPIN(t, NewMemoryStore())
	for range 3 {
		p.Serve(command(t, verifyWrong))
	}
	if got := p.Set([]byte("5678")); got != apdu.StatusOK {
		t.Fatal(got)
	}
	if got := p.Serve(command(t, "002000000435363738")); got != apdu.StatusOK {
		t.Error(got)
	}
}

// Two sessions, on two channels, share the counter but not the verification.
func TestPINOfTwoSessions(t *testing.T) {
	s := NewMemoryStore()
	a, b := openPIN(t, s), openPIN(t, s)
	a.Serve(command(t, verifyRight))
	if b.Verified {
		t.Error("the verification passed to the other session")
	}
	b.Serve(command(t, verifyWrong))
	b.Serve(command(t, verifyWrong))
	b.Serve(command(t, verifyWrong))
	if got := a.Serve(command(t, verifyRight)); got != apdu.StatusAuthenticationMethodBlocked {
		t.Errorf("got %v, want blocked by the other session", got)
	}
}

func TestOpenPINRefuses(t *testing.T) {
	for name, f := range map[string]func(Store) error{
		"no value":     func(s Store) error { _, err := OpenPIN(s, "p", nil, 3); return err },
		"a long value": func(s Store) error { _, err := OpenPIN(s, "p", make([]byte, 256), 3); return err },
		"no tries":     func(s Store) error { _, err := OpenPIN(s, "p", []byte("1"), 0); return err },
		"16 tries":     func(s Store) error { _, err := OpenPIN(s, "p", []byte("1"), 16); return err },
		"a store that fails": func(Store) error {
			_, err := OpenPIN(&brittleStore{MemoryStore: NewMemoryStore(), failAt: 1}, "p", []byte("1"), 1)
			return err
		},
		"something else in the store": func(s Store) error {
			s.Commit("p", []byte(`{"tries":3,"remaining":4}`))
			_, err := OpenPIN(s, "p", []byte("1"), 1)
			return err
		},
		"no JSON in the store": func(s Store) error {
			s.Commit("p", []byte("1234"))
			_, err := OpenPIN(s, "p", []byte("1"), 1)
			if err != nil && strings.Contains(err.Error(), "1234") {
				t.Error("the error shows what the store holds")
			}
			return err
		},
	} {
		if f(NewMemoryStore()) == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
}

// Power is cut at each commit of each command, before and after it lasts: the counter
// never rises without the right value, a try is never saved, and the value is the old
// one or the new one.
func TestPINWhenPowerIsCut(t *testing.T) {
	const change = "00240000083132333435363738"
	for _, tt := range []struct {
		command string
		commits int
		allowed string // remaining tries and value, afterwards
	}{
		{verifyRight, 2, "1:1234 2:1234 3:1234"},
		{verifyWrong, 1, "2:1234 1:1234"},
		{change, 3, "2:1234 1:1234 3:1234 3:5678"},
	} {
		for failAt := 1; failAt <= tt.commits; failAt++ {
			for _, tear := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s at commit %d, lasting %v", tt.command[2:4], failAt, tear), func(t *testing.T) {
					s := &brittleStore{MemoryStore: NewMemoryStore(), tear: tear}
					p := openPIN(t, s)
					p.Serve(command(t, verifyWrong)) // 2 left
					s.n, s.failAt = 0, failAt
					if got := p.Serve(command(t, tt.command)); got != apdu.StatusMemoryFailure {
						t.Errorf("got %v, want 6581", got)
					}
					if p.Verified && tt.command != change {
						t.Error("verified although the commit failed")
					}
					var r Reference
					b, err := s.Load("pin")
					if err != nil || json.Unmarshal(b, &r) != nil {
						t.Fatal(err)
					}
					got := fmt.Sprintf("%d:%s", r.Remaining, []byte(r.Value))
					if !strings.Contains(tt.allowed, got) {
						t.Errorf("got %s, want one of %s", got, tt.allowed)
					}
					if s.n < failAt {
						t.Errorf("got %d commits, want %d", s.n, failAt)
					}
				})
			}
		}
	}
}

func TestSecretsDoNotPrintThemselves(t *testing.T) {
	r := &Reference{Value: Secret("1234"), Tries: 3, Remaining: 3}
	s := &Snapshot{map[string][]byte{"pin": []byte("1234")}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{r, *r, r.Value, s} {
			got := fmt.Sprintf(verb, v)
			for _, secret := range []string{"1234", "31323334", "49 50", "0x31"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s of %T shows a secret", verb, v)
				}
			}
		}
	}
}
