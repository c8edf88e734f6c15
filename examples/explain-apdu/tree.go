package main

import (
	"fmt"
	"strings"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// trees shows the data objects of an exchange. Without -insecure-log-secrets these
// are those that SELECT returns, which tell what was selected; a rest that GET
// RESPONSE fetches is shown by itself, if it makes sense by itself.
func (p *printer) trees(command, response []byte) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return
	}
	r, err := apdu.ParseResponse(response)
	if err != nil {
		return
	}
	selects := c.Instruction == apdu.InsSelect && vocabulary.Harmless(&c) || c.Instruction == apdu.InsGetResponse && p.fci
	selects = selects && c.Class.Interindustry() && c.Class.SecureMessaging() == apdu.SMNone
	p.fci = selects && r.Status.More() > 0
	if p.insecure {
		p.tree("    > ", c.Data)
	}
	if p.insecure || selects {
		p.tree("    < ", r.Data)
	}
}

// tree shows b as data objects, if it is made of them wholly.
func (p *printer) tree(prefix string, b []byte) {
	if len(b) > 0 && whole(b) {
		p.objects(prefix, b, 0)
	}
}

// maxDepth bounds what an odd card can make us do.
const maxDepth = 16

func (p *printer) objects(prefix string, b []byte, depth int) {
	for o, err := range tlv.All(b) {
		if err != nil {
			return // whole says otherwise
		}
		line := fmt.Sprintf("%s%s%v", prefix, strings.Repeat("  ", depth), o.Tag)
		if name := objectNames[o.Tag]; name != "" {
			line += " (" + name + ")"
		}
		// The constructed bit is not a promise.
		if o.Tag.Constructed() && len(o.Value) > 0 && depth < maxDepth && whole(o.Value) {
			p.printf("%s\n", line)
			p.objects(prefix, o.Value, depth+1)
			continue
		}
		p.printf("%s: %s\n", line, value(o.Value))
	}
}

// whole reports whether b is made of data objects from beginning to end.
func whole(b []byte) bool {
	for _, err := range tlv.All(b) {
		if err != nil {
			return false
		}
	}
	return true
}

// value returns b in hexadecimal, and as text where it is one.
func value(b []byte) string {
	if len(b) == 0 {
		return "empty"
	}
	text := len(b) >= 3
	for _, c := range b {
		text = text && c >= ' ' && c <= '~'
	}
	if text {
		return fmt.Sprintf("%s %q", apdu.FormatHex(b), b)
	}
	return apdu.FormatHex(b)
}
