package ck_test

import (
	"bytes"
	"testing"

	"github.com/cardoki/cardoki/internal/ck"
)

// A keeper is a FunctionList that keeps what it is given, and uses it later.
type keeper struct {
	ck.Unimplemented
	kept [][]byte
	n    uint
}

func (k *keeper) take(m *ck.Mechanism, all ...[]byte) ck.Result {
	k.kept = append(k.kept, append(all, m.Data, m.Data2, m.PIN)...)
	copy(m.Data, "nonce")
	copy(m.Data2, "tag")
	copy(all[len(all)-1], "output")
	return ck.Result{N: k.n}
}

func (k *keeper) Sign(_ uint, m *ck.Mechanism, _ uint, in, out []byte) ck.Result {
	return k.take(m, in, out)
}

func (k *keeper) Encrypt(_ uint, m *ck.Mechanism, _ uint, in, out []byte) ck.Result {
	return k.take(m, in, out)
}

func (k *keeper) Decrypt(_ uint, m *ck.Mechanism, _ uint, in, out []byte) ck.Result {
	return k.take(m, in, out)
}

func (k *keeper) EncryptMessage(_ uint, m *ck.Mechanism, aad, in, out []byte) ck.Result {
	return k.take(m, aad, in, out)
}

func (k *keeper) DecryptMessage(_ uint, m *ck.Mechanism, aad, in, out []byte) ck.Result {
	return k.take(m, aad, in, out)
}

func TestInstance_givesCopiesToWhoMayKeepThem(t *testing.T) {
	k := &keeper{n: 6}
	in := ck.NewInstance(k)
	for _, tt := range []struct {
		name string
		f    func(m *ck.Mechanism, input, out []byte) ck.Result
	}{
		{"Sign", func(m *ck.Mechanism, input, out []byte) ck.Result { return in.Sign(1, m, 2, input, out) }},
		{"Encrypt", func(m *ck.Mechanism, input, out []byte) ck.Result { return in.Encrypt(1, m, 2, input, out) }},
		{"Decrypt", func(m *ck.Mechanism, input, out []byte) ck.Result { return in.Decrypt(1, m, 2, input, out) }},
		{"EncryptMessage", func(m *ck.Mechanism, input, out []byte) ck.Result {
			return in.EncryptMessage(1, m, []byte("aad"), input, out)
		}},
		{"DecryptMessage", func(m *ck.Mechanism, input, out []byte) ck.Result {
			return in.DecryptMessage(1, m, []byte("aad"), input, out)
		}},
	} {
		m := &ck.Mechanism{Data: make([]byte, 5), Data2: make([]byte, 3), PIN: []byte("1234")}
		input, out := []byte("input"), make([]byte, 8)
		k.kept, k.n = nil, 6
		if r := tt.f(m, input, out); r.RV != 0 || r.N != 6 || string(out) != "output\x00\x00" {
			t.Errorf("%s: got %+v, %q, want the output", tt.name, r, out)
		}
		if string(m.Data) != "nonce" || string(m.Data2) != "tag" {
			t.Errorf("%s: got nonce %q and tag %q, want what the module wrote", tt.name, m.Data, m.Data2)
		}
		for _, b := range k.kept {
			for i := range b {
				b[i] = '?'
			}
		}
		if string(m.Data) != "nonce" || string(m.Data2) != "tag" || string(m.PIN) != "1234" || string(input) != "input" || string(out) != "output\x00\x00" {
			t.Errorf("%s: what was kept is the caller's: %q %q %q %q", tt.name, m.Data, m.Data2, input, out)
		}
		k.n = 9
		if r := tt.f(m, input, out); r.RV == 0 || r.N != 0 {
			t.Errorf("%s: 9 bytes in room for 8: got %+v, want a failure", tt.name, r)
		}
	}
}

func TestOverlap(t *testing.T) {
	b := make([]byte, 10)
	for _, tt := range []struct {
		name string
		x, y []byte
		want bool
	}{
		{"the same", b, b, true},
		{"one byte", b[:6], b[5:], true},
		{"one in the other", b, b[4:5], true},
		{"side by side", b[:5], b[5:], false},
		{"others", b, bytes.Clone(b), false},
		{"nothing", b[:0], b, false},
		{"nil", nil, b, false},
	} {
		if got := ck.Overlap(tt.x, tt.y); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
		if got := ck.Overlap(tt.y, tt.x); got != tt.want {
			t.Errorf("%s, the other way round: got %v", tt.name, got)
		}
	}
}

func TestTemplate_asksAgain(t *testing.T) {
	var a ck.Template
	a.Ask(1, 8)
	a.AskSize(2)
	a.Kind = 5
	a.Answer(0, []byte("abc"))
	a.Answer(1, []byte("12345"))
	old, _ := a.Value(0)
	a.AskAgain()
	if n, _ := a.Size(0); n != 8 || a.Kind != 5 || a.Len() != 2 || !bytes.Equal(old, make([]byte, 3)) {
		t.Errorf("got room for %d bytes, kind %d, and %q is left of the last answer", n, a.Kind, old)
	}
	if n, _ := a.Size(1); n != 0 {
		t.Errorf("the length alone: got %d bytes of room", n)
	}
	if !a.Answer(0, []byte("12345678")) {
		t.Error("a longer answer than the last: got none")
	}
	a.Reset()
	if a.Kind != 0 {
		t.Error("after Reset the template has a kind")
	}
	a.Ask(1, 8)
	if v, _ := a.Value(0); !bytes.Equal(v, make([]byte, 8)) {
		t.Errorf("after Reset: got %q in the room for the answer, want zeros", v)
	}
}
