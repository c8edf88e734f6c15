package iso7816

import (
	"context"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// A ControlReference is a control reference template: for which operation MANAGE
// SECURITY ENVIRONMENT sets something (ISO/IEC 7816-4:2013).
type ControlReference byte

// The control reference templates.
const (
	TemplateAuthentication  ControlReference = 0xA4
	TemplateKeyAgreement    ControlReference = 0xA6
	TemplateHash            ControlReference = 0xAA
	TemplateChecksum        ControlReference = 0xB4
	TemplateSignature       ControlReference = 0xB6
	TemplateConfidentiality ControlReference = 0xB8
)

// SetSecurityEnvironment sets objects, such as algorithm (80) and key (83, 84), in
// the control reference template of the current security environment, by MANAGE
// SECURITY ENVIRONMENT (ISO/IEC 7816-4:2013). usage is P1 without its SET
// bits: 0x40 for computation, decipherment and internal authentication, 0x80 for
// verification, encipherment and external authentication, or both.
func (ch *Channel) SetSecurityEnvironment(ctx context.Context, usage byte, template ControlReference, objects []byte) error {
	_, err := ch.Send(ctx, apdu.Command{
		Instruction: apdu.InsManageSecurityEnvironment,
		P1:          usage&0xF0 | 0x01, P2: byte(template),
		Data: objects,
	})
	return err
}

// RestoreSecurityEnvironment makes a stored security environment the current one.
func (ch *Channel) RestoreSecurityEnvironment(ctx context.Context, number byte) error {
	_, err := ch.Send(ctx, apdu.Command{Instruction: apdu.InsManageSecurityEnvironment, P1: 0xF3, P2: number})
	return err
}

// PerformSecurityOperation lets the card do one operation on data with the current
// security environment, and returns the result (ISO/IEC 7816-8). result and input
// are P1 and P2, the tags of what comes out and what goes in: 9E 9A computes a
// digital signature, 80 86 deciphers, 86 80 enciphers, 90 A0 hashes, 00 A8 verifies.
// A result of 0 expects no data.
func (ch *Channel) PerformSecurityOperation(ctx context.Context, result, input byte, data []byte) ([]byte, error) {
	c := apdu.Command{Instruction: apdu.InsPerformSecurityOperation, P1: result, P2: input, Data: data}
	if result != 0 {
		c.Ne = longNe(data)
	}
	return ch.Send(ctx, c)
}

// GenerateKeyPair lets the card generate an asymmetric key pair, by the even
// instruction, and returns the contents of the public key template 7F49 (ISO/IEC
// 7816-8). p1 and p2 are what the application defines, template the data field, such
// as a control reference template that names the key. It can take many seconds.
func (ch *Channel) GenerateKeyPair(ctx context.Context, p1, p2 byte, template []byte) ([]byte, error) {
	data, err := ch.Send(ctx, apdu.Command{
		Instruction: apdu.InsGenerateAsymmetricKeyPair,
		P1:          p1, P2: p2,
		Data: template,
		Ne:   apdu.MaxExtendedNe,
	})
	if err != nil {
		return nil, err
	}
	return tlv.Find(data, tagPublicKeyTemplate)
}

const tagPublicKeyTemplate tlv.Tag = 0x7F49
