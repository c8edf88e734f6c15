package apdu_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

func TestParseResponse_vectors(t *testing.T) {
	var f struct {
		Cases []struct {
			encoded
			Valid  bool
			Data   *string
			SW     string
			Reason string
		}
	}
	readJSON(t, "response.json", &f)
	if len(f.Cases) != 62 {
		t.Fatalf("got %d vectors, want 62", len(f.Cases))
	}
	reasons := map[string]string{
		"shorter than two bytes":     "shorter than the two status bytes",
		"more than 65536 data bytes": "longer than 65,536 bytes of data and the status",
	}
	for _, v := range f.Cases {
		b := v.bytes(t)
		r, err := apdu.ParseResponse(b)
		if !v.Valid {
			e, ok := errors.AsType[*apdu.SyntaxError](err)
			if !ok || e.What != "response" || e.Reason != reasons[v.Reason] || e.Offset > len(b) {
				t.Errorf("%s: got error %v, want %q of a response", short(b), err, v.Reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: got error %v, want none", short(b), err)
			continue
		}
		var want []byte
		if v.Data != nil {
			want = unhex(t, *v.Data)
		} else {
			want = v.Gen.bytes()
		}
		if !bytes.Equal(r.Data, want) || cap(r.Data) != len(want) {
			t.Errorf("%s: got %d bytes of data, capacity %d, want %d", short(b), len(r.Data), cap(r.Data), len(want))
		}
		if r.Status.String() != v.SW {
			t.Errorf("%s: got status %v, want %s", short(b), r.Status, v.SW)
		}
		again, err := r.AppendBinary([]byte("before"))
		if err != nil || !bytes.Equal(again, append([]byte("before"), b...)) {
			t.Errorf("%s: appended again as %s, error %v", short(b), short(again), err)
		}
	}
}

func TestResponse_AppendBinary_refusesLengths(t *testing.T) {
	r := apdu.Response{Data: make([]byte, apdu.MaxExtendedNe+1), Status: apdu.StatusOK}
	got, err := r.AppendBinary([]byte("before"))
	if !errors.Is(err, apdu.ErrLength) || string(got) != "before" {
		t.Errorf("got %d bytes and error %v, want dst unchanged and ErrLength", len(got), err)
	}
}
