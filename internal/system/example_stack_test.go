package system_test

import (
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The picture is a grid of boxes. Its colours are read on white and on black.
const (
	boxWidth, boxHeight = 250, 54
	gapX, gapY          = 76, 34
	margin              = 12
)

type stackBox struct {
	name, kind, title, detail string
	from, to, row             int // columns, both included
}

func (b *stackBox) x() int     { return margin + b.from*(boxWidth+gapX) }
func (b *stackBox) y() int     { return margin + b.row*(boxHeight+gapY) }
func (b *stackBox) width() int { return (b.to-b.from+1)*(boxWidth+gapX) - gapX }

// centre returns the middle of what two boxes have in common horizontally.
func centre(a, b *stackBox) (x int, ok bool) {
	from, to := max(a.x(), b.x()), min(a.x()+a.width(), b.x()+b.width())
	return (from + to) / 2, from < to
}

// stackPicture makes SVG of the source.
func stackPicture(source string) (string, error) {
	var boxes []*stackBox
	byName := map[string]*stackBox{}
	var arrows, body strings.Builder
	boxLine := regexp.MustCompile(`^box (\w+) (\d)(?:-(\d))? (\d) (ours|others): (.+) \| (.+)$`)
	arrowLine := regexp.MustCompile(`^arrow (\w+) (\w+)(?:: (.+))?$`)
	columns, rows := 0, 0
	for line := range strings.Lines(source) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if m := boxLine.FindStringSubmatch(line); m != nil {
			b := &stackBox{name: m[1], kind: m[5], title: m[6], detail: m[7], from: int(m[2][0] - '0'), row: int(m[4][0] - '0')}
			b.to = b.from
			if m[3] != "" {
				b.to = int(m[3][0] - '0')
			}
			if need := 7 * max(len([]rune(b.title)), len([]rune(b.detail))); need > b.width()-10 {
				return "", fmt.Errorf("the text of %s does not fit its box", b.name)
			}
			for _, other := range boxes {
				if other.name == b.name || other.row == b.row && other.from <= b.to && b.from <= other.to {
					return "", fmt.Errorf("%s is where %s is, or has its name", b.name, other.name)
				}
			}
			boxes, byName[b.name] = append(boxes, b), b
			columns, rows = max(columns, b.to+1), max(rows, b.row+1)
			continue
		}
		m := arrowLine.FindStringSubmatch(line)
		if m == nil || byName[m[1]] == nil || byName[m[2]] == nil {
			return "", fmt.Errorf("it is not understood: %s", line)
		}
		if err := stackArrow(&arrows, byName[m[1]], byName[m[2]], m[3]); err != nil {
			return "", err
		}
	}
	for _, b := range boxes {
		middle := b.x() + b.width()/2
		fmt.Fprintf(&body, `<g class="%s"><rect x="%d" y="%d" width="%d" height="%d" rx="6"/><text x="%d" y="%d" class="title">%s</text><text x="%d" y="%d">%s</text></g>`+"\n",
			b.kind, b.x(), b.y(), b.width(), boxHeight, middle, b.y()+23, html.EscapeString(b.title), middle, b.y()+42, html.EscapeString(b.detail))
	}
	width, height := 2*margin+columns*(boxWidth+gapX)-gapX, 2*margin+rows*(boxHeight+gapY)-gapY
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>The stack: from a Go program to a key in hardware, and a card in software at the other end</title>
<!-- Made of stack.txt by go test ./internal/system -run TestStack -update. -->
<style>
text { font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; text-anchor: middle }
.title { font: bold 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.ours rect { fill: #1a5fb4 } .ours text { fill: #ffffff }
.others rect { fill: #d7dce2 } .others text { fill: #22272e }
.arrow { stroke: #808992; stroke-width: 2; fill: none } .head { fill: #808992 } .label { fill: #808992 }
</style>
%s%s</svg>
`, width, height, width, height, arrows.String(), body.String()), nil
}

// stackArrow draws an arrow between neighbours, in a column or in a row.
func stackArrow(w io.Writer, from, to *stackBox, label string) error {
	const head = 8
	switch x, ok := centre(from, to); {
	case ok && to.row == from.row+1:
		end := to.y()
		fmt.Fprintf(w, `<path class="arrow" d="M%d %dV%d"/><path class="head" d="M%d %dl-5 -%dh10z"/>`+"\n", x, from.y()+boxHeight, end-head, x, end, head)
	case ok && to.row == from.row-1:
		end := to.y() + boxHeight
		fmt.Fprintf(w, `<path class="arrow" d="M%d %dV%d"/><path class="head" d="M%d %dl-5 %dh10z"/>`+"\n", x, from.y(), end+head, x, end, head)
	case to.row == from.row && to.from == from.to+1:
		y, end := from.y()+boxHeight/2, to.x()
		fmt.Fprintf(w, `<path class="arrow" d="M%d %dH%d"/><path class="head" d="M%d %dl-%d -5v10z"/>`+"\n", from.x()+from.width(), y, end-head, end, y, head)
		if label != "" {
			fmt.Fprintf(w, `<text class="label" x="%d" y="%d">%s</text>`+"\n", end-gapX/2, y-7, html.EscapeString(label))
		}
		return nil
	default:
		return fmt.Errorf("%s and %s are no neighbours", from.name, to.name)
	}
	if label != "" {
		return fmt.Errorf("the arrow from %s to %s has no room for its label", from.name, to.name)
	}
	return nil
}

// TestStack makes docs/stack.svg, and compares it with the one that is there.
func TestStack(t *testing.T) {
	made, err := stackPicture(mustRead(t, filepath.Join(root, "docs", "stack.txt")))
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(made)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(root, "docs", "stack.svg")
	if *update {
		if err := os.WriteFile(name, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(mustRead(t, name), made); d != "" {
		t.Errorf("docs/stack.svg is out of date (-there +made):\n%s\ngo test ./internal/system -run TestStack -update makes it anew", d)
	}
	// Every package in the picture is there.
	for _, m := range regexp.MustCompile(`(?m)^box \w+ \S+ \d ours: (\S+) \|`).FindAllStringSubmatch(mustRead(t, filepath.Join(root, "docs", "stack.txt")), -1) {
		if _, err := os.Stat(filepath.Join(root, m[1], "doc.go")); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"box a 0 0 ours: a", "box a 0 0 ours: a | b\nbox b 0 0 ours: a | b", "arrow a b", "box a 0 0 ours: a | b\nbox c 2 5 ours: a | b\narrow a c", "box a 0 0 ours: a | " + strings.Repeat("long ", 20)} {
		if _, err := stackPicture(bad); err == nil {
			t.Errorf("it makes a picture of\n%s", bad)
		}
	}
}
