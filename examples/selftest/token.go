package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cardoki/cardoki/cryptoki"
)

func testToken(ctx context.Context, o *options, r *report) error {
	module, err := cryptoki.Open(o.module, nil)
	if err != nil {
		return err
	}
	defer module.Close()
	slot, err := module.FindToken(o.token)
	if err != nil {
		return err
	}
	if o.destructive && !o.pin {
		return errors.New("-destructive with a token needs -pin")
	}
	if err := describeToken(module, slot, r); err != nil {
		return err
	}
	if err := describeMechanisms(slot, r); err != nil {
		return err
	}
	var h holder
	defer h.forget()
	opts := &cryptoki.PoolOptions{}
	if o.pin {
		opts.PIN = h.forToken
	}
	pool := slot.NewPool(opts)
	defer pool.Close()
	// Whoever is to give the PIN gives it now.
	if err := pool.Do(ctx, func(*cryptoki.Session) error { return nil }); err != nil {
		return errors.New(r.why(err))
	}
	x := &tester{ctx: ctx, report: r}
	if err := tryDigests(x, pool, slot); err != nil {
		return err
	}
	if err := tryKeys(x, pool, o.pin); err != nil {
		return err
	}
	if !o.destructive {
		return nil
	}
	return makeOnToken(x, pool)
}

// describeToken tells what the module and the token say of themselves.
func describeToken(module *cryptoki.Module, slot *cryptoki.Slot, r *report) error {
	info, err := module.Info()
	if err != nil {
		return err
	}
	token, err := slot.Token()
	if err != nil {
		return err
	}
	r.hidden = append(r.hidden, fmt.Sprintf("slot %d", slot.ID()), "the slot") // SoftHSM2 makes it of the serial number
	r.title("%s (%s)", token.Model, info.Description)
	r.table("token", "")
	r.row("module", fmt.Sprintf("%s by %s, version %v, PKCS#11 %v", info.Description, info.Manufacturer, info.Library, info.Cryptoki))
	r.row("token", fmt.Sprintf("%s by %s, hardware %v, firmware %v", token.Model, token.Manufacturer, token.Hardware, token.Firmware))
	r.row("label", r.hide(token.Label))
	r.row("serial number", r.hide(token.Serial))
	r.row("PIN", strings.Join(pinWords(&token), ", "))
	return nil
}

func pinWords(t *cryptoki.TokenInfo) []string {
	words := []string{fmt.Sprintf("%d to %d bytes", t.MinPIN, t.MaxPIN)}
	for _, w := range []struct {
		is   bool
		word string
	}{
		{!t.LoginRequired(), "not needed"}, {!t.PINInitialized(), "not set yet"}, {t.PINPad(), "entered at the token itself"},
		{t.PINCountLow(cryptoki.CKU_USER), "a wrong one was given"}, {t.PINFinalTry(cryptoki.CKU_USER), "ONE TRY IS LEFT"}, {t.PINLocked(cryptoki.CKU_USER), "LOCKED"},
	} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return words
}

// uses are what a mechanism can be for.
var uses = []struct {
	flag cryptoki.Flags
	name string
}{
	{cryptoki.CKF_DIGEST, "digest"}, {cryptoki.CKF_SIGN, "sign"}, {cryptoki.CKF_VERIFY, "verify"}, {cryptoki.CKF_ENCRYPT, "encrypt"}, {cryptoki.CKF_DECRYPT, "decrypt"},
	{cryptoki.CKF_WRAP, "wrap"}, {cryptoki.CKF_UNWRAP, "unwrap"}, {cryptoki.CKF_DERIVE, "derive"}, {cryptoki.CKF_GENERATE, "generate a key"}, {cryptoki.CKF_GENERATE_KEY_PAIR, "generate a key pair"},
}

// describeMechanisms tells what the token says that it can do.
func describeMechanisms(slot *cryptoki.Slot, r *report) error {
	list, err := slot.Mechanisms()
	if err != nil {
		return err
	}
	by := make([][]string, len(uses))
	for _, m := range list {
		info, err := slot.Mechanism(m)
		if err != nil {
			return err
		}
		for i, u := range uses {
			if info.Flags&u.flag != 0 {
				by[i] = append(by[i], strings.TrimPrefix(m.String(), "CKM_"))
			}
		}
	}
	r.table("says that it can", "with CKM_ …")
	for i, u := range uses {
		if i > 0 && slices.Equal(by[i], by[i-1]) {
			continue // verify stands with sign, and so on
		}
		name := u.name
		if i+1 < len(uses) && slices.Equal(by[i], by[i+1]) {
			name += ", " + uses[i+1].name
		}
		if len(by[i]) > 0 {
			r.row(name, strings.Join(by[i], ", "))
		}
	}
	return nil
}

// tryKeys tries the keys that are on the token.
func tryKeys(x *tester, pool *cryptoki.Pool, pin bool) error {
	if !pin {
		x.report.line("\nPrivate keys were not looked for: they want the PIN, see -pin.")
		return nil
	}
	var keys []*cryptoki.Key
	var strange []error
	for key, err := range pool.Keys(x.ctx, cryptoki.KeyQuery{}) {
		if err != nil {
			strange = append(strange, err)
		} else {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b *cryptoki.Key) int {
		return cmp.Or(bytes.Compare(a.ID(), b.ID()), strings.Compare(a.Label(), b.Label()))
	})
	for _, key := range keys { // before an error could name one
		x.report.hide(key.Label())
	}
	x.report.keys()
	for i, key := range keys {
		name := fmt.Sprintf("key %d: %s", i+1, kind(key))
		if x.report.verbose {
			name = fmt.Sprintf("key %d, %q: %s", i+1, key.Label(), kind(key))
		}
		t := x.try(operations(key), false)
		if _, err := key.Certificate(x.ctx); err == nil {
			name += "; certificate"
		}
		x.report.key(name, t)
	}
	for _, err := range strange {
		x.report.key("a key that cannot be used", &tally{failed: []string{x.report.why(err)}})
	}
	return nil
}
