package apdutest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cardoki/cardoki/apdu"
)

// The events of a transcript other than an exchange.
const (
	eventBegin     = "begin"
	eventEnd       = "end"
	eventReconnect = "reconnect"
)

const arrow = "->"

// An event is one line of a transcript: an exchange, or what happened to the
// connection.
type event struct {
	line     int
	what     string // empty for an exchange
	command  []byte
	response []byte
	err      error
}

// transportErrors are the errors of transports by their names in transcripts.
// The order is that of the search: an error may be of two kinds.
var transportErrors = []struct {
	name string
	err  error
}{
	{"not sent", apdu.ErrNotSent},
	{"reset", apdu.ErrReset},
	{"removed", apdu.ErrRemoved},
	{"retired", apdu.ErrRetired},
}

func formatError(err error) string {
	for _, e := range transportErrors {
		if errors.Is(err, e.err) {
			return "! " + e.name
		}
	}
	// A # would begin a comment.
	return "! " + strings.ReplaceAll(strconv.Quote(err.Error()), "#", `\x23`)
}

func parseError(s string) (error, bool) {
	for _, e := range transportErrors {
		if s == e.name {
			return fmt.Errorf("apdutest: as recorded: %w", e.err), true
		}
	}
	text, err := strconv.Unquote(s)
	if err != nil {
		return nil, false
	}
	return errors.New("apdutest: as recorded: " + text), true
}

// A TranscriptError reports a line that is not one of a transcript.
type TranscriptError struct {
	Line   int // counted from 1
	Reason string
}

// Error names the line and says what is wrong with it.
func (e *TranscriptError) Error() string {
	return fmt.Sprintf("apdutest: transcript line %d: %s", e.Line, e.Reason)
}

// maxLine is the length in bytes of the longest line that is read: the longest
// exchange, with a space after every byte.
const maxLine = 3*(apdu.MaxCommandSize+apdu.MaxResponseSize) + 256

type transcript struct {
	atr    []byte
	limits apdu.Limits
	events []event
}

func parseTranscript(r io.Reader) (*transcript, error) {
	t := &transcript{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		if reason := t.parseLine(n, text); reason != "" {
			return nil, &TranscriptError{Line: n, Reason: reason}
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, &TranscriptError{Line: n + 1, Reason: fmt.Sprintf("longer than %d bytes", maxLine)}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("apdutest: transcript line %d: %w", n+1, err)
	}
	return t, nil
}

// parseLine reads one line and returns what is wrong with it.
func (t *transcript) parseLine(n int, text string) (reason string) {
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "atr":
		atr, ok := parseHex(rest)
		if !ok {
			return "the ATR is not hexadecimal"
		}
		t.atr = atr
		return ""
	case "protocol":
		for _, p := range []apdu.Protocol{apdu.ProtocolUnknown, apdu.ProtocolT0, apdu.ProtocolT1, apdu.ProtocolRaw} {
			if rest == p.String() {
				t.limits.Protocol = p
				return ""
			}
		}
		return "the protocol is not T=0, T=1, raw or unknown"
	case "limits":
		if _, err := fmt.Sscanf(rest, "%d %d", &t.limits.MaxCommand, &t.limits.MaxResponse); err != nil {
			return "the limits are not two numbers of bytes, for commands and responses"
		}
		return ""
	case eventBegin, eventEnd, eventReconnect:
		e := event{line: n, what: word}
		if rest != "" {
			name, ok := strings.CutPrefix(rest, "! ")
			if ok {
				e.err, ok = parseError(name)
			}
			if !ok {
				return "what follows " + word + " is not ! and an error"
			}
		}
		t.events = append(t.events, e)
		return ""
	}
	left, right, ok := strings.Cut(text, arrow)
	if !ok {
		return "neither an exchange with an arrow, nor atr, protocol, limits, begin, end or reconnect"
	}
	e := event{line: n}
	if e.command, ok = parseHex(left); !ok || len(e.command) == 0 {
		return "the command is not hexadecimal"
	}
	right = strings.TrimSpace(right)
	if name, failed := strings.CutPrefix(right, "! "); failed {
		if e.err, ok = parseError(name); !ok {
			return "the error is not removed, reset, retired, not sent or a text in quotes"
		}
	} else if e.response, ok = parseHex(right); !ok {
		return "the response is not hexadecimal"
	}
	t.events = append(t.events, e)
	return ""
}

func parseHex(s string) ([]byte, bool) {
	b, err := apdu.ParseHex(s)
	return b, err == nil
}
