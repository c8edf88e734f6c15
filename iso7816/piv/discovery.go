package piv

import (
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// A Discovery is the discovery object: which application this is, and which PINs it
// has (SP 800-73-5 part 1).
type Discovery struct {
	AID             iso7816.AID
	PIN             bool // the application has a PIN of its own
	GlobalPIN       bool // the PIN of the whole card does too
	OCC             bool // so does a fingerprint that the card compares
	VCI             bool // the card has a virtual contact interface
	VCIWithoutCode  bool // and it needs no pairing code
	PreferGlobalPIN bool // with both PINs: ask for the global one first
}

const tagPINUsagePolicy = tlv.Tag(0x5F2F)

// Bits of the first byte of the PIN usage policy, and the values of the second.
const (
	policyPIN            = 0x40
	policyGlobalPIN      = 0x20
	policyOCC            = 0x10
	policyVCI            = 0x08
	policyVCIWithoutCode = 0x04

	preferPIN    = 0x10
	preferGlobal = 0x20
)

// AppendTo appends the data object, with its tag 7E.
func (d *Discovery) AppendTo(dst []byte) []byte {
	var policy [2]byte
	for _, b := range []struct {
		set bool
		bit byte
	}{{d.PIN, policyPIN}, {d.GlobalPIN, policyGlobalPIN}, {d.OCC, policyOCC}, {d.VCI, policyVCI}, {d.VCIWithoutCode, policyVCIWithoutCode}} {
		if b.set {
			policy[0] |= b.bit
		}
	}
	if d.GlobalPIN {
		policy[1] = preferPIN
		if d.PreferGlobalPIN {
			policy[1] = preferGlobal
		}
	}
	return tlv.AppendFunc(dst, ObjectDiscovery, func(b []byte) []byte {
		b = tlv.Append(b, tagAID, d.AID.AppendTo(nil))
		return tlv.Append(b, tagPINUsagePolicy, policy[:])
	})
}

// ParseDiscovery decodes the data object, with its tag 7E.
func ParseDiscovery(object []byte) (*Discovery, error) {
	aid, err := tlv.Find(object, ObjectDiscovery, tagAID)
	if err != nil {
		return nil, fmt.Errorf("piv: discovery object: application identifier: %w", err)
	}
	d := &Discovery{}
	if d.AID, err = iso7816.AIDFromBytes(aid); err != nil {
		return nil, fmt.Errorf("piv: discovery object: %w", err)
	}
	policy, err := tlv.Find(object, ObjectDiscovery, tagPINUsagePolicy)
	if err != nil {
		return nil, fmt.Errorf("piv: discovery object: PIN usage policy: %w", err)
	}
	if len(policy) != 2 {
		return nil, errors.New("piv: discovery object: PIN usage policy is not of two bytes")
	}
	d.PIN = policy[0]&policyPIN != 0
	d.GlobalPIN = policy[0]&policyGlobalPIN != 0
	d.OCC = policy[0]&policyOCC != 0
	d.VCI = policy[0]&policyVCI != 0
	d.VCIWithoutCode = policy[0]&policyVCIWithoutCode != 0
	d.PreferGlobalPIN = d.GlobalPIN && policy[1] == preferGlobal
	return d, nil
}
