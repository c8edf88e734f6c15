//go:build cgo

package system_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
)

const matrixText = `# PKCS#11 modules: what each can do

<!-- Made by go test ./internal/system -run TestCryptoki$ -update; the test compares it otherwise. -->

What package cryptoki gets out of real modules. Each row was tried on each module through the package's public functions, and what came of it compared with Go's standard library:
"works" says that both agree, in both directions where there are two. Anything else is how the module said that it does not do it: the return value, with the function that gave it. What
the values mean stands at the end. Bold is what is wrong: a result that is not the right one, or the end of the process. Nothing is left out for not being in a
module's list of mechanisms: "listed" is what the list promises and the module does not do, "unlisted" what it does all the same. The version is what the module says of itself.

"cryptokitest" is the module for tests of package cryptokitest. Its cryptography is none, and is not tried.

`

// matrix returns docs/pkcs11.md. A column that is nil, for a module that is missing here, is
// left out.
func matrix(columns []*tokenColumn) []byte {
	var b bytes.Buffer
	b.WriteString(matrixText)
	b.WriteString("| column | the module calls itself | version |\n|---|---|---|\n")
	heading, rule := "| |", "|---|"
	for i, c := range columns {
		if c != nil {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", tokenModules[i].title, c.name, c.version)
			heading += " " + tokenModules[i].title + " |"
			rule += "---|"
		}
	}
	section := "" // Wycheproof is the last
	values := map[string]bool{}
	for _, r := range slices.SortedStableFunc(slices.Values(tokenRows()), func(a, b tokenRow) int { return sectionOf(a) - sectionOf(b) }) {
		if r.section != section {
			section = r.section
			fmt.Fprintf(&b, "\n## %s\n\n%s\n%s\n", section, heading, rule)
		}
		fmt.Fprintf(&b, "| %s |", r.name)
		for _, c := range columns {
			if c == nil {
				continue
			}
			fmt.Fprintf(&b, " %s |", c.cells[r.id()])
			for _, name := range returnValue.FindAllString(c.cells[r.id()], -1) {
				values[name] = true
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\nThe test vectors of Project Wycheproof, through the token: each verdict is that of Go's standard library on the same vector (or that of the vector, where Go has no such thing), but for these:\n\n")
	for _, e := range tokenExceptions {
		var titles []string
		for _, m := range tokenModules {
			if slices.Contains(e.modules, m.key) {
				titles = append(titles, m.title)
			}
		}
		fmt.Fprintf(&b, "- %s (%s), %s, cases %s: %s\n", strings.Join(titles, "; "), e.seen, e.file, strings.Trim(fmt.Sprint(e.cases), "[]"), e.reason)
	}
	b.WriteString("\n## Return values\n\n")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "- %s\n", wordsOf(name))
	}
	return b.Bytes()
}

var returnValue = regexp.MustCompile(`CKR_[A-Z0-9_]+`)

// sectionOf returns the place of the first row of a row's section.
func sectionOf(r tokenRow) int {
	return slices.IndexFunc(tokenRows(), func(o tokenRow) bool { return o.section == r.section })
}

// wordsOf returns what package cryptoki says of a return value.
func wordsOf(name string) string {
	for rv := range cryptoki.RV(0x400) {
		if rv.String() == name {
			return rv.Error()
		}
	}
	return name
}

// compareMatrix writes docs/pkcs11.md, or compares what is there with what came now. A module
// of another version than the one described may do more than that one, but not less.
func compareMatrix(t *testing.T, columns []*tokenColumn) {
	name := filepath.Join(root, "docs", "pkcs11.md")
	if *update {
		if slices.Contains(columns, nil) {
			t.Fatal("a module is missing: docs/pkcs11.md is about all of them")
		}
		if err := os.WriteFile(name, matrix(columns), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(columns, nil) && bytes.Equal(b, matrix(columns)) {
		return
	}
	there := parseMatrix(string(b))
	for i, c := range columns {
		if c == nil {
			continue
		}
		title := tokenModules[i].title
		same := there.versions[title] == c.version
		if !same {
			t.Logf("%s: docs/pkcs11.md is about version %s, this is %s", title, there.versions[title], c.version)
		}
		for _, r := range tokenRows() {
			was, is := there.cells[title][r.id()], c.cells[r.id()]
			switch {
			case was == is:
			case same || strings.HasPrefix(was, "works") && !strings.HasPrefix(is, "works"):
				t.Errorf("%s: %s: got %q, docs/pkcs11.md has %q", title, r.id(), is, was)
			default:
				t.Logf("%s: %s: got %q, docs/pkcs11.md has %q", title, r.id(), is, was)
			}
		}
	}
	if t.Failed() {
		t.Log("go test ./internal/system -run 'TestCryptoki$' -update makes docs/pkcs11.md anew")
	} else if !slices.Contains(columns, nil) && asDescribed(columns, there) {
		t.Error("the text of docs/pkcs11.md is out of date: go test ./internal/system -run 'TestCryptoki$' -update makes it anew")
	}
}

// asDescribed reports whether all columns are of the versions described.
func asDescribed(columns []*tokenColumn, there *describedMatrix) bool {
	for i, c := range columns {
		if there.versions[tokenModules[i].title] != c.version {
			return false
		}
	}
	return true
}

// A describedMatrix is what docs/pkcs11.md says.
type describedMatrix struct {
	versions map[string]string            // by the titles of columns
	cells    map[string]map[string]string // by titles, and ids of rows
}

func parseMatrix(text string) *describedMatrix {
	m := &describedMatrix{map[string]string{}, map[string]map[string]string{}}
	section := ""
	var titles []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = name
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case section == "" && len(cells) == 3:
			m.versions[cells[0]] = cells[2]
		case cells[0] == "":
			titles = cells[1:]
		default:
			for i, title := range titles {
				if m.cells[title] == nil {
					m.cells[title] = map[string]string{}
				}
				if i+1 < len(cells) {
					m.cells[title][section+": "+cells[0]] = cells[i+1]
				}
			}
		}
	}
	return m
}
