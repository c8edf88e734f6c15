package piv

import (
	"crypto"
	"errors"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// Cards answer in more ways than ours: what the standard allows is accepted, and what
// tells nothing is done without.
func TestWhatCardsMayAnswer(t *testing.T) {
	full := AID.AppendTo(nil)
	for _, tt := range []struct {
		name   string
		answer func(c *apdu.Command) []byte // nil: our card answers
	}{
		{"the whole identifier in the property template", func(c *apdu.Command) []byte {
			if c.Instruction == apdu.InsSelect {
				return ok(tlv.Append(nil, 0x61, tlv.Append(nil, tagAID, full)))
			}
			return nil
		}},
		{"a property template with more in it", func(c *apdu.Command) []byte {
			if c.Instruction == apdu.InsSelect {
				b := tlv.Append(nil, tagAID, full[5:])
				b = tlv.Append(b, 0x50, []byte("label"))
				b = tlv.Append(b, 0x5F50, []byte("https://example.test"))
				return ok(tlv.Append(nil, 0x61, tlv.Append(b, 0xAC, []byte{0x80, 1, 0x14, 6, 1, 0})))
			}
			return nil
		}},
		{"no property template", func(c *apdu.Command) []byte {
			if c.Instruction == apdu.InsSelect {
				return ok(nil)
			}
			return nil
		}},
		{"another version, by the name without one", func(c *apdu.Command) []byte {
			if c.Instruction == apdu.InsSelect && len(c.Data) == len(full) {
				return []byte{0x6A, 0x82}
			}
			return nil
		}},
		{"no discovery object", func(c *apdu.Command) []byte {
			if tag, _, ok := tagOf(c.Data); c.Instruction == apdu.InsGetDataOdd && ok && tag == ObjectDiscovery {
				return []byte{0x6A, 0x82}
			}
			return nil
		}},
		{"an empty discovery object", func(c *apdu.Command) []byte {
			if tag, _, valid := tagOf(c.Data); c.Instruction == apdu.InsGetDataOdd && valid && tag == ObjectDiscovery {
				return ok([]byte{0x7E, 0})
			}
			return nil
		}},
		{"an instruction F7 that is something else", func(c *apdu.Command) []byte {
			if c.Instruction == insGetMetadata {
				return ok([]byte("Version 1.2"))
			}
			return nil
		}},
		{"metadata with an algorithm of the future", func(c *apdu.Command) []byte {
			if c.Instruction == insGetMetadata {
				return ok([]byte{1, 1, 0x77, 2, 2, 2, 1, 4, 2, 0x86, 0})
			}
			return nil
		}},
		{"an extension that is refused for its class", func(c *apdu.Command) []byte {
			if c.Instruction >= insMoveKey {
				return []byte{0x6E, 0x00}
			}
			return nil
		}},
		{"a counter that is not told", func(c *apdu.Command) []byte {
			if c.Instruction == apdu.InsVerify && len(c.Data) == 0 {
				return []byte{0x63, 0x00}
			}
			return nil
		}},
		{"VERIFY without data refused", func(c *apdu.Command) []byte {
			if c.Instruction == apdu.InsVerify && len(c.Data) == 0 {
				return []byte{0x67, 0x00}
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pin, _ := pinCallback(testPIN)
			c, ch, s := open(t, nil)
			for _, slot := range []Slot{SlotAuthentication, SlotSignature} {
				k := generate(t, c, slot, AlgorithmP256)
				if err := c.PutCertificate(ctx, slot, issue(t, k.Public())); err != nil {
					t.Fatal(err)
				}
			}
			s.answer = tt.answer
			client, err := Open(ctx, ch, &Options{PIN: pin})
			if err != nil {
				t.Fatal(err)
			}
			for _, slot := range []Slot{SlotAuthentication, SlotSignature} {
				k, err := client.Key(ctx, slot)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
					t.Errorf("slot %v: %v", slot, err)
				}
			}
			if serial, err := client.Serial(ctx); err != nil || serial == "" {
				t.Errorf("serial number: %q, %v", serial, err)
			}
		})
	}
}

func ok(data []byte) []byte { return append(data, 0x90, 0x00) }

func TestWhatCardsMayNotAnswer(t *testing.T) {
	c, ch, s := open(t, nil)
	generate(t, c, SlotCardAuthentication, AlgorithmP256)
	for name, answer := range map[string]struct {
		ins  apdu.Instruction
		data []byte
	}{
		"another application":          {apdu.InsSelect, tlv.Append(nil, 0x61, tlv.Append(nil, tagAID, []byte{0xA0, 0, 0, 1, 0x51, 0}))},
		"a property template in bits":  {apdu.InsSelect, []byte{0x61, 0x05, 0x4F}},
		"no template":                  {apdu.InsGeneralAuthenticateOdd, nil},
		"a template without an answer": {apdu.InsGeneralAuthenticateOdd, []byte{0x7C, 0x00}},
		"a template that is cut":       {apdu.InsGeneralAuthenticateOdd, []byte{0x7C, 0x20, 0x82, 0x10}},
	} {
		s.answer = func(c *apdu.Command) []byte {
			if c.Instruction == answer.ins {
				return ok(answer.data)
			}
			return nil
		}
		client, err := Open(ctx, ch, nil)
		if err == nil {
			var k *Key
			if k, err = client.Key(ctx, SlotCardAuthentication); err == nil {
				_, err = k.Sign(ctx, digest[:], crypto.SHA256)
			}
		}
		if err == nil || !strings.HasPrefix(err.Error(), "piv: ") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
	s.answer = nil
	if _, err := Open(ctx, ch, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSerialOfAnOldCard(t *testing.T) {
	c, _, s := open(t, nil)
	chuid := newCHUID([16]byte{})
	s.answer = func(cmd *apdu.Command) []byte {
		switch tag, _, valid := tagOf(cmd.Data); {
		case cmd.Instruction == insGetSerial:
			return []byte{0x6D, 0x00}
		case cmd.Instruction == apdu.InsGetDataOdd && valid && tag == ObjectCHUID:
			return ok(chuid.AppendTo(nil))
		}
		return nil
	}
	if got, err := c.Serial(ctx); err != nil || got != "9999-9999-999999-0-1-0000000000-3-0000-1" {
		t.Errorf("got %q, %v", got, err)
	}
	s.answer = func(cmd *apdu.Command) []byte {
		if cmd.Instruction == insGetSerial || cmd.Instruction == apdu.InsGetDataOdd {
			return []byte{0x6A, 0x82}
		}
		return nil
	}
	_, err := c.Serial(ctx)
	if _, isCommand := errors.AsType[*iso7816.CommandError](err); !isCommand {
		t.Errorf("got %v", err)
	}
}
