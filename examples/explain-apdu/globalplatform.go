package main

import (
	"regexp"
	"strconv"
	"time"

	"github.com/cardoki/cardoki/apdu"
)

// globalPlatform is what GlobalPlatformPro and other programs of apdu4j write:
//
//	A>> T=1 (4+0008) 80500000 08 EC255ADBCDB6C751 00
//	A<< (0028+2) (61ms) 00007213002987072483FF0202… 9000
type globalPlatform struct{}

var globalPlatformLine = regexp.MustCompile(`A(>>|<<)(?: T=\d)? \(\d+\+\d+\)(?: \((?:(\d+)s)?(?:(\d+)ms)?\))? ([0-9A-Fa-f ]+)$`)

func (*globalPlatform) line(s string, p *printer) bool {
	m := globalPlatformLine.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	b, err := apdu.ParseHex(m[4])
	if err != nil {
		return false
	}
	if m[1] == ">>" {
		p.command(b)
		return true
	}
	took := unknown
	if m[2] != "" || m[3] != "" {
		seconds, _ := strconv.Atoi(m[2]) // no digits are no seconds
		ms, _ := strconv.Atoi(m[3])
		took = time.Duration(seconds)*time.Second + time.Duration(ms)*time.Millisecond
	}
	p.response(b, took)
	return true
}
