//go:build cgo

package system_test

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
)

// hexBytes are bytes in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	var err error
	*h, err = hex.DecodeString(s)
	return err
}

// A vectorGroup is a group of Wycheproof's test cases, of any kind.
type vectorGroup struct {
	SHA        string   `json:"sha"`
	MGFSHA     string   `json:"mgfSha"`
	SaltLen    int      `json:"sLen"`
	PKCS8      hexBytes `json:"privateKeyPkcs8"`
	PublicKey  hexBytes `json:"publicKeyDer"`
	PublicASN  hexBytes `json:"publicKeyAsn"`
	KeySize    int
	TagSize    int
	ParameterS string `json:"parameterSet"`
	Tests      []testVector
}

type testVector struct {
	ID      int `json:"tcId"`
	Comment string
	Result  string
	Size    int

	Key, IV, AAD, Msg, CT, Tag, Sig, Label, IKM, Salt, Info, OKM, Public, Private, Shared, Seed, C, K hexBytes
}

// readVectors reads a file of Wycheproof, wherever it is in the repository.
func readVectors(name string) ([]vectorGroup, error) {
	var b []byte
	var err error
	for _, dir := range []string{"internal/system/testdata/wycheproof", "internal/rsapad/testdata", "iso7816/piv/testdata"} {
		path := filepath.Join(root, filepath.FromSlash(dir), name+".json")
		if b, err = os.ReadFile(path); err == nil {
			break
		}
		if f, packed := os.Open(path + ".gz"); packed == nil {
			defer f.Close()
			r, packed := gzip.NewReader(f)
			if packed != nil {
				return nil, packed
			}
			b, err = io.ReadAll(r)
			break
		}
	}
	if err != nil {
		return nil, err
	}
	var file struct{ TestGroups []vectorGroup }
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(file.TestGroups) == 0 {
		return nil, fmt.Errorf("%s: no test groups", name)
	}
	return file.TestGroups, nil
}

// errNotForTokens is the verdict about a vector that never comes to a token: it is about
// encodings that the program takes apart.
var errNotForTokens = errors.New("not for tokens")

var errInvalid = errors.New("not what it must be")

// A vectorTest is a file of vectors. begin makes what the vectors of a group share, and returns
// what is done with each: right is what Go's standard library says of it, or the vector
// itself where Go has no such thing, and got is nil if the token finds it valid.
type vectorTest struct {
	file      string
	mechanism cryptoki.MechanismType
	begin     func(x *tokenTrial, g *vectorGroup) (func(v *testVector) (right bool, got error), error)
}

func wycheproofRows() []tokenRow {
	var rows []tokenRow
	for _, test := range vectorTests() {
		rows = append(rows, tokenRow{wycheproofSection, test.file, test.mechanism, func(x *tokenTrial) error { return x.vectors(&test) }})
	}
	return rows
}

const wycheproofSection = "Wycheproof"

// vectors compares the verdicts of the token on the vectors of a file with those of Go.
func (x *tokenTrial) vectors(test *vectorTest) error {
	groups, err := readVectors(test.file)
	if err != nil {
		x.t.Fatal(err)
	}
	var first error // of those that the token does not take part in
	compared, valid, without, left := 0, 0, 0, map[string]int{}
	for i := range groups {
		if valid == 0 && without > 3 {
			break // it takes none
		}
		g := &groups[i]
		each, err := test.begin(x, g)
		for j := range g.Tests {
			v := &g.Tests[j]
			if v.Result == "acceptable" {
				continue
			}
			right, got := v.Result == "valid", err
			if err == nil {
				right, got = each(v)
			}
			switch {
			case got == errNotForTokens:
			case right && notTaken(got), err != nil:
				if first == nil {
					first = got
				}
				left[returnedBy(got)]++
				without++
			case right != (got == nil):
				said := "the token takes it"
				if got != nil {
					said = "the token: " + returnedBy(got)
				}
				x.differences = append(x.differences, fmt.Sprintf("%d %s: %s", v.ID, v.Comment, said))
				fallthrough
			default:
				compared++
				if right {
					valid++
				}
			}
		}
	}
	if valid == 0 && first != nil {
		x.differences = nil
		return first
	}
	x.note = fmt.Sprintf("%d verdicts", compared)
	if len(x.differences) > 0 {
		x.note += fmt.Sprintf(", %d of them other than Go's", len(x.differences))
	}
	for _, by := range slices.Sorted(func(yield func(string) bool) {
		for by := range left {
			if !yield(by) {
				return
			}
		}
	}) {
		x.note += fmt.Sprintf("; %d not taken: %s", left[by], by)
	}
	return nil
}

