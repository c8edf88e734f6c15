package ck_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(tests{m}) }

// tests removes what the tests of the package share.
type tests struct{ m *testing.M }

func (r tests) Run() int {
	defer func() {
		if shared != "" {
			os.RemoveAll(shared)
		}
	}()
	return r.m.Run()
}

// shared is a folder for what is built once, if there is any.
var shared string

func TestTemplate_valuesStayInsideTheirRoom(t *testing.T) {
	var a ck.Template
	a.AddBytes(1, []byte("abc"))
	a.Ask(2, 2)
	a.AskSize(3)
	a.AddBytes(4, nil)
	for _, tt := range []struct {
		name string
		i    int
		give []byte // nil: no answer
		want string
		ok   bool
		size uint
	}{
		{"a value that was added", 0, nil, "abc", true, 3},
		{"an answer that fits", 1, []byte("x"), "x", true, 1},
		{"an answer that is too long", 1, []byte("xyz"), "", false, ck.Unavailable},
		{"the length of a value", 2, []byte("wxyz"), "", false, 4},
		{"an empty value", 3, nil, "", true, 0},
	} {
		if tt.give != nil {
			a.Answer(tt.i, tt.give)
		}
		got, ok := a.Value(tt.i)
		if string(got) != tt.want || ok != tt.ok {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.name, got, ok, tt.want, tt.ok)
		}
		if n, _ := a.Size(tt.i); n != tt.size {
			t.Errorf("%s: got length %d, want %d", tt.name, n, tt.size)
		}
	}
	secret, _ := a.Value(0)
	a.Reset()
	if a.Len() != 0 || !bytes.Equal(secret, make([]byte, 3)) {
		t.Errorf("after Reset: %d attributes, old value %q, want none and zeros", a.Len(), secret)
	}
}

func TestUlong_isExact(t *testing.T) {
	for _, x := range []uint{0, 1, 1<<32 - 1, ck.Unavailable} {
		if got, ok := ck.Ulong(ck.AppendUlong(nil, x)); !ok || got != x {
			t.Errorf("got %#x, %v, want %#x", got, ok, x)
		}
	}
	for _, n := range []int{0, 1, ck.UlongSize - 1, ck.UlongSize + 1} {
		if x, ok := ck.Ulong(make([]byte, n)); ok {
			t.Errorf("%d bytes: got %#x, want none", n, x)
		}
	}
}

// counting is a module that counts its C_Initialize and C_Finalize.
type counting struct {
	ck.FunctionList
	answer     ck.RV
	begun, end int
}

func (c *counting) Initialize() ck.RV { c.begun++; return c.answer }
func (c *counting) Finalize() ck.RV   { c.end++; return 0 }

func TestInstance_initialisesForTheFirstAndFinalisesAfterTheLast(t *testing.T) {
	c := &counting{}
	in := ck.NewInstance(c)
	one, _ := in.Acquire()
	if two, _ := in.Acquire(); one != two {
		t.Errorf("got generations %d and %d for two users at once, want one", one, two)
	}
	in.Retain()
	in.Release()
	in.Release()
	if c.begun != 1 || c.end != 0 {
		t.Errorf("with a user left: initialised %d times, finalised %d times, want 1 and 0", c.begun, c.end)
	}
	in.Release()
	if c.end != 1 {
		t.Errorf("after the last: finalised %d times, want 1", c.end)
	}
	if again, _ := in.Acquire(); again == one {
		t.Errorf("got generation %d again", again)
	}
	in.Release()

	c.answer = 0x191 // CKR_CRYPTOKI_ALREADY_INITIALIZED
	c.end = 0
	if _, rv := in.Acquire(); rv != 0 {
		t.Errorf("initialised by someone else: got %#x, want success", rv)
	}
	in.Release()
	if c.end != 0 {
		t.Error("a module of someone else was finalised")
	}
	c.answer = 5
	if _, rv := in.Acquire(); rv != 5 {
		t.Errorf("failing C_Initialize: got %#x, want 5", rv)
	}
	if in.Users() != 0 {
		t.Errorf("a failed Acquire left %d users", in.Users())
	}
}
