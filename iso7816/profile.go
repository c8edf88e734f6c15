package iso7816

import "github.com/cardoki/cardoki/apdu"

// A Profile is what an application does differently from ISO/IEC 7816-4: which
// statuses mean success or more data, how the rest of a response is fetched, and
// where a logical channel number goes in a proprietary class. The zero value, and
// each field that is nil, mean what the standard says. A Profile must not be
// changed once a [Channel] uses it.
type Profile struct {
	// Success reports whether sw, the last status of a command, is success to
	// [Channel.Send]. Nil: 9000 alone.
	Success func(sw apdu.Status) bool
	// More returns how many bytes, 1 to 256, sw announces in place of a last
	// status, or 0 when it announces none. Nil: 61XX.
	More func(sw apdu.Status) int
	// GetResponse returns the command that fetches n announced bytes of the answer
	// to c. Nil: GET RESPONSE in the class of c, without chaining and secure
	// messaging; where a card refuses that in a proprietary class, in class 00.
	GetResponse func(c apdu.Command, n int) apdu.Command
	// SetChannel returns a proprietary class with the logical channel number n. Nil:
	// the class as it is.
	SetChannel func(class apdu.Class, n int) apdu.Class
}

func (p *Profile) success(sw apdu.Status) bool {
	if p == nil || p.Success == nil {
		return sw.OK()
	}
	return p.Success(sw)
}

func (p *Profile) more(sw apdu.Status) int {
	if p == nil || p.More == nil {
		return sw.More()
	}
	return p.More(sw)
}

func (p *Profile) getResponse(c *apdu.Command, n int) apdu.Command {
	if p == nil || p.GetResponse == nil {
		return apdu.Command{
			Class:       c.Class.WithChained(false).WithSecureMessaging(apdu.SMNone),
			Instruction: apdu.InsGetResponse,
			Ne:          n,
		}
	}
	return p.GetResponse(*c, n)
}

// byStandard reports whether get is GET RESPONSE as the standard has it, in a
// proprietary class.
func (p *Profile) byStandard(get *apdu.Command) bool {
	return (p == nil || p.GetResponse == nil) && get.Class.Proprietary()
}

func (p *Profile) setChannel(class apdu.Class, n int) apdu.Class {
	if class.Interindustry() {
		return class.WithChannel(n)
	}
	if p == nil || p.SetChannel == nil {
		return class
	}
	return p.SetChannel(class, n)
}

// ProfileSIM returns the profile of a SIM of 3GPP TS 51.011: class A0, 9FXX
// announces XX bytes, and 91XX is success with a proactive command waiting.
func ProfileSIM() *Profile {
	return &Profile{
		Success: func(sw apdu.Status) bool { return sw.OK() || sw.SW1() == 0x91 },
		More: func(sw apdu.Status) int {
			if sw.SW1() == 0x9F {
				return 1 + int(sw.SW2()-1)
			}
			return sw.More()
		},
		GetResponse: func(_ apdu.Command, n int) apdu.Command {
			return apdu.Command{Class: 0xA0, Instruction: apdu.InsGetResponse, Ne: n}
		},
	}
}

// ProfileOATH returns the profile of YubiKey's OATH application, whose instruction
// A5 fetches the rest of a response that 61XX announced.
func ProfileOATH() *Profile {
	return &Profile{GetResponse: func(c apdu.Command, n int) apdu.Command {
		return apdu.Command{Class: c.Class.WithChained(false), Instruction: 0xA5, Ne: n}
	}}
}

// ProfileGlobalPlatform returns the profile of a GlobalPlatform security domain:
// 6310 is success with more data, for the caller to ask for with the command's next
// occurrence, and channel numbers go into classes 80 to 8F and C0 to FF as into
// interindustry ones.
func ProfileGlobalPlatform() *Profile {
	return &Profile{
		Success: func(sw apdu.Status) bool { return sw.OK() || sw == 0x6310 },
		SetChannel: func(class apdu.Class, n int) apdu.Class {
			switch {
			case n < 4 && class&0xF0 == 0x80:
				return class&^0x03 | apdu.Class(n)
			case n >= 4 && class&0xF0 == 0x80: // the further coding keeps one secure messaging bit
				further := apdu.Class(0xC0) | apdu.Class(n-4)
				if class&0x0C != 0 {
					further |= 0x20
				}
				return further
			}
			return class
		},
	}
}

// ProfileDESFire returns the profile of MIFARE DESFire commands wrapped in APDUs of
// class 90: 9100 is success, and 91AF announces a further frame, which instruction
// AF fetches.
func ProfileDESFire() *Profile {
	return &Profile{
		Success: func(sw apdu.Status) bool { return sw == 0x9100 },
		More: func(sw apdu.Status) int {
			if sw == 0x91AF {
				return apdu.MaxShortNe
			}
			return 0
		},
		GetResponse: func(apdu.Command, int) apdu.Command {
			return apdu.Command{Class: 0x90, Instruction: 0xAF, Ne: apdu.MaxShortNe}
		},
	}
}
