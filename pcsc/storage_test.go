package pcsc_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/pcsc"
)

func TestStorageATR(t *testing.T) {
	for _, tt := range []struct {
		name, atr   string
		storage     bool
		standard    pcsc.CardStandard
		card        uint16
		contactless bool
	}{
		// Answers to reset of cards and readers that are for sale.
		{"MIFARE Classic 1K", "3B8F8001804F0CA000000306030001000000006A", true, pcsc.StandardISO14443A3, 1, true},
		{"MIFARE Classic 4K", "3B8F8001804F0CA0000003060300020000000069", true, pcsc.StandardISO14443A3, 2, true},
		{"MIFARE Ultralight", "3B8F8001804F0CA0000003060300030000000068", true, pcsc.StandardISO14443A3, 3, true},
		{"FeliCa", "3B8F8001804F0CA00000030611003B0000000042", true, pcsc.StandardFeliCa, 0x3B, true},
		{"a storage card with contacts", "3B8F8001804F0CA0000003060D00010000000064", true, pcsc.StandardContactI2C, 1, false},
		{"a card of ISO/IEC 14443-4 without historical bytes", "3B80800101", false, 0, 0, true},
		{"DESFire", "3B8180018080", false, 0, 0, true},
		{"TCK is wrong", "3B8F8001804F0CA000000306030001000000006B", false, 0, 0, false},
		{"another registered identifier", "3B8F8001804F0CA000000307030001000000006B", false, 0, 0, true},
		{"a byte is missing", "3B8F8001804F0CA00000030603000100000000", false, 0, 0, false},
		{"a card with contacts", "3B021450", false, 0, 0, false},
		{"nothing", "", false, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atr, err := hex.DecodeString(tt.atr)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := pcsc.ParseStorageATR(atr)
			if ok != tt.storage || got.Standard != tt.standard || got.Name != tt.card {
				t.Errorf("got %+v, %v, want %+v, %04X, %v", got, ok, tt.standard, tt.card, tt.storage)
			}
			if c := (pcsc.Reader{ATR: atr}).Contactless(); c != tt.contactless {
				t.Errorf("got contactless %v, want %v", c, tt.contactless)
			}
		})
	}
}

func FuzzParseStorageATR(f *testing.F) {
	atr, _ := hex.DecodeString("3B8F8001804F0CA000000306030001000000006A")
	f.Add(atr)
	f.Add(atrT1)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := pcsc.ParseStorageATR(b)
		if contactless := pcsc.ContactlessATR(b); ok && contactless != s.Standard.Contactless() {
			t.Errorf("% X: got %+v, contactless %v", b, s, contactless)
		}
	})
}

// The commands of PC/SC part 3 for a MIFARE Classic card.
func TestStorageCard(t *testing.T) {
	ctx := context.Background()
	sent := &scripted{answers: []string{"048B4F0A9000", "6C02", "77809000", "9000", "9000", strings.Repeat("AB", 16) + "9000", "9000", "0102036282"}}
	uid, err := pcsc.UID(ctx, sent)
	if err != nil || !bytes.Equal(uid, []byte{0x04, 0x8B, 0x4F, 0x0A}) {
		t.Errorf("UID: got % X, %v", uid, err)
	}
	if ats, err := pcsc.ContactlessHistoricalBytes(ctx, sent); err != nil || !bytes.Equal(ats, []byte{0x77, 0x80}) {
		t.Errorf("historical bytes: got % X, %v", ats, err)
	}
	card := pcsc.NewStorageCard(sent)
	key := []byte{1, 2, 3, 4, 5, 6}
	if err := errors.Join(card.LoadKey(ctx, pcsc.KeyNonVolatile, 7, key), card.Authenticate(ctx, 0x0104, pcsc.KeyB, 7)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(key, []byte{1, 2, 3, 4, 5, 6}) {
		t.Error("the caller's key was changed")
	}
	if b, err := card.ReadBinary(ctx, 4, 16); err != nil || len(b) != 16 {
		t.Errorf("read: got % X, %v", b, err)
	}
	if err := card.UpdateBinary(ctx, 4, []byte{9, 9, 9, 9}); err != nil {
		t.Error(err)
	}
	b, err := card.ReadBinary(ctx, 5, 256)
	if !errors.Is(err, apdu.Status(0x6282)) || !bytes.Equal(b, []byte{1, 2, 3}) {
		t.Errorf("data with a warning: got % X, %v, want both", b, err)
	}
	want := "FFCA000000|FFCA010000|FFCA010002|FF82200706010203040506|FF860000050101046107|FFB0000410|FFD600040409090909|FFB0000500"
	if got := strings.Join(sent.commands, "|"); got != want {
		t.Errorf("got commands\n%s, want\n%s", got, want)
	}
	for _, b := range sent.buffers {
		if bytes.Contains(b, key) {
			t.Error("the key is still in a buffer that was sent")
		}
	}
}

func TestStorageCardErrors(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name, answer string
		want         error
	}{
		{"no right to", "6982", apdu.Status(0x6982)},
		{"6CXX for ever", "6C04", apdu.Status(0x6C04)},
		{"no status", "90", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &scripted{answers: []string{tt.answer, tt.answer, tt.answer, tt.answer, tt.answer}}
			b, err := pcsc.UID(ctx, s)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || len(b) != 0 {
				t.Errorf("got % X, %v, want %v", b, err, tt.want)
			}
			if len(s.commands) > 2 {
				t.Errorf("%d commands were sent", len(s.commands))
			}
			err = pcsc.NewStorageCard(s).LoadKey(ctx, 0, 0, []byte("secret"))
			if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "736563") {
				t.Errorf("load key: got %v", err)
			}
		})
	}
	card := pcsc.NewStorageCard(&scripted{})
	for _, n := range []int{0, 257} {
		if _, err := card.ReadBinary(ctx, 0, n); !errors.Is(err, apdu.ErrLength) {
			t.Errorf("read %d bytes: got %v", n, err)
		}
	}
	for _, n := range []int{0, 256} {
		if err := card.UpdateBinary(ctx, 0, make([]byte, n)); !errors.Is(err, apdu.ErrLength) {
			t.Errorf("write %d bytes: got %v", n, err)
		}
	}
	if _, err := card.ReadBinary(ctx, 0, 4); !errors.Is(err, apdu.ErrRemoved) {
		t.Errorf("got %v, want the transport's error", err)
	}
}

// scripted gives one answer after the other, and ErrRemoved when there is none.
type scripted struct {
	answers  []string
	commands []string
	buffers  [][]byte
}

func (s *scripted) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	s.commands = append(s.commands, strings.ToUpper(hex.EncodeToString(command)))
	s.buffers = append(s.buffers, command)
	if len(s.answers) == 0 {
		return dst, apdu.ErrRemoved
	}
	b, err := hex.DecodeString(s.answers[0])
	s.answers = s.answers[1:]
	return append(dst, b...), err
}
