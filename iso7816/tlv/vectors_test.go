package tlv_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

type verdict struct {
	OK    bool   `json:"ok"`
	Error string `json:"error"`
	Tree  any    `json:"tree"`
}

type vector struct {
	Name    string   `json:"name"`
	Hex     string   `json:"hex"`
	Strict  *verdict `json:"strict"`
	Padding *verdict `json:"padding_skipped"`
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/ber-tlv.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Edges, Real []vector }
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Edges) != 75 || len(f.Real) != 130 {
		t.Fatalf("got %d and %d vectors, want 75 and 130", len(f.Edges), len(f.Real))
	}
	return append(f.Edges, f.Real...)
}

// tree decodes b in the vectors' notation: a list of [tag, value], with a list
// as the value where the tag says constructed.
func tree(b []byte, walk func([]byte) iter.Seq2[tlv.Object, error]) ([]any, error) {
	nodes := []any{}
	for o, err := range walk(b) {
		if err != nil {
			return nil, err
		}
		var value any = strings.ToUpper(hex.EncodeToString(o.Value))
		if o.Tag.Constructed() {
			sub, err := tree(o.Value, walk)
			if err != nil {
				return nil, err
			}
			value = sub
		}
		nodes = append(nodes, []any{o.Tag.String(), value})
	}
	return nodes, nil
}

func TestVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		name := v.Hex[:min(len(v.Hex), 32)]
		if v.Name != "" {
			name = v.Name
		}
		modes := []struct {
			name string
			walk func([]byte) iter.Seq2[tlv.Object, error]
			want *verdict
		}{{"strict", tlv.All, v.Strict}, {"padding skipped", tlv.AllPadded, v.Padding}}
		for _, mode := range modes {
			want := mode.want
			if want == nil && mode.name == "strict" {
				continue // the real object has padding
			}
			if want == nil {
				want = v.Strict // the vectors leave out what does not differ
			}
			t.Run(name+" "+mode.name, func(t *testing.T) {
				got, err := tree(b, mode.walk)
				if !want.OK {
					e, ok := errors.AsType[*tlv.SyntaxError](err)
					if !ok {
						t.Fatalf("got %v, error %v, want the error %q", got, err, want.Error)
					}
					if e.Reason != want.Error {
						t.Errorf("got reason %q, want %q", e.Reason, want.Error)
					}
					if e.Offset < 0 || e.Offset > len(b) {
						t.Errorf("got offset %d, want one in 0..%d", e.Offset, len(b))
					}
					return
				}
				if err != nil {
					t.Fatalf("got error %v, want none", err)
				}
				if !reflect.DeepEqual(want.Tree, any(got)) { // cmp.Diff takes seconds for the large ones
					t.Errorf("wrong tree (-want +got):\n%s", cmp.Diff(want.Tree, any(got)))
				}
			})
		}
	}
}
