package cryptoki

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type uriCase struct {
	URI    string `json:"uri"`
	Strict struct {
		Valid       bool              `json:"valid"`
		Path, Query map[string]string `json:"-"`
		RawPath     map[string]string `json:"path"`
		RawQuery    map[string]string `json:"query"`
		Unknown     []string          `json:"unknown"`
		Reason      string            `json:"reason"`
	} `json:"rfc7512_strict"`
	P11Kit string `json:"p11kit_0.24.1"`
}

func uriCases(t testing.TB) []uriCase {
	t.Helper()
	b, err := os.ReadFile("testdata/uri.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Cases []uriCase }
	if err := json.Unmarshal(b, &f); err != nil || len(f.Cases) < 90 {
		t.Fatalf("%d cases, %v", len(f.Cases), err)
	}
	return f.Cases
}

var allowAll = &URIOptions{AllowPINValue: true, AllowModulePath: true}

func TestURIOfRFC7512(t *testing.T) {
	agree := 0
	for _, tt := range uriCases(t) {
		if tt.Strict.Valid == (tt.P11Kit == "OK") {
			agree++
		}
		u, err := ParseURI(tt.URI, allowAll)
		if !tt.Strict.Valid {
			if e, ok := errors.AsType[*URIError](err); !ok {
				t.Errorf("%q: got %v, %v; want an error: %s", tt.URI, u, e, tt.Strict.Reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.URI, err)
			continue
		}
		for _, attributes := range []map[string]string{tt.Strict.RawPath, tt.Strict.RawQuery} {
			for name, want := range attributes {
				got, ok := u.Get(name)
				if name == URIID {
					got = hex.EncodeToString([]byte(got))
				}
				if name == "aaa" { // there twice; the file has the last
					want = "xxx"
				}
				if !ok || got != want {
					t.Errorf("%q: %s: got %q, %v; want %q", tt.URI, name, got, ok, want)
				}
			}
		}
		again, err := ParseURI(u.InsecureString(), allowAll)
		if err != nil || again.InsecureString() != u.InsecureString() {
			t.Errorf("%q: printed as %q, parsed again as %v, %v", tt.URI, u.InsecureString(), again, err)
		}
	}
	if agree < 70 {
		t.Errorf("p11-kit agrees in %d cases only", agree)
	}
}

func TestURIIsRefusedUnlessAllowed(t *testing.T) {
	for _, tt := range []struct {
		uri  string
		opts *URIOptions
		want error
	}{
		{"pkcs11:?pin-value=1234", nil, ErrPINValue},
		{"pkcs11:?pin-value=1234", &URIOptions{AllowModulePath: true}, ErrPINValue},
		{"pkcs11:?pin-value=1234", &URIOptions{AllowPINValue: true}, nil},
		{"pkcs11:?module-path=/lib/x.so", nil, ErrModulePath},
		{"pkcs11:?module-path=/lib/x.so", &URIOptions{AllowPINValue: true}, ErrModulePath},
		{"pkcs11:?module-path=/lib/x.so", &URIOptions{AllowModulePath: true}, nil},
		{"pkcs11:?module-name=x&pin-source=/etc/pin", nil, nil},
	} {
		_, err := ParseURI(tt.uri, tt.opts)
		if !errors.Is(err, tt.want) || err != nil && strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: got %v, want %v", tt.uri, err, tt.want)
		}
	}
	if _, err := ParseURI("pkcs11:object="+strings.Repeat("a", maxURI), nil); err == nil {
		t.Error("a long URI: got nil, want an error")
	}
}

func TestURIDoesNotPrintItsPIN(t *testing.T) {
	u, err := ParseURI("pkcs11:token=t?pin-value=secret%20pin", allowAll)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{u, struct{ U *URI }{u}} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, "secret") || strings.Contains(got, "736563726574") {
				t.Errorf("%s shows the PIN: %s", verb, got)
			}
		}
	}
	if got := u.InsecureString(); got != "pkcs11:token=t?pin-value=secret%20pin" {
		t.Errorf("got %s", got)
	}
	if got := u.String(); got != "pkcs11:token=t?pin-value=redacted" {
		t.Errorf("got %s", got)
	}
}

