package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer/prompt"
)

// tell speaks to who sits there, beside the report.
func tell(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// What the card in software is made with. It is gone when the program ends.
var (
	softPIN           = []byte("246810")
	softManagementKey = []byte("selftest, made of 24 ...")
)

// newCard makes a card in software with a key of each kind.
func newCard(ctx context.Context) (*piv.Client, error) {
	app := piv.NewApplication(&piv.ApplicationOptions{PIN: softPIN, ManagementKey: softManagementKey, Serial: 20261125})
	pin := func(context.Context, piv.PINRequest) ([]byte, error) { return append([]byte(nil), softPIN...), nil }
	client, err := piv.Open(ctx, iso7816.NewChannel(card.New(nil, app), nil), &piv.Options{PIN: pin})
	if err != nil {
		return nil, err
	}
	if err := client.AuthenticateManagementKey(ctx, piv.AlgorithmAES192, softManagementKey); err != nil {
		return nil, err
	}
	ca, err := piv.NewAuthority("Selftest CA")
	if err != nil {
		return nil, err
	}
	for _, k := range []struct {
		slot      piv.Slot
		algorithm piv.Algorithm
	}{{piv.SlotAuthentication, piv.AlgorithmP256}, {piv.SlotSignature, piv.AlgorithmP384}, {piv.SlotKeyManagement, piv.AlgorithmRSA2048}, {piv.SlotCardAuthentication, piv.AlgorithmP256}} {
		if _, err := ca.Issue(ctx, client, k.slot, k.algorithm, nil); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// makeInSlot makes keys of each kind in slot 95, tries them, and deletes them.
func makeInSlot(x *tester, client *piv.Client, emulated bool) error {
	const slot = piv.SlotRetired20
	if err := empty(x.ctx, client, slot); err != nil {
		return err
	}
	if !emulated {
		if err := authenticate(x.ctx, client); err != nil {
			return err
		}
	}
	x.report.line("\nMade in slot %v, and deleted again:", slot)
	x.report.keys()
	for _, algorithm := range []piv.Algorithm{
		piv.AlgorithmRSA1024Legacy, piv.AlgorithmRSA2048, piv.AlgorithmRSA3072, piv.AlgorithmRSA4096,
		piv.AlgorithmP256, piv.AlgorithmP384, piv.AlgorithmEd25519, piv.AlgorithmX25519,
	} {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		// The PIN need not be given for keys that live as long as this.
		if _, err := client.GenerateKey(x.ctx, slot, algorithm, &piv.KeyOptions{PINPolicy: piv.PINPolicyNever}); err != nil {
			x.report.key(algorithm.String(), &tally{refused: []string{"generation: " + x.report.why(err)}})
			continue
		}
		key, err := client.Key(x.ctx, slot)
		if err == nil {
			x.report.key(algorithm.String(), x.try(operations(key), false))
		}
		if err := errors.Join(err, client.DeleteKey(x.ctx, slot)); err != nil {
			return fmt.Errorf("the last key is still in slot %v: %w", slot, err)
		}
	}
	return nil
}

// empty returns nil for a slot that holds nothing, on a card that can delete keys.
func empty(ctx context.Context, client *piv.Client, slot piv.Slot) error {
	version, err := client.Version(ctx)
	if err != nil || version.Less(piv.Version{Major: 5, Minor: 7}) {
		return errors.New("-destructive: this card cannot delete keys, so none is made")
	}
	_, keyErr := client.Metadata(ctx, slot)
	_, certErr := client.Certificate(ctx, slot)
	if errors.Is(keyErr, piv.ErrNoMetadata) && errors.Is(certErr, piv.ErrNoCertificate) {
		return nil
	}
	if err := errors.Join(keyErr, certErr); err != nil {
		return fmt.Errorf("-destructive: slot %v is in use, or not told to be empty: %w", slot, err)
	}
	return fmt.Errorf("-destructive: slot %v is in use", slot)
}

// authenticate asks for the management key, which has no counter of tries.
func authenticate(ctx context.Context, client *piv.Client) error {
	text, err := prompt.Terminal{}.AskSecret(ctx, "Management key, in hexadecimal")
	if err != nil {
		return err
	}
	defer clear(text)
	key := make([]byte, hex.DecodedLen(len(text)))
	defer clear(key)
	n, err := hex.Decode(key, text)
	if err != nil {
		return errors.New("the management key is to be given in hexadecimal")
	}
	return client.AuthenticateManagementKey(ctx, 0, key[:n])
}
