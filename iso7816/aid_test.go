package iso7816

import (
	"strings"
	"testing"
)

func TestAID(t *testing.T) {
	a := MustParseAID("A0 00 00 03 08 00 00 10 00 01 00")
	if got := a.String(); got != "A000000308000010000100" {
		t.Errorf("got %s", got)
	}
	for _, tt := range []struct {
		prefix string
		want   bool
	}{
		{"", true}, {"A000000308", true}, {"A00000030800001000", true}, {"A000000308000010000100", true},
		{"A000000308000010000101", false}, {"A00000030800001000010000", false},
	} {
		if got := a.HasPrefix(unhex(tt.prefix)); got != tt.want {
			t.Errorf("HasPrefix(%s): got %v, want %v", tt.prefix, got, tt.want)
		}
	}
	for _, bad := range []string{"", "A0000003", strings.Repeat("A0", 17), "A00000030Z", "A00000030"} {
		if _, err := ParseAID(bad); err == nil {
			t.Errorf("ParseAID(%q): got nil, want an error", bad)
		}
	}
	if MustParseAID("A000000308") == a {
		t.Error("AIDs of different length are equal")
	}
	var back AID
	text, _ := a.MarshalText()
	if err := back.UnmarshalText(text); err != nil || back != a {
		t.Errorf("got %v, %v; want %v", back, err, a)
	}
}
