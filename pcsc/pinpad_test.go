package pcsc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/pcsc"
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
		{"verify, as pcsc-lite's example", &pcsc.PINVerify{PINEntry: pcsc.PINEntry{
			Command: []byte{0x00, 0x20, 0x00, 0x00, 0x08, 0x30, 0x30, 0x30, 0x30, 0x00, 0x00, 0x00, 0x00}, Encoding: pcsc.PINASCII,
			BlockSize: 4, MinLen: 4, MaxLen: 8, Messages: 1, Language: 0x0904,
		}}, "00 00 82 04 00 0804 02 01 0409 00 000000 0d000000 00200000083030303000000000"},
		// FORMAT 2 of ISO 9564: 2, length in 4 bits, the PIN in BCD from the second byte on,
		// F to the end of 8 bytes.
		{"verify, PIN block of format 2", &pcsc.PINVerify{PINEntry: pcsc.PINEntry{
			Command: []byte{0x00, 0x20, 0x00, 0x01, 0x08, 0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, Encoding: pcsc.PINBCD,
			Position: 8, BlockSize: 7, LengthSize: 4, LengthPosition: 4, MinLen: 6, MaxLen: 12,
			TimeOut: 15 * time.Second, TimeOut2: 5 * time.Second, Validation: pcsc.PINKeyPressed | pcsc.PINTimedOut, Messages: pcsc.NoPINMessage,
		}, Message: 3}, "0f 05 89 47 04 0c06 06 00 0904 03 000000 0d000000 002000010820ffffffffffffff"},
		{"verify, right-justified binary at 4 bits, length in a byte", &pcsc.PINVerify{PINEntry: pcsc.PINEntry{
			Command: []byte{0x00, 0x20, 0x00, 0x01}, RightJustified: true, Position: 4, BlockSize: 15, LengthSize: 8, LengthPosition: 120, MaxLen: 255,
		}}, "00 00 24 8f 1f ff00 02 ff 0904 00 000000 04000000 00200001"},
		{"modify", &pcsc.PINModify{PINEntry: pcsc.PINEntry{
			Command: []byte{0x00, 0x24, 0x01, 0x81, 0x00}, Encoding: pcsc.PINASCII, MinLen: 6, MaxLen: 12, Messages: 2,
		}, OffsetOld: 1, OffsetNew: 255, Confirm: true, Message: [3]byte{1, 2, 3}}, "00 00 82 00 00 01 ff 0c06 01 02 02 0904 010203 000000 05000000 0024018100"},
		{"modify with the old PIN, not asked twice", &pcsc.PINModify{PINEntry: pcsc.PINEntry{
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
	for name, change := range map[string]func(e *pcsc.PINEntry){
		"Position":          func(e *pcsc.PINEntry) { e.Position = 17 },
		"LengthPosition":    func(e *pcsc.PINEntry) { e.LengthPosition = -8 },
		"BlockSize":         func(e *pcsc.PINEntry) { e.BlockSize = 16 },
		"LengthSize":        func(e *pcsc.PINEntry) { e.LengthSize = 16 },
		"MinLen":            func(e *pcsc.PINEntry) { e.MinLen = -1 },
		"MaxLen":            func(e *pcsc.PINEntry) { e.MaxLen = e.MinLen - 1 },
		"Encoding":          func(e *pcsc.PINEntry) { e.Encoding = 3 },
		"TimeOut":           func(e *pcsc.PINEntry) { e.TimeOut = 256 * time.Second },
		"TimeOut2":          func(e *pcsc.PINEntry) { e.TimeOut2 = time.Millisecond },
		"Messages":          func(e *pcsc.PINEntry) { e.Messages = 4 },
		"Validation":        func(e *pcsc.PINEntry) { e.Validation = 8 },
		"length of Command": func(e *pcsc.PINEntry) { e.Command = e.Command[:3] },
		"BlockSize ":        func(e *pcsc.PINEntry) { e.Position = 8 }, // one byte past Lc
	} {
		v := &pcsc.PINVerify{PINEntry: pivPIN}
		change(&v.PINEntry)
		dst := []byte{7}
		got, err := v.AppendBinary(dst)
		var e *pcsc.PINEntryError
		if !errors.As(err, &e) || e.Field != strings.TrimSpace(name) || !strings.Contains(err.Error(), e.Field) {
			t.Errorf("%s: got %v", name, err)
		}
		if !bytes.Equal(got, dst) {
			t.Errorf("%s: got % X with an error, want dst unchanged", name, got)
		}
		m := &pcsc.PINModify{PINEntry: v.PINEntry}
		if _, err := m.AppendBinary(nil); err == nil {
			t.Errorf("%s: no error for a modification", name)
		}
	}
	m := &pcsc.PINModify{PINEntry: pivPIN, OffsetNew: 256}
	if _, err := m.AppendBinary(nil); err == nil || !strings.Contains(err.Error(), "OffsetNew") {
		t.Errorf("got %v", err)
	}
}

func TestParseFeatures(t *testing.T) {
	// The list of a PIN pad as the CCID driver writes it.
	list, _ := hex.DecodeString("060442330006" + "070442330007" + "0A044233000A" + "120442330012")
	f, err := pcsc.ParseFeatures(list)
	if err != nil || len(f) != 4 || f[pcsc.FEATURE_VERIFY_PIN_DIRECT] != 0x42330006 || f[pcsc.FEATURE_GET_TLV_PROPERTIES] != 0x42330012 {
		t.Errorf("got %v, %v", f, err)
	}
	if f, err := pcsc.ParseFeatures(nil); err != nil || len(f) != 0 {
		t.Errorf("empty list: got %v, %v", f, err)
	}
	twice := append(bytes.Clone(list[:6]), 6, 4, 1, 1, 1, 1)
	if f, err := pcsc.ParseFeatures(twice); err != nil || f[pcsc.FEATURE_VERIFY_PIN_DIRECT] != 0x42330006 {
		t.Errorf("twice: got %v, %v, want the first", f, err)
	}
	for _, bad := range []string{"06", "0604423300", "060342330006", "06044233000607"} {
		b, _ := hex.DecodeString(bad)
		if f, err := pcsc.ParseFeatures(b); err == nil || f != nil {
			t.Errorf("%s: got %v, %v, want an error", bad, f, err)
		}
	}
	for f, want := range map[pcsc.Feature]string{pcsc.FEATURE_EXECUTE_PACE: "FEATURE_EXECUTE_PACE", 0x77: "feature 77"} {
		if f.String() != want {
			t.Errorf("got %q, want %q", f, want)
		}
	}
}
