package pcsc_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/cardoki/cardoki/pcsc"
)

func TestParseFeatures(t *testing.T) {
	// The list of a PIN pad as the CCID driver writes it.
	list, _ := hex.DecodeString("060442330006" + "070442330007" + "0A044233000A" + "120442330012")
	f, err := pcsc.ParseFeatures(list)
	if err != nil || len(f) != 4 || f[pcsc.FEATURE_VERIFY_PIN_DIRECT] != 0x42330006 || f[pcsc.FEATURE_GET_TLV_PROPERTIES] != 0x42330012 {
		t.Errorf("got %v, %v", f, err)
	}
	if f, err := pcsc.ParseFeatures(nil); err != nil || len(f) != 0 {
		t.Errorf("empty list: got %v, %v", f, err)
	}
	twice := append(bytes.Clone(list[:6]), 6, 4, 1, 1, 1, 1)
	if f, err := pcsc.ParseFeatures(twice); err != nil || f[pcsc.FEATURE_VERIFY_PIN_DIRECT] != 0x42330006 {
		t.Errorf("twice: got %v, %v, want the first", f, err)
	}
	for _, bad := range []string{"06", "0604423300", "060342330006", "06044233000607"} {
		b, _ := hex.DecodeString(bad)
		if f, err := pcsc.ParseFeatures(b); err == nil || f != nil {
			t.Errorf("%s: got %v, %v, want an error", bad, f, err)
		}
	}
	for f, want := range map[pcsc.Feature]string{pcsc.FEATURE_EXECUTE_PACE: "FEATURE_EXECUTE_PACE", 0x77: "feature 77"} {
		if f.String() != want {
			t.Errorf("got %q, want %q", f, want)
		}
	}
}
