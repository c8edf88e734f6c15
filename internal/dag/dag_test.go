package dag

import (
	"bufio"
	"fmt"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

const module = "github.com/cardoki/cardoki"

// A row is a package and what it may import besides the standard library: paths
// of this module without its prefix, of rows further up, and others in full. A
// path that ends in /... stands for everything below it too. Test files are not
// looked at: the compiler finds cycles among them.
type row struct {
	pkg string
	may string
}

// stdOnly packages may not even import internal/leak, which all others may.
var stdOnly = []string{"apdu", "iso7816/tlv", "signer"}

const cryptobyte = " golang.org/x/crypto/cryptobyte/..."

// order is the table of imports, lowest first.
var order = []row{
	{".", ""}, // the module's own documentation
	{"internal/leak", ""},
	{"internal/dag", ""},
	{"internal/gen/...", ""},
	{"apdu", ""},
	{"iso7816/tlv", ""},
	{"signer", ""},
	{"internal/rsapad", ""},
	{"internal/wipe", ""},
	{"apdu/apdutest", "apdu"},
	{"iso7816", "apdu iso7816/tlv"},
	{"signer/prompt", "golang.org/x/term"},
	{"internal/pcsclite", ""},
	{"pcsc", "apdu internal/pcsclite github.com/ebfe/scard"},
	{"pcsc/vpcd", "apdu"},
	{"pcsc/pcsctest", "apdu"},
	{"iso7816/sm", "apdu iso7816/tlv iso7816"},
	{"iso7816/card", "apdu iso7816/tlv iso7816"},
	{"iso7816/piv", "apdu iso7816/tlv iso7816 iso7816/sm iso7816/card signer internal/rsapad internal/wipe" + cryptobyte},
	{"internal/ck", "github.com/miekg/pkcs11"},
	{"cryptoki/cryptokitest", ""},
	{"cryptoki", "internal/ck github.com/miekg/pkcs11 signer internal/rsapad" + cryptobyte},
	{"internal/system", "github.com/miekg/pkcs11 apdu/... iso7816/... pcsc/... cryptoki/... signer/... internal/pcsclite" + cryptobyte},
	{"examples/internal/token", "cryptoki signer/prompt"},
	{"examples/internal/place", "examples/internal/token cryptoki iso7816/... pcsc signer signer/prompt"},
	{"examples/...", "examples/internal/place examples/internal/token apdu/... iso7816/... pcsc/... cryptoki/... signer/... golang.org/x/term golang.org/x/crypto/ssh/..." + cryptobyte},
}

// only names the packages that may import what nobody else may.
var only = map[string][]string{
	"C":      {"internal/ck"},
	"unsafe": {"internal/ck", "internal/wipe"},
}

// matches reports whether pkg is pattern, or below it where it ends in /...
func matches(pattern, pkg string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	return pkg == pattern
}

// An edge is one import in one file.
type edge struct {
	file    string // with its line
	pkg     string // of the file, without the module's prefix
	imports string // as written; empty for a file without imports
}

// violations returns what is wrong with edges by the given table, a line each.
func violations(order []row, stdOnly []string, only map[string][]string, edges []edge) []string {
	var wrong []string
	for _, e := range edges {
		i := slices.IndexFunc(order, func(r row) bool { return matches(r.pkg, e.pkg) })
		if i < 0 {
			wrong = append(wrong, fmt.Sprintf("%s: package %s has no row in the import order", e.file, e.pkg))
			continue
		}
		if allowed, special := only[e.imports]; special {
			if !slices.Contains(allowed, e.pkg) {
				wrong = append(wrong, fmt.Sprintf("%s: %s imports %q, which is for %s alone", e.file, e.pkg, e.imports, strings.Join(allowed, ", ")))
			}
			continue
		}
		imported, ours := strings.CutPrefix(e.imports, module+"/")
		if !ours && !strings.Contains(strings.Split(e.imports, "/")[0], ".") && e.imports != module {
			continue // the standard library
		}
		if imported == "internal/leak" && !slices.Contains(stdOnly, e.pkg) {
			continue
		}
		if !slices.ContainsFunc(strings.Fields(order[i].may), func(p string) bool { return matches(p, imported) }) {
			wrong = append(wrong, fmt.Sprintf("%s: %s may not import %s", e.file, e.pkg, imported))
		}
	}
	return wrong
}

// upwards returns the rows of a table that allow an import from a row further
// down, or from themselves.
func upwards(order []row) []string {
	var wrong []string
	for i, r := range order {
		for _, p := range strings.Fields(r.may) {
			if strings.Contains(strings.Split(p, "/")[0], ".") {
				continue
			}
			base := strings.TrimSuffix(p, "/...")
			found := false
			for j, other := range order {
				if matches(p, strings.TrimSuffix(other.pkg, "/...")) {
					found = true
					if j >= i {
						wrong = append(wrong, fmt.Sprintf("%s may import %s, which is not below it", r.pkg, other.pkg))
					}
				}
			}
			if !found {
				wrong = append(wrong, fmt.Sprintf("%s may import %s, which has no row", r.pkg, base))
			}
		}
	}
	return wrong
}

// read returns the imports of all files under root but tests, whatever their
// build tags, and the packages that they are in.
func read(root string) ([]edge, error) {
	var edges []edge
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == root {
				return nil
			}
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if base := d.Name(); nested == nil || base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		if ignored, err := neverBuilt(name); err != nil || ignored {
			return err
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		pkg := path.Dir(rel)
		if len(f.Imports) == 0 {
			edges = append(edges, edge{rel, pkg, ""}) // so that its package needs a row
		}
		for _, spec := range f.Imports {
			imports, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			edges = append(edges, edge{fmt.Sprintf("%s:%d", rel, fset.Position(spec.Pos()).Line), pkg, imports})
		}
		return nil
	})
	return edges, err
}

