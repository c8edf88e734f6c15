package iso7816

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// An atrVector is a case of testdata/atr.json.gz.
type atrVector struct {
	ATR    string
	Expect struct {
		OK           bool
		Error        string
		Convention   string
		T0           string
		Interface    []struct{ TA, TB, TC, TD *string }
		TDProtocols  []int `json:"TD_protocols"`
		Protocols    []int
		TCKRequired  bool `json:"tck_required"`
		Historical   string
		TCK          *string `json:"tck"`
		TCKOK        *bool   `json:"tck_ok"`
		Fi, Di, N    *int
		SpecificMode *struct {
			T              int
			CanChange      bool `json:"can_change"`
			ImplicitParams bool `json:"implicit_params"`
		} `json:"specific_mode"`
		WI *int
		T1 *struct {
			IFSC, BWI, CWI int
			EDC            string
		}
		T15 *struct {
			ClockStop string  `json:"clock_stop"`
			Class     *string `json:"class"`
		}
		Hist *struct {
			Category         string
			DIRDataReference string `json:"dir_data_reference"`
			CompactTLV       []struct {
				Tag   byte
				Value string
			} `json:"compact_tlv"`
			Status, Error, Note string
		}
	}
}

func readATRVectors(t testing.TB) (listed, malformed []atrVector) {
	t.Helper()
	f, err := os.Open("testdata/atr.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Cases, Malformed []atrVector }
	if err := json.NewDecoder(z).Decode(&v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cases) != 3542 || len(v.Malformed) != 235 {
		t.Fatalf("got %d and %d vectors, want 3542 and 235", len(v.Cases), len(v.Malformed))
	}
	return v.Cases, v.Malformed
}

// atrReasons has our reason for that of the vectors, where it differs.
var atrReasons = map[string]string{
	"shorter than TS T0":            "shorter than TS and T0",
	"TCK wrong and bytes after TCK": "TCK wrong",
}

// atrFaults has what ParseATRLenient tells instead.
var atrFaults = map[string]ATRFault{
	"TCK wrong":                     FaultTCK,
	"TCK required but missing":      FaultNoTCK,
	"bytes after TCK":               FaultTrailing,
	"TCK wrong and bytes after TCK": FaultTCK | FaultTrailing,
	"bytes after the historical bytes though no TCK is due": FaultTrailing,
}

func TestATR_vectors(t *testing.T) {
	listed, malformed := readATRVectors(t)
	refused, faulty := 0, 0
	for _, v := range slices.Concat(listed, malformed) {
		raw := unhex(v.ATR)
		e := &v.Expect
		a, err := ParseATR(raw)
		if (err == nil) != e.OK {
			t.Errorf("%s: got error %v, want ok %v %s", v.ATR, err, e.OK, e.Error)
			continue
		}
		if err != nil {
			if a != (ATR{}) {
				t.Errorf("%s: got an ATR beside the error", v.ATR)
			}
			s, ok := errors.AsType[*SyntaxError](err)
			want := e.Error
			if r, ok := atrReasons[want]; ok {
				want = r
			}
			if !ok || s.What != "ATR" || s.Reason != want || s.Offset < 0 || s.Offset > len(raw) {
				t.Errorf("%s: got %v, want the reason %q", v.ATR, err, want)
			}
			a, err = ParseATRLenient(raw)
			fault, ok := atrFaults[e.Error]
			if (err == nil) != ok || a.Fault() != fault {
				t.Errorf("%s: lenient: got %v, fault %v, want %v", v.ATR, err, a.Fault(), fault)
			}
			if err != nil {
				refused++
				continue
			}
			faulty++
		} else if lenient, err := ParseATRLenient(raw); err != nil || lenient != a || a.Fault() != 0 {
			t.Errorf("%s: lenient: got %v, %v, want the same", v.ATR, lenient, err)
		}
		checkATR(t, v, &a, raw)
	}
	if refused != 111 || faulty != 178 {
		t.Errorf("got %d refused and %d faulty, want 111 and 178", refused, faulty)
	}
}

// checkATR compares a with the vector field by field.
func checkATR(t *testing.T, v atrVector, a *ATR, raw []byte) {
	t.Helper()
	e := &v.Expect
	if got, err := a.AppendBinary(nil); err != nil || !bytes.Equal(got, raw) || a.Len() != len(raw) {
		t.Errorf("%s: appended %X, %v", v.ATR, got, err)
	}
	if got := a.String(); got != strings.ToUpper(v.ATR) {
		t.Errorf("%s: got text %s", v.ATR, got)
	}
	byteOf := func(s *string) InterfaceByte {
		if s == nil {
			return InterfaceByte{}
		}
		return Interface(unhex(*s)[0])
	}
	groups := slices.Collect(a.Groups())
	// The vectors leave out groups without bytes.
	var want, got []InterfaceBytes
	for _, g := range e.Interface {
		want = append(want, InterfaceBytes{TA: byteOf(g.TA), TB: byteOf(g.TB), TC: byteOf(g.TC), TD: byteOf(g.TD)})
	}
	var tds []int
	for i, g := range groups {
		if i > 0 {
			tds = append(tds, g.Protocol)
		}
		if a.Group(i+1) != g {
			t.Errorf("%s: Group(%d) is not that of Groups", v.ATR, i+1)
		}
		if g.Protocol = 0; g != (InterfaceBytes{}) {
			got = append(got, g)
		}
	}
	want = slices.DeleteFunc(want, func(g InterfaceBytes) bool { return g == (InterfaceBytes{}) })
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: interface bytes (-want +got):\n%s", v.ATR, d)
	}
	if !slices.Equal(tds, e.TDProtocols) {
		t.Errorf("%s: got TDs %v, want %v", v.ATR, tds, e.TDProtocols)
	}
	protocols := slices.Collect(a.Protocols())
	if !slices.Equal(protocols, e.Protocols) || a.FirstOffered() != e.Protocols[0] || !a.Offers(protocols[len(protocols)-1]) || a.Offers(15) {
		t.Errorf("%s: got protocols %v, want %v", v.ATR, protocols, e.Protocols)
	}
	type line struct {
		convention, historical string
		needTCK                bool
		tck                    InterfaceByte
		fi, di, n              int
	}
	value := func(p *int) int {
		if p == nil {
			return 0 // reserved
		}
		return *p
	}
	gotLine := line{a.Convention().String(), hexOf(a.HistoricalBytes()), a.needsTCK(), a.TCK(), a.Fi(), a.Di(), a.N()}
	wantLine := line{e.Convention, e.Historical, e.TCKRequired, byteOf(e.TCK), value(e.Fi), value(e.Di), value(e.N)}
	if e.Fi == nil && e.Di == nil { // the vectors give up on both when one is reserved
		if gotLine.fi != 0 && gotLine.di != 0 {
			t.Errorf("%s: got Fi %d and Di %d, want one reserved", v.ATR, gotLine.fi, gotLine.di)
		}
		gotLine.fi, gotLine.di = 0, 0
	}
	if gotLine != wantLine {
		t.Errorf("%s: got %+v, want %+v", v.ATR, gotLine, wantLine)
	}
	m, ok := a.SpecificMode()
	if s := e.SpecificMode; ok != (s != nil) || ok && m != (SpecificMode{s.T, s.CanChange, s.ImplicitParams}) {
		t.Errorf("%s: got specific mode %+v %v, want %+v", v.ATR, m, ok, s)
	} else if ok && a.DefaultProtocol() != s.T || !ok && a.DefaultProtocol() != e.Protocols[0] {
		t.Errorf("%s: got default protocol %d", v.ATR, a.DefaultProtocol())
	}
	if e.WI != nil && a.WI() != *e.WI || e.WI == nil && a.WI() != 10 {
		t.Errorf("%s: got WI %d", v.ATR, a.WI())
	}
	if p := a.T1(); e.T1 != nil && (p.IFSC != e.T1.IFSC || p.BWI != e.T1.BWI || p.CWI != e.T1.CWI || p.EDC.String() != e.T1.EDC) {
		t.Errorf("%s: got T=1 parameters %+v, want %+v", v.ATR, p, *e.T1)
	}
	stop, classes, ok := a.Global()
	if ok != (e.T15 != nil) {
		t.Errorf("%s: got a TA for T=15 %v, want %v", v.ATR, ok, e.T15 != nil)
	} else if ok {
		class := "reserved"
		if e.T15.Class != nil {
			class = *e.T15.Class
		}
		if stop.String() != e.T15.ClockStop || classes.String() != class {
			t.Errorf("%s: got clock stop %v, classes %v, want %+v", v.ATR, stop, classes, *e.T15)
		}
	}
	checkHistorical(t, v, a.HistoricalBytes())
}

