package piv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"io"
	"math/big"

	"github.com/cardoki/cardoki/apdu"
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
func (s *session) authenticate(w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	management := s.app.state.Management
	algorithm := Algorithm(c.P1)
	if algorithm == 0 {
		algorithm = AlgorithmTDESLegacy
	}
	if algorithm != management.Algorithm {
		return apdu.StatusIncorrectP1P2
	}
	block, err := managementCipher(management.Algorithm, management.Key)
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
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
		if _, err := io.ReadFull(s.rand, random); err != nil {
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
		s.managed = true
		return apdu.StatusOK
	}
	return apdu.StatusIncorrectParametersInData
}

// useKey answers GENERAL AUTHENTICATE with an asymmetric key: signature and
// decryption, which are the same to RSA, and key agreement.
func (s *session) useKey(w *card.ResponseWriter, c *apdu.Command, pinFresh bool) apdu.Status {
	k := s.app.state.Keys[Slot(c.P2)]
	switch {
	case k == nil:
		return apdu.StatusReferencedDataNotFound
	case k.Algorithm != Algorithm(c.P1):
		return apdu.StatusIncorrectP1P2
	}
	d, ok := parseDynamicAuth(c.Data)
	if !ok || d.response == nil || len(d.response) != 0 {
		return apdu.StatusIncorrectParametersInData
	}
	switch k.PINPolicy {
	case PINPolicyNever:
	case PINPolicyAlways:
		if !pinFresh {
			return apdu.StatusSecurityStatusNotSatisfied
		}
	default:
		if !s.pinVerified {
			return apdu.StatusSecurityStatusNotSatisfied
		}
	}
	var result []byte
	var err error
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		result, err = rawRSA(s.rand, private, d.challenge)
	case *ecdsa.PrivateKey:
		if d.exponentiation != nil {
			result, err = agree(private, d.exponentiation)
		} else {
			result, err = signDigest(s.rand, private, d.challenge)
		}
	}
	if err != nil {
		return apdu.StatusIncorrectParametersInData
	}
	defer clear(result)
	return writeDynamicAuth(w, tagResponse, result)
}

var errInput = errors.New("piv: input does not fit the key")

func signDigest(random io.Reader, private *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	if n := (private.Curve.Params().BitSize + 7) / 8; len(digest) == 0 || len(digest) > n {
		return nil, errInput
	}
	return ecdsa.SignASN1(random, private, digest)
}

func agree(private *ecdsa.PrivateKey, point []byte) ([]byte, error) {
	own, err := private.ECDH()
	if err != nil {
		return nil, err
	}
	peer, err := own.Curve().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	return own.ECDH(peer)
}

// rawRSA computes input^d mod n, as a PIV card does: the padding is the host's.
// crypto/rsa does not offer it. The input is blinded, since math/big does not run
// in constant time, and the result checked, since a faulty one gives the key away.
func rawRSA(random io.Reader, private *rsa.PrivateKey, input []byte) ([]byte, error) {
	n := private.N
	m := new(big.Int).SetBytes(input)
	if len(input) != private.Size() || m.Cmp(n) >= 0 {
		return nil, errInput
	}
	e := big.NewInt(int64(private.E))
	blind, unblind, err := blinding(random, n, e)
	if err != nil {
		return nil, err
	}
	x := new(big.Int).Mul(m, blind)
	x.Exp(x.Mod(x, n), private.D, n)
	x.Mod(x.Mul(x, unblind), n)
	if new(big.Int).Exp(x, e, n).Cmp(m) != 0 {
		return nil, errors.New("piv: RSA result is faulty")
	}
	return x.FillBytes(make([]byte, private.Size())), nil
}

// blinding returns r^e and the inverse of r modulo n, for a random r.
func blinding(random io.Reader, n, e *big.Int) (blind, unblind *big.Int, err error) {
	b := make([]byte, len(n.Bytes())+8)
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, nil, err
		}
		r := new(big.Int).SetBytes(b)
		r.Mod(r, n)
		if unblind = new(big.Int).ModInverse(r, n); unblind != nil {
			return r.Exp(r, e, n), unblind, nil
		}
	}
}

// generate answers GENERATE ASYMMETRIC KEY PAIR (SP 800-73-5 part 2).
func (s *session) generate(w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	slot := Slot(c.P2)
	switch {
	case !s.managed:
		return apdu.StatusSecurityStatusNotSatisfied
	case c.P1 != 0 || !slot.Valid():
		return apdu.StatusIncorrectP1P2
	}
	algo, err := tlv.Find(c.Data, tagGenerate, tagGenerateAlgo)
	if err != nil || len(algo) != 1 || !Algorithm(algo[0]).asymmetric() {
		return apdu.StatusIncorrectParametersInData
	}
	k, err := generateKey(s.rand, Algorithm(algo[0]))
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	k.PINPolicy = slot.pinPolicy()
	template, err := appendPublicKey(nil, k.private.Public())
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	if err := s.update(func(next *state) { next.Keys[slot] = k }); err != nil {
		return apdu.StatusMemoryFailure
	}
	w.Write(tlv.Append(nil, tagPublicKey, template))
	return apdu.StatusOK
}

func generateKey(random io.Reader, a Algorithm) (*key, error) {
	var private crypto.Signer
	var err error
	if row := algorithms[a]; row.rsaBits > 0 {
		private, err = rsa.GenerateKey(random, row.rsaBits)
	} else {
		private, err = ecdsa.GenerateKey(row.curve, random)
	}
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return &key{Algorithm: a, PKCS8: pkcs8, private: private}, nil
}

// getMetadata answers YubiKey's GET METADATA.
func (s *session) getMetadata(w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	switch {
	case c.P1 != 0:
		return apdu.StatusIncorrectP1P2
	case c.P2 == referenceManagement:
		w.Write(tlv.Append(nil, tagMetadataAlgorithm, []byte{byte(s.app.state.Management.Algorithm)}))
		return apdu.StatusOK
	}
	k := s.app.state.Keys[Slot(c.P2)]
	if k == nil {
		return apdu.StatusReferencedDataNotFound
	}
	const touchNever, generated = 0x01, 0x01
	public, err := appendPublicKey(nil, k.private.Public())
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	b := tlv.Append(nil, tagMetadataAlgorithm, []byte{byte(k.Algorithm)})
	b = tlv.Append(b, tagMetadataPolicy, []byte{byte(k.PINPolicy), touchNever})
	b = tlv.Append(b, tagMetadataOrigin, []byte{generated})
	w.Write(tlv.Append(b, tagMetadataPublicKey, public))
	return apdu.StatusOK
}
