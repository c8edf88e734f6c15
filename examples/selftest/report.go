package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A report writes Markdown.
type report struct {
	out     io.Writer
	verbose bool
	times   bool
	hidden  []string // in pairs, for strings.NewReplacer
}

// hide returns what is shown in place of a name or number, in errors too.
func (r *report) hide(value string) string {
	if r.verbose || value == "" {
		return value
	}
	instead := fmt.Sprintf("(%d characters)", len([]rune(value)))
	r.hidden = append(r.hidden, value, instead)
	return instead
}

// why returns an error with what is to be hidden hidden, on one line.
func (r *report) why(err error) string {
	return strings.Join(strings.Fields(strings.NewReplacer(r.hidden...).Replace(err.Error())), " ")
}

func (r *report) line(format string, args ...any) {
	fmt.Fprintf(r.out, format+"\n", args...)
}

func (r *report) title(format string, args ...any) {
	r.line("## "+format, args...)
}

// table begins a table.
func (r *report) table(columns ...string) {
	fmt.Fprintln(r.out)
	r.row(columns...)
	r.line("|%s", strings.Repeat("---|", len(columns)))
}

// row writes a row, in which | stands for itself.
func (r *report) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	r.line("| %s |", strings.Join(cells, " | "))
}

// A tally is what came of all that was tried with one key.
type tally struct {
	works, refused, failed, skipped []string
	first, last                     time.Duration // the shortest and the longest of what works
}

func (t *tally) worked(what string, took time.Duration) {
	if len(t.works) == 0 || took < t.first {
		t.first = took
	}
	t.works, t.last = append(t.works, what), max(t.last, took)
}

// keys begins a table of keys.
func (r *report) keys() {
	columns := []string{"key", "works", "does not"}
	if r.times {
		columns = append(columns, "takes")
	}
	r.table(columns...)
}

func (r *report) key(name string, t *tally) {
	not := append(t.failed, t.refused...)
	cells := []string{name, strings.Join(t.works, ", "), strings.Join(append(not, t.skipped...), "; ")}
	if r.times {
		cells = append(cells, span(t.first, t.last))
	}
	r.row(cells...)
}

func span(a, b time.Duration) string {
	round := func(d time.Duration) time.Duration {
		switch {
		case d > time.Second:
			return d.Round(10 * time.Millisecond)
		case d > time.Millisecond:
			return d.Round(100 * time.Microsecond)
		}
		return d.Round(10 * time.Microsecond)
	}
	switch {
	case b == 0:
		return ""
	case round(a) == round(b):
		return round(a).String()
	}
	return fmt.Sprintf("%v to %v", round(a), round(b))
}
