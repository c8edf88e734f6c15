package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// A source gives lines until io.EOF.
type source interface {
	next() (string, error)
	interactive() bool
}

// newLines reads from a terminal, with editing and history, or from a pipe or file.
func newLines(in *os.File, out io.Writer) (source, error) {
	if !term.IsTerminal(int(in.Fd())) {
		const longest = 1 << 20 // the longest command, with three characters a byte, fits
		s := bufio.NewScanner(in)
		s.Buffer(nil, longest)
		return &pipe{s}, nil
	}
	screen := struct {
		io.Reader
		io.Writer
	}{in, out}
	t := &terminal{in: int(in.Fd()), t: term.NewTerminal(screen, "apdu> ")}
	fmt.Fprintln(out, "Type help for what can be typed, quit to leave.")
	return t, nil
}

type pipe struct{ s *bufio.Scanner }

func (p *pipe) interactive() bool { return false }

func (p *pipe) next() (string, error) {
	if p.s.Scan() {
		return p.s.Text(), nil
	}
	if err := p.s.Err(); err != nil {
		return "", err
	}
	return "", io.EOF
}

type terminal struct {
	in int
	t  *term.Terminal
}

func (t *terminal) interactive() bool { return true }

// next reads a line. Only meanwhile is the terminal in raw mode, so that Ctrl-C interrupts
// a command that takes long.
func (t *terminal) next() (string, error) {
	state, err := term.MakeRaw(t.in)
	if err != nil {
		return "", err
	}
	defer term.Restore(t.in, state)
	if width, height, err := term.GetSize(t.in); err == nil && width > 0 {
		t.t.SetSize(width, height)
	}
	line, err := t.t.ReadLine()
	const longest = 4096 // package term drops what comes after it
	switch {
	case errors.Is(err, term.ErrPasteIndicator):
		err = nil
	case err == nil && len(line) >= longest:
		return "", errTooLong
	}
	return line, err
}

var errTooLong = errors.New("a line at a terminal has fewer than 4096 characters; longer commands can come from a pipe")
