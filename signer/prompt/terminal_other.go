//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package prompt

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"golang.org/x/term"
)

// terminal is standard input and standard error.
type terminal struct{}

func openTerminal() (*terminal, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, fmt.Errorf("standard input is none")
	}
	return &terminal{}, nil
}

func (*terminal) close() {}

// ask shows message and returns the line that is typed, which is shown with echo only.
func (*terminal) ask(ctx context.Context, message string, echo bool) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("prompt: terminal: %w", err)
	}
	fmt.Fprint(os.Stderr, message)
	if echo {
		b, err := bufio.NewReader(os.Stdin).ReadBytes('\n')
		return b, err
	}
	b, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return nil, fmt.Errorf("prompt: terminal: %w", err)
	}
	if len(b) > maxSecret {
		clear(b)
		return nil, errTooLong
	}
	return b, nil
}
