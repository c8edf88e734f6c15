package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cardoki/cardoki/apdu"
)

// A report is what is told of a card. Text that comes from the card is printed with %q,
// so that it cannot play tricks on a terminal.
type report struct {
	out io.Writer
}

func (r *report) section(format string, args ...any) {
	fmt.Fprintf(r.out, "\n%s\n", fmt.Sprintf(format, args...))
}

func (r *report) line(label, format string, args ...any) {
	fmt.Fprintf(r.out, "  %-14s %s\n", label, fmt.Sprintf(format, args...))
}

// refused returns err if it ends the conversation. Otherwise the card, or what it has
// stored, is merely not as wanted: that is told on a line, and nil returned.
func (r *report) refused(label string, err error) error {
	for _, end := range []error{apdu.ErrReset, apdu.ErrRemoved, apdu.ErrRetired, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return err
		}
	}
	r.line(label, "%v", err)
	return nil
}
