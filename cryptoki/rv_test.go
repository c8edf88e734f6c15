package cryptoki

import (
	"errors"
	"strings"
	"testing"
)

func TestRV_everyNameHasAMeaning(t *testing.T) {
	names := 0
	for rv := RV(0); rv < 0x400; rv++ {
		if rvName(rv) == "" {
			continue
		}
		names++
		if rv.meaning() == "" {
			t.Errorf("%v has no meaning", rv)
		}
		if e := (&Error{Function: "C_Sign", RV: rv, Slot: NoSlot}); !errors.Is(e, rv) || !strings.Contains(e.Error(), rv.String()) {
			t.Errorf("%v: got %v", rv, e)
		}
	}
	if names < 90 {
		t.Errorf("got %d names", names)
	}
}

func TestRV_unknownValuesAreNumbers(t *testing.T) {
	if got := RV(0x80000123).Error(); got != "CKR 0x80000123 (0x80000123)" {
		t.Errorf("got %q", got)
	}
}
