package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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

// dateLayout is the form of CK_DATE.
const dateLayout = "20060102"

// Date returns an attribute of type CK_DATE with the day of v.
func Date(t AttributeType, v time.Time) Attribute { return Attribute{t, []byte(v.Format(dateLayout))} }

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

// Date returns the CK_DATE value of the attribute t, in UTC, or false if it is not there,
// empty, or no date.
func (a Attributes) Date(t AttributeType) (time.Time, bool) {
	b, ok := a.Value(t)
	if !ok || len(b) != len(dateLayout) {
		return time.Time{}, false
	}
	d, err := time.Parse(dateLayout, string(b))
	return d, err == nil
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

// ErrSensitive and ErrNoAttribute are why the value of an attribute is missing: see
// [Missing].
var (
	ErrSensitive   = errors.New("cryptoki: the token keeps the value to itself")
	ErrNoAttribute = errors.New("cryptoki: the object has no such attribute")
)

// Missing says of attributes that could not be read why not: [ErrSensitive],
// [ErrNoAttribute], or the [*Error] of the module.
type Missing map[AttributeType]error

// Attributes reads the given attributes of an object. What the object does not
// have, or keeps to itself, is missing in the result, which is no error. At most 64
// attributes of at most 1 MiB each can be asked for.
//
// All are asked for in one call. A module that then refuses the whole of them is asked
// for one at a time, and so from then on.
func (s *Session) Attributes(ctx context.Context, o Object, types ...AttributeType) (Attributes, error) {
	return s.AppendAttributes(ctx, nil, o, types...)
}

// AppendAttributes is [Session.Attributes] that appends to dst. Values are put where those of
// the elements behind the length of dst are, as far as they fit: with dst[:0], where dst was the
// result of an earlier call, nothing is allocated, and the values of that call are overwritten.
func (s *Session) AppendAttributes(ctx context.Context, dst Attributes, o Object, types ...AttributeType) (Attributes, error) {
	if err := s.check(o); err != nil {
		return dst, err
	}
	if len(types) == 0 || len(types) > 64 {
		return dst, fmt.Errorf("cryptoki: %d attributes asked for; 1 to 64 can be", len(types))
	}
	if len(types) == 1 || !s.m.oneByOne.Load() {
		result, rv, err := s.attributes(ctx, dst, o, types)
		if err != nil || partial(rv) || len(types) == 1 || hopeless(rv) {
			if err == nil && !partial(rv) {
				err = s.err("C_GetAttributeValue", rv)
			}
			return result, err
		}
	}
	result := dst
	var refused error
	for i := range types {
		var rv ck.RV
		var err error
		if result, rv, err = s.attributes(ctx, result, o, types[i:i+1]); err != nil {
			return result, err
		}
		if !partial(rv) {
			if refused = s.err("C_GetAttributeValue", rv); hopeless(rv) {
				return result, refused
			}
		}
	}
	if len(result) == len(dst) {
		return dst, refused // it was not for their number
	}
	s.m.oneByOne.Store(true)
	return result, nil
}

// AttributesOrWhy is [Session.Attributes] that also says why what is missing is missing,
// for which it asks the module again, once for each of these.
func (s *Session) AttributesOrWhy(ctx context.Context, o Object, types ...AttributeType) (Attributes, Missing, error) {
	result, err := s.Attributes(ctx, o, types...)
	if err != nil {
		return result, nil, err
	}
	missing := Missing{}
	for _, t := range types {
		if _, ok := result.Value(t); ok {
			continue
		}
		_, rv, err := s.attributes(ctx, nil, o, []AttributeType{t})
		if err != nil {
			return result, missing, err
		}
		switch RV(rv) {
		case CKR_ATTRIBUTE_SENSITIVE:
			missing[t] = ErrSensitive
		case CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK: // OK and no value: CK_UNAVAILABLE_INFORMATION
			missing[t] = ErrNoAttribute
		default:
			missing[t] = s.err("C_GetAttributeValue", rv)
		}
	}
	return result, missing, nil
}

// attributes reads attributes in one call, and in two more those that are longer than was
// thought. The return value is that of the last.
func (s *Session) attributes(ctx context.Context, dst Attributes, o Object, types []AttributeType) (Attributes, ck.RV, error) {
	if err := s.begin(ctx); err != nil {
		return dst, 0, err
	}
	s.ask(types)
	if err := s.readAttributes(ctx, o); err != nil {
		return dst, 0, err
	}
	rv := s.res.RV
	if partial(rv) {
		dst = s.appendValues(dst)
	}
	if rv != ck.RV(CKR_OK) && partial(rv) {
		// Something is missing: too long, sensitive, or not there. The lengths tell.
		var long []AttributeType
		for i, t := range types {
			if _, ok := s.tmpl.Value(i); !ok && room(t) > 8 {
				long = append(long, t)
			}
		}
		if len(long) > 0 {
			more, last, err := s.longAttributes(ctx, dst, o, long)
			if err != nil {
				return dst, 0, err
			}
			dst, rv = more, last
		}
	}
	s.end()
	return dst, rv, nil
}

// asks is the Kind of a template that ask made.
const asks = 1

// ask makes the template ask for attributes with the room that they usually need. Mostly it
// is the same as before.
func (s *Session) ask(types []AttributeType) {
	same := s.tmpl.Kind == asks && s.tmpl.Len() == len(types)
	for i := 0; same && i < len(types); i++ {
		same = s.tmpl.Type(i) == uint(types[i])
	}
	if same {
		s.tmpl.AskAgain()
		return
	}
	s.tmpl.Reset()
	for _, t := range types {
		s.tmpl.Ask(uint(t), room(t))
	}
	s.tmpl.Kind = asks
}

// appendValues appends the values that are in the template to dst: to the memory of what is
// behind its length, or where there is none, all to one piece.
func (s *Session) appendValues(dst Attributes) Attributes {
	n := s.tmpl.Len()
	if len(dst) == cap(dst) {
		dst = append(make(Attributes, 0, len(dst)+max(n, len(dst)/4)), dst...)
		size := 0
		for i := range n {
			if v, ok := s.tmpl.Value(i); ok {
				size += len(v)
			}
		}
		piece := make([]byte, 0, size)
		for i, at := 0, dst[len(dst):]; i < n; i++ {
			if v, ok := s.tmpl.Value(i); ok {
				at = append(at, Attribute{Value: piece[len(piece) : len(piece) : len(piece)+len(v)]})
				piece = piece[:len(piece)+len(v)]
			}
		}
	}
	for i := range n {
		v, ok := s.tmpl.Value(i)
		if !ok {
			continue
		}
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, n-i)
		}
		dst = dst[:len(dst)+1]
		a := &dst[len(dst)-1]
		a.Type, a.Value = AttributeType(s.tmpl.Type(i)), append(a.Value[:0], v...)
	}
	return dst
}