func TestURISet(t *testing.T) {
	var u URI
	for _, a := range [][2]string{{URIToken, "my token"}, {URIID, "\x00\xFF"}, {URIType, "private"}, {URISlotID, "7"}, {URIModuleName, "x/y"}, {URIToken, "a;b"}} {
		if err := u.Set(a[0], a[1]); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := u.String(), "pkcs11:token=a%3Bb;id=%00%FF;type=private;slot-id=7?module-name=x/y"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, a := range [][2]string{{"vendor", "x"}, {URIType, "key"}, {URISlotID, "x"}, {URILibraryVersion, "1.2.3"}, {URIToken, "\xFF"}} {
		if err := u.Set(a[0], a[1]); err == nil {
			t.Errorf("%s = %q: got nil, want an error", a[0], a[1])
		}
	}
	if class, ok := u.ObjectClass(); !ok || class != CKO_PRIVATE_KEY {
		t.Errorf("got %v, %v", class, ok)
	}
	if q := u.KeyQuery(); q.Label != "" || string(q.ID) != "\x00\xFF" {
		t.Errorf("got %+v", q)
	}
}

func TestURIMatches(t *testing.T) {
	info := &Info{Manufacturer: "SoftHSM", Description: "Implementation of PKCS11", Library: Version{Major: 2, Minor: 6}}
	token := &TokenInfo{Label: "my token", Manufacturer: "SoftHSM project", Model: "SoftHSM v2", Serial: "0123"}
	slot := &SlotInfo{Description: "SoftHSM slot ID 0x7", Manufacturer: "SoftHSM project"}
	for uri, want := range map[string]bool{
		"pkcs11:":                                  true,
		"pkcs11:token=my%20token;serial=0123":      true,
		"pkcs11:token=my%20token;serial=4":         false,
		"pkcs11:token=":                            false,
		"pkcs11:model=SoftHSM%20v2":                true,
		"pkcs11:manufacturer=Other":                false,
		"pkcs11:library-version=2.6":               true,
		"pkcs11:library-version=2.7":               false,
		"pkcs11:library-version=2":                 false, // 2.0
		"pkcs11:library-manufacturer=SoftHSM":      true,
		"pkcs11:library-description=Other":         false,
		"pkcs11:slot-id=7":                         true,
		"pkcs11:slot-id=8":                         false,
		"pkcs11:slot-manufacturer=Other":           false,
		"pkcs11:object=other;id=%01;vendor-x=some": true, // of objects, and of others
	} {
		u, err := ParseURI(uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.MatchModule(info) && u.MatchSlot(7, slot) && u.MatchToken(token); got != want {
			t.Errorf("%s: got %v, want %v", uri, got, want)
		}
	}
}

func TestPINSource(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pin := func(uri string) (string, error) {
		u, err := ParseURI(uri, allowAll)
		if err != nil {
			t.Fatal(err)
		}
		f, err := u.PINFunc()
		if err != nil {
			return "", err
		}
		if f == nil {
			return "none", nil
		}
		b, err := f(context.Background(), PINRequest{})
		return string(b), err
	}
	for uri, want := range map[string]string{
		"pkcs11:":                "none",
		"pkcs11:?pin-value=1234": "1234",
		"pkcs11:?pin-source=" + write("unix", "1234\n"):                                   "1234",
		"pkcs11:?pin-source=" + write("windows", "1234\r\n"):                              "1234",
		"pkcs11:?pin-source=" + write("bare", "1234"):                                     "1234",
		"pkcs11:?pin-source=" + write("lines", "1234\n\n"):                                "1234\n",
		"pkcs11:?pin-source=file:" + write("uri", "1234"):                                 "1234",
		"pkcs11:?pin-source=file://localhost" + write("host", "1234"):                     "1234",
		"pkcs11:?pin-source=file:///" + write("three", "1234")[1:]:                        "1234",
		"pkcs11:?pin-source=file:" + strings.Replace(write("a b", "12"), " ", "%2520", 1): "12",
	} {
		if got, err := pin(uri); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", uri, got, err, want)
		}
	}
	for _, uri := range []string{
		"pkcs11:?pin-source=|/bin/cat", "pkcs11:?pin-source=pin", "pkcs11:?pin-source=file:pin", "pkcs11:?pin-source=file://elsewhere/pin",
		"pkcs11:?pin-source=https:", "pkcs11:?pin-source=", "pkcs11:?pin-source=" + filepath.Join(dir, "absent"),
		"pkcs11:?pin-source=" + write("long", strings.Repeat("1", maxPINFile+1)), "pkcs11:?pin-source=" + dir,
	} {
		if got, err := pin(uri); err == nil {
			t.Errorf("%s: got %q, want an error", uri, got)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	for _, tt := range uriCases(f) {
		f.Add(tt.URI)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s, allowAll)
		if err != nil {
			return
		}
		again, err := ParseURI(u.InsecureString(), allowAll)
		if err != nil || again.InsecureString() != u.InsecureString() {
			t.Fatalf("%q became %q and then %v, %v", s, u.InsecureString(), again, err)
		}
	})
}
