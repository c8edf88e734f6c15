package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
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
	f.StringVar(&p.slot, "slot", "9C", "the `slot` of the key on a PIV card")
	f.StringVar(&p.module, "module", "", "the PKCS#11 module at this `path`, instead of a PIV card")
	f.StringVar(&p.token, "token", "", "with -module: the token's `label`")
	f.StringVar(&p.key, "key", "", "with -module: the key's `label`")
	f.BoolVar(&p.emulate, "emulate", false, "a card in software, with a new key")
	f.StringVar(&p.root, "root", "", "with -emulate: write the authority that issued the certificate to this PEM `file`")
}

// open returns the key with its certificate. done is called at the end.
func (p *place) open(ctx context.Context) (cert tls.Certificate, done func(), err error) {
	if p.module != "" {
		return p.fromModule(ctx)
	}
	var slot piv.Slot
	if _, err := fmt.Sscanf(p.slot, "%x", &slot); err != nil || !slot.Valid() {
		return tls.Certificate{}, nil, fmt.Errorf("%q is not a slot of a PIV card", p.slot)
	}
	var client *piv.Client
	if p.emulate {
		client, err = p.newCard(ctx, slot)
	} else {
		client, err = piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: p.serial}, &piv.Options{PIN: piv.AskPIN(prompt.Terminal{})})
	}
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	if cert, err = client.TLSCertificate(ctx, slot); err != nil {
		client.Close()
		return tls.Certificate{}, nil, err
	}
	return cert, func() { client.Close() }, nil
}

func (p *place) fromModule(ctx context.Context) (tls.Certificate, func(), error) {
	module, err := cryptoki.Open(p.module, nil)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	slot, err := module.FindToken(p.token)
	if err != nil {
		module.Close()
		return tls.Certificate{}, nil, err
	}
	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: askPIN})
	done := func() { pool.Close(); module.Close() }
	cert, err := pool.TLSCertificate(ctx, cryptoki.KeyQuery{Label: p.key})
	if err != nil {
		done()
		return tls.Certificate{}, nil, err
	}
	return cert, done, nil
}

func askPIN(ctx context.Context, r cryptoki.PINRequest) ([]byte, error) {
	if r.FinalTry {
		return nil, errors.New("one try of the PIN is left, which is not spent here")
	}
	return prompt.Terminal{}.AskSecret(ctx, fmt.Sprintf("PIN of token %q", r.Token))
}

// newCard makes a card in software with a certificate for signing.
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
	ca, err := piv.NewAuthority("CMS demonstration CA")
	if err != nil {
		return nil, err
	}
	if p.root != "" {
		root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate().Raw})
		if err := os.WriteFile(p.root, root, 0o644); err != nil {
			return nil, err
		}
	}
	_, err = ca.Issue(ctx, client, slot, piv.AlgorithmP256, &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment})
	return client, err
}
