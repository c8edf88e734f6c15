package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// known are well-known applications by what selects them: their application identifiers,
// or as much as all versions have in common.
var known = []struct{ name, aid string }{
	{"PIV", "A00000030800001000"},
	{"OpenPGP", "D27600012401"},
	{"OATH", "A0000005272101"},
	{"FIDO", "A0000006472F0001"},
	{"YubiKey OTP", "A0000005272001"},
	{"YubiKey management", "A000000527471117"},
	{"YubiHSM Auth", "A000000527210701"},
	{"PKCS #15", "A000000063504B43532D3135"},
	{"GIDS", "A000000397425446590201"},
	{"IsoApplet", "F276A288BCFBA69D34F31001"},
	{"MUSCLE", "A00000000101"},
	{"SmartCard-HSM", "E82B0601040181C31F0201"},
	{"CAC access control", "A0000000791000"},
	{"CAC card capability container", "A000000116DB00"},
	{"eSign", "A000000167455349474E"},
	{"eID", "E80704007F00070302"},
	{"eMRTD", "A0000002471001"},
	{"tachograph", "FF544143484F"},
	{"tachograph, second generation", "FF534D524454"},
	{"USIM", "A0000000871002"},
	{"ISIM", "A0000000871004"},
	{"CSIM", "A0000003431002"},
	{"NDEF, version 2", "D2760000850101"},
	{"NDEF, version 1, or DESFire", "D2760000850100"},
	{"Calypso", "315449432E494341"},
	{"GlobalPlatform issuer security domain", "A000000151000000"},
	{"issuer security domain of older cards", "A000000003000000"},
	{"payment system environment", "315041592E5359532E4444463031"},
	{"proximity payment system environment", "325041592E5359532E4444463031"},
	{"Visa", "A0000000031010"},
	{"Visa Electron", "A0000000032010"},
	{"V PAY", "A0000000032020"},
	{"Mastercard", "A0000000041010"},
	{"Maestro", "A0000000043060"},
	{"American Express", "A00000002501"},
	{"JCB", "A0000000651010"},
	{"Discover", "A0000001523010"},
	{"UnionPay", "A000000333010101"},
	{"Interac", "A0000002771010"},
	{"girocard", "A0000003591010028001"},
	{"CB", "A0000000421010"},
}

// applications tells which of them the card lets be selected. SELECT is all that is sent.
func (r *report) applications(ctx context.Context, tx *iso7816.Channel) error {
	r.section("Applications, found by SELECT")
	// An identifier that nobody can have registered, as it begins with F.
	nobodys, err := iso7816.AIDFromBytes(append([]byte{0xF0}, rand.Text()[:15]...))
	if err != nil {
		return err
	}
	switch _, err := selectApplication(ctx, tx, nobodys); {
	case err == nil:
		r.line("beware", "this card accepts a name that nobody has: the list proves nothing")
	case !answered(err):
		return err
	}
	refused := map[apdu.Status][]string{}
	for _, k := range known {
		data, err := selectApplication(ctx, tx, iso7816.MustParseAID(k.aid))
		e, ok := errors.AsType[*iso7816.CommandError](err)
		switch {
		case err == nil:
			r.line("found", "%s%s", k.name, inWords(data))
		case !ok:
			return err
		default:
			refused[e.Status] = append(refused[e.Status], k.name)
		}
	}
	for _, status := range slices.SortedFunc(maps.Keys(refused), func(a, b apdu.Status) int { return cmp.Compare(len(refused[b]), len(refused[a])) }) {
		names := strings.Join(refused[status], ", ")
		if status == apdu.StatusFileNotFound {
			names = fmt.Sprintf("%d others", len(refused[status]))
		}
		r.line(status.String(), "%s: %s", status.Meaning(), names)
	}
	return nil
}

// selectApplication selects an application. One that is there and blocked is no error.
func selectApplication(ctx context.Context, tx *iso7816.Channel, aid iso7816.AID) ([]byte, error) {
	data, err := tx.SelectApplication(ctx, aid)
	if e, ok := errors.AsType[*iso7816.CommandError](err); ok && e.Status.Warning() {
		err = nil
	}
	return data, err
}

func answered(err error) bool {
	_, ok := errors.AsType[*iso7816.CommandError](err)
	return ok
}

// inWords returns the name and the label that an answer to SELECT has, or nothing.
func inWords(answer []byte) (words string) {
	for _, path := range [][]tlv.Tag{{0x6F, 0x84}, {0x61, 0x4F}, {0x62, 0x84}} {
		if name, err := tlv.Find(answer, path...); err == nil {
			words += fmt.Sprintf(", %X", name)
			break
		}
	}
	for _, path := range [][]tlv.Tag{{0x6F, 0xA5, 0x50}, {0x61, 0x50}} {
		if label, err := tlv.Find(answer, path...); err == nil {
			words += fmt.Sprintf(", %q", label)
			break
		}
	}
	return words
}
