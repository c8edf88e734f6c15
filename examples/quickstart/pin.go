package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// askPIV returns what asks for the PIN of a card.
func askPIV(file string) func(context.Context, piv.PINRequest) ([]byte, error) {
	return func(_ context.Context, r piv.PINRequest) ([]byte, error) {
		prompt := fmt.Sprintf("PIN for slot %v", r.Slot)
		if r.Remaining >= 0 {
			prompt += fmt.Sprintf(" (tries left: %d)", r.Remaining)
		}
		if r.Remaining == 1 {
			return nil, errors.New("one try is left, and quickstart does not spend it")
		}
		return readPIN(prompt, file)
	}
}

// askToken returns what asks for the PIN of a token.
func askToken(file string) cryptoki.PINFunc {
	return func(_ context.Context, r cryptoki.PINRequest) ([]byte, error) {
		prompt := fmt.Sprintf("PIN for token %s", r.Token)
		switch {
		case r.FinalTry:
			return nil, errors.New("one try is left, and quickstart does not spend it")
		case r.CountLow:
			prompt += " (a wrong one was given before)"
		}
		return readPIN(prompt, file)
	}
}

// maxPIN is longer than any PIN, in bytes.
const maxPIN = 256

// readPIN reads the PIN from the file, or asks for it at the terminal without
// showing it.
func readPIN(prompt, file string) ([]byte, error) {
	if file == "" {
		terminal := int(os.Stdin.Fd())
		if !term.IsTerminal(terminal) {
			return nil, errors.New("no terminal to ask for the PIN at; name a file with -pin-file")
		}
		fmt.Fprint(os.Stderr, prompt+": ")
		pin, err := term.ReadPassword(terminal)
		fmt.Fprintln(os.Stderr)
		return pin, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, maxPIN)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%s holds no PIN: %w", file, err)
	}
	pin, _, _ := bytes.Cut(buf[:n], []byte("\n"))
	return bytes.TrimRight(pin, "\r"), nil
}
