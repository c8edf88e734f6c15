package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

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
}

func (p *place) flags(f *flag.FlagSet, slot string) {
	f.StringVar(&p.serial, "serial", "", "the PIV card with this serial `number`")
	f.StringVar(&p.slot, "slot", slot, "the `slot` of the key on a PIV card")
	f.StringVar(&p.module, "module", "", "the PKCS#11 module at this `path`, instead of a PIV card")
	f.StringVar(&p.token, "token", "", "with -module: the token's `label`")
	f.StringVar(&p.key, "key", "", "with -module: the key's `label`")
}

// open returns the key. done is called at the end.
func (p *place) open(ctx context.Context) (key signer.Key, done func(), err error) {
	if p.module != "" {
		return p.fromModule(ctx)
	}
	var slot piv.Slot
	if _, err := fmt.Sscanf(p.slot, "%x", &slot); err != nil || !slot.Valid() {
		return nil, nil, fmt.Errorf("%q is not a slot of a PIV card", p.slot)
	}
	client, err := piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: p.serial}, &piv.Options{PIN: piv.AskPIN(prompt.Terminal{})})
	if err != nil {
		return nil, nil, err
	}
	key, err = client.Key(ctx, slot)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return key, func() { client.Close() }, nil
}

func (p *place) fromModule(ctx context.Context) (signer.Key, func(), error) {
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
	done := func() { pool.Close(); module.Close() }
	key, err := pool.Key(ctx, cryptoki.KeyQuery{Label: p.key})
	if err != nil {
		done()
		return nil, nil, err
	}
	return key, done, nil
}

func askPIN(ctx context.Context, r cryptoki.PINRequest) ([]byte, error) {
	if r.FinalTry {
		return nil, errors.New("one try of the PIN is left, which is not spent here")
	}
	return prompt.Terminal{}.AskSecret(ctx, fmt.Sprintf("PIN of token %q", r.Token))
}

// newCard makes a card in software with keys in the given slots.
func newCard(ctx context.Context, slots ...piv.Slot) (*piv.Client, error) {
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
	for _, slot := range slots {
		if _, err := client.GenerateKey(ctx, slot, piv.AlgorithmP256, nil); err != nil {
			return nil, err
		}
	}
	return client, nil
}