func checkHistorical(t *testing.T, v atrVector, raw []byte) {
	t.Helper()
	h, err := ParseHistoricalBytes(raw)
	e := v.Expect.Hist
	if e == nil {
		if len(raw) != 0 || err != nil || h.String() != "none" {
			t.Errorf("%s: got historical bytes %v, %v, want none", v.ATR, h, err)
		}
		return
	}
	if got := fmt.Sprintf("%02X", byte(h.Category)); got != e.Category {
		t.Errorf("%s: got category %s, want %s", v.ATR, got, e.Category)
	}
	if (err == nil) != (e.Error == "") {
		t.Errorf("%s: historical bytes: got error %v, want %q", v.ATR, err, e.Error)
	}
	if s, ok := errors.AsType[*SyntaxError](err); err != nil && (!ok || s.Offset < 1 || s.Offset > len(raw)) {
		t.Errorf("%s: got error %v, want a *SyntaxError at an offset in 1..%d", v.ATR, err, len(raw))
	}
	i := 0
	for o, err := range tlv.AllCompact(h.Objects) {
		if err != nil || i >= len(e.CompactTLV) || o.Tag != e.CompactTLV[i].Tag || hexOf(o.Value) != e.CompactTLV[i].Value {
			t.Errorf("%s: object %d: got %v, %v", v.ATR, i, o, err)
			break
		}
		i++
	}
	if i != len(e.CompactTLV) {
		t.Errorf("%s: got %d objects, want %d", v.ATR, i, len(e.CompactTLV))
	}
	if e.DIRDataReference != "" && fmt.Sprintf("%02X", h.DIRDataReference) != e.DIRDataReference {
		t.Errorf("%s: got DIR data reference %02X, want %s", v.ATR, h.DIRDataReference, e.DIRDataReference)
	}
	var status string
	if s, ok := h.Status(); ok {
		if s.HasLifeCycle {
			status = fmt.Sprintf("%02X", byte(s.LifeCycle))
		}
		if s.HasStatus {
			status += fmt.Sprintf("%04X", uint16(s.Status))
		}
	}
	if n := len(e.Status) / 2; n >= 1 && n <= 3 && status != e.Status || n == 0 && status != "" {
		t.Errorf("%s: got status indicator %s, want %s", v.ATR, status, e.Status)
	}
	switch {
	case e.Note == "proprietary" && !strings.Contains(h.Category.String(), "proprietary"),
		e.Note == "RFU category" && !strings.Contains(h.Category.String(), "reserved"):
		t.Errorf("%s: got category %v, want %s", v.ATR, h.Category, e.Note)
	}
	if h.String() == "" {
		t.Errorf("%s: historical bytes have no text", v.ATR)
	}
}

