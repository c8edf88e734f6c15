package cryptoki

import (
	"context"
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// PutCertificate stores a certificate on the token, in a read-write session. id is
// that of the key that the certificate is for, so that the two are found together.
// A certificate that is there already stays: destroy it first.
func (s *Session) PutCertificate(ctx context.Context, label string, id []byte, cert *x509.Certificate) (Object, error) {
	var serial cryptobyte.Builder
	serial.AddASN1BigInt(cert.SerialNumber)
	der, err := serial.Bytes()
	if err != nil {
		return Object{}, fmt.Errorf("cryptoki: serial number of the certificate: %w", err)
	}
	return s.CreateObject(ctx, Attributes{
		Ulong(CKA_CLASS, CKO_CERTIFICATE),
		Ulong(CKA_CERTIFICATE_TYPE, CKC_X_509),
		Bool(CKA_TOKEN, true),
		Bool(CKA_PRIVATE, false),
		String(CKA_LABEL, label),
		Bytes(CKA_ID, id),
		Bytes(CKA_SUBJECT, cert.RawSubject),
		Bytes(CKA_ISSUER, cert.RawIssuer),
		Bytes(CKA_SERIAL_NUMBER, der),
		Bytes(CKA_VALUE, cert.Raw),
	})
}

// Certificates returns the X.509 certificates with the given CKA_ID, or all of them
// when id is nil. One that cannot be parsed is left out; it is returned in the error
// only when there is no other.
func (s *Session) Certificates(ctx context.Context, id []byte) ([]*x509.Certificate, error) {
	template := Attributes{Ulong(CKA_CLASS, CKO_CERTIFICATE), Ulong(CKA_CERTIFICATE_TYPE, CKC_X_509)}
	if id != nil {
		template = append(template, Bytes(CKA_ID, id))
	}
	objects, err := s.FindObjects(ctx, template)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	var strange error
	for _, o := range objects {
		a, err := s.Attributes(ctx, o, CKA_VALUE)
		if err != nil {
			return nil, err
		}
		value, _ := a.Value(CKA_VALUE)
		cert, err := x509.ParseCertificate(value)
		if err != nil {
			strange = fmt.Errorf("cryptoki: certificate on the token: %w", err)
			continue
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 && strange != nil {
		return nil, strange
	}
	return certs, nil
}
