package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// A format knows the lines of one kind of log.
type format interface {
	// line reads one line and gives p what it finds. It reports whether the line is
	// one of its kind.
	line(s string, p *printer) bool
}

// maxLine is the longest line that is read, in bytes: the longest exchange of a
// transcript fits.
const maxLine = 1 << 20

// color is what pcscd writes around its lines at a terminal.
var color = regexp.MustCompile("\x1b\\[[0-9;]*m")

// readLog reads a log, or a mixture of logs, to its end.
func readLog(in io.Reader, p *printer) error {
	formats := []format{&openSC{}, &pcscd{}, &globalPlatform{}, &transcript{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	logs := false // there was a line of a log: what else looks like bytes is no APDU
	n := 0
	for lines.Scan() {
		n++
		s := color.ReplaceAllString(lines.Text(), "")
		if slices.ContainsFunc(formats, func(f format) bool { return f.line(s, p) }) {
			logs = true
			continue
		}
		if logs {
			continue
		}
		if err := hexLine(s, p); err != nil && begins(err) {
			p.note(fmt.Sprintf("line %d was passed over: %v", n, err))
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d is longer than %d bytes; no log has such lines", n+1, maxLine)
	}
	return lines.Err()
}

// begins reports whether a line that is no APDU begins as one, so that it is not
// merely a title.
func begins(err error) bool {
	e, ok := errors.AsType[*apdu.SyntaxError](err)
	return ok && e.Offset >= 2*apdu.HeaderSize
}

// unknown is the duration of an exchange in a log without times.
const unknown time.Duration = -1
