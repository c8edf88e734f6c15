package tlv

import (
	"fmt"
	"iter"
)

// A DOLEntry is one entry of a data object list: the tag of a data element and
// the number of bytes that the list's author wants of it (EMV Book 3, 5.4).
type DOLEntry struct {
	Tag    Tag
	Length int // 0 to 255
}

// NextDOL reads the first entry of the data object list b and returns it with
// the bytes that follow it. The length is one byte, whatever its value. An error
// is a [*SyntaxError]; an empty b is one too.
func NextDOL(b []byte) (e DOLEntry, rest []byte, err error) {
	tag, i, reason := parseTag(b)
	if reason != "" {
		return DOLEntry{}, nil, &SyntaxError{Offset: i, Reason: reason}
	}
	if i >= len(b) {
		return DOLEntry{}, nil, &SyntaxError{Offset: i, Reason: "length missing"}
	}
	return DOLEntry{tag, int(b[i])}, b[i+1:], nil
}

// AllDOL walks the entries of the data object list b. An error, a
// [*SyntaxError] whose offset counts from the start of b, is yielded once with
// the zero entry and ends the walk.
func AllDOL(b []byte) iter.Seq2[DOLEntry, error] {
	return func(yield func(DOLEntry, error) bool) {
		for rest := b; len(rest) > 0; {
			e, after, err := NextDOL(rest)
			if err != nil {
				yield(e, shift(err, len(b)-len(rest)))
				return
			}
			if !yield(e, nil) {
				return
			}
			rest = after
		}
	}
}

// DOLLength returns the number of bytes that the list asks for. An error is a
// [*SyntaxError].
func DOLLength(dol []byte) (int, error) {
	n := 0
	for e, err := range AllDOL(dol) {
		if err != nil {
			return 0, err
		}
		n += e.Length
	}
	return n, nil
}

// AppendDOL appends an entry to a data object list. It panics if e.Tag is not
// [Tag.Valid] or e.Length is not in 0..255.
func AppendDOL(dst []byte, e DOLEntry) []byte {
	if e.Length < 0 || e.Length > 0xFF {
		panic(fmt.Sprintf("tlv: a length of %d is not in 0..255 in a data object list", e.Length))
	}
	return append(e.Tag.AppendTo(dst), byte(e.Length))
}

// A DOLFormat says how a data element is made to fit the length that a data
// object list asks for.
type DOLFormat byte

// The formats.
const (
	FormatOther             DOLFormat = iota // a, an, ans, b, var.: cut at the right, filled with 00 at the right
	FormatNumeric                            // n: cut at the left, filled with 00 at the left
	FormatCompressedNumeric                  // cn: cut at the right, filled with FF at the right
)

// A DOLValue is a data element asked for by a data object list. The zero
// DOLValue stands for an element that is not known, or not there.
type DOLValue struct {
	Value  []byte
	Format DOLFormat
}

// AppendDOLValues appends the values that the list asks for, one after the
// other and without tags and lengths, each with exactly the length asked for:
// what lookup returns is cut or filled as its format says (EMV Book 3, 5.4). An
// element not known, and one whose tag says constructed, which lookup is not
// asked for, is filled with 00.
//
// At most 128 bytes are appended for each byte of dol. An error is a
// [*SyntaxError]; then lookup was not called and dst is returned unchanged.
func AppendDOLValues(dst, dol []byte, lookup func(Tag) DOLValue) ([]byte, error) {
	if _, err := DOLLength(dol); err != nil {
		return dst, err
	}
	for e := range AllDOL(dol) {
		var v DOLValue
		if !e.Tag.Constructed() {
			v = lookup(e.Tag)
		}
		dst = v.appendFitted(dst, e.Length)
	}
	return dst, nil
}

func (v DOLValue) appendFitted(dst []byte, n int) []byte {
	missing := n - len(v.Value)
	switch {
	case missing <= 0 && v.Format == FormatNumeric:
		return append(dst, v.Value[-missing:]...)
	case missing <= 0:
		return append(dst, v.Value[:n]...)
	case v.Format == FormatNumeric:
		return append(appendFill(dst, 0, missing), v.Value...)
	case v.Format == FormatCompressedNumeric && len(v.Value) > 0:
		return appendFill(append(dst, v.Value...), 0xFF, missing)
	}
	return appendFill(append(dst, v.Value...), 0, missing)
}

func appendFill(dst []byte, fill byte, n int) []byte {
	for range n {
		dst = append(dst, fill)
	}
	return dst
}
