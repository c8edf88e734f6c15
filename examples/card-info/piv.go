package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// piv tells what a PIV card has to say without a PIN.
func (r *report) piv(ctx context.Context, tx *iso7816.Channel) error {
	client, err := piv.Open(ctx, tx, nil)
	if answered(err) {
		return nil // it has no PIV application
	}
	r.section("PIV")
	if err != nil {
		return r.refused("not opened", err)
	}
	for _, tell := range []struct {
		label string
		what  func() (string, error)
	}{
		{"serial number", func() (string, error) { return client.Serial(ctx) }},
		{"version", func() (string, error) { v, err := client.Version(ctx); return v.String(), err }},
		{"card holder", func() (string, error) { return cardHolder(ctx, client) }},
		{"PINs", func() (string, error) { return pins(client.Discovery()), nil }},
	} {
		what, err := tell.what()
		if err == nil {
			r.line(tell.label, "%s", what)
		} else if err := r.refused(tell.label, err); err != nil {
			return err
		}
	}
	slots := []piv.Slot{piv.SlotAuthentication, piv.SlotSignature, piv.SlotKeyManagement, piv.SlotCardAuthentication}
	for s := piv.SlotRetired1; s <= piv.SlotRetired20; s++ {
		slots = append(slots, s)
	}
	empty := 0
	for s := range slices.Values(append(slots, piv.SlotAttestation)) {
		found, err := r.slot(ctx, client, s)
		if err != nil {
			return err
		}
		if !found {
			empty++
		}
	}
	r.line("slots", "%d others have neither a certificate nor, as far as the card tells, a key", empty)
	return nil
}

// slot tells of the key and the certificate in a slot, and whether there are any.
func (r *report) slot(ctx context.Context, client *piv.Client, s piv.Slot) (found bool, err error) {
	label := fmt.Sprintf("slot %02X", byte(s))
	m, err := client.Metadata(ctx, s)
	switch {
	case err == nil:
		found = true
		r.line(label, "%v, PIN policy %v, touch policy %v, generated on the card: %t", m.Algorithm, m.PINPolicy, m.TouchPolicy, m.Generated)
	case errors.Is(err, piv.ErrNoMetadata):
	default:
		return false, r.refused(label, err)
	}
	c, err := client.Certificate(ctx, s)
	switch {
	case err == nil:
		found = true
		r.line(label, "certificate of %q, issued by %q, valid until %s", c.Subject, c.Issuer, c.NotAfter.Format(time.DateOnly))
	case errors.Is(err, piv.ErrNoCertificate), errors.Is(err, apdu.StatusFileNotFound):
	default:
		return true, r.refused(label, err)
	}
	return found, nil
}

func cardHolder(ctx context.Context, client *piv.Client) (string, error) {
	chuid, err := client.CHUID(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("GUID %X, expires %q", chuid.GUID, chuid.ExpirationDate), nil
}

// pins says which PINs a card has.
func pins(d piv.Discovery) string {
	var all []string
	for _, p := range []struct {
		has  bool
		name string
	}{
		{d.PIN, "of the application"}, {d.GlobalPIN, "of the whole card"}, {d.PreferGlobalPIN, "preferably the latter"},
		{d.OCC, "a fingerprint"}, {d.VCI, "contactless too, by a virtual contact interface"},
	} {
		if p.has {
			all = append(all, p.name)
		}
	}
	return strings.Join(all, ", ")
}
