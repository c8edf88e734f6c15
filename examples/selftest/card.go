package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
)

// slots are all that a PIV card can have, in the order of its tables.
func slots() []piv.Slot {
	list := []piv.Slot{piv.SlotAuthentication, piv.SlotSignature, piv.SlotKeyManagement, piv.SlotCardAuthentication}
	for s := piv.SlotRetired1; s <= piv.SlotRetired20; s++ {
		list = append(list, s)
	}
	return append(list, piv.SlotAttestation)
}

func testCard(ctx context.Context, o *options, r *report) error {
	var h holder
	defer h.forget()
	var client *piv.Client
	var err error
	if o.emulate {
		client, err = newCard(ctx)
		r.title("PIV card in software, cardoki's own, in memory")
	} else {
		opts := &piv.Options{CachePIN: time.Hour, Touch: func(ctx context.Context, slot piv.Slot) { tell("Touch the card, for slot %v …", slot); <-ctx.Done() }}
		if o.pin {
			opts.PIN = h.forCard
		}
		client, err = piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: o.serial}, opts)
		r.title("PIV card in a reader")
	}
	if err != nil {
		return err
	}
	defer client.Close()
	describeCard(ctx, client, r)
	x := &tester{ctx: ctx, report: r}
	r.keys()
	for _, slot := range slots() {
		trySlot(x, client, slot, o.pin || o.emulate)
	}
	if !o.destructive {
		return nil
	}
	return makeInSlot(x, client, o.emulate)
}

// describeCard tells what is on the card, without the PIN.
func describeCard(ctx context.Context, client *piv.Client, r *report) {
	r.table("card", "")
	say := func(what, value string, err error) {
		switch {
		case err == nil:
			r.row(what, value)
		case !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, piv.ErrNoObject):
			r.row(what, "not read: "+r.why(err))
		}
	}
	r.row("ATR", fmt.Sprintf("% X", client.Channel().ATR()))
	version, err := client.Version(ctx)
	say("YubiKey's extensions, version", version.String(), err)
	serial, err := client.Serial(ctx)
	say("serial number", r.hide(serial), err)
	status, err := client.PINStatus(ctx)
	say("PIN", tries(status.Remaining), err)
	puk, err := client.PUKTries(ctx)
	say("PUK", tries(puk), err)
	m, err := client.ManagementKeyMetadata(ctx)
	if err == nil && m.Default {
		say("management key", m.Algorithm.String()+", THE ONE THAT EVERYBODY KNOWS", nil)
	} else if err == nil {
		say("management key", m.Algorithm.String(), nil)
	}
	var there []string
	for _, object := range []struct {
		name string
		read func() error
	}{
		{"CHUID", func() error { _, err := client.CHUID(ctx); return err }},
		{"CCC", func() error { _, err := client.CCC(ctx); return err }},
		{"key history", func() error { _, err := client.KeyHistory(ctx); return err }},
		{"security object", func() error { _, err := client.SecurityObject(ctx); return err }},
	} {
		if err := object.read(); err == nil {
			there = append(there, object.name)
		} else if !errors.Is(err, piv.ErrNoObject) {
			say(object.name, "", err)
		}
	}
	say("objects", strings.Join(there, ", "), nil)
}

func tries(n int) string {
	switch n {
	case -1:
		return "tries left: it does not tell"
	case 0:
		return "BLOCKED"
	}
	return fmt.Sprintf("%d tries left", n)
}

// trySlot tries the key in a slot, if there is one and it may be used.
func trySlot(x *tester, client *piv.Client, slot piv.Slot, pin bool) {
	key, err := client.Key(x.ctx, slot)
	if errors.Is(err, piv.ErrNoCertificate) || errors.Is(err, piv.ErrNoMetadata) {
		return
	}
	name := slot.String()
	if err != nil {
		x.report.key(name, &tally{failed: []string{x.report.why(err)}})
		return
	}
	name += ": " + key.Algorithm().String()
	free, touch := slot == piv.SlotCardAuthentication, false
	if m, err := client.Metadata(x.ctx, slot); err == nil {
		free = m.PINPolicy == piv.PINPolicyNever
		touch = m.TouchPolicy == piv.TouchPolicyAlways || m.TouchPolicy == piv.TouchPolicyCached
		name += fmt.Sprintf("; PIN %v, touch %v", m.PINPolicy, m.TouchPolicy)
	}
	if _, err := client.Certificate(x.ctx, slot); err == nil {
		name += "; certificate"
	}
	switch {
	case slot == piv.SlotAttestation:
		x.report.key(name, &tally{skipped: []string{"signs attestations only"}})
	case !pin && !free:
		x.report.key(name, &tally{skipped: []string{"not tried: it wants the PIN, see -pin"}})
	default:
		x.report.key(name, x.try(operations(key), touch))
	}
}