// longAttributes asks for the lengths of attributes, and for the values then. Unless
// there is an error, end is still to be called.
func (s *Session) longAttributes(ctx context.Context, dst Attributes, o Object, types []AttributeType) (result Attributes, rv ck.RV, err error) {
	s.tmpl.Reset()
	for _, t := range types {
		s.tmpl.AskSize(uint(t))
	}
	if err := s.readAttributes(ctx, o); err != nil {
		return dst, 0, err
	}
	rv = s.res.RV
	sizes := make(map[AttributeType]int)
	for i, t := range types {
		n, ok := s.tmpl.Size(i)
		if ok && n > maxAttributeSize {
			s.end()
			return dst, 0, fmt.Errorf("cryptoki: %v is longer than %d bytes", t, maxAttributeSize)
		}
		if ok {
			sizes[t] = int(n)
		}
	}
	if len(sizes) == 0 {
		return dst, rv, nil
	}
	s.tmpl.Reset()
	for _, t := range types {
		if n, ok := sizes[t]; ok {
			s.tmpl.Ask(uint(t), n)
		}
	}
	if err := s.readAttributes(ctx, o); err != nil {
		return dst, 0, err
	}
	return s.appendValues(dst), s.res.RV, nil
}

func (s *Session) readAttributes(ctx context.Context, o Object) error {
	s.object = o.handle
	return s.run(ctx, (*Session).callGetAttributes)
}

func (s *Session) callGetAttributes() {
	s.step(s.fl.GetAttributeValue(s.handle, s.object, &s.tmpl), ck.GetAttributeValue)
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

// hopeless reports whether rv says that nothing can be read in any other way either: the
// session or the object is not there, or the device.
func hopeless(rv ck.RV) bool {
	switch RV(rv) {
	case CKR_OBJECT_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN, CKR_OPERATION_ACTIVE, CKR_HOST_MEMORY, CKR_DEVICE_MEMORY:
		return true
	}
	return troubleOfRV(rv) >= loggedOut
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
