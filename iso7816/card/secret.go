package card

import (
	"fmt"
	"log/slog"
)

// A Secret is a PIN or a key in a card's lasting state. Packages fmt, whatever the
// verb, and log/slog show "[secret]" in its place; encoding/json does encode it, as it
// must be in the state.
type Secret []byte

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Format implements [fmt.Formatter].
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte("[secret]")) }
