package piv

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// A vector is a data object of an ICAM test card, without its outer tag.
type vector struct {
	Card     string      `json:"card"`
	Object   string      `json:"object"`
	Hex      string      `json:"hex"`
	Elements [][2]string `json:"elements"`
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/objects.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Objects []vector }
	if err := json.Unmarshal(b, &file); err != nil || len(file.Objects) == 0 {
		t.Fatalf("%d objects, %v", len(file.Objects), err)
	}
	return file.Objects
}

// bytes returns the object with its outer tag.
func (v *vector) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	if v.Object == "discovery" {
		return b
	}
	return tlv.Append(nil, tagData, b)
}

// element returns the value of an element as the vector tells it.
func (v *vector) element(tag string) string {
	for _, e := range v.Elements {
		if e[0] == tag {
			return strings.ToUpper(e[1])
		}
	}
	return ""
}

// reparse parses an object and appends it again, and returns what it found.
func reparse(kind string, object []byte) (parsed any, again []byte, err error) {
	switch kind {
	case "chuid":
		c, err := ParseCHUID(object)
		if err != nil {
			return nil, nil, err
		}
		return c, c.AppendTo(nil), nil
	case "ccc":
		c, err := ParseCCC(object)
		if err != nil {
			return nil, nil, err
		}
		return c, c.AppendTo(nil), nil
	case "security":
		s, err := ParseSecurityObject(object)
		if err != nil {
			return nil, nil, err
		}
		return s, s.AppendTo(nil), nil
	case "printed":
		p, err := ParsePrintedInformation(object)
		if err != nil {
			return nil, nil, err
		}
		return p, p.AppendTo(nil), nil
	case "discovery":
		d, err := ParseDiscovery(object)
		if err != nil {
			return nil, nil, err
		}
		return d, d.AppendTo(nil), nil
	case "history":
		k, err := ParseKeyHistory(object)
		if err != nil {
			return nil, nil, err
		}
		return k, k.AppendTo(nil), nil
	}
	return nil, nil, fmt.Errorf("no such object: %s", kind)
}

