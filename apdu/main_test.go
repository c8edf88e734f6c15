package apdu_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// generated is a byte string of the vectors: byte i of the data is start + i*step
// modulo 256.
type generated struct{ Start, Step, Len int }

func (g *generated) bytes() []byte {
	b := make([]byte, g.Len)
	for i := range b {
		b[i] = byte(g.Start + i*g.Step)
	}
	return b
}

// encoded is what the vectors call a whole command or response: in hexadecimal,
// or data between a prefix and a suffix.
type encoded struct {
	Hex    *string    `json:"hex"`
	Prefix string     `json:"prefix"`
	Gen    *generated `json:"data_gen"`
	Suffix string     `json:"suffix"`
	Total  int        `json:"total_len"`
}

func (e *encoded) bytes(t testing.TB) []byte {
	t.Helper()
	if e.Hex != nil {
		return unhex(t, *e.Hex)
	}
	b := append(unhex(t, e.Prefix), e.Gen.bytes()...)
	b = append(b, unhex(t, e.Suffix)...)
	if len(b) != e.Total {
		t.Fatalf("vector of %d bytes, want %d", len(b), e.Total)
	}
	return b
}

// short is a name for b.
func short(b []byte) string {
	if len(b) > 16 {
		return hex.EncodeToString(b[:16]) + "..."
	}
	return hex.EncodeToString(b)
}
