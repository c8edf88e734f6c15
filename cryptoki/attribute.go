package cryptoki

import (
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
)

// An Attribute is a type with a value, in the form that PKCS#11 gives it.
type Attribute struct {
	Type  AttributeType
	Value []byte
}

// Bool returns an attribute of type CK_BBOOL.
func Bool(t AttributeType, v bool) Attribute {
	if v {
		return Attribute{t, []byte{1}}
	}
	return Attribute{t, []byte{0}}
}

// Ulong returns an attribute of type CK_ULONG, such as an object class.
func Ulong[T ~uint](t AttributeType, v T) Attribute {
	return Attribute{t, ck.AppendUlong(nil, uint(v))}
}

// Bytes returns an attribute with the given bytes, which are not copied.
func Bytes(t AttributeType, v []byte) Attribute { return Attribute{t, v} }

// String returns an attribute with a text.
func String(t AttributeType, v string) Attribute { return Attribute{t, []byte(v)} }

// Attributes are the attributes of an object, or a template.
type Attributes []Attribute

// Value returns the value of the attribute t, or false if it is not there.
func (a Attributes) Value(t AttributeType) ([]byte, bool) {
	for _, attr := range a {
		if attr.Type == t {
			return attr.Value, true
		}
	}
	return nil, false
}

// Bool returns the CK_BBOOL value of the attribute t, or false for ok if it is not
// there or of another size.
func (a Attributes) Bool(t AttributeType) (value, ok bool) {
	b, ok := a.Value(t)
	if !ok || len(b) != 1 {
		return false, false
	}
	return b[0] != 0, true
}

// Ulong returns the CK_ULONG value of the attribute t, or false if it is not there
// or of another size.
func (a Attributes) Ulong(t AttributeType) (uint, bool) {
	b, ok := a.Value(t)
	if !ok {
		return 0, false
	}
	return ck.Ulong(b)
}

// Text returns the value of the attribute t as a string, empty if it is not there.
func (a Attributes) Text(t AttributeType) string {
	b, _ := a.Value(t)
	return string(b)
}

// The most that is read of one attribute, in bytes: modules say how long a value
// is, and a wrong word of theirs must not cost all memory.
const maxAttributeSize = 1 << 20

// room returns how many bytes to offer for an attribute. Numbers and truth values
// get exactly their size: NSS answers CKR_BUFFER_TOO_SMALL to any other.
func room(t AttributeType) int {
	switch t {
	case CKA_CLASS, CKA_KEY_TYPE, CKA_CERTIFICATE_TYPE, CKA_MODULUS_BITS, CKA_VALUE_LEN, CKA_KEY_GEN_MECHANISM,
		CKA_CERTIFICATE_CATEGORY, CKA_PRIME_BITS, CKA_HW_FEATURE_TYPE, CKA_MECHANISM_TYPE, CKA_PARAMETER_SET:
		return ck.UlongSize
	case CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_TRUSTED, CKA_SENSITIVE, CKA_ENCRYPT,
		CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_SIGN, CKA_SIGN_RECOVER, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_DERIVE,
		CKA_EXTRACTABLE, CKA_LOCAL, CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_SENSITIVE, CKA_ALWAYS_AUTHENTICATE,
		CKA_WRAP_WITH_TRUSTED, CKA_ENCAPSULATE, CKA_DECAPSULATE:
		return 1
	case CKA_START_DATE, CKA_END_DATE:
		return 8
	case CKA_VALUE:
		return 2048
	case CKA_MODULUS:
		return 512
	}
	return 160
}

// Attributes reads the given attributes of an object. What the object does not
// have, or keeps to itself, is missing in the result, which is no error. At most 64
// attributes of at most 1 MiB each can be asked for.
func (s *Session) Attributes(ctx context.Context, o Object, types ...AttributeType) (Attributes, error) {
	if err := s.check(o); err != nil {
		return nil, err
	}
	if len(types) == 0 || len(types) > 64 {
		return nil, fmt.Errorf("cryptoki: %d attributes asked for; 1 to 64 can be", len(types))
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.tmpl.Reset()
	for _, t := range types {
		s.tmpl.Ask(uint(t), room(t))
	}
	if err := s.readAttributes(ctx, o); err != nil {
		return nil, err
	}
	result := make(Attributes, 0, len(types))
	var long []AttributeType
	var add = func(i int) bool {
		v, ok := s.tmpl.Value(i)
		if ok {
			result = append(result, Attribute{AttributeType(s.tmpl.Type(i)), append([]byte(nil), v...)})
		}
		return ok
	}
	for i := range types {
		if !add(i) && room(types[i]) > 8 {
			long = append(long, types[i])
		}
	}
	rv := s.res.RV
	if rv == ck.RV(CKR_OK) {
		long = nil
	}
	// Something is missing: too long, sensitive, or not there. The lengths tell.
	if len(long) > 0 && partial(rv) {
		s.tmpl.Reset()
		for _, t := range long {
			s.tmpl.AskSize(uint(t))
		}
		if err := s.readAttributes(ctx, o); err != nil {
			return nil, err
		}
		sizes := make(map[AttributeType]int)
		for i, t := range long {
			n, ok := s.tmpl.Size(i)
			if ok && n > maxAttributeSize {
				s.end()
				return nil, fmt.Errorf("cryptoki: %v is longer than %d bytes", t, maxAttributeSize)
			}
			if ok {
				sizes[t] = int(n)
			}
		}
		s.tmpl.Reset()
		for _, t := range long {
			if n, ok := sizes[t]; ok {
				s.tmpl.Ask(uint(t), n)
			}
		}
		if s.tmpl.Len() > 0 {
			if err := s.readAttributes(ctx, o); err != nil {
				return nil, err
			}
			for i := range s.tmpl.Len() {
				add(i)
			}
			rv = s.res.RV
		}
	}
	s.end()
	if partial(rv) {
		return result, nil
	}
	return result, s.err("C_GetAttributeValue", rv)
}

func (s *Session) readAttributes(ctx context.Context, o Object) error {
	s.object = o.handle
	return s.run(ctx, (*Session).callGetAttributes)
}

func (s *Session) callGetAttributes() {
	s.res.RV = s.fl.GetAttributeValue(s.handle, s.object, &s.tmpl)
}

// partial reports whether rv is one with which C_GetAttributeValue still fills in
// the attributes that can be given.
func partial(rv ck.RV) bool {
	switch RV(rv) {
	case CKR_OK, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL:
		return true
	}
	return false
}

// fill puts a into the template t.
func fill(t *ck.Template, a Attributes) error {
	if len(a) > 64 {
		return errors.New("cryptoki: a template has at most 64 attributes")
	}
	t.Reset()
	for _, attr := range a {
		t.AddBytes(uint(attr.Type), attr.Value)
	}
	return nil
}
