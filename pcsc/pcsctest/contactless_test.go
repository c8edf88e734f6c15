package pcsctest_test

import (
	"bytes"
	"testing"

	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

func TestContactlessCards(t *testing.T) {
	uid := []byte{0x04, 1, 2, 3, 4, 5, 6}
	ats := []byte{6, 0x75, 0x77, 0x81, 0x02, 0x80}
	for _, tt := range []struct {
		name          string
		ats           []byte
		command, want string
	}{
		{"UID", ats, "\xFF\xCA\x00\x00\x00", string(uid) + "\x90\x00"},
		{"UID, exactly", ats, "\xFF\xCA\x00\x00\x07", string(uid) + "\x90\x00"},
		{"UID, too few bytes asked for", ats, "\xFF\xCA\x00\x00\x04", "\x6C\x07"},
		{"UID, too many", ats, "\xFF\xCA\x00\x00\x0A", string(uid) + "\x62\x82"},
		{"historical bytes", ats, "\xFF\xCA\x01\x00\x00", "\x80\x90\x00"},
		{"historical bytes of a card that has none", nil, "\xFF\xCA\x01\x00\x00", "\x6A\x81"},
		{"another pseudo-APDU", ats, "\xFF\x82\x00\x00\x00", "\x6A\x81"},
		{"a command for the card", ats, "\x00\xA4\x00\x00", "\x00\xA4\x00\x00\x90\x00"},
		{"no command", ats, "\xFF\xCA", "\x67\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := start(t, nil)
			insert(t, d, pcsctest.Contactless(&card{}, uid, tt.ats))
			c := dial(t, d.Socket())
			h := connect(t, c)
			got, err := c.Transmit(within(t, patience), h, 2, nil, []byte(tt.command))
			if err != nil || string(got) != tt.want {
				t.Errorf("got % X, %v, want % X", got, err, tt.want)
			}
		})
	}
	for _, tt := range []struct{ ats, want []byte }{
		{ats, []byte{0x3B, 0x81, 0x80, 0x01, 0x80, 0x80}},
		{nil, []byte{0x3B, 0x80, 0x80, 0x01, 0x01}},
		{[]byte{2, 0x70}, []byte{0x3B, 0x80, 0x80, 0x01, 0x01}},
	} {
		if got := pcsctest.Contactless(&card{}, uid, tt.ats).ATR(); !bytes.Equal(got, tt.want) {
			t.Errorf("ATS % X: got ATR % X, want % X", tt.ats, got, tt.want)
		}
	}
	if got := pcsctest.Contactless(&card{}, uid, append([]byte{30, 0x00}, make([]byte, 28)...)).ATR(); len(got) != 20 || got[1] != 0x8F {
		t.Errorf("got ATR % X, want 15 historical bytes", got)
	}
}
