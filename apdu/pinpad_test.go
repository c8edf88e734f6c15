package apdu_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// The bytes of the structures of PC/SC part 10, field by field: offsets and lengths as in
// reader.h of pcsc-lite.
func TestPINStructures(t *testing.T) {
	type appender interface {
		AppendBinary(dst []byte) ([]byte, error)
	}
	for _, tt := range []struct {
		name string
		in   appender
		want string
	}{
		// The example in the documentation of pcsc-lite: ASCII at byte 0, a block of 4
		// bytes whose PIN has 4 to 8 digits.
		{"verify, as pcsc-lite's example", &apdu.PINVerify{PINEntry: apdu.PINEntry{
			Command: []byte{0x00, 0x20, 0x00, 0x00, 0x08, 0x30, 0x30, 0x30, 0x30, 0x00, 0x00, 0x00, 0x00}, Encoding: apdu.PINASCII,
			BlockSize: 4, MinLen: 4, MaxLen: 8, Messages: 1, Language: 0x0904,
		}}, "00 00 82 04 00 0804 02 01 0409 00 000000 0d000000 00200000083030303000000000"},
		// FORMAT 2 of ISO 9564: 2, length in 4 bits, the PIN in BCD from the second byte on,
		// F to the end of 8 bytes.
		{"verify, PIN block of format 2", &apdu.PINVerify{PINEntry: apdu.PINEntry{
			Command: []byte{0x00, 0x20, 0x00, 0x01, 0x08, 0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, Encoding: apdu.PINBCD,
			Position: 8, BlockSize: 7, LengthSize: 4, LengthPosition: 4, MinLen: 6, MaxLen: 12,
			TimeOut: 15 * time.Second, TimeOut2: 5 * time.Second, Validation: apdu.PINKeyPressed | apdu.PINTimedOut, Messages: apdu.NoPINMessage,
		}, Message: 3}, "0f 05 89 47 04 0c06 06 00 0904 03 000000 0d000000 002000010820ffffffffffffff"},
		{"verify, right-justified binary at 4 bits, length in a byte", &apdu.PINVerify{PINEntry: apdu.PINEntry{
			Command: []byte{0x00, 0x20, 0x00, 0x01}, RightJustified: true, Position: 4, BlockSize: 15, LengthSize: 8, LengthPosition: 120, MaxLen: 255,
		}}, "00 00 24 8f 1f ff00 02 ff 0904 00 000000 04000000 00200001"},
		{"modify", &apdu.PINModify{PINEntry: apdu.PINEntry{
			Command: []byte{0x00, 0x24, 0x01, 0x81, 0x00}, Encoding: apdu.PINASCII, MinLen: 6, MaxLen: 12, Messages: 2,
		}, OffsetOld: 1, OffsetNew: 255, Confirm: true, Message: [3]byte{1, 2, 3}}, "00 00 82 00 00 01 ff 0c06 01 02 02 0904 010203 000000 05000000 0024018100"},
		{"modify with the old PIN, not asked twice", &apdu.PINModify{PINEntry: apdu.PINEntry{
			Command: []byte{0x00, 0x24, 0x00, 0x81},
		}, EnterOld: true}, "00 00 80 00 00 00 00 0000 02 02 ff 0904 000000 000000 04000000 00240081"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst := []byte{7}
			got, err := tt.in.AppendBinary(dst)
			if err != nil {
				t.Fatal(err)
			}
			if s := hex.EncodeToString(got); s != "07"+strings.ReplaceAll(tt.want, " ", "") {
				t.Errorf("got\n%s, want\n07%s", s, strings.ReplaceAll(tt.want, " ", ""))
			}
		})
	}
}

func TestPINEntriesThatCannotBeAsked(t *testing.T) {
	for name, change := range map[string]func(e *apdu.PINEntry){
		"Position":          func(e *apdu.PINEntry) { e.Position = 17 },
		"LengthPosition":    func(e *apdu.PINEntry) { e.LengthPosition = -8 },
		"BlockSize":         func(e *apdu.PINEntry) { e.BlockSize = 16 },
		"LengthSize":        func(e *apdu.PINEntry) { e.LengthSize = 16 },
		"MinLen":            func(e *apdu.PINEntry) { e.MinLen = -1 },
		"MaxLen":            func(e *apdu.PINEntry) { e.MaxLen = e.MinLen - 1 },
		"Encoding":          func(e *apdu.PINEntry) { e.Encoding = 3 },
		"TimeOut":           func(e *apdu.PINEntry) { e.TimeOut = 256 * time.Second },
		"TimeOut2":          func(e *apdu.PINEntry) { e.TimeOut2 = time.Millisecond },
		"Messages":          func(e *apdu.PINEntry) { e.Messages = 4 },
		"Validation":        func(e *apdu.PINEntry) { e.Validation = 8 },
		"length of Command": func(e *apdu.PINEntry) { e.Command = e.Command[:3] },
		"BlockSize ":        func(e *apdu.PINEntry) { e.Position = 8 }, // one byte past Lc
	} {
		v := &apdu.PINVerify{PINEntry: pivPIN}
		change(&v.PINEntry)
		dst := []byte{7}
		got, err := v.AppendBinary(dst)
		var e *apdu.PINEntryError
		if !errors.As(err, &e) || e.Field != strings.TrimSpace(name) || !strings.Contains(err.Error(), e.Field) {
			t.Errorf("%s: got %v", name, err)
		}
		if !bytes.Equal(got, dst) {
			t.Errorf("%s: got % X with an error, want dst unchanged", name, got)
		}
		m := &apdu.PINModify{PINEntry: v.PINEntry}
		if _, err := m.AppendBinary(nil); err == nil {
			t.Errorf("%s: no error for a modification", name)
		}
	}
	m := &apdu.PINModify{PINEntry: pivPIN, OffsetNew: 256}
	if _, err := m.AppendBinary(nil); err == nil || !strings.Contains(err.Error(), "OffsetNew") {
		t.Errorf("got %v", err)
	}
}

// pivPIN is the entry of a PIN of PIV: 6 to 8 digits in ASCII, filled up with FF.
var pivPIN = apdu.PINEntry{
	Command:  []byte{0x00, 0x20, 0x00, 0x80, 0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
	Encoding: apdu.PINASCII, BlockSize: 8, MinLen: 6, MaxLen: 8, TimeOut: 30 * time.Second,
}
