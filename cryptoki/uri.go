package cryptoki

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A URI is a PKCS#11 URI (RFC 7512): attributes that modules, slots, tokens and objects
// must have, and how to reach them. An attribute that is absent fits everything; one that
// is there and empty fits an empty value. The zero value is "pkcs11:", which fits all.
//
// A URI with a PIN in it is a secret: String leaves the PIN out.
type URI struct {
	path, query []uriAttribute // in their order; values decoded
}

type uriAttribute struct{ name, value string }

// Names of the attributes that RFC 7512 knows, for [URI.Get] and [URI.Set].
const (
	URIToken               = "token"
	URIManufacturer        = "manufacturer" // of the token
	URISerial              = "serial"
	URIModel               = "model"
	URILibraryManufacturer = "library-manufacturer"
	URILibraryVersion      = "library-version" // such as "2" or "2.40"
	URILibraryDescription  = "library-description"
	URIObject              = "object" // label of an object
	URIType                = "type"   // cert, data, private, public or secret-key
	URIID                  = "id"     // CKA_ID, any bytes
	URISlotManufacturer    = "slot-manufacturer"
	URISlotDescription     = "slot-description"
	URISlotID              = "slot-id"

	URIPINSource  = "pin-source"
	URIPINValue   = "pin-value"
	URIModuleName = "module-name"
	URIModulePath = "module-path"
)

// uriPath and uriQuery are the attributes of the two parts.
var (
	uriPath = []string{
		URIToken, URIManufacturer, URISerial, URIModel, URILibraryManufacturer, URILibraryVersion, URILibraryDescription,
		URIObject, URIType, URIID, URISlotManufacturer, URISlotDescription, URISlotID,
	}
	uriQuery = []string{URIPINSource, URIPINValue, URIModuleName, URIModulePath}
)

// uriTypes are the values of the attribute type.
var uriTypes = map[string]ObjectClass{
	"cert": CKO_CERTIFICATE, "data": CKO_DATA, "private": CKO_PRIVATE_KEY, "public": CKO_PUBLIC_KEY, "secret-key": CKO_SECRET_KEY,
}

// URIOptions say what a URI may hold that comes from elsewhere. The zero value, and a
// nil pointer, allow neither.
type URIOptions struct {
	// AllowPINValue takes a PIN that stands in the URI, where it is easily logged.
	AllowPINValue bool
	// AllowModulePath takes the path of a module, which is code that is then run.
	AllowModulePath bool
}

// A URIError reports text that is no PKCS#11 URI, or one that is refused. It holds
// nothing of the values.
type URIError struct {
	Attribute string // its name; empty for the whole
	Reason    string
	Err       error // ErrPINValue, ErrModulePath or nil
}

// Error returns what is wrong.
func (e *URIError) Error() string {
	if e.Attribute == "" {
		return "cryptoki: PKCS#11 URI: " + e.Reason
	}
	return fmt.Sprintf("cryptoki: PKCS#11 URI: attribute %s: %s", e.Attribute, e.Reason)
}

// Unwrap returns Err.
func (e *URIError) Unwrap() error { return e.Err }

// Why a URI is refused that is one.
var (
	ErrPINValue   = errors.New("cryptoki: the URI holds a PIN, which URIOptions.AllowPINValue does not allow")
	ErrModulePath = errors.New("cryptoki: the URI holds the path of a module, which URIOptions.AllowModulePath does not allow")
)

// maxURI is the longest URI that is parsed, in bytes.
const maxURI = 1 << 16

// ParseURI decodes a URI by the grammar of RFC 7512, strictly: no white space, no
// attribute twice but vendors' in the query, nothing unencoded that must be encoded.
// opts may be nil. The error is a [*URIError].
func ParseURI(s string, opts *URIOptions) (*URI, error) {
	if opts == nil {
		opts = &URIOptions{}
	}
	const scheme = "pkcs11:"
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return nil, &URIError{Reason: "it does not begin with pkcs11:"}
	}
	if len(s) > maxURI {
		return nil, &URIError{Reason: fmt.Sprintf("it is longer than %d bytes", maxURI)}
	}
	path, query, _ := strings.Cut(s[len(scheme):], "?")
	u := &URI{}
	if err := u.parse(path, ";", &u.path, "&"); err != nil {
		return nil, err
	}
	if err := u.parse(query, "&", &u.query, "/?|"); err != nil {
		return nil, err
	}
	if _, ok := u.Get(URIPINValue); ok && !opts.AllowPINValue {
		return nil, &URIError{Attribute: URIPINValue, Reason: "a PIN in a URI is not allowed here", Err: ErrPINValue}
	}
	if _, ok := u.Get(URIModulePath); ok && !opts.AllowModulePath {
		return nil, &URIError{Attribute: URIModulePath, Reason: "the path of a module in a URI is not allowed here", Err: ErrModulePath}
	}
	return u, nil
}

