// Package token opens the token that a program's flags name, for the examples.
package token

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/signer/prompt"
)

// Flags name a module and a token.
type Flags struct{ module, uri string }

// Add adds the flags -module and -uri.
func (f *Flags) Add(flags *flag.FlagSet) {
	flags.StringVar(&f.module, "module", "", "the `path` of the PKCS#11 module")
	flags.StringVar(&f.uri, "uri", "", "the PKCS#11 `URI` of the token, such as 'pkcs11:token=my%20token'; it may name a file with the PIN, ?pin-source=file:/path")
}

// Open returns a pool with the token. The PIN comes from where the URI says, or from the
// terminal. done closes all.
func (f *Flags) Open(readWrite bool) (pool *cryptoki.Pool, done func(), err error) {
	if f.module == "" || f.uri == "" {
		return nil, nil, errors.New("-module and -uri are needed")
	}
	u, err := cryptoki.ParseURI(f.uri, nil)
	if err != nil {
		return nil, nil, err
	}
	pin, err := u.PINFunc()
	if err != nil {
		return nil, nil, err
	}
	if pin == nil {
		pin = ask
	}
	module, err := cryptoki.Open(f.module, nil)
	if err != nil {
		return nil, nil, err
	}
	slot, err := module.FindSlot(u)
	if err != nil {
		module.Close()
		return nil, nil, err
	}
	pool = slot.NewPool(&cryptoki.PoolOptions{PIN: pin, ReadWrite: readWrite})
	return pool, func() { pool.Close(); module.Close() }, nil
}

// ask asks for the PIN at the terminal. The last try needs a yes.
func ask(ctx context.Context, r cryptoki.PINRequest) ([]byte, error) {
	var t prompt.Terminal
	if r.FinalTry {
		yes, err := t.Confirm(ctx, "One try is left: a wrong PIN locks the token. Go on?")
		if err != nil || !yes {
			return nil, errors.Join(err, errors.New("no PIN was given"))
		}
		r.AllowFinalTry()
	}
	if r.PINPad {
		fmt.Printf("Enter the PIN of token %q at its keypad.\n", r.Token)
		return nil, nil
	}
	return t.AskSecret(ctx, fmt.Sprintf("PIN of token %q", r.Token))
}
