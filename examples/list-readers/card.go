package main

import (
	"strings"
	"unicode"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/pcsc"
)

// describe says what kind of card is in a reader, as far as its answer to reset tells.
func describe(r pcsc.Reader) string {
	if r.State.Mute() {
		return "does not answer; is it the right way round?"
	}
	atr, err := iso7816.ParseATRLenient(r.ATR)
	if err != nil {
		return "has a malformed answer to reset"
	}
	kind := "with contacts"
	if storage, ok := atr.StorageCard(); ok {
		kind = "storage card, " + storage.String()
	}
	if r.Contactless() {
		kind = "contactless, by its ATR"
		if storage, ok := atr.StorageCard(); ok {
			kind = "contactless storage card, " + storage.String()
		}
	}
	if r.Protocol != 0 {
		kind += ", " + r.Protocol.String()
	}
	return kind
}

// printable returns s without what could play tricks on a terminal: the name of a
// reader comes from the reader.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
