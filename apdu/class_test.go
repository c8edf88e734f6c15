package apdu_test

import (
	"fmt"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

func classOf(t *testing.T, s string) apdu.Class {
	t.Helper()
	return apdu.Class(unhex(t, s)[0])
}

func TestClass_all256(t *testing.T) {
	var f struct {
		Rows []struct {
			CLA, Kind string
			Channel   int
			Chaining  bool
			SM        string `json:"secure_messaging"`
		}
	}
	readJSON(t, "cla.json", &f)
	if len(f.Rows) != 256 {
		t.Fatalf("got %d rows, want 256", len(f.Rows))
	}
	kinds := map[string]apdu.SecureMessagingKind{
		"": apdu.SMNone, "none": apdu.SMNone, "proprietary": apdu.SMProprietary,
		"ISO, header not authenticated": apdu.SMHeaderPlain, "ISO, header authenticated": apdu.SMHeaderAuth,
	}
	for i, v := range f.Rows {
		c := classOf(t, v.CLA)
		if int(c) != i {
			t.Fatalf("row %d is of %v", i, c)
		}
		if got, want := c.Interindustry(), v.Kind == "first interindustry" || v.Kind == "further interindustry"; got != want {
			t.Errorf("%v: Interindustry: got %v, want %v (%s)", c, got, want, v.Kind)
		}
		if got, want := c.Proprietary(), v.Kind == "proprietary"; got != want {
			t.Errorf("%v: Proprietary: got %v, want %v (%s)", c, got, want, v.Kind)
		}
		if got := c.Channel(); got != v.Channel {
			t.Errorf("%v: Channel: got %d, want %d", c, got, v.Channel)
		}
		if got := c.Chained(); got != v.Chaining {
			t.Errorf("%v: Chained: got %v, want %v", c, got, v.Chaining)
		}
		kind, ok := kinds[v.SM]
		if !ok {
			t.Fatalf("%v: unknown kind of secure messaging %q", c, v.SM)
		}
		if got := c.SecureMessaging(); got != kind {
			t.Errorf("%v: SecureMessaging: got %v, want %v (%s)", c, got, kind, v.SM)
		}
		// What is read off a class makes the same class again.
		if got := c.WithChannel(c.Channel()).WithChained(c.Chained()).WithSecureMessaging(c.SecureMessaging()); got != c {
			t.Errorf("got %v, want the same %v again", got, c)
		}
		if !c.Interindustry() {
			if got := c.WithChannel(7).WithChained(true).WithSecureMessaging(apdu.SMHeaderAuth); got != c {
				t.Errorf("%v: got %v, want a class that is not interindustry unchanged", c, got)
			}
		}
		if got, want := c.String(), "CLA "+v.CLA; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestClass_encode(t *testing.T) {
	var f struct {
		Encode []struct {
			Channel, Chaining, SM int
			CLA                   string
		}
	}
	readJSON(t, "cla.json", &f)
	if len(f.Encode) != 80 {
		t.Fatalf("got %d vectors, want 80", len(f.Encode))
	}
	for _, v := range f.Encode {
		kind := apdu.SMNone
		if v.SM == 1 {
			kind = apdu.SMHeaderAuth
		}
		want := classOf(t, v.CLA)
		if got := apdu.Class(0).WithSecureMessaging(kind).WithChannel(v.Channel).WithChained(v.Chaining == 1); got != want {
			t.Errorf("channel %d, chaining %d, secure messaging %d: got %v, want %v", v.Channel, v.Chaining, v.SM, got, want)
		}
		if got := apdu.Class(0).WithChannel(v.Channel).WithChained(v.Chaining == 1).WithSecureMessaging(kind); got != want {
			t.Errorf("channel %d, chaining %d, secure messaging %d, in another order: got %v, want %v", v.Channel, v.Chaining, v.SM, got, want)
		}
	}
}

func TestClass_WithChannel_panicsOutOfRange(t *testing.T) {
	for _, n := range []int{-1, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic, want one")
				}
			}()
			apdu.Class(0).WithChannel(n)
		})
	}
}
