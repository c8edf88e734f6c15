package main

import (
	"context"
	"errors"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// atrInfo tells what EF.ATR/INFO says.
func (r *report) atrInfo(ctx context.Context, tx *iso7816.Channel) error {
	r.section("EF.ATR/INFO")
	info, err := tx.ReadATRInfo(ctx)
	if err != nil {
		return r.refused("not read", err)
	}
	if info.HasCardServiceData {
		r.line("services", "%v", info.CardServiceData)
	}
	if info.CardCapabilities.Tables > 0 {
		r.line("capabilities", "%v", info.CardCapabilities)
	}
	if e := info.ExtendedLength; info.HasExtendedLength {
		r.line("longest", "command %d bytes, response %d bytes", e.MaxCommand, e.MaxResponse)
	}
	r.historical(info.HistoricalBytes)
	r.line("bytes", "% X", info.Objects)
	return nil
}

// directory tells which applications EF.DIR lists.
func (r *report) directory(ctx context.Context, tx *iso7816.Channel) error {
	r.section("EF.DIR")
	var content []byte
	_, err := tx.Select(ctx, iso7816.Selection{Return: iso7816.ReturnNothing}) // the MF
	if err == nil {
		content, err = readDIR(ctx, tx)
	}
	if err != nil {
		return r.refused("not read", err)
	}
	const tagTemplate, tagAID, tagLabel = 0x61, 0x4F, 0x50
	for o, err := range tlv.AllPadded(content) {
		switch {
		case err != nil:
			r.line("malformed", "%v", err)
		case o.Tag == tagAID:
			r.line("application", "%X", o.Value)
		case o.Tag == tagTemplate:
			aid, _ := tlv.Find(o.Value, tagAID)
			label, _ := tlv.Find(o.Value, tagLabel)
			r.line("application", "%X %q", aid, label)
		}
	}
	return nil
}

// readDIR reads the file 2F00, whose structure is the card's choice.
func readDIR(ctx context.Context, tx *iso7816.Channel) ([]byte, error) {
	if _, err := tx.Select(ctx, iso7816.Selection{Data: []byte{0x2F, 0x00}, Return: iso7816.ReturnNothing}); err != nil {
		return nil, err
	}
	content, err := tx.ReadFile(ctx, -1, nil)
	if !errors.Is(err, apdu.StatusIncompatibleWithFile) {
		return content, err
	}
	content = nil
	for record, err := range tx.Records(ctx, 0) {
		if err != nil {
			return nil, err
		}
		content = append(content, record...)
	}
	return content, nil
}
