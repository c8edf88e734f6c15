package apdu_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

func TestStatus_vectors(t *testing.T) {
	var f struct {
		Rows []struct {
			SW, Class string
			Counter   *int
			More      int
			ExactNe   int `json:"exact_ne"`
		}
	}
	readJSON(t, "status-words.json", &f)
	if len(f.Rows) != 6144 {
		t.Fatalf("got %d rows, want 6144", len(f.Rows))
	}
	classes := map[string]apdu.StatusClass{
		"invalid": apdu.ClassInvalid, "normal": apdu.ClassNormal, "warning": apdu.ClassWarning, "execution error": apdu.ClassExecutionError,
		"checking error": apdu.ClassCheckingError, "proprietary": apdu.ClassProprietary,
	}
	for _, v := range f.Rows {
		s := apdu.Status(binary.BigEndian.Uint16(unhex(t, v.SW)))
		want, ok := classes[v.Class]
		if !ok {
			t.Fatalf("unknown class %q", v.Class)
		}
		if got := s.Class(); got != want {
			t.Errorf("%v: Class: got %v, want %v (%s)", s, got, want, v.Class)
		}
		if got := s.Warning(); got != (want == apdu.ClassWarning) {
			t.Errorf("%v: Warning: got %v", s, got)
		}
		counter := -1
		if v.Counter != nil {
			counter = *v.Counter
		}
		if got := s.Retries(); got != counter {
			t.Errorf("%v: Retries: got %d, want %d", s, got, counter)
		}
		if got := s.More(); got != v.More {
			t.Errorf("%v: More: got %d, want %d", s, got, v.More)
		}
		if got := s.ExactNe(); got != v.ExactNe {
			t.Errorf("%v: ExactNe: got %d, want %d", s, got, v.ExactNe)
		}
		if got := s.OK(); got != (v.SW == "9000") {
			t.Errorf("%v: OK: got %v", s, got)
		}
		if got := s.String(); got != v.SW {
			t.Errorf("got %q, want %q", got, v.SW)
		}
		if s.Meaning() == "" {
			t.Errorf("%v: got no meaning", s)
		}
	}
}

func TestStatus_Is(t *testing.T) {
	for _, tt := range []struct {
		status, target apdu.Status
		want           bool
	}{
		{0x63C2, apdu.StatusVerificationFailed, true},
		{0x63C0, apdu.StatusVerificationFailed, true},
		{0x63C2, 0x63C2, true},
		{0x63C2, 0x63C1, false},
		{0x63D2, apdu.StatusVerificationFailed, false},
		{0x6300, apdu.StatusVerificationFailed, false},
		{0x6110, apdu.StatusMoreAvailable, true},
		{0x6C10, apdu.StatusWrongLe, true},
		{0x6C10, apdu.StatusWrongLength, false},
		{0x6A82, apdu.StatusFileNotFound, true},
		{0x6A82, 0x6A00, false}, // a general status is no family
		{apdu.StatusVerificationFailed, 0x63C2, false},
	} {
		err := fmt.Errorf("iso7816: VERIFY: %w", tt.status)
		if got := errors.Is(err, tt.target); got != tt.want {
			t.Errorf("%v Is %v: got %v, want %v", tt.status, tt.target, got, tt.want)
		}
	}
	if errors.Is(apdu.StatusOK, apdu.ErrReset) {
		t.Error("9000 Is ErrReset: got true, want false")
	}
}

func TestStatus_Error(t *testing.T) {
	for s, want := range map[apdu.Status]string{
		0x9000: "9000 success",
		0x6105: "6105 5 more bytes available",
		0x6101: "6101 1 more byte available",
		0x6100: "6100 256 or more bytes available",
		0x6202: "6202 the card has a query of 2 bytes",
		0x6281: "6281 part of the returned data may be corrupted",
		0x63C0: "63C0 verification failed, no try left",
		0x63C1: "63C1 verification failed, 1 try left",
		0x63C2: "63C2 verification failed, 2 tries left",
		0x6410: "6410 execution stopped, the card has a query of 16 bytes",
		0x6982: "6982 security status not satisfied",
		0x6A8F: "6A8F wrong parameters P1-P2",
		0x6C00: "6C00 wrong Le, exactly 256 bytes available",
		0x6C01: "6C01 wrong Le, exactly 1 byte available",
		0x9F10: "9F10 meaning defined by the application",
		0x6000: "6000 not a status of ISO/IEC 7816-4",
		0x0000: "0000 not a status of ISO/IEC 7816-4",
	} {
		if got := s.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestInstruction(t *testing.T) {
	for _, tt := range []struct {
		ins        apdu.Instruction
		text       string
		valid, odd bool
	}{
		{apdu.InsSelect, "SELECT", true, false},
		{0xB2, "READ RECORD", true, false},
		{0xB3, "READ RECORD", true, true},
		{0xD6, "UPDATE BINARY", true, false},
		{0xD7, "UPDATE BINARY", true, true},
		{0xFD, "INS FD", true, true},
		{0x60, "INS 60", false, false},
		{0x9F, "INS 9F", false, true},
	} {
		if got := tt.ins.String(); got != tt.text {
			t.Errorf("%02X: String: got %q, want %q", byte(tt.ins), got, tt.text)
		}
		if got := tt.ins.Valid(); got != tt.valid {
			t.Errorf("%02X: Valid: got %v, want %v", byte(tt.ins), got, tt.valid)
		}
		if got := tt.ins.Odd(); got != tt.odd {
			t.Errorf("%02X: Odd: got %v, want %v", byte(tt.ins), got, tt.odd)
		}
	}
}
