package piv

import (
	"context"
	"crypto/subtle"
	"io"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/wipe"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// dynamicAuth is what a dynamic authentication template holds. A field that is
// nil is absent; an empty one asks for the object.
type dynamicAuth struct{ witness, challenge, response, exponentiation []byte }

func parseDynamicAuth(data []byte) (d dynamicAuth, ok bool) {
	template, rest, err := tlv.Next(data)
	if err != nil || template.Tag != tagDynamicAuth || len(rest) != 0 {
		return d, false
	}
	for o, err := range tlv.All(template.Value) {
		if err != nil {
			return d, false
		}
		value := o.Value
		if value == nil {
			value = []byte{}
		}
		switch o.Tag {
		case tagWitness:
			d.witness = value
		case tagChallenge:
			d.challenge = value
		case tagResponse:
			d.response = value
		case tagExponentiation:
			d.exponentiation = value
		default:
			return d, false
		}
	}
	return d, true
}

func writeDynamicAuth(w *card.ResponseWriter, tag tlv.Tag, value []byte) apdu.Status {
	w.Write(tlv.AppendFunc(nil, tagDynamicAuth, func(b []byte) []byte { return tlv.Append(b, tag, value) }))
	return apdu.StatusOK
}

// authenticate answers GENERAL AUTHENTICATE with the management key: external
// authentication (the card's challenge) and mutual authentication (the card's
// witness and the host's challenge), SP 800-73-5 part 2.
func (s *session) authenticate(ctx context.Context, w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	management := s.app.state.Management
	algorithm := Algorithm(c.P1)
	if algorithm == 0 {
		algorithm = AlgorithmTDESLegacy
	}
	if algorithm != management.Algorithm {
		return apdu.StatusIncorrectP1P2
	}
	if s.contactless() {
		return apdu.StatusSecurityStatusNotSatisfied
	}
	block, err := managementCipher(management.Algorithm, management.Key)
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	defer wipe.Block(block)
	d, ok := parseDynamicAuth(c.Data)
	pending, own := s.pending, s.pendingIsOwn
	s.pending, s.pendingIsOwn = nil, false // each is good for one answer
	defer clear(pending)
	n := block.BlockSize()
	switch {
	case !ok:
		return apdu.StatusIncorrectParametersInData
	case d.witness != nil && len(d.witness) == 0, d.challenge != nil && len(d.challenge) == 0:
		random := make([]byte, n)
		if _, err := io.ReadFull(s.env.Rand, random); err != nil {
			return apdu.StatusNoPreciseDiagnosis
		}
		s.pending, s.pendingIsOwn = random, d.witness != nil
		if !s.pendingIsOwn {
			return writeDynamicAuth(w, tagChallenge, random)
		}
		encrypted := make([]byte, n)
		block.Encrypt(encrypted, random)
		return writeDynamicAuth(w, tagWitness, encrypted)
	case d.witness != nil && len(d.challenge) == n:
		if pending == nil || !own || subtle.ConstantTimeCompare(d.witness, pending) != 1 {
			return apdu.StatusSecurityStatusNotSatisfied
		}
		if !s.touch(ctx, referenceManagement, management.Touch) {
			return apdu.StatusSecurityStatusNotSatisfied
		}
		s.managed = true
		encrypted := make([]byte, n)
		block.Encrypt(encrypted, d.challenge)
		return writeDynamicAuth(w, tagResponse, encrypted)
	case len(d.response) > 0:
		if pending == nil || own {
			return apdu.StatusConditionsNotSatisfied
		}
		want := make([]byte, n)
		block.Encrypt(want, pending)
		if subtle.ConstantTimeCompare(d.response, want) != 1 {
			return apdu.StatusSecurityStatusNotSatisfied
		}
		if !s.touch(ctx, referenceManagement, management.Touch) {
			return apdu.StatusSecurityStatusNotSatisfied
		}
		s.managed = true
		return apdu.StatusOK
	}
	return apdu.StatusIncorrectParametersInData
}