// A tokenException is a difference between the verdicts of a module and Go's that is known, and must
// be there.
type tokenException struct {
	modules []string // keys
	seen    string   // the versions in which it was seen
	file    string
	cases   []int
	reason  string
}

var tokenExceptions = []tokenException{
	{[]string{"SoftHSM2"}, "2.6.1", "aes_gcm", []int{272, 276}, "a nonce of 257 bytes is more than it takes, and C_Decrypt is where it says so"},
	{[]string{"SoftHSM2", "p11-kit"}, "2.6.1", "rsa_oaep_2048_sha1_mgf1sha1", []int{9, 35}, "the label is taken and not looked at: ciphertexts with one can't be decrypted"},
	{[]string{"NSS", "Firefox"}, "3.87, 3.125", "aes_kwp", []int{170}, "a key of 384 bytes is longer than any that it has"},
	{[]string{"NSS", "Firefox"}, "3.87, 3.125", "aes_wrap", []int{107}, "a key of 384 bytes is longer than any that it has"},
	{[]string{"NSS", "Firefox"}, "3.87, 3.125", "ecdsa_secp256r1_sha256_p1363", []int{123, 127, 133, 135, 145, 151}, "r and s may be shorter than the order: their leading zeros may be missing"},
	{[]string{"NSS", "Firefox"}, "3.87, 3.125", "rsa_pkcs1_2048", []int{9, 12, 13, 14, 15, 18, 19, 21, 22, 29, 30},
		"wrong padding gives a plaintext that is made up, so that nobody learns that it was wrong (implicit rejection)"},
}

// checkExceptions compares the differences that there are with those that are known.
func checkExceptions(t *testing.T, columns []*tokenColumn) {
	for i, c := range columns {
		if c == nil {
			continue
		}
		for _, r := range wycheproofRows() {
			known := map[string]bool{}
			for _, e := range tokenExceptions {
				if e.file == r.name && slices.Contains(e.modules, tokenModules[i].key) {
					for _, id := range e.cases {
						known[fmt.Sprint(id)] = true
					}
				}
			}
			for _, d := range c.differences[r.id()] {
				id, _, _ := strings.Cut(d, " ")
				if !known[id] {
					t.Errorf("%s %s: %s: Go says otherwise, and no exception is known", tokenModules[i].key, r.name, d)
				}
				delete(known, id)
			}
			for id := range known {
				t.Errorf("%s %s: %s: the exception does not occur any more: take it out", tokenModules[i].key, r.name, id)
			}
		}
	}
}

// notTaken reports whether err says that the token does not do such a thing at all, and not that
// it has found something wrong.
func notTaken(err error) bool {
	e, ok := errors.AsType[*cryptoki.Error](err)
	if !ok {
		return false
	}
	switch {
	case strings.HasSuffix(e.Function, "Init"), e.Function == "C_CreateObject", errors.Is(e.RV, errors.ErrUnsupported):
		return true
	}
	// OpenSC says so of keys that are not on the card.
	return e.RV == cryptoki.CKR_KEY_TYPE_INCONSISTENT || e.RV == cryptoki.CKR_KEY_HANDLE_INVALID
}

// returnedBy says what returned what.
func returnedBy(err error) string {
	if e, ok := errors.AsType[*cryptoki.Error](err); ok {
		return fmt.Sprintf("%s (%s)", e.RV.String(), strings.TrimPrefix(e.Function, "C_"))
	}
	return err.Error()
}

func hashNamed(name string) *tokenHash {
	for i := range tokenHashes {
		if tokenHashes[i].hash.String() == name {
			return &tokenHashes[i]
		}
	}
	return nil
}
