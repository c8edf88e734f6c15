package piv

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"io"
	"math/big"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// Tags of YubiKey's key commands.
const (
	tagPINPolicy   = tlv.Tag(0xAA)
	tagTouchPolicy = tlv.Tag(0xAB)
)

// policies reads the policies that stand among the objects of a key command. Those
// that are absent or default are the slot's.
func (s *session) policies(slot Slot, objects []byte) (pin PINPolicy, touch TouchPolicy, ok bool) {
	pin, touch = slot.pinPolicy(), TouchPolicyNever
	for o, err := range tlv.All(objects) {
		if err != nil {
			return 0, 0, false
		}
		if o.Tag != tagPINPolicy && o.Tag != tagTouchPolicy {
			continue
		}
		if len(o.Value) != 1 || s.app.opts.StandardOnly {
			return 0, 0, false
		}
		switch v := o.Value[0]; {
		case v > 3:
			return 0, 0, false
		case v == 0: // default
		case o.Tag == tagPINPolicy:
			pin = PINPolicy(v)
		default:
			touch = TouchPolicy(v)
		}
	}
	return pin, touch, true
}

// makes reports whether the card makes and takes keys of algorithm a.
func (s *session) makes(a Algorithm) bool {
	if !a.asymmetric() {
		return false
	}
	standard := a < 0xE0
	return standard || !s.app.opts.StandardOnly
}

// generate answers GENERATE ASYMMETRIC KEY PAIR (SP 800-73-5 part 2), with YubiKey's
// policies.
func (s *session) generate(w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	slot := Slot(c.P2)
	switch {
	case !s.managed:
		return apdu.StatusSecurityStatusNotSatisfied
	case c.P1 != 0 || !slot.Valid():
		return apdu.StatusIncorrectP1P2
	}
	control, err := tlv.Find(c.Data, tagGenerate)
	if err != nil {
		return apdu.StatusIncorrectParametersInData
	}
	algorithm, err := tlv.Find(control, tagGenerateAlgo)
	if err != nil || len(algorithm) != 1 || !s.makes(Algorithm(algorithm[0])) {
		return apdu.StatusIncorrectParametersInData
	}
	pin, touch, ok := s.policies(slot, control)
	if !ok {
		return apdu.StatusIncorrectParametersInData
	}
	k, err := generateKey(s.env.Rand, Algorithm(algorithm[0]))
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	k.PINPolicy, k.TouchPolicy = pin, touch
	template, err := appendPublicKey(nil, k.private.Public())
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	if err := s.update(func(next *state) { next.Keys[slot] = k }); err != nil {
		return apdu.StatusMemoryFailure
	}
	delete(s.app.touched, slot)
	w.Write(tlv.Append(nil, tagPublicKey, template))
	return apdu.StatusOK
}

func generateKey(random io.Reader, a Algorithm) (*key, error) {
	var private privateKey
	var err error
	switch row := algorithms[a]; {
	case row.rsaBits > 0:
		private, err = rsa.GenerateKey(random, row.rsaBits)
	case row.curve != nil:
		private, err = ecdsa.GenerateKey(row.curve, random)
	case a == AlgorithmEd25519:
		_, private, err = ed25519.GenerateKey(random)
	case a == AlgorithmX25519:
		private, err = ecdh.X25519().GenerateKey(random)
	}
	if err != nil {
		return nil, err
	}
	return newKey(a, private)
}

// Tags of IMPORT ASYMMETRIC KEY.
const (
	tagImportP       = tlv.Tag(0x01)
	tagImportQ       = tlv.Tag(0x02)
	tagImportDP      = tlv.Tag(0x03)
	tagImportDQ      = tlv.Tag(0x04)
	tagImportQinv    = tlv.Tag(0x05)
	tagImportScalar  = tlv.Tag(0x06)
	tagImportEd25519 = tlv.Tag(0x07)
	tagImportX25519  = tlv.Tag(0x08)
)

// importKey answers YubiKey's IMPORT ASYMMETRIC KEY: P1 is the algorithm, P2 the slot.
func (s *session) importKey(c *apdu.Command) apdu.Status {
	algorithm, slot := Algorithm(c.P1), Slot(c.P2)
	switch {
	case !s.managed:
		return apdu.StatusSecurityStatusNotSatisfied
	case !slot.Valid() || !s.makes(algorithm):
		return apdu.StatusIncorrectP1P2
	}
	pin, touch, ok := s.policies(slot, c.Data)
	if !ok {
		return apdu.StatusIncorrectParametersInData
	}
	private, err := parsePrivateKey(algorithm, c.Data)
	if err != nil {
		return apdu.StatusIncorrectParametersInData
	}
	k, err := newKey(algorithm, private)
	if err != nil {
		return apdu.StatusIncorrectParametersInData
	}
	k.PINPolicy, k.TouchPolicy, k.Imported = pin, touch, true
	if err := s.update(func(next *state) { next.Keys[slot] = k }); err != nil {
		return apdu.StatusMemoryFailure
	}
	delete(s.app.touched, slot)
	return apdu.StatusOK
}

