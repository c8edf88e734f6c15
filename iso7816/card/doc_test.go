package card

import (
	"os"
	"strings"
	"testing"
)

// The application that the package's documentation shows is the one that the example
// runs, and it has 40 lines at most.
func TestDocShowsTheExample(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, app, ok := strings.Cut(string(source), "type purse struct{}\n")
	app, _, end := strings.Cut(app, "// A card application of one's own")
	if !ok || !end {
		t.Fatal("example_test.go has no purse")
	}
	app = "type purse struct{}\n" + strings.TrimRight(app, "\n") + "\n"
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	lines := 0
	for line := range strings.Lines(app) {
		if line == "\n" {
			shown.WriteString("//\n")
			continue
		}
		lines++
		shown.WriteString("//\t" + line)
	}
	if !strings.Contains(string(doc), shown.String()) {
		t.Errorf("doc.go does not show the application of example_test.go:\n%s", &shown)
	}
	if lines > 40 {
		t.Errorf("the application has %d lines, want at most 40", lines)
	}
}
