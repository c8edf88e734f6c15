package piv

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// Attest returns a certificate by which the card says that the key in a slot was
// generated there, on cards that have YubiKey's command. It was signed by the key in
// [SlotAttestation], whose certificate [Client.Certificate] returns; see
// [VerifyAttestation].
func (c *Client) Attest(ctx context.Context, slot Slot) (*x509.Certificate, error) {
	if !slot.Valid() {
		_, err := slot.object()
		return nil, err
	}
	var cert *x509.Certificate
	err := c.exclusive(ctx, func(tx *iso7816.Channel) error {
		der, err := tx.Send(ctx, apdu.Command{Instruction: insAttest, P1: byte(slot), Ne: apdu.MaxShortNe})
		if err != nil {
			return fmt.Errorf("piv: attest slot %v (keys that were imported can't be): %w", slot, err)
		}
		if cert, err = x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("piv: attest slot %v: %w", slot, err)
		}
		return nil
	})
	return cert, err
}

// An Attestation is what a card says of one of its keys.
type Attestation struct {
	Slot        Slot
	Version     Version
	Serial      uint32 // 0 when the certificate does not tell
	PINPolicy   PINPolicy
	TouchPolicy TouchPolicy
}

// ErrAttestation is what the errors of [VerifyAttestation] wrap.
var ErrAttestation = errors.New("piv: attestation")

// VerifyAttestation checks that attestation, from [Client.Attest], was signed by the
// attestation key of issuer, the certificate in [SlotAttestation], and that this one leads
// to one of roots, which the caller trusts, such as those of the card's maker. intermediates
// may be nil. Validity is checked at the time given; the zero time means now.
func VerifyAttestation(attestation, issuer *x509.Certificate, roots, intermediates *x509.CertPool, at time.Time) (*Attestation, error) {
	// Makers put their own extensions, marked critical or not, into these; what is
	// checked here is the chain.
	if err := attestation.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("%w: not signed by the issuer given: %w", ErrAttestation, err)
	}
	_, err := issuer.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: issuer: %w", ErrAttestation, err)
	}
	return parseAttestation(attestation)
}

// parseAttestation reads the slot from the subject's name, and the extensions.
func parseAttestation(cert *x509.Certificate) (*Attestation, error) {
	name := cert.Subject.CommonName
	slot, err := strconv.ParseUint(name[strings.LastIndexByte(name, ' ')+1:], 16, 8)
	if err != nil || !Slot(slot).Valid() {
		return nil, fmt.Errorf("%w: the subject %q names no slot", ErrAttestation, name)
	}
	a := &Attestation{Slot: Slot(slot)}
	for _, x := range cert.Extensions {
		switch {
		case x.Id.Equal(oidFirmwareVersion) && len(x.Value) == 3:
			a.Version = Version{x.Value[0], x.Value[1], x.Value[2]}
		case x.Id.Equal(oidSerialNumber):
			var n int64
			if rest, err := asn1.Unmarshal(x.Value, &n); err != nil || len(rest) != 0 || n < 0 || n > 1<<32-1 {
				return nil, fmt.Errorf("%w: the serial number has the wrong form", ErrAttestation)
			}
			a.Serial = uint32(n)
		case x.Id.Equal(oidPINTouchPolicy) && len(x.Value) == 2:
			a.PINPolicy, a.TouchPolicy = PINPolicy(x.Value[0]), TouchPolicy(x.Value[1])
		}
	}
	return a, nil
}
