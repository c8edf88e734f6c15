// Package token opens the token that a program's flags name, for the examples.
package token

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/signer/prompt"
)

// Flags name a module and a token.
type Flags struct{ module, uri, label, pinFile string }

// Add adds the flags -module, -token, -uri and -pin-file.
func (f *Flags) Add(flags *flag.FlagSet) {
	flags.StringVar(&f.module, "module", "", "the `path` of the PKCS#11 module")
	flags.StringVar(&f.label, "token", "", "the token's `label`")
	flags.StringVar(&f.uri, "uri", "", "a PKCS#11 `URI` that says more of the token, instead of -token, such as 'pkcs11:serial=4711'")
	flags.StringVar(&f.pinFile, "pin-file", "", "the PIN is in this `file`, instead of asking for it")
}

// Named reports whether there is a module.
func (f *Flags) Named() bool { return f.module != "" }

// PINFile returns the file with the PIN, if one is named.
func (f *Flags) PINFile() string { return f.pinFile }

// URI returns what names the token, and the file with the PIN.
func (f *Flags) URI() (*cryptoki.URI, error) {
	if (f.uri == "") == (f.label == "") {
		return nil, errors.New("-token or -uri must name the token")
	}
	u := &cryptoki.URI{}
	if f.uri != "" {
		var err error
		if u, err = cryptoki.ParseURI(f.uri, nil); err != nil {
			return nil, err
		}
	} else if err := u.Set(cryptoki.URIToken, f.label); err != nil {
		return nil, err
	}
	if f.pinFile == "" {
		return u, nil
	}
	path, err := filepath.Abs(f.pinFile)
	if err != nil {
		return nil, err
	}
	return u, u.Set(cryptoki.URIPINSource, path)
}

// Open returns a pool with the token. The PIN comes from the file that the flags or the URI
// name, or from the terminal. done closes all.
func (f *Flags) Open(readWrite bool) (pool *cryptoki.Pool, done func(), err error) {
	if f.module == "" {
		return nil, nil, errors.New("-module is needed")
	}
	u, err := f.URI()
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
