package iso7816

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the bytes of real cards mean, read by hand from the tables.
func TestHistoricalBytes_String(t *testing.T) {
	for _, tt := range []struct{ name, hex, want string }{
		{"none", "", "none"},
		{"sysmoUSIM-SJS1", "8031A073BE21136743200718000001",
			"80 COMPACT-TLV; card service data: selection by full DF name, objects in EF.DIR, read by READ RECORD, card with MF; " +
				"card capabilities: DF by full name, DF by path, DF by file identifier, implicit DF selection, short EF identifier, record number, " +
				"proprietary write, data units of one byte, logical channels assigned by the card, 4 logical channels; pre-issuing data: 43200718000001"},
		{"YubiKey 5", "8073C021C057597562694B6579",
			"80 COMPACT-TLV; card capabilities: DF by full name, DF by partial name, proprietary write, data units of one byte, " +
				"command chaining, extended Lc and Le, one logical channel; card issuer's data: 597562694B6579"},
		{"OpenPGP card 3", "0031F573C00160059000",
			"00 COMPACT-TLV and status indicator; card service data: selection by full DF name, by partial DF name, objects in EF.DIR, objects in EF.ATR/INFO, " +
				"read by GET DATA, card without MF; card capabilities: DF by full name, DF by partial name, one-time write, data units of one byte, " +
				"extended Lc and Le, extended length information in EF.ATR/INFO, one logical channel; " +
				"status indicator: operational, activated, 9000"},
		{"a DIR data reference", "1050", "10 DIR data reference 50"},
		{"a reserved category", "8131", "81 reserved 31"},
		{"a proprietary category", "4A4F", "4A proprietary 4F"},
		{"the rarer objects", "80 120276 23451234 41FF A0 72FFF1 F5A000000308 830790 00",
			"80 COMPACT-TLV; country code: 0276; issuer identification number: 451234; initial access data: FF; object A: empty; " +
				"card capabilities: DF by full name, DF by partial name, DF by path, DF by file identifier, implicit DF selection, " +
				"short EF identifier, record number, record identifier, EFs of TLV structure, write AND, tags may begin with FF, data units of one byte; " +
				"application identifier: A000000308; status indicator: operational, activated, 9000"},
	} {
		h, err := ParseHistoricalBytes(unhex(tt.hex))
		if got := h.String(); got != tt.want || err != nil {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func TestHistoricalBytes_objects(t *testing.T) {
	h, err := ParseHistoricalBytes(unhex("80 120276 23451234 31B8 41FF 51AA 61BB 73000181 F5A000000308 816F"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		get  func() ([]byte, bool)
		want string
	}{
		{"country code", h.CountryCode, "0276"},
		{"issuer identification number", h.IssuerIdentificationNumber, "451234"},
		{"initial access data", h.InitialAccessData, "FF"},
		{"card issuer's data", h.CardIssuerData, "AA"},
		{"pre-issuing data", h.PreIssuingData, "BB"},
	} {
		if got, ok := tt.get(); !ok || hexOf(got) != tt.want {
			t.Errorf("%s: got %X, %v, want %s", tt.name, got, ok, tt.want)
		}
	}
	if c, ok := h.CardServiceData(); !ok || !c.Has(SelectsByFullDFName|ObjectsInEFDIR|ObjectsInEFATR) || c.Has(WithoutMF) || c.Access() != AccessByReadBinary {
		t.Errorf("got card service data %v, %v", c, ok)
	}
	if aid, ok := h.AID(); !ok || aid != MustParseAID("A000000308") {
		t.Errorf("got AID %v, %v", aid, ok)
	}
	want := CardCapabilities{Tables: 3, DataCoding: 1, Functions: CommandChaining | 1}
	if c, ok := h.CardCapabilities(); !ok || c != want || hexOf(c.AppendTo(nil)) != "000181" {
		t.Errorf("got capabilities %+v, %v", c, ok)
	}
	if s, ok := h.Status(); !ok || s != (StatusIndicator{LifeCycle: 0x6F, HasLifeCycle: true}) {
		t.Errorf("got status %+v, %v", s, ok)
	}

	var none HistoricalBytes
	_, country := none.CountryCode()
	_, service := none.CardServiceData()
	_, capabilities := none.CardCapabilities()
	_, aid := none.AID()
	_, status := none.Status()
	if country || service || capabilities || aid || status {
		t.Error("no historical bytes: got objects")
	}
	short, err := ParseHistoricalBytes(unhex("80 30 74FFFFFFFF F4A0000003 84000000"))
	_, service = short.CardServiceData()
	_, capabilities = short.CardCapabilities()
	_, aid = short.AID()
	if err == nil || service || capabilities || aid {
		t.Errorf("objects of the wrong length: got %v, %v, %v, error %v", service, capabilities, aid, err)
	}
}

func TestParseHistoricalBytes_keepsWhatIsSound(t *testing.T) {
	for _, tt := range []struct{ hex, objects, want string }{
		{"10", "", "iso7816: malformed historical bytes at offset 1: category 10 without a DIR data reference"},
		{"000590", "", "iso7816: malformed historical bytes at offset 3: category 00 without the three bytes of a status indicator"},
		{"8031C073FF", "31C0", "iso7816: malformed historical bytes at offset 3: COMPACT-TLV data object longer than the historical bytes"},
		{"0031C073FF059000", "31C0", "iso7816: malformed historical bytes at offset 3: COMPACT-TLV data object longer than the historical bytes"},
	} {
		h, err := ParseHistoricalBytes(unhex(tt.hex))
		if err == nil || err.Error() != tt.want || hexOf(h.Objects) != tt.objects || hexOf(h.Bytes) != tt.hex {
			t.Errorf("%s: got %v, objects %X, want %q", tt.hex, err, h.Objects, tt.want)
		}
		if _, ok := errors.AsType[*SyntaxError](err); !ok {
			t.Errorf("%s: got a %T", tt.hex, err)
		}
	}
}

func TestHistoricalBytes_Status_isTheLastObject(t *testing.T) {
	for hex, want := range map[string]bool{"80 31C0 829000": true, "80 829000 31C0": false, "80 829000 7F": false, "80 80": false, "80 8400000000": false} {
		h, _ := ParseHistoricalBytes(unhex(hex))
		if s, ok := h.Status(); ok != want {
			t.Errorf("%s: got %+v, %v, want %v", hex, s, ok, want)
		}
	}
}

func TestSoftwareFunctions_MaxChannels(t *testing.T) {
	for _, tt := range []struct {
		f    SoftwareFunctions
		want int
		text string
	}{
		{0x00, 1, "no chaining, short lengths, one logical channel"},
		{0x07, 1, "no chaining, short lengths, one logical channel"},
		{0x08, 1, "logical channels assigned by the interface device, one logical channel"},
		{0x13, 4, "logical channels assigned by the card, 4 logical channels"},
		{0x1F, 8, "logical channels assigned by the card, logical channels assigned by the interface device, 8 or more logical channels"},
	} {
		if tt.f.MaxChannels() != tt.want || tt.f.String() != tt.text {
			t.Errorf("%02X: got %d, %q, want %d, %q", byte(tt.f), tt.f.MaxChannels(), tt.f, tt.want, tt.text)
		}
	}
	for d, want := range map[DataCoding]int{0x00: 1, 0x21: 2, 0x02: 4, 0x0F: 32768} {
		if d.DataUnitSize() != want {
			t.Errorf("data coding %02X: got units of %d quartets, want %d", byte(d), d.DataUnitSize(), want)
		}
	}
}

func TestParseATRInfo(t *testing.T) {
	for _, tt := range []struct {
		name, hex string
		want      ATRInfo
		err       string
	}{
		{"empty", "", ATRInfo{}, ""},
		{"padding alone", "0000FFFF", ATRInfo{}, ""},
		{"an OpenPGP card's form", "4301B8 4703F60181 7F6608 02020100 02020102 0000", ATRInfo{
			CardServiceData: 0xB8, HasCardServiceData: true, CardCapabilities: CardCapabilities{3, 0xF6, 0x01, 0x81},
			ExtendedLength: ExtendedLengthInformation{256, 258}, HasExtendedLength: true,
		}, ""},
		{"category in front, integers with leading zeros, historical bytes", "80 7F660A 0203010000 020300FFFF 5F520180 FF", ATRInfo{
			ExtendedLength: ExtendedLengthInformation{65536, 65535}, HasExtendedLength: true, HistoricalBytes: []byte{0x80},
		}, ""},
		{"an object cut off", "4301B8 4703F6", ATRInfo{CardServiceData: 0xB8, HasCardServiceData: true},
			"iso7816: malformed EF.ATR/INFO at offset 6: value cut off"},
		{"card service data of two bytes", "00 4302B8B8", ATRInfo{}, "iso7816: malformed card service data in EF.ATR/INFO at offset 3: not one byte"},
		{"four capabilities", "474400 00", ATRInfo{}, "iso7816: malformed EF.ATR/INFO at offset 4: value cut off"},
		{"capabilities of four bytes", "470400000000", ATRInfo{}, "iso7816: malformed card capabilities in EF.ATR/INFO at offset 5: not one to three bytes"},
		{"one integer", "7F6604 02020100", ATRInfo{}, "iso7816: malformed extended length information in EF.ATR/INFO at offset 7: fewer than two integers"},
		{"a huge integer", "7F660A 02020100 020480000000", ATRInfo{}, "iso7816: malformed extended length information in EF.ATR/INFO at offset 9: integer not in 1..2147483647"},
		{"an integer of zero", "7F6603 020100", ATRInfo{}, "iso7816: malformed extended length information in EF.ATR/INFO at offset 5: integer not in 1..2147483647"},
		{"no integer at all", "80 7F6601 02", ATRInfo{}, "iso7816: malformed extended length information in EF.ATR/INFO at offset 5: length missing"},
	} {
		b := unhex(tt.hex)
		got, err := ParseATRInfo(b)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != tt.err {
			t.Errorf("%s: got error %q, want %q", tt.name, text, tt.err)
		}
		got.Objects = nil
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: (-want +got):\n%s", tt.name, d)
		}
	}
	for _, e := range []ExtendedLengthInformation{{256, 258}, {65535, 65536}, {1<<31 - 1, 1}} {
		info, err := ParseATRInfo(AppendExtendedLengthInformation(nil, e))
		if err != nil || info.ExtendedLength != e {
			t.Errorf("got %+v, %v, want %+v", info.ExtendedLength, err, e)
		}
	}
}

func TestATR_contactless(t *testing.T) {
	for _, tt := range []struct {
		name, hex string
		kind      Contactless
		card      StorageCard
		text      string
	}{
		{"MIFARE Classic 1K", "3B8F8001804F0CA000000306030001000000006A", ContactlessStorage, StorageCard{3, MIFAREClassic1K}, "MIFARE Classic 1K, ISO/IEC 14443 A, part 3"},
		{"MIFARE Classic 4K", "3B8F8001804F0CA0000003060300020000000069", ContactlessStorage, StorageCard{3, MIFAREClassic4K}, "MIFARE Classic 4K, ISO/IEC 14443 A, part 3"},
		{"FeliCa", "3B8F8001804F0CA00000030611003B0000000042", ContactlessStorage, StorageCard{0x11, FeliCa}, "FeliCa, FeliCa"},
		{"a reader's own name", "3B8F8001804F0CA00000030603F011000000008A", ContactlessStorage, StorageCard{3, 0xF011}, "reader's own name F011, ISO/IEC 14443 A, part 3"},
		{"YubiKey 5 NFC", "3B8D80018073C021C057597562694B65FF7F", ContactlessCard, StorageCard{}, ""},
		{"a card with contacts", "3B9F9681B1FE451F070064051EB20031B0739621DB05900050", NotContactless, StorageCard{}, ""},
		{"no interface bytes", "3B00", NotContactless, StorageCard{}, ""},
	} {
		a, err := ParseATRLenient(unhex(tt.hex))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		card, ok := a.StorageCard()
		if a.Contactless() != tt.kind || card != tt.card || ok != (tt.kind == ContactlessStorage) {
			t.Errorf("%s: got %v, %+v, want %v, %+v", tt.name, a.Contactless(), card, tt.kind, tt.card)
		}
		if !ok {
			continue
		}
		if card.String() != tt.text {
			t.Errorf("%s: got %q, want %q", tt.name, card, tt.text)
		}
		if back := card.ATR(); back.String() != tt.hex {
			t.Errorf("%s: got %v again, want %s", tt.name, back, tt.hex)
		}
	}
}

func TestATR_storageCardsOfTheVectors(t *testing.T) {
	listed, _ := readATRVectors(t)
	n := 0
	for _, v := range listed {
		a, err := ParseATR(unhex(v.ATR))
		if err != nil {
			continue
		}
		c, ok := a.StorageCard()
		if ok {
			// One card has bytes where all others have the reserved zeros.
			if n++; c.ATR() != a && v.ATR != "3B8F8001804F0CA000000306074344600201E4EF" {
				t.Errorf("%s: got %v from %v", v.ATR, c.ATR(), c)
			}
		}
		if ok != (a.Contactless() == ContactlessStorage) {
			t.Errorf("%s: got %v", v.ATR, a.Contactless())
		}
	}
	if n != 18 {
		t.Errorf("got %d storage cards, want 18", n)
	}
}

func TestATR_ATQB(t *testing.T) {
	a, err := NewATR(DirectConvention, []InterfaceBytes{{}, {}, {Protocol: 1}}, unhex("0102030433B7F170"))
	if err != nil {
		t.Fatal(err)
	}
	want := ATQB{ApplicationData: [4]byte{1, 2, 3, 4}, ProtocolInfo: [3]byte{0x33, 0xB7, 0xF1}, MBLI: 7}
	if got, ok := a.ATQB(); !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for _, h := range []string{"0102030433B7F1", "0102030433B7F171", ""} {
		a, err := NewATR(DirectConvention, []InterfaceBytes{{}, {}, {Protocol: 1}}, unhex(h))
		if got, ok := a.ATQB(); ok || err != nil {
			t.Errorf("%s: got %+v, %v, want none", h, got, err)
		}
	}
}