func TestParseATR_saysWhereAndWhy(t *testing.T) {
	for _, tt := range []struct{ hex, want string }{
		{"", "iso7816: malformed ATR at offset 0: shorter than TS and T0"},
		{"3B", "iso7816: malformed ATR at offset 1: shorter than TS and T0"},
		{"0300", "iso7816: malformed ATR at offset 0: TS is neither 3B nor 3F"},
		{"3B10", "iso7816: malformed ATR at offset 2: interface byte TA1 missing"},
		{"3B8080", "iso7816: malformed ATR at offset 3: interface byte TD2 missing"},
		{"3B0180", ""},
		{"3B0280", "iso7816: malformed ATR at offset 3: fewer historical bytes than T0 announces"},
		{"3B8001", "iso7816: malformed ATR at offset 3: TCK required but missing"},
		{"3B800180", "iso7816: malformed ATR at offset 3: TCK wrong"},
		{"3B800181", ""},
		{"3B808100", "iso7816: malformed ATR at offset 4: TCK required but missing"}, // T=1, then T=0
		{"3B80810001", ""},
		{"3B80018100", "iso7816: malformed ATR at offset 4: bytes after TCK"},
		{"3B0000", "iso7816: malformed ATR at offset 2: bytes after the historical bytes though no TCK is due"},
		{"3B00" + strings.Repeat("00", 32), "iso7816: malformed ATR at offset 33: longer than 33 bytes"},
		{"3B" + strings.Repeat("80", 31) + "00", ""}, // TDs as many as there can be
	} {
		got := ""
		if _, err := ParseATR(unhex(tt.hex)); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.hex, got, tt.want)
		}
	}
}

