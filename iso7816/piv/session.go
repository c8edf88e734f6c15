package piv

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// session is one selection of the application, with its security status.
type session struct {
	app   *Application
	store card.Store
	rand  io.Reader

	pinVerified bool
	pinFresh    bool // the PIN was verified by the command just before
	managed     bool // the management key was authenticated

	pending      []byte // witness or challenge that waits for its answer
	pendingIsOwn bool   // pending is a witness, for mutual authentication
}

var _ card.Reselecter = (*session)(nil)

// Select implements [card.Session].
func (s *session) Select(w *card.ResponseWriter) apdu.Status { return s.Reselect(w) }

// Reselect implements [card.Reselecter]: selecting the PIV application when it is
// selected leaves the security status as it is (SP 800-73-5 part 2).
func (s *session) Reselect(w *card.ResponseWriter) apdu.Status {
	const rid = 5
	aid := AID.AppendTo(nil)
	w.Write(tlv.AppendFunc(nil, 0x61, func(b []byte) []byte {
		b = tlv.Append(b, tagAID, aid[rid:])
		return tlv.AppendFunc(b, 0x79, func(b []byte) []byte { return tlv.Append(b, tagAID, aid[:rid]) })
	}))
	return apdu.StatusOK
}

// Close implements [card.Session].
func (s *session) Close() {
	clear(s.pending)
	*s = session{app: s.app, store: s.store, rand: s.rand}
}

// ServeAPDU implements [card.Session].
func (s *session) ServeAPDU(ctx context.Context, w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	if c.Class != 0x00 {
		return apdu.StatusClassNotSupported
	}
	fresh := s.pinFresh
	s.pinFresh = false
	switch c.Instruction {
	case apdu.InsVerify:
		return s.verify(c)
	case apdu.InsGetDataOdd:
		return s.getData(w, c)
	case apdu.InsPutDataOdd:
		return s.putData(c)
	case apdu.InsGeneralAuthenticateOdd:
		if c.P2 == referenceManagement {
			return s.authenticate(w, c)
		}
		return s.useKey(w, c, fresh)
	case apdu.InsGenerateAsymmetricKeyOdd:
		return s.generate(w, c)
	case insGetMetadata:
		return s.getMetadata(w, c)
	case insGetSerial:
		w.Write(binary.BigEndian.AppendUint32(nil, s.app.state.Serial))
		return apdu.StatusOK
	}
	return apdu.StatusInstructionNotSupported
}

// verify answers VERIFY (SP 800-73-5 part 2).
func (s *session) verify(c *apdu.Command) apdu.Status {
	pin := &s.app.state.PIN
	switch {
	case c.P2 != referencePIN:
		return apdu.StatusReferencedDataNotFound
	case c.P1 == 0xFF && len(c.Data) == 0:
		s.pinVerified = false
		return apdu.StatusOK
	case c.P1 != 0:
		return apdu.StatusIncorrectP1P2
	case len(c.Data) == 0 && s.pinVerified:
		return apdu.StatusOK
	case len(c.Data) == 0 || pin.Remaining == 0:
		return pin.Status()
	case len(c.Data) != pinSize:
		return apdu.StatusIncorrectParametersInData
	}
	next := s.app.state.clone()
	sw := next.PIN.Verify(c.Data, func() error { return next.commit(s.store) })
	s.app.state = next
	s.pinVerified, s.pinFresh = sw.OK(), sw.OK()
	return sw
}

// tagOf reads the tag list of GET DATA and PUT DATA, and returns what follows it.
func tagOf(data []byte) (tlv.Tag, []byte, bool) {
	list, rest, err := tlv.Next(data)
	if err != nil || list.Tag != 0x5C || len(list.Value) == 0 || len(list.Value) > 3 {
		return 0, nil, false
	}
	var tag tlv.Tag
	for _, b := range list.Value {
		tag = tag<<8 | tlv.Tag(b)
	}
	return tag, rest, tag.Valid()
}

// pinObjects are read only with the PIN: fingerprints, facial image, printed
// information, iris images (SP 800-73-5 part 1).
var pinObjects = map[tlv.Tag]bool{0x5FC103: true, 0x5FC108: true, 0x5FC109: true, 0x5FC121: true}

// discovery is the discovery object: the application, and the PIN usage policy
// "PIV PIN alone".
var discovery = tlv.AppendFunc(nil, tagDiscovery, func(b []byte) []byte {
	b = tlv.Append(b, tagAID, AID.AppendTo(nil))
	return tlv.Append(b, 0x5F2F, []byte{0x40, 0x00})
})

func (s *session) getData(w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	if c.P1 != byte(iso7816.CurrentDF>>8) || c.P2 != byte(iso7816.CurrentDF&0xFF) {
		return apdu.StatusIncorrectP1P2
	}
	tag, rest, ok := tagOf(c.Data)
	if !ok || len(rest) != 0 {
		return apdu.StatusIncorrectParametersInData
	}
	if tag == tagDiscovery {
		w.Write(discovery)
		return apdu.StatusOK
	}
	if pinObjects[tag] && !s.pinVerified {
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
	if !s.managed {
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
