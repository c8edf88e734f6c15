package tlv

import "iter"

// NextDER is [Next] for objects whose length field must be the shortest
// possible, as the distinguished encoding rules want it and [Append] writes it;
// any other is refused with a [*SyntaxError]. It takes the same tags as Next,
// and does not look into values.
func NextDER(b []byte) (o Object, rest []byte, err error) {
	o, rest, err = Next(b)
	if err != nil {
		return o, rest, err
	}
	n := len(o.Value)
	if n < 0x80 && len(b)-len(rest) == n+2 {
		return o, rest, nil // one tag byte and one length byte
	}
	if size := o.Tag.Size(); len(b)-len(rest) != size+lengthSize(n)+n {
		return Object{}, nil, &SyntaxError{Offset: size, Reason: "length field longer than necessary"}
	}
	return o, rest, nil
}

// AllDER is [All] with the length fields that [NextDER] accepts.
func AllDER(b []byte) iter.Seq2[Object, error] {
	return each(b, NextDER)
}

// lengthSize returns the number of bytes in the shortest length field for a
// value of n bytes.
func lengthSize(n int) int {
	switch {
	case n < 0x80:
		return 1
	case n <= 0xFF:
		return 2
	case n <= 0xFFFF:
		return 3
	case n <= 0xFFFFFF:
		return 4
	}
	return 5
}