func TestATR_text(t *testing.T) {
	var a ATR
	if err := a.UnmarshalText([]byte("3b 80 01 81")); err != nil || a.String() != "3B800181" {
		t.Errorf("got %v, %v", a, err)
	}
	text, err := a.MarshalText()
	if err != nil || string(text) != "3B800181" {
		t.Errorf("got %s, %v", text, err)
	}
	kept := a
	for _, bad := range []string{"3B8", "XY", "4B00"} {
		if err := a.UnmarshalText([]byte(bad)); err == nil || a != kept {
			t.Errorf("%s: got %v and nil, want an error and the ATR kept", bad, a)
		}
	}
	if err := a.UnmarshalText(nil); err != nil || a != (ATR{}) {
		t.Errorf("got %v, %v, want the zero ATR", a, err)
	}
	if got := (FaultTCK | FaultTrailing).String(); got != "TCK wrong, bytes after the end" {
		t.Errorf("got %q", got)
	}
}

func TestATR_zeroHasTheDefaults(t *testing.T) {
	var a ATR
	if n := len(slices.Collect(a.Groups())); n != 0 || a.Len() != 0 || a.HistoricalBytes() != nil || a.TCK().Present {
		t.Errorf("got %d groups, %d bytes", n, a.Len())
	}
	if a.Fi() != DefaultF || a.Di() != DefaultD || a.MaxFrequency() != 5e6 || a.WI() != 10 || a.FirstOffered() != 0 || a.DefaultProtocol() != 0 ||
		a.T1() != (T1Parameters{IFSC: 32, BWI: 4, CWI: 13}) || a.SPU().Present {
		t.Error("got other values than the defaults of the standard")
	}
}

