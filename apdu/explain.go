package apdu

import (
	"fmt"
	"log/slog"
	"strings"
)

// Explain returns an exchange in one line of plain words, for traces:
//
//	SELECT A0 00 00 03 08 00 00 10 00 01 00 → 9000 success, 61 bytes
//	VERIFY reference 80, 8 bytes hidden → 63C2 verification failed, 2 tries left
//
// It never shows a byte that may be secret. Of the data fields it shows only
// those known to be harmless: the name or path that SELECT selects, and the tag
// list of GET DATA; both only where no secure messaging and no chaining is in
// use. Every other data field, every response data field, and all of an
// instruction that the standard does not know, is told by its length. This holds
// for each command of a chain on its own, so that no order of calls can undo it.
// Header bytes are shown.
//
// command and response are what went through [Transmitter.Transmit]; response is
// nil when there was none, and then the line ends after the command.
//
// It knows the words of the standard; [Vocabulary.Explain] knows those of an
// application too.
func Explain(command, response []byte) string {
	return (*Vocabulary)(nil).Explain(command, response)
}

// Explain is the function [Explain] with the words of v.
func (v *Vocabulary) Explain(command, response []byte) string {
	var b strings.Builder
	c, err := ParseCommand(command)
	if err != nil {
		fmt.Fprintf(&b, "malformed command of %s", count(len(command)))
	} else {
		v.explainCommand(&b, &c)
	}
	if response == nil {
		return b.String()
	}
	b.WriteString(" → ")
	r, err := ParseResponse(response)
	if err != nil {
		fmt.Fprintf(&b, "malformed response of %s", count(len(response)))
		return b.String()
	}
	b.WriteString(r.Status.String() + " ")
	if tries := r.Status.Retries(); tries >= 0 && c.asksForTries() {
		b.WriteString("not verified, " + triesLeft(tries))
	} else {
		b.WriteString(v.meaning(r.Status))
	}
	if len(r.Data) > 0 {
		b.WriteString(", " + count(len(r.Data)))
	}
	return b.String()
}

// asksForTries reports whether c is VERIFY without data, which verifies nothing
// (ISO/IEC 7816-4:2013).
func (c *Command) asksForTries() bool {
	return c.Class.Interindustry() && c.Instruction == InsVerify && len(c.Data) == 0
}

func (v *Vocabulary) explainCommand(b *strings.Builder, c *Command) {
	name, whose := v.name(c)
	what, withData := v.parameters(c, whose)
	switch {
	case c.Class == 0xFF && whose == unknown:
		fmt.Fprintf(b, "command to the reader, INS %02X, P1-P2 %02X%02X", byte(c.Instruction), c.P1, c.P2)
	case whose == unknown:
		fmt.Fprintf(b, "CLA %02X INS %02X, P1-P2 %02X%02X", byte(c.Class), byte(c.Instruction), c.P1, c.P2)
	default:
		b.WriteString(name)
		if what != "" {
			b.WriteString(" " + what)
		}
	}
	if n := len(c.Data); n > 0 && !withData {
		if v.Harmless(c) {
			b.WriteString(" " + FormatHex(c.Data))
		} else {
			fmt.Fprintf(b, ", %s hidden", count(n))
		}
	}
	if n := c.Class.Channel(); n != 0 {
		fmt.Fprintf(b, ", channel %d", n)
	}
	if c.Class.SecureMessaging() != SMNone {
		b.WriteString(", secure messaging")
	}
	if c.Class.Chained() {
		b.WriteString(", more follows")
	}
}

func count(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// String returns c in words, without a byte that may be secret, as [Explain] does.
// It has a value receiver, and with Format and LogValue keeps PINs and keys out of
// whatever prints or logs a Command, or a struct that holds one in an exported field.
// Who wants the bytes asks for them, by AppendBinary and [FormatHex].
func (c Command) String() string {
	var b strings.Builder
	(*Vocabulary)(nil).explainCommand(&b, &c)
	return b.String()
}

// Format prints [Command.String], whatever the verb.
func (c Command) Format(f fmt.State, _ rune) { f.Write([]byte(c.String())) }

// LogValue returns [Command.String].
func (c Command) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String returns the status in words and the number of bytes before it, such as
// "9000 success, 61 bytes", and not the bytes, as [Command.String].
func (r Response) String() string {
	if len(r.Data) == 0 {
		return r.Status.Error()
	}
	return r.Status.Error() + ", " + count(len(r.Data))
}

// Format prints [Response.String], whatever the verb.
func (r Response) Format(f fmt.State, _ rune) { f.Write([]byte(r.String())) }

// LogValue returns [Response.String].
func (r Response) LogValue() slog.Value { return slog.StringValue(r.String()) }
