package piv

import (
	"bytes"
	"crypto/subtle"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// reference returns the PIN, global PIN or PUK of s with the given key reference, or
// nil.
func (s *state) reference(p2 byte) *card.Reference {
	switch p2 {
	case referencePIN:
		return &s.PIN
	case referenceGlobalPIN:
		return s.GlobalPIN
	case referencePUK:
		return &s.PUK
	}
	return nil
}

// verified returns whether the PIN with the given reference was verified. The global
// PIN does for the application too; the other way round it does not.
func (s *session) verified(p2 byte) *bool {
	if p2 == referenceGlobalPIN {
		return &s.globalVerified
	}
	return &s.pinVerified
}

// tryReference presents a value to the reference p2, lastingly.
func (s *session) tryReference(p2 byte, value []byte) apdu.Status {
	next := s.app.state.clone()
	sw := next.reference(p2).Verify(value, func() error { return next.commit(s.env.Store) })
	s.app.state = next
	switch p2 {
	case referenceGlobalPIN:
		s.globalVerified = sw.OK()
		fallthrough
	case referencePIN:
		s.pinVerified, s.pinFresh = sw.OK(), sw.OK()
	}
	return sw
}

// replaceReference gives the reference p2 a new value.
func (s *session) replaceReference(p2 byte, value []byte) apdu.Status {
	next := s.app.state.clone()
	sw := next.reference(p2).Replace(value, func() error { return next.commit(s.env.Store) })
	s.app.state = next
	return sw
}

// wellFormed reports whether value is a padded PIN of 6 to 8 bytes. Those of the
// standard are digits; YubiKeys take other characters too.
func wellFormed(value []byte) bool {
	if len(value) != pinSize {
		return false
	}
	n := pinSize
	for n > 0 && value[n-1] == pinPadding {
		n--
	}
	for _, b := range value[:n] {
		if b == pinPadding {
			return false
		}
	}
	return n >= minPIN
}

// verify answers VERIFY (SP 800-73-5 part 2).
func (s *session) verify(c *apdu.Command) apdu.Status {
	r := s.app.state.reference(c.P2)
	switch {
	case r == nil || c.P2 == referencePUK:
		return apdu.StatusReferencedDataNotFound
	case s.contactless():
		return apdu.StatusSecurityStatusNotSatisfied
	case c.P1 == 0xFF && len(c.Data) == 0:
		s.pinVerified, s.globalVerified = false, false
		return apdu.StatusOK
	case c.P1 != 0:
		return apdu.StatusIncorrectP1P2
	case len(c.Data) == 0 && *s.verified(c.P2):
		return apdu.StatusOK
	case len(c.Data) == 0 || r.Remaining == 0:
		return r.Status()
	case len(c.Data) != pinSize:
		return apdu.StatusIncorrectParametersInData
	}
	return s.tryReference(c.P2, c.Data)
}

// changeReferenceData answers CHANGE REFERENCE DATA: the old PIN or PUK, and the new
// one (SP 800-73-5 part 2).
func (s *session) changeReferenceData(c *apdu.Command) apdu.Status {
	r := s.app.state.reference(c.P2)
	switch {
	case r == nil:
		return apdu.StatusReferencedDataNotFound
	case s.contactless():
		return apdu.StatusSecurityStatusNotSatisfied
	case c.P1 != 0:
		return apdu.StatusIncorrectP1P2
	case r.Remaining == 0:
		return apdu.StatusAuthenticationMethodBlocked
	case len(c.Data) != 2*pinSize || !wellFormed(c.Data[pinSize:]):
		return apdu.StatusIncorrectParametersInData
	}
	if sw := s.tryReference(c.P2, c.Data[:pinSize]); !sw.OK() {
		return sw
	}
	return s.replaceReference(c.P2, c.Data[pinSize:])
}

// resetRetryCounter answers RESET RETRY COUNTER: the PUK, and a new PIN (SP 800-73-5
// part 2). As on YubiKeys a wrong PUK counts whatever the new PIN looks like: ykman
// blocks the PUK with an empty one of each.
func (s *session) resetRetryCounter(c *apdu.Command) apdu.Status {
	switch {
	case c.P2 != referencePIN:
		return apdu.StatusReferencedDataNotFound
	case s.contactless():
		return apdu.StatusSecurityStatusNotSatisfied
	case c.P1 != 0:
		return apdu.StatusIncorrectP1P2
	case s.app.state.PUK.Remaining == 0:
		return apdu.StatusAuthenticationMethodBlocked
	case len(c.Data) != 2*pinSize || s.app.opts.StandardOnly && !wellFormed(c.Data[pinSize:]):
		return apdu.StatusIncorrectParametersInData
	}
	if sw := s.tryReference(referencePUK, c.Data[:pinSize]); !sw.OK() {
		s.pinVerified = false
		return sw
	}
	if !wellFormed(c.Data[pinSize:]) {
		return apdu.StatusIncorrectParametersInData
	}
	return s.replaceReference(referencePIN, c.Data[pinSize:])
}

// setTries answers YubiKey's SET PIN RETRIES: it gives PIN and PUK new counters and
// the values they left the factory with.
func (s *session) setTries(c *apdu.Command) apdu.Status {
	pin, puk := int(c.P1), int(c.P2)
	switch {
	case len(c.Data) != 0:
		return apdu.StatusWrongLength
	case pin < 1 || pin > card.MaxTries || puk < 1 || puk > card.MaxTries:
		return apdu.StatusIncorrectP1P2
	case !s.managed || !s.pinVerified:
		return apdu.StatusSecurityStatusNotSatisfied
	}
	err := s.update(func(next *state) {
		next.PIN = card.Reference{Value: s.app.fresh.PIN.Value, Tries: pin, Remaining: pin}
		next.PUK = card.Reference{Value: s.app.fresh.PUK.Value, Tries: puk, Remaining: puk}
	})
	if err != nil {
		return apdu.StatusMemoryFailure
	}
	s.pinVerified = false
	return apdu.StatusOK
}

// reset answers YubiKey's RESET: when PIN and PUK are blocked, the card is as it left
// the factory, but for its serial number and attestation key.
func (s *session) reset(c *apdu.Command) apdu.Status {
	old := s.app.state
	switch {
	case c.P1 != 0 || c.P2 != 0:
		return apdu.StatusIncorrectP1P2
	case len(c.Data) != 0:
		return apdu.StatusWrongLength
	case old.PIN.Remaining != 0 || old.PUK.Remaining != 0:
		return apdu.StatusConditionsNotSatisfied
	}
	next, err := s.app.manufacture(s.env.Rand, s.env.Now())
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	next.Serial = old.Serial
	if k := old.Keys[SlotAttestation]; k != nil {
		tag, _ := SlotAttestation.object()
		next.Keys[SlotAttestation] = k
		next.Objects[tag.String()] = old.Objects[tag.String()]
	}
	if err := next.commit(s.env.Store); err != nil {
		return apdu.StatusMemoryFailure
	}
	s.Close()
	s.app.state = next
	return apdu.StatusOK
}

// setManagementKey answers YubiKey's SET MANAGEMENT KEY: P2 is FF, or FE for a key
// that needs a touch; the data is the algorithm, 9B, the length and the key.
func (s *session) setManagementKey(c *apdu.Command) apdu.Status {
	switch {
	case c.P1 != 0xFF || c.P2 != 0xFF && c.P2 != 0xFE:
		return apdu.StatusIncorrectP1P2
	case !s.managed:
		return apdu.StatusSecurityStatusNotSatisfied
	case len(c.Data) < 3 || c.Data[1] != referenceManagement || int(c.Data[2]) != len(c.Data)-3:
		return apdu.StatusIncorrectParametersInData
	}
	algorithm, value := Algorithm(c.Data[0]), c.Data[3:]
	if err := checkManagementKey(algorithm, value); err != nil {
		return apdu.StatusIncorrectParametersInData
	}
	touch := TouchPolicyNever
	if c.P2 == 0xFE {
		touch = TouchPolicyAlways
	}
	err := s.update(func(next *state) {
		next.Management = managementKey{Algorithm: algorithm, Touch: touch, Key: append(card.Secret(nil), value...)}
	})
	if err != nil {
		return apdu.StatusMemoryFailure
	}
	return apdu.StatusOK
}

// metadataOfReference returns what GET METADATA tells of a PIN or PUK: algorithm FF,
// whether it is what everybody knows, tries and tries left.
func metadataOfReference(r *card.Reference, known string) []byte {
	b := tlv.Append(nil, tagMetadataAlgorithm, []byte{0xFF})
	b = tlv.Append(b, tagMetadataDefault, []byte{isKnown(r.Value, known)})
	return tlv.Append(b, tagMetadataTries, []byte{byte(r.Tries), byte(r.Remaining)})
}

// isKnown returns 1 when value, but for its padding, is the known one, else 0.
func isKnown(value card.Secret, known string) byte {
	want := bytes.Repeat([]byte{pinPadding}, len(value))
	copy(want, known)
	return byte(subtle.ConstantTimeCompare(value, want))
}
