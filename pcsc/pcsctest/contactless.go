package pcsctest

import (
	"bytes"
	"context"

	"github.com/cardoki/cardoki/apdu"
)

// Contactless returns a card as a contactless reader presents it by PC/SC part 3:
// with an answer to reset made of the historical bytes of ats, and with the commands
// of class FF for its UID (FF CA 00 00) and its historical bytes (FF CA 01 00), which the
// reader answers itself. Other commands of class FF are answered with 6A81. ats is the whole
// answer to select, beginning with its length, or empty for a card that has none; the
// answer to reset has at most 15 of its historical bytes.
func Contactless(card Card, uid, ats []byte) Card {
	return &contactless{Card: card, uid: bytes.Clone(uid), ats: bytes.Clone(ats), atr: contactlessATR(firstOf(historicalBytes(ats), 15))}
}

type contactless struct {
	Card
	uid, ats, atr []byte
}

func (c *contactless) ATR() []byte { return c.atr }

func (c *contactless) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if len(command) == 0 || command[0] != 0xFF {
		return c.Card.Transmit(ctx, dst, command)
	}
	cmd, err := apdu.ParseCommand(command)
	if err != nil {
		return dst, apdu.ErrNotSent
	}
	var data []byte
	status := apdu.StatusOK
	switch {
	case cmd.Instruction != 0xCA || cmd.P2 != 0 || cmd.P1 > 1, cmd.P1 == 1 && len(c.ats) == 0:
		status = apdu.StatusFunctionNotSupported
	case cmd.P1 == 0:
		data = c.uid
	default:
		data = historicalBytes(c.ats)
	}
	switch n := len(data); {
	case status != apdu.StatusOK:
	case cmd.Ne < n:
		data, status = nil, 0x6C00|apdu.Status(n)
	case cmd.Ne > n && cmd.Ne != 256 && cmd.Ne != 65536:
		status = 0x6282 // end of data before Ne bytes
	}
	return append(append(dst, data...), status.SW1(), status.SW2()), nil
}

// historicalBytes returns those of an answer to select (ISO/IEC 14443-4).
func historicalBytes(ats []byte) []byte {
	if len(ats) < 2 {
		return nil
	}
	i := 2
	for bit := byte(0x10); bit <= 0x40; bit <<= 1 { // TA1, TB1, TC1
		if ats[1]&bit != 0 {
			i++
		}
	}
	if i > len(ats) {
		return nil
	}
	return ats[i:]
}

// firstOf returns the first n bytes of b, or all that there are.
func firstOf(b []byte, n int) []byte { return b[:min(n, len(b))] }

// contactlessATR is 3B 8n 80 01, n historical bytes and the check byte.
func contactlessATR(historical []byte) []byte {
	atr := append([]byte{0x3B, 0x80 | byte(len(historical)), 0x80, 0x01}, historical...)
	var check byte
	for _, b := range atr[1:] {
		check ^= b
	}
	return append(atr, check)
}