// parsePrivateKey reads the private key among the objects of IMPORT ASYMMETRIC KEY.
func parsePrivateKey(a Algorithm, objects []byte) (privateKey, error) {
	switch row := algorithms[a]; {
	case row.rsaBits > 0:
		return parseRSA(row.rsaBits, objects)
	case row.curve != nil:
		scalar, err := tlv.Find(objects, tagImportScalar)
		if err != nil {
			return nil, err
		}
		return ecdsa.ParseRawPrivateKey(row.curve, scalar)
	case a == AlgorithmEd25519:
		seed, err := tlv.Find(objects, tagImportEd25519)
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil, errInput
		}
		return ed25519.NewKeyFromSeed(seed), nil
	case a == AlgorithmX25519:
		scalar, err := tlv.Find(objects, tagImportX25519)
		if err != nil {
			return nil, err
		}
		return ecdh.X25519().NewPrivateKey(scalar)
	}
	return nil, errInput
}

// parseRSA makes an RSA key of its two primes. The exponent is 65537; what else the
// command holds follows from these.
func parseRSA(bits int, objects []byte) (*rsa.PrivateKey, error) {
	var prime [2]*big.Int
	for i, tag := range [...]tlv.Tag{tagImportP, tagImportQ} {
		b, err := tlv.Find(objects, tag)
		if err != nil {
			return nil, err
		}
		if len(b) > bits/8 {
			return nil, errInput
		}
		prime[i] = new(big.Int).SetBytes(b)
		if prime[i].BitLen() < 2 {
			return nil, errInput
		}
	}
	k := &rsa.PrivateKey{Primes: prime[:]}
	k.E = 65537
	k.N = new(big.Int).Mul(prime[0], prime[1])
	if k.N.BitLen() != bits {
		return nil, errInput
	}
	one := big.NewInt(1)
	p1, q1 := new(big.Int).Sub(prime[0], one), new(big.Int).Sub(prime[1], one)
	if k.D = new(big.Int).ModInverse(big.NewInt(int64(k.E)), p1.Mul(p1, q1)); k.D == nil {
		return nil, errInput
	}
	k.Precompute()
	if err := k.Validate(); err != nil {
		return nil, err
	}
	return k, nil
}

// moveKey answers YubiKey's MOVE KEY: P1 is the slot that gets the key, or FF to
// delete it, P2 the slot that has it.
func (s *session) moveKey(c *apdu.Command) apdu.Status {
	const toNowhere = 0xFF
	to, from := Slot(c.P1), Slot(c.P2)
	switch {
	case !s.managed:
		return apdu.StatusSecurityStatusNotSatisfied
	case len(c.Data) != 0:
		return apdu.StatusWrongLength
	case !from.Valid() || from == SlotAttestation && c.P1 != toNowhere, c.P1 != toNowhere && (!to.Valid() || to == SlotAttestation || to == from):
		return apdu.StatusIncorrectP1P2
	}
	k := s.app.state.Keys[from]
	if k == nil {
		return apdu.StatusReferencedDataNotFound
	}
	err := s.update(func(next *state) {
		delete(next.Keys, from)
		if c.P1 != toNowhere {
			next.Keys[to] = k
		}
	})
	if err != nil {
		return apdu.StatusMemoryFailure
	}
	delete(s.app.touched, from)
	delete(s.app.touched, to)
	return apdu.StatusOK
}

// Origins of a key, in its metadata.
const (
	originGenerated = 0x01
	originImported  = 0x02
)

// getMetadata answers YubiKey's GET METADATA.
func (s *session) getMetadata(w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	state := s.app.state
	switch {
	case c.P1 != 0:
		return apdu.StatusIncorrectP1P2
	case len(c.Data) != 0:
		return apdu.StatusWrongLength
	case c.P2 == referencePIN:
		w.Write(metadataOfReference(&state.PIN, defaultPIN))
		return apdu.StatusOK
	case c.P2 == referencePUK:
		w.Write(metadataOfReference(&state.PUK, defaultPUK))
		return apdu.StatusOK
	case c.P2 == referenceManagement:
		m := &state.Management
		b := tlv.Append(nil, tagMetadataAlgorithm, []byte{byte(m.Algorithm)})
		b = tlv.Append(b, tagMetadataPolicy, []byte{0, byte(max(m.Touch, TouchPolicyNever))})
		b = tlv.Append(b, tagMetadataDefault, []byte{isKnown(m.Key, defaultManagementKey)})
		w.Write(b)
		return apdu.StatusOK
	}
	k := state.Keys[Slot(c.P2)]
	if k == nil {
		return apdu.StatusReferencedDataNotFound
	}
	public, err := appendPublicKey(nil, k.private.Public())
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	origin := byte(originGenerated)
	if k.Imported {
		origin = originImported
	}
	b := tlv.Append(nil, tagMetadataAlgorithm, []byte{byte(k.Algorithm)})
	b = tlv.Append(b, tagMetadataPolicy, []byte{byte(k.PINPolicy), byte(max(k.TouchPolicy, TouchPolicyNever))})
	b = tlv.Append(b, tagMetadataOrigin, []byte{origin})
	w.Write(tlv.Append(b, tagMetadataPublicKey, public))
	return apdu.StatusOK
}