// parse decodes one part of a URI; more are the characters that stand unencoded in its
// values besides those of both parts.
func (u *URI) parse(part, separator string, attributes *[]uriAttribute, more string) error {
	if part == "" {
		return nil
	}
	for text := range strings.SplitSeq(part, separator) {
		name, value, ok := strings.Cut(text, "=")
		switch {
		case text == "":
			return &URIError{Reason: "an attribute is empty"}
		case !ok:
			return &URIError{Reason: "an attribute has no ="}
		case !validName(name):
			return &URIError{Reason: "the name of an attribute is not of letters, digits, - and _"}
		}
		decoded, err := decodeURI(value, more)
		if err != nil {
			return &URIError{Attribute: name, Reason: err.Error()}
		}
		if err := u.add(attributes, name, decoded); err != nil {
			return err
		}
	}
	return nil
}

// add checks an attribute and appends it.
func (u *URI) add(attributes *[]uriAttribute, name, value string) error {
	inPath := attributes == &u.path
	if reason := checkURI(name, value); reason != "" {
		return &URIError{Attribute: name, Reason: reason}
	}
	vendor := !slices.Contains(uriPath, name) && !slices.Contains(uriQuery, name)
	if inPath || !vendor {
		if slices.ContainsFunc(*attributes, func(a uriAttribute) bool { return a.name == name }) {
			return &URIError{Attribute: name, Reason: "it is there twice"}
		}
	}
	*attributes = append(*attributes, uriAttribute{name, value})
	return nil
}

// checkURI returns what is wrong with the value of an attribute.
func checkURI(name, value string) string {
	switch name {
	case URIID:
		return ""
	case URIType:
		if _, ok := uriTypes[value]; !ok {
			return "it is not cert, data, private, public or secret-key"
		}
	case URILibraryVersion:
		if _, _, ok := parseVersion(value); !ok {
			return "it is not a number in 0..255, or two with a dot between"
		}
	case URISlotID:
		if _, err := strconv.ParseUint(value, 10, 64); err != nil || value[0] == '+' {
			return "it is not a number"
		}
	}
	if !utf8.ValidString(value) {
		return "it is not UTF-8"
	}
	return ""
}

func parseVersion(s string) (v Version, exact, ok bool) {
	major, minor, exact := strings.Cut(s, ".")
	for i, part := range []string{major, minor} {
		if i == 1 && !exact {
			break
		}
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil || part[0] == '+' {
			return Version{}, false, false
		}
		if i == 0 {
			v.Major = byte(n)
		} else {
			v.Minor = byte(n)
		}
	}
	return v, exact, true
}

// validName reports whether name can be that of an attribute.
func validName(name string) bool {
	for _, c := range []byte(name) {
		if !letterOrDigit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return name != ""
}

func letterOrDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// unencoded are the characters, besides letters and digits, that stand unencoded in
// values of both parts (RFC 7512).
const unencoded = "-._~" + ":[]@!$'()*+,="

func decodeURI(s, more string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return "", errors.New("a percent sign without two hexadecimal digits")
			}
			v, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				return "", errors.New("a percent sign without two hexadecimal digits")
			}
			b.Write(v)
			i += 2
		case letterOrDigit(c) || strings.IndexByte(unencoded, c) >= 0 || strings.IndexByte(more, c) >= 0:
			b.WriteByte(c)
		default:
			return "", fmt.Errorf("the character %q must be encoded", c)
		}
	}
	return b.String(), nil
}

func encodeURI(b *strings.Builder, s, more string, all bool) {
	for _, c := range []byte(s) {
		if !all && (letterOrDigit(c) || strings.IndexByte(unencoded, c) >= 0 || strings.IndexByte(more, c) >= 0) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(b, "%%%02X", c)
		}
	}
}

// String returns the URI with its attributes in their order. In place of a PIN stands
// "redacted".
func (u *URI) String() string { return u.text("redacted") }

// InsecureString is String with the PIN, if there is one.
func (u *URI) InsecureString() string {
	pin, _ := u.Get(URIPINValue)
	return u.text(pin)
}

func (u *URI) text(pin string) string {
	var b strings.Builder
	b.WriteString("pkcs11:")
	for i, a := range u.path {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(a.name + "=")
		encodeURI(&b, a.value, "&", a.name == URIID)
	}
	for i, a := range u.query {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(a.name + "=")
		if a.name == URIPINValue {
			a.value = pin
		}
		encodeURI(&b, a.value, "/?|", false)
	}
	return b.String()
}

