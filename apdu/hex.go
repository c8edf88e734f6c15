package apdu

import "fmt"

// FormatHex returns b in hexadecimal as the standards print it, such as "00 A4 04
// 00". It shows every byte, PINs and keys too: [Explain] is for text that others
// read.
func FormatHex(b []byte) string { return fmt.Sprintf("% X", b) }

// ParseHex reads bytes in hexadecimal as people write them: "00 A4 04 00",
// "00a40400", "00:A4:04:00", "00-A4-04-00", "0x00, 0xA4". Digits of either case come
// in pairs; between the pairs there may be white space, commas, colons and hyphens,
// and 0x may stand before each. Text without digits is no bytes.
//
// The error is a [*SyntaxError], whose offset counts bytes of s. It shows nothing of
// s, which may be a PIN or a key.
func ParseHex(s string) ([]byte, error) {
	b := make([]byte, 0, len(s)/2)
	for i := 0; i < len(s); {
		switch s[i] {
		case ' ', '\t', '\r', '\n', ',', ':', '-':
			i++
			continue
		}
		if s[i] == '0' && i+1 < len(s) && (s[i+1] == 'x' || s[i+1] == 'X') {
			i += 2
			if i == len(s) {
				return nil, hexError(i, "0x without digits")
			}
		}
		high, ok := hexDigit(s[i])
		if !ok {
			return nil, hexError(i, "not a hexadecimal digit")
		}
		if i+1 == len(s) {
			return nil, hexError(i+1, "the last byte has one digit, bytes have two")
		}
		low, ok := hexDigit(s[i+1])
		if !ok {
			return nil, hexError(i+1, "not the second hexadecimal digit of a byte")
		}
		b = append(b, high<<4|low)
		i += 2
	}
	return b, nil
}

func hexError(offset int, reason string) error {
	return &SyntaxError{What: "hexadecimal text", Offset: offset, Reason: reason}
}

func hexDigit(c byte) (value byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
