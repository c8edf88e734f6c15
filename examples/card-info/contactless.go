package main

import (
	"context"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/pcsc"
)

// contactless tells what the reader knows of a card without contacts (PC/SC part 3). It
// is asked only where there is one: a reader with contacts passes the question on.
func (r *report) contactless(ctx context.Context, conn *pcsc.Conn) error {
	yes, err := conn.Contactless(ctx)
	if err != nil || !yes {
		return err
	}
	r.section("Contactless")
	if atr, err := iso7816.ParseATRLenient(conn.ATR()); err == nil {
		if s, ok := atr.StorageCard(); ok {
			r.line("storage card", "%v", s)
		} else if b, ok := atr.ATQB(); ok {
			r.line("as type B", "application data % X, protocol info % X, MBLI %d", b.ApplicationData, b.ProtocolInfo, b.MBLI)
		}
	}
	if uid, err := pcsc.UID(ctx, conn); err == nil {
		r.line("UID", "% X (anybody can imitate it)", uid)
	} else if err := r.refused("UID", err); err != nil {
		return err
	}
	if b, err := pcsc.ContactlessHistoricalBytes(ctx, conn); err == nil {
		r.line("ATS", "% X (its historical bytes; some readers give all of it)", b)
	} else if err := r.refused("ATS", err); err != nil {
		return err
	}
	return nil
}
