package apdu

// A Response is a response APDU: the data field and the status bytes SW1-SW2
// (ISO/IEC 7816-3:2006, 12.1.2).
type Response struct {
	Data   []byte // at most 65,536 bytes
	Status Status
}

// ParseResponse decodes a response APDU. The Data of the result aliases b. Fewer
// than two bytes, or more than 65,538, are refused with a [*SyntaxError].
func ParseResponse(b []byte) (Response, error) {
	if len(b) < 2 {
		return Response{}, &SyntaxError{What: "response", Offset: len(b), Reason: "shorter than the two status bytes"}
	}
	if len(b) > MaxResponseSize {
		return Response{}, &SyntaxError{What: "response", Offset: MaxResponseSize, Reason: "longer than 65,536 bytes of data and the status"}
	}
	n := len(b) - 2
	return Response{Data: b[:n:n], Status: Status(b[n])<<8 | Status(b[n+1])}, nil
}

// AppendBinary appends the encoding of r to dst and returns the extended slice.
// It returns an error wrapping [ErrLength] when Data is longer than 65,536
// bytes; dst is then returned unchanged.
func (r *Response) AppendBinary(dst []byte) ([]byte, error) {
	if len(r.Data) > MaxExtendedNe {
		return dst, &LengthError{Field: "Nr", Value: len(r.Data), Max: MaxExtendedNe}
	}
	dst = append(dst, r.Data...)
	return append(dst, byte(r.Status>>8), byte(r.Status)), nil
}
