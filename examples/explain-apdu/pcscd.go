package main

import (
	"regexp"
	"strconv"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// pcscd is what the daemon writes with --debug --apdu. Each line begins with the
// microseconds since the line before it, and with the thread in some versions:
//
//	00000002 APDU: 00 A4 04 00 07 62 76 01 FF 00 00 00
//	00000179 SW: 6A 82
type pcscd struct {
	seen  bool          // there was a line that nothing else writes
	since time.Duration // since the command
}

var pcscdLine = regexp.MustCompile(`^(\d{8}) (\[\d+\] |\w+\.[a-z]+:\d+:)?(?:(APDU|SW): ([0-9A-F ]*)$)?`)

func (d *pcscd) line(s string, p *printer) bool {
	m := pcscdLine.FindStringSubmatch(s)
	if m == nil || m[2] == "" && m[3] == "" && !d.seen {
		return false
	}
	d.seen = true
	us, _ := strconv.Atoi(m[1]) // eight digits
	d.since += time.Duration(us) * time.Microsecond
	b, err := apdu.ParseHex(m[4])
	if err != nil {
		return true
	}
	switch m[3] {
	case "APDU":
		d.since = 0
		p.command(b)
	case "SW":
		p.response(b, d.since)
	}
	return true
}
