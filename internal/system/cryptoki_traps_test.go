//go:build cgo

package system_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/ck"
)

// C_CloseAllSessions crashes SoftHSM2 when others sign: nothing here can call it.
func TestCryptoki_nothingClosesTheSessionsOfOthers(t *testing.T) {
	list := reflect.TypeFor[ck.FunctionList]()
	for _, name := range []string{"CloseAllSessions", "GetOperationState", "SetOperationState", "GetFunctionStatus", "CancelFunction"} {
		if _, there := list.MethodByName(name); there {
			t.Errorf("ck.FunctionList has %s", name)
		}
	}
}

// When the server of p11-kit's client goes away, calls fail at once, and a module that is opened after
// that has no slots.
func TestCryptoki_p11kitServerGoesAway(t *testing.T) {
	i := slices.IndexFunc(tokenModules, func(m tokenModule) bool { return m.key == "p11-kit" })
	library := tokenModules[i].library(t)
	t.Run("while it is used", func(t *testing.T) {
		setup := startP11Kit(t, library)
		m, err := cryptoki.Open(library, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		slot, err := setup.find(m)
		if err != nil {
			t.Fatal(err)
		}
		s, err := slot.OpenSession(context.Background(), true)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Random(context.Background(), make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		setup.stop()
		start := time.Now()
		err = s.Random(context.Background(), make([]byte, 8))
		if _, ok := errors.AsType[*cryptoki.Error](err); !ok || time.Since(start) > time.Second {
			t.Errorf("got %v after %v, want an error of the module at once", err, time.Since(start))
		}
	})
	t.Run("before", func(t *testing.T) {
		t.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+t.TempDir()+"/nobody")
		m, err := cryptoki.Open(library, nil)
		if err != nil {
			return
		}
		defer m.Close()
		if slots, err := m.Slots(true); err == nil && len(slots) > 0 {
			t.Errorf("got %d slots of a server that is not there", len(slots))
		}
	})
}
