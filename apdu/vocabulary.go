package apdu

import (
	"fmt"
	"strings"
)

// A Vocabulary is what an application says of its commands beyond the standard, so
// that [Vocabulary.Explain] and [Vocabulary.Trace] have words for them:
//
//	SELECT PIV → 9000 success, 61 bytes
//	GET DATA 5FC105 (certificate of slot 9A) → 9000 success, 717 bytes
//
// A nil Vocabulary, and every field that is nil, adds nothing. No function may put a
// byte of a data field into what it returns, unless that field is harmless. A
// Vocabulary must not be changed once it is used; it is then safe for concurrent use.
type Vocabulary struct {
	// Applications are the names of applications by the bytes of their application
	// identifiers, such as "\xA0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00": "PIV".
	// SELECT by a beginning of at least 5 bytes finds them too, where only one has it.
	Applications map[string]string
	// Instructions are the names of instructions by class. Class 00 stands for the
	// interindustry classes; a proprietary class that ends in 0 also for those that
	// differ in the last digit and have no row, since there are channels and secure
	// messaging. A name here takes the place of the standard's, and of what the
	// standard says of P1, P2 and the data field.
	Instructions map[Class]map[Instruction]string
	// Statuses are the meanings of statuses.
	Statuses map[Status]string
	// Status returns the meaning of a status of a family that Statuses has no room
	// for, or "".
	Status func(Status) string
	// Objects are the names of data objects by their tags, such as 0x5FC105. They
	// stand beside the tags that GET DATA and PUT DATA name.
	Objects map[uint32]string
	// Parameters returns what P1 and P2 of a command say, such as "P-256, slot 9A"
	// of GENERAL AUTHENTICATE; "" leaves that to the standard.
	Parameters func(*Command) string
	// Show reports whether the data field of a command holds no secret, beyond those
	// that the standard knows. It is not asked where secure messaging, chaining or an
	// instruction for reference data is in use: those data fields are never shown.
	Show func(*Command) bool
	// Hide reports whether the data field of a command is to be hidden, although Show
	// or the standard would show it.
	Hide func(*Command) bool
}

// Whose name a command has.
type owner int

const (
	unknown owner = iota
	standard
	application
)

// name returns the name of the instruction of c.
func (v *Vocabulary) name(c *Command) (string, owner) {
	if v != nil {
		classes := [2]Class{c.Class, c.Class & 0xF0}
		if c.Class.Interindustry() {
			classes = [2]Class{}
		}
		for _, class := range classes {
			if n, ok := v.Instructions[class][c.Instruction]; ok {
				return n, application
			}
		}
	}
	n, ok := instructionNames[c.Instruction]
	if ok && c.Class.Interindustry() {
		return n, standard
	}
	return "", unknown
}

func (v *Vocabulary) meaning(s Status) string {
	if v != nil {
		if m, ok := v.Statuses[s]; ok {
			return m
		}
		if v.Status != nil {
			if m := v.Status(s); m != "" {
				return m
			}
		}
	}
	return s.Meaning()
}

// parameters returns what P1 and P2 say, and whether that says what is in the data
// field too.
func (v *Vocabulary) parameters(c *Command, whose owner) (what string, withData bool) {
	if v != nil && v.Parameters != nil && whose != unknown {
		if what := v.Parameters(c); what != "" {
			return what, false
		}
	}
	switch whose {
	case application:
		if c.P1 != 0 || c.P2 != 0 {
			return fmt.Sprintf("P1-P2 %02X%02X", c.P1, c.P2), false
		}
	case standard:
		if what := v.application(c); what != "" {
			return what, true
		}
		if what, withData := v.objects(c); what != "" {
			return what, withData
		}
		return standardParameters(c), false
	}
	return "", false
}

// application returns the name of the application that SELECT names.
func (v *Vocabulary) application(c *Command) string {
	const minPartial = 5 // a registered application provider identifier
	if v == nil || c.Instruction != InsSelect || c.P1 != 0x04 || !v.Harmless(c) {
		return ""
	}
	if name, ok := v.Applications[string(c.Data)]; ok || len(c.Data) < minPartial {
		return name
	}
	found := ""
	for aid, name := range v.Applications {
		if strings.HasPrefix(aid, string(c.Data)) {
			if found != "" {
				return ""
			}
			found = name
		}
	}
	return found
}

// objects returns the names of the data objects that GET DATA or PUT DATA names, if
// they have any, and whether that is all of the data field.
func (v *Vocabulary) objects(c *Command) (what string, all bool) {
	if v == nil || len(v.Objects) == 0 {
		return "", false
	}
	switch c.Instruction {
	case InsGetData, InsPutData:
		tag := uint32(c.P1)<<8 | uint32(c.P2)
		if name, ok := v.Objects[tag]; ok {
			return fmt.Sprintf("%02X (%s)", tag, name), false
		}
	case InsGetDataOdd, InsPutDataOdd:
		// A tag list, 5C, with one tag. Only a tag that has a name is shown, since
		// what looks like a tag list may be anything.
		if len(c.Data) < 3 || c.Class.SecureMessaging() != SMNone || c.Data[0] != 0x5C {
			return "", false
		}
		n := int(c.Data[1])
		if n > 3 || n > len(c.Data)-2 {
			return "", false
		}
		var tag uint32
		for _, b := range c.Data[2 : 2+n] {
			tag = tag<<8 | uint32(b)
		}
		if name, ok := v.Objects[tag]; ok {
			return fmt.Sprintf("%02X (%s)", tag, name), n == len(c.Data)-2
		}
	}
	return "", false
}
