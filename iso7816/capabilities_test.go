package iso7816

import (
	"testing"
)

func TestAnnouncesExtended(t *testing.T) {
	for _, tt := range []struct {
		name string
		atr  string
		want bool
	}{
		{"YubiKey 5", hexOf(atrYubiKey), true},
		{"no ATR", "", false},
		{"no historical bytes", "3B00", false},
		{"interface bytes cut off", "3BFF", false},
		{"historical bytes cut off", "3B0F80", false},
		{"category 00 with its status indicator", "3B0800730000C0019000", true},
		{"proprietary category", "3B05107300C0C0", false},
		{"object cut off", "3B03807300", false},
		{"chaining alone", "3B058073000080", false},
	} {
		if got := announcesExtended(unhex(tt.atr)); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
