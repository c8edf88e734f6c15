package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/signer"
	"github.com/cardoki/cardoki/signer/prompt"
)

// A place is where the key is.
type place struct {
	serial, slot       string
	module, token, key string
	emulate            bool
	root               string
}

func (p *place) flags(f *flag.FlagSet) {
	f.StringVar(&p.serial, "serial", "", "the PIV card with this serial `number`")
	f.StringVar(&p.slot, "slot", "9A", "the `slot` of the key on a PIV card")
	f.StringVar(&p.module, "module", "", "the PKCS#11 module at this `path`, instead of a PIV card")
	f.StringVar(&p.token, "token", "", "with -module: the token's `label`")
	f.StringVar(&p.key, "key", "", "with -module: the key's `label`")
	f.BoolVar(&p.emulate, "emulate", false, "a card in software, with a new key")
	f.StringVar(&p.root, "root", "", "with -emulate: write the authority that issued the certificate to this PEM `file`")
}

// source returns what gives the certificate and key that are there at the time. done is
// called at the end.
func (p *place) source(ctx context.Context) (source signer.Source, done func(), err error) {
	if p.module != "" {
		return p.fromModule()
	}
	var slot piv.Slot
	if _, err := fmt.Sscanf(p.slot, "%x", &slot); err != nil || !slot.Valid() {
		return nil, nil, fmt.Errorf("%q is not a slot of a PIV card", p.slot)
	}
	if p.emulate {
		client, err := p.newCard(ctx, slot)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) (tls.Certificate, error) { return client.TLSCertificate(ctx, slot) }, func() { client.Close() }, nil
	}
	// The card may be taken out and put into another reader: it is looked for again
	// when the one that was found does not answer.
	var client *piv.Client
	source = func(ctx context.Context) (tls.Certificate, error) {
		if client != nil {
			if cert, err := client.TLSCertificate(ctx, slot); err == nil {
				return cert, nil
			}
			client.Close()
		}
		var err error
		client, err = piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: p.serial}, &piv.Options{PIN: piv.AskPIN(prompt.Terminal{})})
		if err != nil {
			return tls.Certificate{}, err
		}
		return client.TLSCertificate(ctx, slot)
	}
	done = func() {
		if client != nil {
			client.Close()
		}
	}
	return source, done, nil
}

func (p *place) fromModule() (signer.Source, func(), error) {
	module, err := cryptoki.Open(p.module, nil)
	if err != nil {
		return nil, nil, err
	}
	slot, err := module.FindToken(p.token)
	if err != nil {
		module.Close()
		return nil, nil, err
	}
	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: askPIN})
	source := func(ctx context.Context) (tls.Certificate, error) {
		return pool.TLSCertificate(ctx, cryptoki.KeyQuery{Label: p.key})
	}
	return source, func() { pool.Close(); module.Close() }, nil
}

func askPIN(ctx context.Context, r cryptoki.PINRequest) ([]byte, error) {
	if r.FinalTry {
		return nil, errors.New("one try of the PIN is left, which is not spent here")
	}
	return prompt.Terminal{}.AskSecret(ctx, fmt.Sprintf("PIN of token %q", r.Token))
}

// newCard makes a card in software with a certificate for localhost.
func (p *place) newCard(ctx context.Context, slot piv.Slot) (*piv.Client, error) {
	managementKey := []byte("0123456789abcdef01234567")
	app := piv.NewApplication(&piv.ApplicationOptions{PIN: []byte("123456"), ManagementKey: managementKey})
	pin := func(context.Context, piv.PINRequest) ([]byte, error) { return []byte("123456"), nil }
	client, err := piv.Open(ctx, iso7816.NewChannel(card.New(nil, app), nil), &piv.Options{PIN: pin})
	if err != nil {
		return nil, err
	}
	if err := client.AuthenticateManagementKey(ctx, piv.AlgorithmAES192, managementKey); err != nil {
		return nil, err
	}
	ca, err := piv.NewAuthority("TLS demonstration CA")
	if err != nil {
		return nil, err
	}
	if p.root != "" {
		root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate().Raw})
		if err := os.WriteFile(p.root, root, 0o644); err != nil {
			return nil, err
		}
	}
	_, err = ca.Issue(ctx, client, slot, piv.AlgorithmP256, &x509.Certificate{
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return client, err
}
