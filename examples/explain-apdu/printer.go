package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cardoki/cardoki/apdu"
)

// A printer tells exchanges in words.
type printer struct {
	out      io.Writer
	insecure bool

	pending []byte // a command without an answer so far
	found   bool   // there was a command
	fci     bool   // the last response began what a SELECT returns
	err     error  // of out
}

// command takes a command. Its slice is kept until its response.
func (p *printer) command(b []byte) {
	p.unanswered()
	p.pending, p.found = b, true
}

// unanswered tells a command that has no response.
func (p *printer) unanswered() {
	if p.pending == nil {
		return
	}
	p.tell(vocabulary.Explain(p.pending, nil), unknown)
	p.raw(p.pending, nil)
	p.pending = nil
}

// response takes the response to the last command; one without a command is none.
func (p *printer) response(b []byte, took time.Duration) {
	if p.pending == nil {
		return
	}
	p.tell(vocabulary.Explain(p.pending, b), took)
	p.raw(p.pending, b)
	p.trees(p.pending, b)
	p.pending = nil
}

// failure takes what came in place of a response.
func (p *printer) failure(what string) {
	p.tell(vocabulary.Explain(p.pending, nil)+" → no response: "+what, unknown)
	p.raw(p.pending, nil)
	p.pending, p.fci = nil, false
}

// note takes what is no exchange.
func (p *printer) note(what string) {
	p.unanswered()
	p.found = true
	p.printf("%s\n", what)
}

func (p *printer) tell(line string, took time.Duration) {
	if took == unknown {
		p.printf("%s\n", line)
		return
	}
	ms := float64(took.Round(100*time.Microsecond)) / float64(time.Millisecond)
	p.printf("%s, %s ms\n", line, strconv.FormatFloat(ms, 'f', -1, 64))
}

// raw shows every byte, if that was asked for.
func (p *printer) raw(command, response []byte) {
	if !p.insecure {
		return
	}
	p.printf("    > %s\n", apdu.FormatHex(command))
	if response != nil {
		p.printf("    < %s\n", apdu.FormatHex(response))
	}
}

// printf prints without what could play tricks on a terminal: a log may come from
// anywhere.
func (p *printer) printf(format string, args ...any) {
	if p.err != nil {
		return
	}
	_, p.err = io.WriteString(p.out, strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, fmt.Sprintf(format, args...)))
}

// finish tells what is left.
func (p *printer) finish() error {
	p.unanswered()
	if !p.found && p.err == nil {
		return errors.New("no command in the input; it may be a transcript, lines of hexadecimal, or a log of OpenSC, pcscd or GlobalPlatformPro")
	}
	return p.err
}
