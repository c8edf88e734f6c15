package piv

import (
	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// pinObjects are read only with the PIN: fingerprints, facial image, printed
// information, iris images (SP 800-73-5 part 1).
var pinObjects = map[tlv.Tag]bool{
	ObjectFingerprints: true, ObjectFacialImage: true, ObjectPrintedInformation: true, ObjectIrisImages: true, ObjectPairingCode: true,
}

// contactlessObjects are what the standard lets through the contactless interface
// without a virtual contact interface: CHUID, discovery object, and the certificate of
// the Card Authentication key (SP 800-73-5 part 1). The key itself is there too.
var contactlessObjects = map[tlv.Tag]bool{ObjectCHUID: true, ObjectDiscovery: true, 0x5FC101: true}

// contactless reports whether the rules of the contactless interface hold.
func (s *session) contactless() bool { return s.env.Contactless && s.app.opts.StandardOnly }

// discovery returns the discovery object: the application, and the PIN usage policy.
func (s *session) discovery() []byte {
	d := Discovery{AID: AID, PIN: true, GlobalPIN: s.app.state.GlobalPIN != nil, PreferGlobalPIN: s.app.opts.PreferGlobalPIN}
	return d.AppendTo(nil)
}

func (s *session) getData(w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	if c.P1 != byte(iso7816.CurrentDF>>8) || c.P2 != byte(iso7816.CurrentDF&0xFF) {
		return apdu.StatusIncorrectP1P2
	}
	tag, rest, ok := tagOf(c.Data)
	switch {
	case !ok || len(rest) != 0:
		return apdu.StatusIncorrectParametersInData
	case s.contactless() && !contactlessObjects[tag]:
		return apdu.StatusSecurityStatusNotSatisfied
	case tag == ObjectDiscovery:
		w.Write(s.discovery())
		return apdu.StatusOK
	case pinObjects[tag] && !s.pinVerified:
		return apdu.StatusSecurityStatusNotSatisfied
	}
	object, ok := s.app.state.Objects[tag.String()]
	if !ok {
		return apdu.StatusFileNotFound
	}
	w.Write(object)
	return apdu.StatusOK
}

// maxObject is the longest data object that the card stores, in bytes, and
// maxObjects how many.
const (
	maxObject  = 1 << 14
	maxObjects = 100
)

func (s *session) putData(c *apdu.Command) apdu.Status {
	if c.P1 != byte(iso7816.CurrentDF>>8) || c.P2 != byte(iso7816.CurrentDF&0xFF) {
		return apdu.StatusIncorrectP1P2
	}
	if !s.managed || s.contactless() {
		return apdu.StatusSecurityStatusNotSatisfied
	}
	tag, rest, ok := tagOf(c.Data)
	if !ok || tag>>8 != 0x5FC1 && tag>>8 != 0x5FFF {
		return apdu.StatusIncorrectParametersInData
	}
	object, after, err := tlv.Next(rest)
	if err != nil || object.Tag != tagData || len(after) != 0 {
		return apdu.StatusIncorrectParametersInData
	}
	_, replaces := s.app.state.Objects[tag.String()]
	if len(rest) > maxObject || !replaces && len(s.app.state.Objects) >= maxObjects {
		return apdu.StatusNotEnoughMemory
	}
	err = s.update(func(next *state) {
		if len(object.Value) == 0 {
			delete(next.Objects, tag.String())
		} else {
			next.Objects[tag.String()] = append([]byte(nil), rest...)
		}
	})
	if err != nil {
		return apdu.StatusMemoryFailure
	}
	return apdu.StatusOK
}
