package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

// emulate makes a card in software with a certificate for signing, and writes the authority
// that issued it to a file.
func emulate(ctx context.Context, root string) (signer.Source, func(), error) {
	client, err := place.NewCard(ctx)
	if err != nil {
		return nil, nil, err
	}
	ca, err := piv.NewAuthority("CMS demonstration CA")
	if err != nil {
		return nil, nil, err
	}
	if root != "" {
		b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate().Raw})
		if err := os.WriteFile(root, b, 0o644); err != nil {
			return nil, nil, err
		}
	}
	_, err = ca.Issue(ctx, client, piv.SlotSignature, piv.AlgorithmP256, &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment})
	if err != nil {
		return nil, nil, err
	}
	source := func(ctx context.Context) (tls.Certificate, error) {
		return client.TLSCertificate(ctx, piv.SlotSignature)
	}
	return source, func() { client.Close() }, nil
}
