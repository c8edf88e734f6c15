package main

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// openSC is what OpenSC's programs and its PKCS#11 module write with OPENSC_DEBUG=9:
//
//	P:6754; T:0x139988215846976 07:08:47.821 [pkcs15-tool] reader-pcsc.c:335:pcsc_transmit:
//	Outgoing APDU (13 bytes):
//	00 20 00 80 08 31 32 33 34 35 36 FF FF . ...123456..
//
// The bytes are a dump of 16 a line, with the text beside them.
type openSC struct {
	outgoing bool
	missing  int    // bytes of the block that are still to come
	block    []byte // those that came
	now      time.Duration
	sent     time.Duration // when the last command went
}

var (
	openSCBlock = regexp.MustCompile(`^(Outgoing|Incoming) APDU(?: data)? [(\[]\s*(\d+) bytes[)\]]`)
	openSCTime  = regexp.MustCompile(`(?:^| )(\d\d):(\d\d):(\d\d)\.(\d\d\d) \[`)
)

func (o *openSC) line(s string, p *printer) bool {
	if o.missing > 0 {
		o.dump(s, p)
		return true
	}
	if m := openSCBlock.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[2])
		if err != nil || n > apdu.MaxResponseSize {
			return false
		}
		o.outgoing, o.missing, o.block = m[1] == "Outgoing", n, nil
		return true
	}
	if m := openSCTime.FindStringSubmatch(s); m != nil {
		o.now = 0
		for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second, time.Millisecond} {
			n, _ := strconv.Atoi(m[1+i]) // two or three digits
			o.now += time.Duration(n) * unit
		}
		return true
	}
	return false
}

// dump reads a line of a block.
func (o *openSC) dump(s string, p *printer) {
	const aLine = 16
	n := min(aLine, o.missing)
	if len(s) < 3*n-1 {
		o.missing = 0 // the log was cut
		return
	}
	b, err := apdu.ParseHex(strings.TrimSpace(s[:3*n-1]))
	if err != nil || len(b) != n {
		o.missing = 0
		return
	}
	o.block, o.missing = append(o.block, b...), o.missing-n
	switch {
	case o.missing > 0:
	case o.outgoing:
		o.sent = o.now
		p.command(o.block)
	default:
		took := o.now - o.sent
		if took < 0 {
			took += 24 * time.Hour
		}
		p.response(o.block, took)
	}
}
