package piv

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/card"
)

// Extensions of an attestation certificate, as Yubico documents them.
var (
	oidYubico            = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3}
	oidFirmwareVersion   = append(oidYubico[:len(oidYubico):len(oidYubico)], 3)
	oidSerialNumber      = append(oidYubico[:len(oidYubico):len(oidYubico)], 7)
	oidPINTouchPolicy    = append(oidYubico[:len(oidYubico):len(oidYubico)], 8)
	oidFormFactor        = append(oidYubico[:len(oidYubico):len(oidYubico)], 9)
	attestationValidity  = 100 * 365 * 24 * time.Hour
	formFactorUSBAKeyfob = byte(0x01)
)

// makeAttestationKey puts a new attestation key with a certificate of its own into s:
// its root. A card that is made in series gets both from its maker, by IMPORT and PUT
// DATA.
func (s *state) makeAttestationKey(random io.Reader, now time.Time) error {
	k, err := generateKey(random, AlgorithmP256)
	if err != nil {
		return fmt.Errorf("piv: attestation key: %w", err)
	}
	k.PINPolicy = PINPolicyNever
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(int64(s.Serial)),
		Subject:               pkix.Name{CommonName: fmt.Sprintf("cardoki PIV Attestation %d", s.Serial)},
		NotBefore:             now.Add(-24 * time.Hour),
		NotAfter:              now.Add(attestationValidity),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(random, template, template, k.private.Public(), k.private)
	if err != nil {
		return fmt.Errorf("piv: attestation certificate: %w", err)
	}
	tag, _ := SlotAttestation.object()
	s.Keys[SlotAttestation] = k
	s.Objects[tag.String()] = AppendCertificateObject(nil, der)
	return nil
}

// attest answers YubiKey's ATTEST: a certificate, by the attestation key, of a key
// that was generated on the card. P1 is the slot.
func (s *session) attest(w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	slot := Slot(c.P1)
	switch {
	case c.P2 != 0 || !slot.Valid() || slot == SlotAttestation:
		return apdu.StatusIncorrectP1P2
	case len(c.Data) != 0:
		return apdu.StatusWrongLength
	}
	k, by := s.app.state.Keys[slot], s.app.state.Keys[SlotAttestation]
	tag, _ := SlotAttestation.object()
	object, ok := s.app.state.Objects[tag.String()]
	switch {
	case k == nil || by == nil || !ok:
		return apdu.StatusReferencedDataNotFound
	case k.Imported:
		return apdu.StatusConditionsNotSatisfied
	}
	der, err := s.attestation(slot, k, by, object)
	if err != nil {
		return apdu.StatusNoPreciseDiagnosis
	}
	w.Write(der)
	return apdu.StatusOK
}

func (s *session) attestation(slot Slot, k, by *key, object []byte) ([]byte, error) {
	issuerDER, err := ParseCertificateObject(object)
	if err != nil {
		return nil, err
	}
	issuer, err := x509.ParseCertificate(issuerDER)
	if err != nil {
		return nil, err
	}
	if _, ok := by.private.(crypto.Signer); !ok {
		return nil, errInput
	}
	v := s.app.opts.Version
	serial, err := asn1.Marshal(int64(s.app.state.Serial))
	if err != nil {
		return nil, err
	}
	number := make([]byte, 16)
	if _, err := io.ReadFull(s.env.Rand, number); err != nil {
		return nil, err
	}
	number[0] = number[0]&0x7F | 0x40 // positive, and of full length
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(number),
		Subject:      pkix.Name{CommonName: fmt.Sprintf("YubiKey PIV Attestation %x", byte(slot))},
		NotBefore:    issuer.NotBefore,
		NotAfter:     issuer.NotAfter,
		ExtraExtensions: []pkix.Extension{
			{Id: oidFirmwareVersion, Value: []byte{v.Major, v.Minor, v.Patch}},
			{Id: oidSerialNumber, Value: serial},
			{Id: oidPINTouchPolicy, Value: []byte{byte(k.PINPolicy), byte(max(k.TouchPolicy, TouchPolicyNever))}},
			{Id: oidFormFactor, Value: []byte{formFactorUSBAKeyfob}},
		},
	}
	return x509.CreateCertificate(s.env.Rand, template, issuer, k.private.Public(), by.private)
}
