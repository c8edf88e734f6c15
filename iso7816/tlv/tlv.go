package tlv

import (
	"errors"
	"fmt"
	"iter"
)

// An Object is a data object. Value aliases the bytes it was read from, and its
// capacity ends with it.
type Object struct {
	Tag   Tag
	Value []byte
}

// A SyntaxError reports bytes that are no data object. It carries no byte of
// them.
type SyntaxError struct {
	Offset int // where the bytes stop making sense, counted from 0 in what was given
	Reason string
}

// Error returns where the bytes are malformed, and why.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("tlv: malformed data object at offset %d: %s", e.Offset, e.Reason)
}

// ErrNotFound is what [Find] wraps when there is no object with the tag asked
// for.
var ErrNotFound = errors.New("tlv: data object not found")

// A NotFoundError reports the tag that [Find] did not find. It wraps
// [ErrNotFound].
type NotFoundError struct {
	Tag Tag
}

// Error names the tag.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("tlv: data object %v not found", e.Tag)
}

// Unwrap returns [ErrNotFound].
func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// Next reads the first data object of b and returns it with the bytes that
// follow it; b[:len(b)-len(rest)] is the object with its tag and length. An
// error is a [*SyntaxError]; an empty b is one too. Next allocates nothing but
// the error.
func Next(b []byte) (o Object, rest []byte, err error) {
	h, err := at(b, 0)
	if err != nil {
		return Object{}, nil, err
	}
	return Object{h.tag, b[h.start:h.end:h.end]}, b[h.end:], nil
}

// A header is the tag of a data object and where its value begins and ends.
type header struct {
	tag        Tag
	start, end int
}

// at reads the header of the data object at b[i:]. It is zero when there is an error.
func at(b []byte, i int) (header, error) {
	tag, size, reason := parseTag(b[i:])
	if reason != "" {
		return header{}, &SyntaxError{Offset: i + size, Reason: reason}
	}
	n, start, reason := parseLength(b, i+size)
	if reason != "" {
		return header{}, &SyntaxError{Offset: start, Reason: reason}
	}
	if n > uint64(len(b)-start) {
		return header{}, &SyntaxError{Offset: len(b), Reason: "value cut off"}
	}
	return header{tag, start, start + int(n)}, nil
}

// parseTag returns the tag at the start of b and its size. A reason that is not
// empty says what is wrong at that offset.
func parseTag(b []byte) (tag Tag, size int, reason string) {
	switch {
	case len(b) == 0:
		return 0, 0, "no data object"
	case b[0] == 0:
		return 0, 0, "tag byte 00"
	case b[0]&0x1F != 0x1F:
		return Tag(b[0]), 1, ""
	case len(b) < 2:
		return 0, 1, "tag cut off"
	case b[1] < 0x80:
		return Tag(b[0])<<8 | Tag(b[1]), 2, ""
	case b[1] == 0x80:
		return 0, 1, "multi-byte tag with leading zero bits"
	case len(b) < 3:
		return 0, 2, "tag cut off"
	case b[2] < 0x80:
		return Tag(b[0])<<16 | Tag(b[1])<<8 | Tag(b[2]), 3, ""
	}
	return 0, 2, "tag longer than three bytes"
}

// parseLength returns the length at b[i:] and the offset of the byte after it.
func parseLength(b []byte, i int) (n uint64, end int, reason string) {
	if i >= len(b) {
		return 0, i, "length missing"
	}
	first := b[i]
	i++
	switch {
	case first < 0x80:
		return uint64(first), i, ""
	case first == 0x80:
		return 0, i - 1, "indefinite length"
	case first > 0x84:
		return 0, i - 1, "length of more than four bytes"
	}
	for range first & 0x7F {
		if i >= len(b) {
			return 0, i, "length cut off"
		}
		n = n<<8 | uint64(b[i])
		i++
	}
	return n, i, ""
}

// All walks the data objects of b, one level deep. An error, a [*SyntaxError]
// whose offset counts from the start of b, is yielded once with the zero Object
// and ends the walk.
func All(b []byte) iter.Seq2[Object, error] { return walk(b, false) }

// AllPadded is [All] for bytes that may have padding, 00 and FF, before, between
// and after the objects. No tag can begin with FF there.
func AllPadded(b []byte) iter.Seq2[Object, error] { return walk(b, true) }

// walk is inlined with the body of the caller's loop, as long as it calls yield in one
// place.
func walk(b []byte, padded bool) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for i := 0; ; {
			if padded {
				i = skipPadding(b, i)
			}
			if i >= len(b) {
				return
			}
			// What at does, for one or two tag bytes and one length byte.
			h := header{Tag(b[i]), i + 2, len(b) + 1}
			if h.tag&0x1F != 0x1F {
				if h.start <= len(b) && h.tag != 0 && b[i+1] < 0x80 {
					h.end = h.start + int(b[i+1])
				}
			} else if h.start < len(b) && b[i+1] < 0x80 && b[i+2] < 0x80 {
				h = header{h.tag<<8 | Tag(b[i+1]), i + 3, i + 3 + int(b[i+2])}
			}
			value := b
			var err error
			if h.end > len(b) {
				if h, err = at(b, i); err != nil {
					value = nil
				}
			}
			if !yield(Object{h.tag, value[h.start:h.end:h.end]}, err) || err != nil {
				return
			}
			i = h.end
		}
	}
}