// neverBuilt reports whether name has the constraint of programs that are run by
// hand, "ignore".
func neverBuilt(name string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "package ") {
			break
		}
		if constraint.IsGoBuild(line) {
			expr, err := constraint.Parse(line)
			if err != nil {
				return false, err
			}
			return expr.String() == "ignore", nil
		}
	}
	return false, nil // a line too long for the scanner is none of these
}

func TestImportOrder(t *testing.T) {
	edges, err := read(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(edges) < 20 {
		t.Fatalf("got %d imports, want those of the module", len(edges))
	}
	for _, v := range violations(order, stdOnly, only, edges) {
		t.Error(v)
	}
}

func TestImportOrder_pointsDownwards(t *testing.T) {
	for _, v := range upwards(order) {
		t.Error(v)
	}
	for _, p := range stdOnly {
		if !slices.Contains(order, row{p, ""}) {
			t.Errorf("%s has no row that allows nothing", p)
		}
	}
}

// The test can fail.
func TestViolations(t *testing.T) {
	order := []row{{"internal/leak", ""}, {"leaf", ""}, {"low", "leaf"}, {"tools/...", "example.org/other/..."}, {"high", "low leaf"}}
	for _, tt := range []struct {
		name         string
		pkg, imports string
		want         string
	}{
		{"the standard library is free", "leaf", "crypto/rsa", ""},
		{"downwards is allowed", "low", module + "/leaf", ""},
		{"upwards is not", "leaf", module + "/low", "f.go: leaf may not import low"},
		{"sideways is not", "low", module + "/high", "f.go: low may not import high"},
		{"leak is for all", "low", module + "/internal/leak", ""},
		{"but for leaves", "leaf", module + "/internal/leak", "f.go: leaf may not import internal/leak"},
		{"another module needs a permit", "low", "example.org/other", "f.go: low may not import example.org/other"},
		{"which may hold for all below it", "tools/x", "example.org/other/part", ""},
		{"and does not hold for its neighbour", "tools/x", "example.org/others", "f.go: tools/x may not import example.org/others"},
		{"an unknown package needs a row", "new", "fmt", "f.go: package new has no row in the import order"},
		{"a longer name is another package", "lower", "fmt", "f.go: package lower has no row in the import order"},
		{"C is for one", "high", "C", `f.go: high imports "C", which is for low alone`},
		{"and that one may", "low", "C", ""},
		{"the module's root is a package too", "low", module, "f.go: low may not import " + module},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(violations(order, []string{"leaf"}, map[string][]string{"C": {"low"}}, []edge{{"f.go", tt.pkg, tt.imports}}), "\n")
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		order []row
		want  string
	}{
		{[]row{{"a", ""}, {"b", "a"}}, ""},
		{[]row{{"a", "b"}, {"b", ""}}, "a may import b, which is not below it"},
		{[]row{{"a", "a"}}, "a may import a, which is not below it"},
		{[]row{{"a", "c"}}, "a may import c, which has no row"},
	} {
		if got := strings.Join(upwards(tt.order), "\n"); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.order, got, tt.want)
		}
	}
}

// The reader sees files of every build tag, and neither tests nor other modules.
func TestRead(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a.go":            "package a\n\nimport \"fmt\"\n",
		"a/a_windows.go":    "package a\n\nimport \"os\"\n",
		"a/tagged.go":       "//go:build libpcsclite\n\npackage a\n\nimport \"C\"\n",
		"a/gen.go":          "//go:build ignore\n\npackage main\n\nimport \"net\"\n",
		"a/a_test.go":       "package a\n\nimport \"testing\"\n",
		"a/testdata/x.go":   "package x\n\nimport \"net\"\n",
		"nested/go.mod":     "module nested\n",
		"nested/main.go":    "package main\n\nimport \"net\"\n",
		"empty/nothing.go":  "package empty\n",
		".hidden/hidden.go": "package hidden\n\nimport \"net\"\n",
	} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edges, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []edge{
		{"a/a.go:3", "a", "fmt"},
		{"a/a_windows.go:3", "a", "os"},
		{"a/tagged.go:5", "a", "C"},
		{"empty/nothing.go", "empty", ""},
	}
	if !slices.Equal(edges, want) {
		t.Errorf("got  %v\nwant %v", edges, want)
	}
}
