package main

import (
	"strings"

	"github.com/cardoki/cardoki/apdu"
)

// transcript is the format of package apdutest, which explains it.
type transcript struct{}

const arrow = "->"

func (*transcript) line(s string, p *printer) bool {
	s, _, _ = strings.Cut(s, "#")
	s = strings.TrimSpace(s)
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "atr":
		if atr, err := apdu.ParseHex(rest); err == nil && len(atr) >= 2 {
			p.note("ATR " + apdu.FormatHex(atr))
			return true
		}
	case "protocol", "limits":
		p.note(s)
		return true
	case "begin", "end", "reconnect":
		if rest == "" || strings.HasPrefix(rest, "!") {
			p.note(s)
			return true
		}
	}
	left, right, ok := strings.Cut(s, arrow)
	if !ok {
		return false
	}
	command, err := apdu.ParseHex(left)
	if err != nil || len(command) == 0 {
		return false
	}
	right = strings.TrimSpace(right)
	if failure, failed := strings.CutPrefix(right, "!"); failed {
		p.command(command)
		p.failure(strings.TrimSpace(failure))
		return true
	}
	response, err := apdu.ParseHex(right)
	if err != nil {
		return false
	}
	p.command(command)
	p.response(response, unknown)
	return true
}
