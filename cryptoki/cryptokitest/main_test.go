package cryptokitest_test

import (
	"errors"
	"os"
	"testing"

	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/internal/system"
)

// library is built once.
var library string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "cryptokitest")
	if err != nil {
		panic(err)
	}
	library, err = cryptokitest.Build(dir)
	if errors.Is(err, errors.ErrUnsupported) && os.Getenv("CI") == "" {
		os.Exit(0)
	}
	if err != nil {
		panic(err)
	}
	leak.Main(cleaning{m, dir})
}

// cleaning removes the library after the tests.
type cleaning struct {
	m   *testing.M
	dir string
}

func (c cleaning) Run() int {
	defer os.RemoveAll(c.dir)
	return c.m.Run()
}

// start makes a module and loads it, and does not initialise it.
func start(t testing.TB, o *cryptokitest.Options) (*cryptokitest.Module, *ck.Instance) {
	t.Helper()
	m, err := cryptokitest.Start(library, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	in, err := ck.Open(m.Path())
	system.Supported(t, err)
	if err != nil {
		t.Fatal(err)
	}
	return m, in
}

// open gives it a session, too, in which the user is logged in if a PIN is given.
func open(t testing.TB, o *cryptokitest.Options, pin string) (*cryptokitest.Module, *ck.Instance, uint) {
	t.Helper()
	m, in := start(t, o)
	if _, rv := in.Acquire(); rv != 0 {
		t.Fatalf("C_Initialize: %#x", rv)
	}
	t.Cleanup(func() { in.Release() })
	slots, rv := in.GetSlotList(true)
	if rv != 0 || len(slots) != 1 {
		t.Fatalf("C_GetSlotList: %#x, %v", rv, slots)
	}
	session, rv := in.OpenSession(slots[0], 2)
	if rv != 0 {
		t.Fatalf("C_OpenSession: %#x", rv)
	}
	if pin != "" {
		if rv := in.Login(session, 1, []byte(pin)); rv != 0 {
			t.Fatalf("C_Login: %#x", rv)
		}
	}
	return m, in, session
}

// lookup returns the handles of objects with an attribute.
func lookup(t testing.TB, fl ck.FunctionList, session, typ uint, value []byte) []uint {
	t.Helper()
	var tmpl ck.Template
	tmpl.AddBytes(typ, value)
	found := make([]uint, 20)
	r := fl.FindObjects(session, &tmpl, found)
	if r.RV != 0 {
		t.Fatalf("%v: %#x", r.Step, r.RV)
	}
	return found[:r.N]
}