func TestObjectsOfICAMCards(t *testing.T) {
	counts := map[string]int{}
	for _, v := range vectors(t) {
		t.Run(v.Card+" "+v.Object, func(t *testing.T) {
			counts[v.Object]++
			object := v.bytes(t)
			if v.Object == "fingerprints" { // opaque: biometrics
				var bc []byte
				if _, err := parseFields("fingerprints", object, []field{{tag: 0xBC, value: &bc}}); err != nil || fmt.Sprintf("%X", bc) != v.element("BC") {
					t.Errorf("got %d bytes, %v", len(bc), err)
				}
				return
			}
			parsed, again, err := reparse(v.Object, object)
			if v.Card == "25_Disco_Object_Not_Present" && v.Object == "discovery" {
				if err == nil { // it is empty
					t.Errorf("got %+v, want an error", parsed)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, object) {
				t.Errorf("appended again: got\n%X, want\n%X", again, object)
			}
			switch p := parsed.(type) {
			case *CHUID:
				want := fmt.Sprintf("%s %s %s %s", v.element("30"), v.element("34"), v.element("36"), v.element("35"))
				if got := fmt.Sprintf("%X %X %X %X", p.FASCN[:], p.GUID, p.CardholderUUID, p.ExpirationDate); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				fields, err := p.FASCN.Fields()
				if v.Card == "04_Tampered_CHUID" {
					if err == nil {
						t.Error("a tampered FASC-N: got nil, want an error")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if f, err := NewFASCN(fields); err != nil || f != p.FASCN {
					t.Errorf("FASC-N: got %X, %v; want %X", f, err, p.FASCN)
				}
				if d, err := p.Expires(); err != nil || d.Format("20060102") != p.ExpirationDate {
					t.Errorf("expires %v, %v", d, err)
				}
			case *CCC:
				if fmt.Sprintf("%X %X", p.CardIdentifier, p.PKCS15) != v.element("F0")+" "+v.element("F4") {
					t.Errorf("got %+v", p)
				}
			case *SecurityObject:
				if fmt.Sprintf("%X", p.Signed) != v.element("BB") || len(p.Containers)*6 != len(v.element("BA")) || len(p.Containers) == 0 {
					t.Errorf("got %d containers", len(p.Containers))
				}
			case *PrintedInformation:
				if fmt.Sprintf("%X %X", p.Name, p.Organization2) != v.element("01")+" "+v.element("08") {
					t.Errorf("got %+v", p)
				}
			case *Discovery:
				if !p.PIN || p.AID != AID {
					t.Errorf("got %+v", p)
				}
				if global := strings.Contains(v.Card, "Global"); global && (!p.GlobalPIN || !p.PreferGlobalPIN) {
					t.Errorf("%s: got %+v", v.Card, p)
				}
			}
		})
	}
	for _, object := range []string{"chuid", "ccc", "security", "printed", "discovery", "fingerprints"} {
		if counts[object] != 9 {
			t.Errorf("%d vectors of %s, want 9", counts[object], object)
		}
	}
}

func TestFASCN(t *testing.T) {
	for _, tt := range []struct{ hex, want string }{
		// The one for cards that no agency issued, as tools write it.
		{"D4E739DA739CED39CE739D836858210842108421C84210C3EB", "9999-9999-999999-0-1-0000000000-3-0000-1"},
	} {
		b, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		f := FASCN(b)
		if f.String() != tt.want {
			t.Errorf("got %s, want %s", f, tt.want)
		}
		for bit := range 200 {
			bad := f
			bad[bit/8] ^= 0x80 >> (bit % 8)
			if _, err := bad.Fields(); err == nil {
				t.Errorf("bit %d wrong: got nil, want an error", bit)
			}
		}
	}
	if (FASCN{}).String() != strings.Repeat("00", 25) {
		t.Error("what is no number is not shown as its bytes")
	}
	good := FASCNFields{"1234", "5678", "901234", "5", "6", "7890123456", "7", "8901", "2"}
	if f, err := NewFASCN(good); err != nil || f.String() != "1234-5678-901234-5-6-7890123456-7-8901-2" {
		t.Errorf("got %v, %v", f, err)
	}
	for _, bad := range []string{"", "123", "12345", "12a4"} {
		fields := good
		fields.Agency = bad
		if _, err := NewFASCN(fields); err == nil {
			t.Errorf("%q: got nil, want an error", bad)
		}
	}
}

func TestKeyHistory(t *testing.T) {
	for _, tt := range []struct {
		history KeyHistory
		want    string
	}{
		{KeyHistory{OnCard: 2}, "5308C10102C20100FE00"},
		{KeyHistory{OnCard: 1, OffCard: 2, URL: []byte("http://x")}, "5312C10101C20102F308687474703A2F2F78FE00"},
	} {
		b := tt.history.AppendTo(nil)
		if fmt.Sprintf("%X", b) != tt.want {
			t.Errorf("got %X, want %s", b, tt.want)
		}
		if k, err := ParseKeyHistory(b); err != nil || fmt.Sprint(*k) != fmt.Sprint(tt.history) {
			t.Errorf("got %+v, %v", k, err)
		}
	}
}

func TestObjectsThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ kind, name, hex string }{
		{"chuid", "nothing", ""},
		{"chuid", "another outer tag", "5400"},
		{"chuid", "bytes after it", "530000"},
		{"chuid", "neither FASC-N nor GUID", "53023E00"},
		{"chuid", "a short FASC-N", "5316" + "30020000" + "3410" + strings.Repeat("00", 16)},
		{"chuid", "a short GUID", "531E" + "3019" + strings.Repeat("00", 25) + "340100"},
		{"chuid", "an element that is cut", "53033019 00"},
		{"history", "no numbers", "5302FE00"},
		{"history", "21 keys", "5306C10114C20101"},
		{"history", "numbers of two bytes", "5308C1020001C2020001"},
		{"security", "half a mapping", "5306BA020102BB00"},
		{"discovery", "nothing", ""},
		{"discovery", "no policy", "7E0D4F0BA000000308000010000100"},
		{"discovery", "a policy of one byte", "7E114F0BA0000003080000100001005F2F0140"},
		{"discovery", "no identifier", "7E055F2F024000"},
		{"discovery", "an identifier of 17 bytes", "7E184F11" + strings.Repeat("A0", 17) + "5F2F024000"},
		{"ccc", "an element that is cut", "5302F005"},
		{"printed", "an element that is cut", "53020105"},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := reparse(tt.kind, b); err == nil || !strings.HasPrefix(err.Error(), "piv: ") {
			t.Errorf("%s, %s: got %+v, %v; want an error", tt.kind, tt.name, got, err)
		}
	}
}

func TestObjectsOfANewCard(t *testing.T) {
	c, _, _ := open(t, nil)
	chuid, err := c.CHUID(ctx)
	if err != nil || chuid.FASCN.String() != "9999-9999-999999-0-1-0000000000-3-0000-1" || chuid.GUID == ([16]byte{}) {
		t.Errorf("got %+v, %v", chuid, err)
	}
	if ccc, err := c.CCC(ctx); err != nil || len(ccc.CardIdentifier) != 21 {
		t.Errorf("got %+v, %v", ccc, err)
	}
	manage(t, c)
	want := KeyHistory{OnCard: 3}
	if err := c.PutObject(ctx, ObjectKeyHistory, want.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if k, err := c.KeyHistory(ctx); err != nil || k.OnCard != 3 {
		t.Errorf("got %+v, %v", k, err)
	}
	printed := PrintedInformation{Name: []byte("Holder")}
	if err := c.PutObject(ctx, ObjectPrintedInformation, printed.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PrintedInformation(ctx); err == nil {
		t.Error("printed information without the PIN: got nil, want an error")
	}
	if err := c.VerifyPIN(ctx, testPIN); err != nil {
		t.Fatal(err)
	}
	if p, err := c.PrintedInformation(ctx); err != nil || string(p.Name) != "Holder" {
		t.Errorf("got %+v, %v", p, err)
	}
}

// FuzzObjects parses anything as each object; what parses can be appended and parsed
// again to the same.
func FuzzObjects(f *testing.F) {
	for _, v := range vectors(f) {
		if b := v.bytes(f); len(b) < 1000 {
			f.Add(b)
		}
	}
	f.Add([]byte("\x53\x08\xC1\x01\x02\xC2\x01\x00\xFE\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range []string{"chuid", "ccc", "security", "printed", "discovery", "history"} {
			_, once, err := reparse(kind, b)
			if err != nil {
				continue
			}
			_, twice, err := reparse(kind, once)
			if err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%s: %X became %X and then %X, %v", kind, b, once, twice, err)
			}
		}
		ParseCertificateObject(b)
	})
}
