// Package place finds the key that a program's flags name, on a PIV card or on a token, for
// the examples.
package place

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/examples/internal/token"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/signer"
	"github.com/cardoki/cardoki/signer/prompt"
)

// Flags name a key.
type Flags struct {
	serial, slot, key string
	token             token.Flags
}

// Add adds the flags. On a PIV card the key is in slot unless they say otherwise.
func (f *Flags) Add(flags *flag.FlagSet, slot string) {
	flags.StringVar(&f.serial, "serial", "", "the PIV card with this serial `number`")
	flags.StringVar(&f.slot, "slot", slot, "the `slot` of the key on a PIV card")
	f.token.Add(flags)
	flags.StringVar(&f.key, "key", "", "with -module: the key's `label`")
}

// Key returns the key. done is called at the end.
func (f *Flags) Key(ctx context.Context) (key signer.Key, done func(), err error) {
	if f.token.Named() {
		pool, query, done, err := f.open()
		if err != nil {
			return nil, nil, err
		}
		key, err := pool.Key(ctx, query)
		if err != nil {
			done()
			return nil, nil, err
		}
		return key, done, nil
	}
	slot, err := f.Slot()
	if err != nil {
		return nil, nil, err
	}
	client, err := f.find(ctx)
	if err != nil {
		return nil, nil, err
	}
	if key, err = client.Key(ctx, slot); err != nil {
		client.Close()
		return nil, nil, err
	}
	return key, func() { client.Close() }, nil
}

// Source returns what gives the certificate and key that are there at the time. done is
// called at the end.
func (f *Flags) Source() (source signer.Source, done func(), err error) {
	if f.token.Named() {
		pool, query, done, err := f.open()
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) (tls.Certificate, error) { return pool.TLSCertificate(ctx, query) }, done, nil
	}
	slot, err := f.Slot()
	if err != nil {
		return nil, nil, err
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
		if client, err = f.find(ctx); err != nil {
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

// Slot returns the slot of the key on a PIV card.
func (f *Flags) Slot() (piv.Slot, error) {
	var slot piv.Slot
	if _, err := fmt.Sscanf(f.slot, "%x", &slot); err != nil || !slot.Valid() {
		return 0, fmt.Errorf("%q is not a slot of a PIV card; they are 9A, 9C, 9D, 9E and 82 to 95", f.slot)
	}
	return slot, nil
}

// open opens the token, and returns what means the key on it.
func (f *Flags) open() (*cryptoki.Pool, cryptoki.KeyQuery, func(), error) {
	u, err := f.token.URI()
	if err != nil {
		return nil, cryptoki.KeyQuery{}, nil, err
	}
	query := u.KeyQuery()
	if f.key != "" {
		query.Label = f.key
	}
	pool, done, err := f.token.Open(false)
	return pool, query, done, err
}

func (f *Flags) find(ctx context.Context) (*piv.Client, error) {
	opts := &piv.Options{
		PIN:   piv.AskPIN(prompt.Terminal{}),
		Touch: func(ctx context.Context, _ piv.Slot) { fmt.Fprintln(os.Stderr, "Touch the card …"); <-ctx.Done() },
	}
	if file := f.token.PINFile(); file != "" {
		opts.PIN = func(_ context.Context, r piv.PINRequest) ([]byte, error) {
			if r.Remaining == 1 {
				return nil, errors.New("one try of the PIN is left, and what is in a file does not spend it")
			}
			pin, err := os.ReadFile(file)
			return bytes.TrimRight(pin, "\r\n"), err
		}
	}
	return piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: f.serial}, opts)
}

// NewCard makes a PIV card in software whose management key is authenticated, and which is
// empty.
func NewCard(ctx context.Context) (*piv.Client, error) {
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
	return client, nil
}
