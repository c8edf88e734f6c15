package ck

import "encoding/binary"

// A Template is a list of attributes, CK_ATTRIBUTE, with all values in one buffer:
// that takes no pinning of memory on the way to C. It can be used again after
// Reset, and then allocates nothing. It takes at most 64 attributes.
type Template struct {
	items []item
	buf   []byte

	// Kind is for the user of the template, to know it again. Reset makes it 0.
	Kind int
}

// An item is one attribute. It is laid out as ck_item of core.h.
type item struct {
	typ, offset uint
	length      uint // of the value; after a question what the module said
	room        uint // bytes at offset; 0 asks for the length alone
	children    uint // attributes after this one that are its value
}

// Reset empties the template and wipes its values: all that is in buf behind its
// length is zero.
func (t *Template) Reset() {
	clear(t.buf)
	t.items, t.buf, t.Kind = t.items[:0], t.buf[:0], 0
}

// AskAgain wipes the answers, so that a template of Ask and AskSize alone can be used for the
// next object.
func (t *Template) AskAgain() {
	clear(t.buf)
	for i := range t.items {
		t.items[i].length = t.items[i].room
	}
}

// Len returns the number of attributes.
func (t *Template) Len() int { return len(t.items) }

// AddBytes adds an attribute with the given value.
func (t *Template) AddBytes(typ uint, value []byte) {
	copy(t.add(typ, len(value)), value)
}

// AskSize adds an attribute whose length is asked for, without its value.
func (t *Template) AskSize(typ uint) {
	t.items = append(t.items, item{typ: typ})
}

// Ask adds an attribute whose value is asked for, with room for size bytes.
func (t *Template) Ask(typ uint, size int) { t.add(typ, size) }

// Nest adds an attribute whose value is attributes, such as CKA_WRAP_TEMPLATE: the next
// n that are added, of which none may be another such. When it is asked for,
// the module gives the types of the n, too: ask with AskSize first for the length, from
// which Count tells n, then with Nest and n times AskSize for types and lengths, then with
// Nest and Ask.
func (t *Template) Nest(typ uint, n int) {
	t.items = append(t.items, item{typ: typ, children: uint(n)})
}

// Count returns the number of attributes in attribute i, by the length that the module
// gave, or false where Size does. It may be more than was given to Nest.
func (t *Template) Count(i int) (int, bool) {
	n, ok := t.Size(i)
	return int(n / attributeSize), ok && n%attributeSize == 0
}

// add adds an attribute and returns its room. A value begins where a CK_ULONG may be. A
// buffer that is too short is wiped when it is left, as it may hold secrets.
func (t *Template) add(typ uint, size int) []byte {
	at := len(t.buf)
	end := at + (size+7)&^7
	if end > cap(t.buf) {
		t.grow(end)
	}
	t.buf = t.buf[:end]
	t.items = append(t.items, item{typ: typ, offset: uint(at), length: uint(size), room: uint(size)})
	return t.buf[at : at+size]
}

func (t *Template) grow(n int) {
	grown := make([]byte, len(t.buf), max(n, 2*cap(t.buf), 256))
	copy(grown, t.buf)
	clear(t.buf)
	t.buf = grown
}

// Type returns the type of attribute i.
func (t *Template) Type(i int) uint { return t.items[i].typ }

// Size returns the length in bytes that the module gave for attribute i, or false
// if it gave none: the object has no such attribute, or its value is sensitive or
// did not fit.
func (t *Template) Size(i int) (uint, bool) {
	n := t.items[i].length
	return n, n != Unavailable
}

// Value returns the value of attribute i, which is part of the template, or false
// where Size does, or if the module claims more than there was room for.
func (t *Template) Value(i int) ([]byte, bool) {
	it := t.items[i]
	if it.length > it.room { // Unavailable is the greatest length of all
		return nil, false
	}
	return t.buf[it.offset : it.offset+it.length : it.offset+it.length], true
}

// Answer sets attribute i to value, or to Unavailable if value is nil or does not fit:
// what GetAttributeValue does in a FunctionList that is written in Go. It reports
// whether there was a value that could be given.
func (t *Template) Answer(i int, value []byte) bool {
	it := &t.items[i]
	switch {
	case value == nil || it.room > 0 && uint(len(value)) > it.room:
		it.length = Unavailable
		return false
	case it.room > 0:
		copy(t.buf[it.offset:], value)
	}
	it.length = uint(len(value))
	return true
}

// attributeSize is the size of CK_ATTRIBUTE in bytes.
const attributeSize = 2*UlongSize + 4<<(^uintptr(0)>>63)

// AppendUlong appends x as CK_ULONG to b.
func AppendUlong(b []byte, x uint) []byte {
	if UlongSize == 4 {
		return binary.NativeEndian.AppendUint32(b, uint32(x))
	}
	return binary.NativeEndian.AppendUint64(b, uint64(x))
}

// Ulong returns the CK_ULONG in b, or false if b has not the size of one.
func Ulong(b []byte) (uint, bool) {
	if len(b) != UlongSize {
		return 0, false
	}
	if UlongSize == 4 {
		return uint(binary.NativeEndian.Uint32(b)), true
	}
	return uint(binary.NativeEndian.Uint64(b)), true
}
