package prompt

import (
	"context"
	"fmt"
	"strings"
)

// Terminal asks at the controlling terminal of the program, whatever its standard input
// and output are, without echo. On systems other than Linux, macOS and the BSDs it reads
// standard input, and a context that ends does not end the reading.
type Terminal struct{}

// AskSecret shows message and reads a line. Ctrl-C and Ctrl-D are [ErrCancelled].
func (Terminal) AskSecret(ctx context.Context, message string) ([]byte, error) {
	t, err := openTerminal()
	if err != nil {
		return nil, fmt.Errorf("prompt: no terminal to ask at: %w", err)
	}
	defer t.close()
	return t.ask(ctx, printable(message)+": ", false)
}

// Confirm shows message and reads yes or no; anything else than "y" or "yes" is no.
func (Terminal) Confirm(ctx context.Context, message string) (bool, error) {
	t, err := openTerminal()
	if err != nil {
		return false, fmt.Errorf("prompt: no terminal to ask at: %w", err)
	}
	defer t.close()
	answer, err := t.ask(ctx, printable(message)+" [y/N] ", true)
	if err != nil {
		return false, err
	}
	s := strings.ToLower(strings.TrimSpace(string(answer)))
	return s == "y" || s == "yes", nil
}

// printable removes what a message, which may hold a name from a card, could do to a
// terminal.
func printable(message string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7F && r < 0xA0 {
			return -1
		}
		return r
	}, message)
}

// Keys that end or change a line.
const (
	keyCtrlC     = 0x03
	keyCtrlD     = 0x04
	keyBackspace = 0x08
	keyCtrlU     = 0x15
	keyDelete    = 0x7F
)

// A line is what was typed so far.
type line struct{ b []byte }

// key adds a byte and reports whether the line is at its end.
func (l *line) key(c byte) (done bool, err error) {
	switch c {
	case '\r', '\n':
		return true, nil
	case keyCtrlC:
		return true, ErrCancelled
	case keyCtrlD:
		if len(l.b) == 0 {
			return true, ErrCancelled
		}
	case keyBackspace, keyDelete:
		if n := len(l.b); n > 0 {
			for n--; n > 0 && l.b[n]&0xC0 == 0x80; n-- { // a whole character of UTF-8
			}
			clear(l.b[n:])
			l.b = l.b[:n]
		}
	case keyCtrlU:
		l.wipe()
	default:
		if len(l.b) == maxSecret {
			return true, errTooLong
		}
		l.b = append(l.b, c)
	}
	return false, nil
}

func (l *line) wipe() {
	clear(l.b)
	l.b = l.b[:0]
}