// each walks b by a function that reads its first object.
func each[T any](b []byte, next func([]byte) (T, []byte, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for rest := b; len(rest) > 0; {
			o, after, err := next(rest)
			if err != nil {
				yield(o, shift(err, len(b)-len(rest)))
				return
			}
			if !yield(o, nil) {
				return
			}
			rest = after
		}
	}
}

// skipPadding returns the offset of the first byte from b[i:] on that is no
// padding.
func skipPadding(b []byte, i int) int {
	for i < len(b) && (b[i] == 0 || b[i] == 0xFF) {
		i++
	}
	return i
}

// shift moves the offset of a *SyntaxError, which nobody else has seen yet.
func shift(err error, by int) error {
	if e, ok := err.(*SyntaxError); ok {
		e.Offset += by
	}
	return err
}

// Find returns the value of a data object: the first one in b with the first tag
// of path, in its value the first one with the second tag, and so on. An empty
// path leads to b itself. The result aliases b.
//
// The error is a [*NotFoundError], which Is [ErrNotFound], or a [*SyntaxError]
// when what comes before the object is malformed. What comes after it is not
// looked at.
func Find(b []byte, path ...Tag) ([]byte, error) { return find(b, false, path) }

// FindPadded is [Find] for bytes with padding, as [AllPadded] skips it, at every
// level.
func FindPadded(b []byte, path ...Tag) ([]byte, error) { return find(b, true, path) }

func find(b []byte, padded bool, path []Tag) ([]byte, error) {
	start := 0 // of the value in b, which ends with it
	for _, tag := range path {
		for i := start; ; {
			if padded {
				i = skipPadding(b, i)
			}
			if i >= len(b) {
				return nil, &NotFoundError{Tag: tag}
			}
			// As in walk: what at does, for one or two tag bytes and one length byte.
			h := header{Tag(b[i]), i + 2, len(b) + 1}
			if h.tag&0x1F != 0x1F {
				if h.start <= len(b) && h.tag != 0 && b[i+1] < 0x80 {
					h.end = h.start + int(b[i+1])
				}
			} else if h.start < len(b) && b[i+1] < 0x80 && b[i+2] < 0x80 {
				h = header{h.tag<<8 | Tag(b[i+1]), i + 3, i + 3 + int(b[i+2])}
			}
			if h.end > len(b) {
				var err error
				if h, err = at(b, i); err != nil {
					return nil, err
				}
			}
			if h.tag == tag {
				b, start = b[:h.end], h.start
				break
			}
			i = h.end
		}
	}
	return b[start:len(b):len(b)], nil
}

// maxLength is the longest value that four length bytes can tell, in bytes.
const maxLength = 1<<32 - 1

// Append appends a data object to dst and returns the extended slice. The length
// field is the shortest possible. Append panics if tag is not [Tag.Valid].
func Append(dst []byte, tag Tag, value []byte) []byte {
	return append(AppendHeader(dst, tag, len(value)), value...)
}

// AppendHeader appends the tag and the length field of a data object whose value
// has length bytes. It panics if tag is not [Tag.Valid], or if length is negative
// or above 4,294,967,295.
func AppendHeader(dst []byte, tag Tag, length int) []byte {
	dst = tag.AppendTo(dst)
	if uint(length) < 0x80 {
		return append(dst, byte(length))
	}
	return appendLongLength(dst, length)
}

func appendLongLength(dst []byte, length int) []byte {
	switch {
	case length < 0 || uint64(length) > maxLength:
		panic(fmt.Sprintf("tlv: a length of %d is not in 0..4294967295", length))
	case length <= 0xFF:
		return append(dst, 0x81, byte(length))
	case length <= 0xFFFF:
		return append(dst, 0x82, byte(length>>8), byte(length))
	case length <= 0xFFFFFF:
		return append(dst, 0x83, byte(length>>16), byte(length>>8), byte(length))
	}
	return append(dst, 0x84, byte(length>>24), byte(length>>16), byte(length>>8), byte(length))
}

// AppendFunc appends a data object whose value is what value appends to the
// slice it is given; value returns the extended slice. Calls may be nested. It
// panics if tag is not [Tag.Valid], and if what value returns is shorter than
// what it was given.
//
// A value that can fail notes its error in a variable of the caller, who looks
// at it at the end.
func AppendFunc(dst []byte, tag Tag, value func(dst []byte) []byte) []byte {
	dst = append(tag.AppendTo(dst), 0)
	start := len(dst)
	dst = value(dst)
	n := len(dst) - start
	if n < 0 {
		panic("tlv: the function given to AppendFunc returned less than it was given")
	}
	if n < 0x80 {
		dst[start-1] = byte(n)
		return dst
	}
	// The length field takes more than the byte kept for it: move the value.
	var length [5]byte
	long := appendLongLength(length[:0], n)
	dst = append(dst, long[1:]...)
	copy(dst[start-1+len(long):], dst[start:start+n])
	copy(dst[start-1:], long)
	return dst
}