func TestATR_parameters(t *testing.T) {
	for _, tt := range []struct {
		ta1          byte
		fi, di, fmax int
	}{
		{0x01, 372, 1, 4e6}, {0x11, 372, 1, 5e6}, {0x22, 558, 2, 6e6}, {0x33, 744, 4, 8e6}, {0x44, 1116, 8, 12e6},
		{0x55, 1488, 16, 16e6}, {0x66, 1860, 32, 20e6}, {0x77, 0, 64, 0}, {0x88, 0, 12, 0}, {0x99, 512, 20, 5e6},
		{0xAA, 768, 0, 7.5e6}, {0xB0, 1024, 0, 10e6}, {0xC5, 1536, 16, 15e6}, {0xDF, 2048, 0, 20e6}, {0xE1, 0, 1, 0}, {0xF1, 0, 1, 0},
	} {
		a, err := NewATR(DirectConvention, []InterfaceBytes{{TA: Interface(tt.ta1)}}, nil)
		if err != nil || a.Fi() != tt.fi || a.Di() != tt.di || a.MaxFrequency() != tt.fmax {
			t.Errorf("TA1 %02X: got %d, %d, %d, %v, want %d, %d, %d", tt.ta1, a.Fi(), a.Di(), a.MaxFrequency(), err, tt.fi, tt.di, tt.fmax)
		}
	}
	a, err := NewATR(InverseConvention, []InterfaceBytes{
		{TC: Interface(255)}, {}, {Protocol: 1, TA: Interface(254), TC: Interface(1)}, {Protocol: 1, TA: Interface(32), TB: Interface(0x95)},
		{Protocol: 15, TA: Interface(0x85), TB: Interface(0x81)},
	}, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if p := a.T1(); p != (T1Parameters{IFSC: 254, BWI: 9, CWI: 5, EDC: CRC}) || p.EDC.String() != "CRC" {
		t.Errorf("got %+v", p)
	}
	if stop, classes, ok := a.Global(); stop != ClockStopHigh || classes.Valid() || classes.String() != "reserved" || !ok || a.SPU() != Interface(0x81) {
		t.Errorf("got %v, %v, %v, %v", stop, classes, ok, a.SPU())
	}
	if a.Convention().String() != "inverse" || a.N() != 255 || string(a.HistoricalBytes()) != "hello" || a.Offers(15) || !a.Offers(1) || !a.Offers(0) {
		t.Errorf("got %v", a)
	}
}

func TestNewATR_refusesWhatDoesNotFit(t *testing.T) {
	long := make([]InterfaceBytes, 32)
	for _, tt := range []struct {
		name       string
		groups     []InterfaceBytes
		historical int
	}{
		{"16 historical bytes", nil, 16},
		{"a protocol above 15", []InterfaceBytes{{}, {Protocol: 16}}, 0},
		{"a protocol below 0", []InterfaceBytes{{}, {Protocol: -1}}, 0},
		{"a protocol in the first group", []InterfaceBytes{{Protocol: 1}}, 0},
		{"too many groups", append(long, make([]InterfaceBytes, 1000)...), 0},
		{"34 bytes", long, 1},
	} {
		_, err := NewATR(DirectConvention, tt.groups, make([]byte, tt.historical))
		if _, ok := errors.AsType[*SyntaxError](err); !ok {
			t.Errorf("%s: got %v, want a *SyntaxError", tt.name, err)
		}
	}
	if _, err := NewATR(0x03, nil, nil); err == nil {
		t.Error("got nil for TS 03, want an error")
	}
	if a, err := NewATR(DirectConvention, long, nil); err != nil || a.Len() != 33 {
		t.Errorf("33 bytes: got %v, %v", a, err)
	}
}

func TestATR_Timing(t *testing.T) {
	parse := func(s string) *ATR {
		a, err := ParseATR(unhex(s))
		if err != nil {
			t.Fatal(err)
		}
		return &a
	}
	global, err := NewATR(DirectConvention, []InterfaceBytes{{TA: Interface(0x94), TC: Interface(10)}, {Protocol: 15}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Worked out by hand from the formulas: at 3.72 MHz with F 372 and D 1 an etu
	// is 100 µs.
	us := time.Microsecond
	for _, tt := range []struct {
		name string
		atr  *ATR
		line Line
		want Timing
	}{
		{"the defaults", parse("3B00"), Line{Frequency: 3.72e6}, Timing{
			ETU: 100 * us, GT: 1200 * us, CGT: 1200 * us, WT: 960 * 1000 * us, BGT: 2200 * us, CWT: 820300 * us, BWT: 1100*us + 1536000*us,
		}},
		{"N 255 is the shortest guard time", parse("3B40FF"), Line{Frequency: 3.72e6}, Timing{
			ETU: 100 * us, GT: 1200 * us, CGT: 1100 * us, WT: 960 * 1000 * us, BGT: 2200 * us, CWT: 820300 * us, BWT: 1100*us + 1536000*us,
		}},
		{"N 10 adds 10 etu", parse("3B400A"), Line{Frequency: 3.72e6}, Timing{
			ETU: 100 * us, GT: 2200 * us, CGT: 2200 * us, WT: 960 * 1000 * us, BGT: 2200 * us, CWT: 820300 * us, BWT: 1100*us + 1536000*us,
		}},
		{"specific mode uses TA1: D 4", parse("3B9C131181647265616D6372797074900599"), Line{Frequency: 3.72e6}, Timing{
			ETU: 25 * us, GT: 300 * us, CGT: 300 * us, WT: 960 * 1000 * us, BGT: 550 * us, CWT: 205075 * us, BWT: 275*us + 1536000*us,
		}},
		{"F and D given", parse("3B00"), Line{Frequency: 3.72e6, F: 744, D: 4}, Timing{
			ETU: 50 * us, GT: 600 * us, CGT: 600 * us, WT: 960 * 1000 * us, BGT: 1100 * us, CWT: 410150 * us, BWT: 550*us + 1536000*us,
		}},
		{"N counts with Fi and Di of TA1 when T=15 is named", &global, Line{Frequency: 3.72e6}, Timing{
			ETU: 100 * us, GT: 1200*us + 172044, CGT: 1200*us + 172044, WT: 1321290323, BGT: 2200 * us, CWT: 820300 * us, BWT: 1100*us + 1536000*us,
		}},
	} {
		got, err := tt.atr.Timing(tt.line)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}

	for _, tt := range []struct {
		name     string
		groups   []InterfaceBytes
		line     Line
		reserved bool
	}{
		{"no frequency", nil, Line{}, false},
		{"2 GHz", nil, Line{Frequency: 2e9}, false},
		{"F alone", nil, Line{Frequency: 1e6, F: 372}, false},
		{"D of 65", nil, Line{Frequency: 1e6, F: 372, D: 65}, false},
		{"implicit F and D", []InterfaceBytes{{}, {TA: Interface(0x10)}}, Line{Frequency: 1e6}, false},
		{"TA1 reserved in specific mode", []InterfaceBytes{{TA: Interface(0x70)}, {TA: Interface(0)}}, Line{Frequency: 1e6}, true},
		{"TA1 reserved beside T=15", []InterfaceBytes{{TA: Interface(0x70)}, {Protocol: 15}}, Line{Frequency: 1e6}, true},
		{"WI 0", []InterfaceBytes{{}, {TC: Interface(0)}}, Line{Frequency: 1e6}, true},
		{"BWI 10", []InterfaceBytes{{}, {Protocol: 1}, {Protocol: 1, TB: Interface(0xA0)}}, Line{Frequency: 1e6}, true},
	} {
		a, err := NewATR(DirectConvention, tt.groups, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Timing(tt.line); err == nil || got != (Timing{}) || errors.Is(err, ErrReserved) != tt.reserved {
			t.Errorf("%s: got %+v, %v, want an error, reserved %v", tt.name, got, err, tt.reserved)
		}
	}
	// The slowest of everything is finite, on the slowest clock too.
	slow, err := NewATR(DirectConvention, []InterfaceBytes{{TA: Interface(0xD1), TC: Interface(254)}, {TC: Interface(255)}, {Protocol: 1, TB: Interface(0x9F)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := slow.Timing(Line{Frequency: 1000, F: 2048, D: 1})
	want := Timing{
		ETU: 2048 * time.Millisecond, GT: 266 * 2048 * time.Millisecond, CGT: 266 * 2048 * time.Millisecond, WT: 255 * 960 * 2048 * time.Millisecond,
		BGT: 22 * 2048 * time.Millisecond, CWT: (11 + 32768) * 2048 * time.Millisecond, BWT: (11*2048 + 512*960*372) * time.Millisecond,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestATR_allocatesNothing(t *testing.T) {
	raw := atrYubiKey
	dst := make([]byte, 0, MaxATR)
	if n := testing.AllocsPerRun(100, func() {
		a, err := ParseATR(raw)
		if err != nil || !a.Offers(1) || a.T1().IFSC == 0 || a.Fi() == 0 {
			t.Fatal(err)
		}
		h, err := ParseHistoricalBytes(a.HistoricalBytes())
		if c, ok := h.CardCapabilities(); err != nil || !ok || !c.Functions.Has(CommandChaining) {
			t.Fatal(err)
		}
		if _, err := a.Timing(Line{Frequency: 4e6}); err != nil {
			t.Fatal(err)
		}
		dst, _ = a.AppendBinary(dst[:0])
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