// Format implements fmt.Formatter, so that no verb shows a PIN.
func (u *URI) Format(f fmt.State, _ rune) { f.Write([]byte(u.String())) }

// Get returns the value of an attribute, decoded, and whether it is there. Of a vendor's
// attribute that is there more than once it is the first value.
func (u *URI) Get(name string) (string, bool) {
	for _, attributes := range [][]uriAttribute{u.path, u.query} {
		for _, a := range attributes {
			if a.name == name {
				return a.value, true
			}
		}
	}
	return "", false
}

// Set gives an attribute that RFC 7512 knows a value, in place of the one it has. The
// error is a [*URIError].
func (u *URI) Set(name, value string) error {
	attributes := &u.path
	if slices.Contains(uriQuery, name) {
		attributes = &u.query
	} else if !slices.Contains(uriPath, name) {
		return &URIError{Attribute: name, Reason: "RFC 7512 does not know it"}
	}
	if reason := checkURI(name, value); reason != "" {
		return &URIError{Attribute: name, Reason: reason}
	}
	for i, a := range *attributes {
		if a.name == name {
			(*attributes)[i].value = value
			return nil
		}
	}
	*attributes = append(*attributes, uriAttribute{name, value})
	return nil
}

// matches reports whether the attributes that are there have the values given.
func (u *URI) matches(values ...string) bool {
	for i := 0; i < len(values); i += 2 {
		if want, ok := u.Get(values[i]); ok && want != values[i+1] {
			return false
		}
	}
	return true
}

// MatchModule reports whether a module has what the URI says of it.
func (u *URI) MatchModule(i *Info) bool {
	if want, ok := u.Get(URILibraryVersion); ok {
		v, exact, _ := parseVersion(want)
		if v.Major != i.Library.Major || exact && v.Minor != i.Library.Minor || !exact && i.Library.Minor != 0 {
			return false
		}
	}
	return u.matches(URILibraryManufacturer, i.Manufacturer, URILibraryDescription, i.Description)
}

// MatchSlot reports whether a slot has what the URI says of it.
func (u *URI) MatchSlot(id SlotID, i *SlotInfo) bool {
	if want, ok := u.Get(URISlotID); ok {
		n, err := strconv.ParseUint(want, 10, 64)
		if err != nil || n != uint64(id) {
			return false
		}
	}
	return u.matches(URISlotManufacturer, i.Manufacturer, URISlotDescription, i.Description)
}

// MatchToken reports whether a token has what the URI says of it.
func (u *URI) MatchToken(t *TokenInfo) bool {
	return u.matches(URIToken, t.Label, URIManufacturer, t.Manufacturer, URISerial, t.Serial, URIModel, t.Model)
}

// ObjectClass returns the class of objects that the URI speaks of, and whether it does.
func (u *URI) ObjectClass() (ObjectClass, bool) {
	t, ok := u.Get(URIType)
	if !ok {
		return 0, false
	}
	return uriTypes[t], true
}

// KeyQuery returns the label and the id that the URI speaks of.
func (u *URI) KeyQuery() KeyQuery {
	label, _ := u.Get(URIObject)
	q := KeyQuery{Label: label}
	if id, ok := u.Get(URIID); ok {
		q.ID = []byte(id)
	}
	return q
}

// FindSlot returns the slot, with a token in it, that fits what the URI says of module,
// slot and token. The errors are those of [Module.FindToken].
func (m *Module) FindSlot(u *URI) (*Slot, error) {
	info, err := m.Info()
	if err != nil {
		return nil, err
	}
	if !u.MatchModule(&info) {
		return nil, fmt.Errorf("cryptoki: %v: %w: module %q is another one", u, ErrNotFound, m.path)
	}
	slots, err := m.Slots(true)
	if err != nil {
		return nil, err
	}
	var found []*Slot
	var others []string
	for _, s := range slots {
		si, err := s.Info()
		if err == nil && !u.MatchSlot(s.id, &si) {
			others = append(others, fmt.Sprintf("slot %d", s.id))
			continue
		}
		t, tokenErr := s.Token()
		switch err := errors.Join(err, tokenErr); {
		case err != nil: // one strange token does not hide the others
			others = append(others, fmt.Sprintf("slot %d: %v", s.id, err))
		case u.MatchToken(&t):
			found = append(found, s)
		default:
			others = append(others, fmt.Sprintf("slot %d, token %q", s.id, t.Label))
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("cryptoki: %v: %w: %d tokens of module %q fit", u, ErrAmbiguous, len(found), m.path)
	}
	return nil, fmt.Errorf("cryptoki: %v: %w; there are: %s", u, ErrNotFound, strings.Join(others, "; "))
}
