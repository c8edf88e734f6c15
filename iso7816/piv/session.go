package piv

import (
	"context"
	"encoding/binary"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// session is one selection of the application, with its security status.
type session struct {
	app *Application
	env *card.Env

	pinVerified    bool // PIN or global PIN
	globalVerified bool // global PIN
	pinFresh       bool // a PIN was verified by the command just before
	managed        bool // the management key was authenticated

	pending      []byte // witness or challenge that waits for its answer
	pendingIsOwn bool   // pending is a witness, for mutual authentication
}

var _ card.Reselecter = (*session)(nil)

// Select implements [card.Session].
func (s *session) Select(w *card.ResponseWriter) apdu.Status { return s.Reselect(w) }

// Reselect implements [card.Reselecter]: selecting the PIV application when it is
// selected leaves the security status as it is (SP 800-73-5 part 2).
func (s *session) Reselect(w *card.ResponseWriter) apdu.Status {
	s.asYubiKey(w)
	const rid = 5
	aid := AID.AppendTo(nil)
	w.Write(tlv.AppendFunc(nil, 0x61, func(b []byte) []byte {
		b = tlv.Append(b, tagAID, aid[rid:])
		return tlv.AppendFunc(b, 0x79, func(b []byte) []byte { return tlv.Append(b, tagAID, aid[:rid]) })
	}))
	return apdu.StatusOK
}

// asYubiKey lets data go out unasked, as YubiKeys do: yubico-piv-tool 2.2.0 sends SELECT
// without Le and takes 61XX for a refusal.
func (s *session) asYubiKey(w *card.ResponseWriter) {
	if !s.app.opts.StandardOnly {
		w.Unasked()
	}
}

// Close implements [card.Session].
func (s *session) Close() {
	clear(s.pending)
	*s = session{app: s.app, env: s.env}
}

// ServeAPDU implements [card.Session].
func (s *session) ServeAPDU(ctx context.Context, w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	if c.Class != 0x00 {
		return apdu.StatusClassNotSupported
	}
	s.asYubiKey(w)
	fresh := s.pinFresh
	s.pinFresh = false
	switch c.Instruction {
	case apdu.InsVerify:
		return s.verify(c)
	case apdu.InsChangeReferenceData:
		return s.changeReferenceData(c)
	case apdu.InsResetRetryCounter:
		return s.resetRetryCounter(c)
	case apdu.InsGetDataOdd:
		return s.getData(w, c)
	case apdu.InsPutDataOdd:
		return s.putData(c)
	case apdu.InsGeneralAuthenticateOdd:
		if c.P2 == referenceManagement {
			return s.authenticate(ctx, w, c)
		}
		return s.useKey(ctx, w, c, fresh)
	case apdu.InsGenerateAsymmetricKeyOdd:
		return s.generate(w, c)
	}
	if s.app.opts.StandardOnly {
		return apdu.StatusInstructionNotSupported
	}
	switch c.Instruction {
	case insMoveKey:
		return s.moveKey(c)
	case insGetMetadata:
		return s.getMetadata(w, c)
	case insGetSerial:
		w.Write(binary.BigEndian.AppendUint32(nil, s.app.state.Serial))
		return apdu.StatusOK
	case insAttest:
		return s.attest(w, c)
	case insSetTries:
		return s.setTries(c)
	case insReset:
		return s.reset(c)
	case insGetVersion:
		v := s.app.opts.Version
		w.Write([]byte{v.Major, v.Minor, v.Patch})
		return apdu.StatusOK
	case insImportKey:
		return s.importKey(c)
	case insSetManagementKey:
		return s.setManagementKey(c)
	}
	return apdu.StatusInstructionNotSupported
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
