package main

import (
	"errors"
	"strings"

	"github.com/cardoki/cardoki/apdu"
)

// hexLine reads a line that is nothing but a command or a response. It is the
// answer to the command before it, if that has none yet, and ends as answers do.
// Those who know better begin the line with > for a command or < for a response.
func hexLine(s string, p *printer) error {
	s = strings.TrimSpace(s)
	direction := ' '
	if s != "" && (s[0] == '>' || s[0] == '<') {
		direction, s = rune(s[0]), strings.TrimLeft(s, "<> ")
	}
	b, err := apdu.ParseHex(s)
	if err != nil {
		return err
	}
	answer := p.pending != nil && len(b) >= 2 && isStatus(b)
	switch {
	case len(b) == 0:
	case direction == '<' || direction == ' ' && answer:
		if p.pending == nil {
			return errors.New("a response without a command before it")
		}
		p.response(b, unknown)
	case len(b) < apdu.HeaderSize:
		return errors.New("a command has at least four bytes: CLA INS P1 P2")
	default:
		p.command(b)
	}
	return nil
}

// isStatus reports whether b ends with a status that cards use.
func isStatus(b []byte) bool {
	r, err := apdu.ParseResponse(b)
	return err == nil && r.Status.Class() != apdu.ClassInvalid
}
