package cryptoki

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/ck"
)

// picky is a module that answers for attributes as a test wants.
type picky struct {
	*fakeModule
	values map[AttributeType][]byte
	why    map[AttributeType]RV // of what has no value
	whole  RV                   // for more than one attribute at once
	calls  int
}

func (p *picky) GetAttributeValue(session, object uint, t *ck.Template) ck.RV {
	p.calls++
	if t.Len() > 1 && p.whole != CKR_OK {
		return ck.RV(p.whole)
	}
	rv := CKR_OK
	for i := range t.Len() {
		typ := AttributeType(t.Type(i))
		v, ok := p.values[typ]
		switch {
		case !ok:
			t.Answer(i, nil)
			rv = p.why[typ]
			if rv == CKR_OK {
				rv = CKR_ATTRIBUTE_TYPE_INVALID
			}
		case !t.Answer(i, v):
			rv = CKR_BUFFER_TOO_SMALL
		}
	}
	return ck.RV(rv)
}

// session returns a session with the module, and any object of it.
func (p *picky) session(t *testing.T) (*Session, Object) {
	t.Helper()
	p.fakeModule = newFake(t)
	m, err := newModule(ck.NewInstance(p), "picky", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	slot, err := m.FindToken("fake")
	if err != nil {
		t.Fatal(err)
	}
	s, err := slot.OpenSession(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	return s, Object{handle: fakePrivate, stamp: s.stamp}
}

func TestAttributesOfAPickyModule(t *testing.T) {
	ctx := context.Background()
	long := make([]byte, 3000)
	values := map[AttributeType][]byte{CKA_LABEL: []byte("key"), CKA_ID: {1}, CKA_VALUE: long}
	types := []AttributeType{CKA_LABEL, CKA_ID, CKA_VALUE, CKA_PRIME_1, CKA_URL}
	for _, tt := range []struct {
		name  string
		whole RV
		want  int   // attributes
		err   error // of the first call
		calls [2]int
	}{
		{"all in one call, and two for what is long", CKR_OK, 3, nil, [2]int{3, 3}},
		{"one by one, and so from then on", CKR_ATTRIBUTE_VALUE_INVALID, 3, nil, [2]int{10, 9}},
		{"one by one after a general error", CKR_GENERAL_ERROR, 3, nil, [2]int{10, 9}},
		{"a session that is gone is no reason to ask on", CKR_SESSION_HANDLE_INVALID, 0, CKR_SESSION_HANDLE_INVALID, [2]int{1, 0}},
		{"nor an object that is gone", CKR_OBJECT_HANDLE_INVALID, 0, CKR_OBJECT_HANDLE_INVALID, [2]int{1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &picky{values: values, why: map[AttributeType]RV{CKA_PRIME_1: CKR_ATTRIBUTE_SENSITIVE}, whole: tt.whole}
			s, o := p.session(t)
			for i, calls := range tt.calls {
				p.calls = 0
				a, err := s.Attributes(ctx, o, types...)
				if !errors.Is(err, tt.err) && i == 0 || len(a) != tt.want {
					t.Errorf("got %d attributes, %v; want %d, %v", len(a), err, tt.want, tt.err)
				}
				if p.calls != calls && calls > 0 {
					t.Errorf("call %d: %d calls into the module, want %d", i, p.calls, calls)
				}
			}
		})
	}
}

func TestAttributesOrWhy(t *testing.T) {
	for _, whole := range []RV{CKR_OK, CKR_FUNCTION_FAILED} {
		p := &picky{
			values: map[AttributeType][]byte{CKA_LABEL: []byte("key")},
			why:    map[AttributeType]RV{CKA_PRIME_1: CKR_ATTRIBUTE_SENSITIVE, CKA_START_DATE: CKR_DEVICE_ERROR},
			whole:  whole,
		}
		s, o := p.session(t)
		a, missing, err := s.AttributesOrWhy(context.Background(), o, CKA_LABEL, CKA_PRIME_1, CKA_URL)
		if err != nil || a.Text(CKA_LABEL) != "key" {
			t.Errorf("got %v, %v", a, err)
		}
		if len(missing) != 2 || missing[CKA_PRIME_1] != ErrSensitive || missing[CKA_URL] != ErrNoAttribute {
			t.Errorf("got %v", missing)
		}
	}
}

func TestAttributeDate(t *testing.T) {
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	a := Attributes{Date(CKA_START_DATE, day), Bytes(CKA_END_DATE, nil), String(CKA_LABEL, "20261399")}
	if got, ok := a.Date(CKA_START_DATE); !ok || !got.Equal(day) {
		t.Errorf("got %v, %v", got, ok)
	}
	for _, typ := range []AttributeType{CKA_END_DATE, CKA_LABEL, CKA_ID} {
		if got, ok := a.Date(typ); ok {
			t.Errorf("%v: got %v", typ, got)
		}
	}
}
