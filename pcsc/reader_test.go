package pcsc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

var direct = &pcsc.ConnectOptions{Share: pcsc.ShareDirect}

func testDirect(t *testing.T, d *pcsctest.Daemon) {
	card := &testCard{}
	r, conn := plugAndConnect(t, d, &pcsctest.ReaderOptions{Attributes: map[uint32][]byte{0x10100: []byte("Cardoki")}}, nil, direct)
	ctx := within(t, patience)
	if len(conn.ATR()) != 0 || conn.Limits() != (apdu.Limits{}) {
		t.Errorf("got ATR % X, limits %+v without a card, want none", conn.ATR(), conn.Limits())
	}
	if name, err := conn.AttributeText(ctx, pcsc.SCARD_ATTR_VENDOR_NAME); err != nil || name != "Cardoki" {
		t.Errorf("got vendor %q, %v", name, err)
	}
	if err := r.Insert(card); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Transmit(ctx, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrNotSent, pcsc.SCARD_E_PROTO_MISMATCH}, "direct connection", "Change")
	if n := card.commands.Load(); n != 0 {
		t.Errorf("%d commands reached the card", n)
	}
	if err := conn.Change(ctx, nil, apdu.LeaveCard); err != nil {
		t.Fatal(err)
	}
	if conn.Limits().Protocol != apdu.ProtocolT1 || !bytes.Equal(conn.ATR(), atrT1) {
		t.Errorf("got protocol %v, ATR % X after the change", conn.Limits().Protocol, conn.ATR())
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))

	// A direct connection beside one that chose a protocol carries commands.
	beside := connect(t, establish(t), r.Name(), direct)
	exchange(t, beside, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

func testRaw(t *testing.T, d *pcsctest.Daemon) {
	_, conn := plugAndConnect(t, d, nil, &testCard{}, &pcsc.ConnectOptions{Share: pcsc.ShareExclusive, Protocol: apdu.ProtocolRaw})
	if got := conn.Limits().Protocol; got != apdu.ProtocolRaw {
		t.Errorf("got protocol %v, want raw", got)
	}
	ctx := within(t, patience)
	if throughLibrary() {
		_, err := conn.Transmit(ctx, nil, selectMF) // ebfe/scard panics
		wantErrors(t, err, []error{apdu.ErrNotSent, errors.ErrUnsupported}, "raw")
		return
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

func testResets(t *testing.T, d *pcsctest.Daemon) {
	card := &testCard{}
	r, conn := plugAndConnect(t, d, nil, card, nil)
	other := connect(t, establish(t), r.Name(), nil)
	ctx := within(t, patience)
	for _, tt := range []struct {
		how  apdu.Disposition
		warm int32 // resets of the card
		cold int32 // losses of its power
	}{{apdu.ResetCard, 1, 0}, {apdu.UnpowerCard, 0, 1}} {
		warm, cold := card.resets.Load(), card.powerOffs.Load()
		if err := conn.Reset(ctx, tt.how); err != nil {
			t.Fatal(err)
		}
		if w, c := card.resets.Load()-warm, card.powerOffs.Load()-cold; w != tt.warm || c != tt.cold {
			t.Errorf("disposition %d: got %d warm and %d cold resets, want %d, %d", tt.how, w, c, tt.warm, tt.cold)
		}
		exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
		_, err := other.Transmit(ctx, nil, selectMF)
		wantErrors(t, err, []error{apdu.ErrReset, pcsc.SCARD_W_RESET_CARD})
		if err := other.Reconnect(ctx); err != nil {
			t.Fatal(err)
		}
		exchange(t, other, selectMF, append(slices.Clone(selectMF), 0x90, 0))
	}
	for _, how := range []apdu.Disposition{apdu.LeaveCard, apdu.EjectCard, 9} {
		wantErrors(t, conn.Reset(ctx, how), []error{apdu.ErrNotSent}, "ResetCard")
	}
	// A card that was taken out cannot be reset; another one there can.
	r.Eject()
	wantErrors(t, conn.Reset(ctx, apdu.ResetCard), []error{apdu.ErrRemoved})
	if err := r.Insert(&testCard{atr: atr2}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Reset(ctx, apdu.ResetCard); err != nil || !bytes.Equal(conn.ATR(), atr2) {
		t.Errorf("got %v, ATR % X, want that of the other card", err, conn.ATR())
	}
}

func testChange(t *testing.T, d *pcsctest.Daemon) {
	card := &testCard{}
	r, conn := plugAndConnect(t, d, nil, card, nil)
	c := establish(t)
	other := connect(t, c, r.Name(), nil)
	ctx := within(t, patience)
	alone := &pcsc.ConnectOptions{Share: pcsc.ShareExclusive}
	if throughLibrary() {
		// libpcsclite would wait for the others without end.
		wantErrors(t, conn.Change(ctx, alone, apdu.LeaveCard), []error{errors.ErrUnsupported, apdu.ErrNotSent}, "open a new connection")
		exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0)) // as before
		conn.Close()
		other.Close()
		conn = connect(t, c, r.Name(), alone)
	} else {
		wantErrors(t, conn.Change(ctx, alone, apdu.LeaveCard), []error{pcsc.SCARD_E_SHARING_VIOLATION})
		exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0)) // as before
		other.Close()
		if err := conn.Change(ctx, alone, apdu.LeaveCard); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Connect(ctx, r.Name(), nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_SHARING_VIOLATION})
	for _, how := range []apdu.Disposition{apdu.EjectCard, 9} {
		wantErrors(t, conn.Change(ctx, alone, how), []error{apdu.ErrNotSent}, "LeaveCard")
	}
	// Another protocol wants a reset.
	t0 := &pcsc.ConnectOptions{Protocol: apdu.ProtocolT0}
	wantErrors(t, conn.Change(ctx, t0, apdu.LeaveCard), []error{pcsc.SCARD_E_PROTO_MISMATCH})
	resets := card.resets.Load()
	if err := conn.Change(ctx, t0, apdu.ResetCard); err != nil {
		t.Fatal(err)
	}
	if conn.Limits().Protocol != apdu.ProtocolT0 || conn.Limits().MaxCommand != 261 || card.resets.Load() != resets+1 {
		t.Errorf("got limits %+v, %d resets, want T=0 after one reset", conn.Limits(), card.resets.Load()-resets)
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0, 0x90, 0)) // case 1 gets P3
	connect(t, c, r.Name(), nil)                                            // shared again
}

func testEject(t *testing.T, d *pcsctest.Daemon) {
	r, conn := plugAndConnect(t, d, &pcsctest.ReaderOptions{Motorized: true}, &testCard{}, nil)
	ctx := within(t, patience)
	if err := conn.Eject(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Transmit(ctx, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRemoved})
	wantErrors(t, conn.Eject(ctx), []error{apdu.ErrRemoved})
	eventually(t, "the reader is empty", func() bool { return r.Insert(&testCard{}) == nil })
	if err := conn.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

func testAttributes(t *testing.T, d *pcsctest.Daemon) {
	number := binary.NativeEndian.AppendUint32(nil, 0x01020003)
	var set box[[]byte]
	_, conn := plugAndConnect(t, d, &pcsctest.ReaderOptions{
		Attributes: map[uint32][]byte{
			0x10100: []byte("Cardoki\x00"), 0x10102: number, 0x90300: {2}, 0x30125: binary.NativeEndian.AppendUint16(nil, 254),
			0x10103: {}, 0x10101: bytes.Repeat([]byte{'x'}, 264),
		},
		SetAttribute: func(a uint32, value []byte) uint32 {
			set.set(append([]byte{byte(a)}, value...))
			return 0
		},
	}, &testCard{}, nil)
	ctx := within(t, patience)
	if text, err := conn.AttributeText(ctx, pcsc.SCARD_ATTR_VENDOR_NAME); err != nil || text != "Cardoki" {
		t.Errorf("vendor: got %q, %v", text, err)
	}
	if text, err := conn.AttributeText(ctx, pcsc.SCARD_ATTR_VENDOR_IFD_TYPE); err != nil || len(text) != 264 {
		t.Errorf("a value of 264 bytes: got %d, %v", len(text), err)
	}
	for a, want := range map[pcsc.Attribute]uint32{pcsc.SCARD_ATTR_VENDOR_IFD_VERSION: 0x01020003, pcsc.SCARD_ATTR_ICC_PRESENCE: 2, pcsc.SCARD_ATTR_MAX_IFSD: 254} {
		if n, err := conn.AttributeNumber(ctx, a); err != nil || n != want {
			t.Errorf("%v: got %X, %v, want %X", a, n, err, want)
		}
	}
	if atr, err := conn.Attribute(ctx, pcsc.SCARD_ATTR_ATR_STRING); err != nil || !bytes.Equal(atr, atrT1) {
		t.Errorf("answer to reset: got % X, %v", atr, err)
	}
	_, err := conn.AttributeNumber(ctx, pcsc.SCARD_ATTR_VENDOR_NAME)
	wantErrors(t, err, nil, "8 bytes", "no number")
	// Not known, and known without a value: the same for the caller.
	for _, a := range []pcsc.Attribute{pcsc.SCARD_ATTR_CHANNEL_ID, pcsc.SCARD_ATTR_VENDOR_IFD_SERIAL_NO} {
		value, err := conn.Attribute(ctx, a)
		wantErrors(t, err, []error{pcsc.SCARD_E_UNSUPPORTED_FEATURE}, "does not know")
		if value != nil {
			t.Errorf("%v: got % X with an error", a, value)
		}
	}
	if err := conn.SetAttribute(ctx, pcsc.SCARD_ATTR_SUPRESS_T1_IFS_REQUEST, []byte{1, 2}); err != nil || !bytes.Equal(set.get(), []byte{7, 1, 2}) {
		t.Errorf("set: got % X, %v", set.get(), err)
	}
	for _, n := range []int{0, 265} { // the first makes ebfe/scard panic
		wantErrors(t, conn.SetAttribute(ctx, pcsc.SCARD_ATTR_SUPRESS_T1_IFS_REQUEST, make([]byte, n)), nil, "1..264")
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

// Through ebfe/scard the question for its length fails with 0x80100008.
func testFriendlyName(t *testing.T, d *pcsctest.Daemon) {
	r, conn := plugAndConnect(t, d, nil, &testCard{}, nil)
	for _, a := range []pcsc.Attribute{pcsc.SCARD_ATTR_DEVICE_FRIENDLY_NAME, pcsc.SCARD_ATTR_DEVICE_SYSTEM_NAME} {
		if name, err := conn.AttributeText(within(t, patience), a); err != nil || name != r.Name() {
			t.Errorf("%v: got %q, %v, want %q", a, name, err, r.Name())
		}
	}
}

func testControl(t *testing.T, d *pcsctest.Daemon) {
	_, conn := plugAndConnect(t, d, &pcsctest.ReaderOptions{Control: func(_ context.Context, c *pcsctest.ControlCall) ([]byte, uint32) {
		switch c.Code {
		case pcsc.ControlCode(1):
			return append([]byte{0xEE}, c.In...), 0
		case pcsc.ControlCode(2):
			return nil, uint32(pcsc.SCARD_E_NOT_TRANSACTED)
		case pcsc.ControlCode(3):
			return nil, 0
		}
		return nil, uint32(pcsc.SCARD_E_UNSUPPORTED_FEATURE)
	}}, nil, direct)
	ctx := within(t, patience)
	dst := []byte{7}
	long := bytes.Repeat([]byte{0x5A}, 65534)
	for _, in := range [][]byte{nil, {1}, {1, 2, 3}, long} {
		got, err := conn.Control(ctx, pcsc.ControlCode(1), dst, in)
		if want := slices.Concat(dst, []byte{0xEE}, in); err != nil || !bytes.Equal(got, want) {
			t.Errorf("input of %d bytes: got %d bytes, %v, want %d", len(in), len(got), err, len(want))
		}
	}
	if got, err := conn.Control(ctx, pcsc.ControlCode(3), dst, nil); err != nil || !bytes.Equal(got, dst) {
		t.Errorf("no output: got % X, %v", got, err)
	}
	for function, want := range map[uint16]error{2: pcsc.SCARD_E_NOT_TRANSACTED, 4: pcsc.SCARD_E_UNSUPPORTED_FEATURE} {
		got, err := conn.Control(ctx, pcsc.ControlCode(function), dst, nil)
		wantErrors(t, err, []error{want})
		wantNot(t, err, apdu.ErrRemoved)
		if !bytes.Equal(got, dst) {
			t.Errorf("got % X with an error, want dst unchanged", got)
		}
	}
	_, err := conn.Control(ctx, pcsc.ControlCode(1), nil, make([]byte, 65536))
	wantErrors(t, err, []error{apdu.ErrLength, apdu.ErrNotSent}, "65536")
}

func testNoFeatures(t *testing.T, d *pcsctest.Daemon) {
	_, conn := plugAndConnect(t, d, nil, &testCard{}, nil)
	ctx := within(t, patience)
	if f, err := conn.Features(ctx); err != nil || len(f) != 0 {
		t.Errorf("got %v, %v, want none", f, err)
	}
	d.SetFault(func(call pcsctest.Call) *pcsctest.Fault {
		if call.Command == pcsctest.SCARD_CONTROL {
			return &pcsctest.Fault{Code: uint32(pcsc.SCARD_E_INVALID_PARAMETER)}
		}
		return nil
	})
	if f, err := conn.Features(ctx); err != nil || len(f) != 0 {
		t.Errorf("a driver of version 2: got %v, %v, want none", f, err)
	}
	d.SetFault(nil)
	_, err := conn.Properties(ctx)
	wantErrors(t, err, []error{errors.ErrUnsupported})
	_, err = conn.VerifyPIN(ctx, &apdu.PINVerify{PINEntry: pivPIN})
	wantErrors(t, err, []error{errors.ErrUnsupported, apdu.ErrNotSent}, "FEATURE_VERIFY_PIN_DIRECT")
}

func testProperties(t *testing.T, d *pcsctest.Daemon) {
	answer := func(s string) pcsctest.ControlFunc {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return func(context.Context, *pcsctest.ControlCall) ([]byte, uint32) { return b, 0 }
	}
	ctx := within(t, patience)
	for _, tt := range []struct {
		name     string
		tlv, pin string
		want     pcsc.ReaderProperties
		wrong    string
	}{
		// As the CCID driver writes it for a reader with a display of 2 lines of 16.
		{"as the CCID driver does", "01 02 1002 04 02 1000 05 02 0200 03 01 00 08 03 47656D 06 01 04 07 01 08 02 01 02 09 01 01 0B 02 E608 0C 02 7834 0A 04 00000100",
			"10 02 07 00", pcsc.ReaderProperties{LCDLines: 2, LCDColumns: 16, EntryValidation: apdu.PINKeyPressed, MinPINSize: 4, MaxPINSize: 8,
				FirmwareID: "Gem", PPDU: 1, MaxAPDUDataSize: 65536, VendorID: 0x08E6, ProductID: 0x3478}, ""},
		{"the older structure alone", "", "10 02 07 01", pcsc.ReaderProperties{LCDLines: 2, LCDColumns: 16,
			EntryValidation: apdu.PINMaxReached | apdu.PINKeyPressed | apdu.PINTimedOut, TimeOut2: true, MaxAPDUDataSize: -1}, ""},
		{"short commands only, tags nobody knows", "0A 04 00000000 77 02 0102 06 03 010203", "", pcsc.ReaderProperties{}, ""},
		{"a length that is too long", "01 09 10", "", pcsc.ReaderProperties{}, "malformed"},
		{"half a tag", "01 02 1002 04", "", pcsc.ReaderProperties{}, "malformed"},
		{"a structure that is too short", "", "10 02", pcsc.ReaderProperties{}, "want 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			features := map[byte]pcsctest.ControlFunc{}
			if tt.tlv != "" {
				features[byte(pcsc.FEATURE_GET_TLV_PROPERTIES)] = answer(tt.tlv)
			}
			if tt.pin != "" {
				features[byte(pcsc.FEATURE_IFD_PIN_PROPERTIES)] = answer(tt.pin)
			}
			_, conn := plugAndConnect(t, d, &pcsctest.ReaderOptions{Features: features}, nil, direct)
			got, err := conn.Properties(ctx)
			if tt.wrong != "" {
				wantErrors(t, err, nil, tt.wrong)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("properties (-want +got):\n%s", diff)
			}
		})
	}
}

// pivPIN is the entry of a PIN of PIV: 6 to 8 digits in ASCII, filled up with FF.
var pivPIN = apdu.PINEntry{
	Command:  []byte{0x00, 0x20, 0x00, 0x80, 0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
	Encoding: apdu.PINASCII, BlockSize: 8, MinLen: 6, MaxLen: 8, TimeOut: 30 * time.Second,
}

// pinPad is a reader whose user enters 123456: it puts the PIN into the command as the
// structure says, for blocks of ASCII at whole bytes.
func pinPad(in []byte, offset int) []byte {
	command := slices.Clone(in[offset:])
	copy(command[5:], "123456")
	return command
}

func testVerifyPIN(t *testing.T, d *pcsctest.Daemon) {
	var structure, atCard box[[]byte]
	card := &testCard{transmit: func(_ context.Context, dst, command []byte) ([]byte, error) {
		atCard.set(slices.Clone(command))
		return append(dst, 0x63, 0xC2), nil
	}}
	_, conn := plugAndConnect(t, d, &pcsctest.ReaderOptions{Features: map[byte]pcsctest.ControlFunc{
		byte(pcsc.FEATURE_VERIFY_PIN_DIRECT): func(_ context.Context, c *pcsctest.ControlCall) ([]byte, uint32) {
			structure.set(slices.Clone(c.In))
			out, err := c.Transmit(nil, pinPad(c.In, 19))
			if err != nil {
				return nil, uint32(pcsc.SCARD_E_NOT_TRANSACTED)
			}
			return out, 0
		},
	}}, card, nil)
	ctx := within(t, patience)
	features, err := conn.Features(ctx)
	if err != nil || features[pcsc.FEATURE_VERIFY_PIN_DIRECT] == 0 || len(features) != 1 {
		t.Errorf("got features %v, %v, want VERIFY_PIN_DIRECT alone", features, err)
	}
	var r apdu.Response
	err = conn.Transaction(ctx, apdu.LeaveCard, func() (err error) {
		r, err = conn.VerifyPIN(ctx, &apdu.PINVerify{PINEntry: pivPIN})
		return err
	})
	if err != nil || r.Status != 0x63C2 || len(r.Data) != 0 {
		t.Errorf("got %+v, %v, want the card's 63C2", r, err)
	}
	want := "1e 00 82 08 00 0806 02 ff 0904 00 000000 0d000000 0020008008ffffffffffffffff"
	if got := hex.EncodeToString(structure.get()); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("structure: got\n%s, want\n%s", got, want)
	}
	if want := append([]byte{0, 0x20, 0, 0x80, 8}, "123456\xFF\xFF"...); !bytes.Equal(atCard.get(), want) {
		t.Errorf("the card got % X, want % X", atCard.get(), want)
	}
	if bytes.Contains(structure.get(), []byte("1234")) {
		t.Error("the PIN was in the host")
	}
}

func testModifyPIN(t *testing.T, d *pcsctest.Daemon) {
	var structure box[[]byte]
	_, conn := plugAndConnect(t, d, &pcsctest.ReaderOptions{Features: map[byte]pcsctest.ControlFunc{
		byte(pcsc.FEATURE_MODIFY_PIN_DIRECT): func(_ context.Context, c *pcsctest.ControlCall) ([]byte, uint32) {
			structure.set(slices.Clone(c.In))
			return []byte{0x90, 0x00}, 0
		},
	}}, &testCard{}, nil)
	m := &apdu.PINModify{PINEntry: pivPIN, OffsetNew: 8, Confirm: true, EnterOld: true, Message: [3]byte{0, 1, 2}}
	m.Command = append([]byte{0x00, 0x24, 0x00, 0x80, 0x10}, bytes.Repeat([]byte{0xFF}, 16)...)
	m.Messages = 3
	r, err := conn.ModifyPIN(within(t, patience), m)
	if err != nil || !r.Status.OK() {
		t.Errorf("got %+v, %v", r, err)
	}
	want := "1e 00 82 08 00 00 08 0806 03 02 03 0904 000102 000000 15000000 0024008010" + strings.Repeat("ff", 16)
	if got := hex.EncodeToString(structure.get()); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("structure: got\n%s, want\n%s", got, want)
	}
}

func testPINPadErrors(t *testing.T, d *pcsctest.Daemon) {
	var answer box[[]byte]
	var code box[uint32]
	_, conn := plugAndConnect(t, d, &pcsctest.ReaderOptions{Features: map[byte]pcsctest.ControlFunc{
		byte(pcsc.FEATURE_VERIFY_PIN_DIRECT): func(context.Context, *pcsctest.ControlCall) ([]byte, uint32) { return answer.get(), code.get() },
	}}, &testCard{}, nil)
	ctx := within(t, patience)
	v := &apdu.PINVerify{PINEntry: pivPIN}
	for status, want := range map[apdu.Status]error{
		0x6400: apdu.ErrPINPadTimeout, 0x6401: apdu.ErrPINPadCancelled, 0x6402: apdu.ErrPINPadMismatch,
		0x6403: apdu.ErrPINPadLength, 0x6B80: apdu.ErrPINPadRefused,
	} {
		answer.set([]byte{byte(status >> 8), byte(status)})
		_, err := conn.VerifyPIN(ctx, v)
		var e *pcsc.PINPadError
		if !errors.Is(err, want) || !errors.Is(err, status) || !errors.As(err, &e) || e.Status != status || e.Reader != conn.Reader() {
			t.Errorf("%v: got %v, want %v", status, err, want)
		}
		if !strings.Contains(err.Error(), status.String()) {
			t.Errorf("%v: got message %q", status, err)
		}
	}
	for _, status := range []apdu.Status{0x9000, 0x63C1, 0x6983, 0x6404} {
		answer.set([]byte{byte(status >> 8), byte(status)})
		if r, err := conn.VerifyPIN(ctx, v); err != nil || r.Status != status {
			t.Errorf("%v of the card: got %v, %v", status, r.Status, err)
		}
	}
	answer.set([]byte{0x90})
	_, err := conn.VerifyPIN(ctx, v)
	wantErrors(t, err, nil, "shorter than")
	code.set(uint32(pcsc.SCARD_E_NOT_TRANSACTED))
	_, err = conn.VerifyPIN(ctx, v)
	wantErrors(t, err, []error{pcsc.SCARD_E_NOT_TRANSACTED})
	// What cannot be put into the structure does not reach the reader.
	bad := *v
	bad.BlockSize = 16
	_, err = conn.VerifyPIN(ctx, &bad)
	var field *apdu.PINEntryError
	wantErrors(t, err, []error{apdu.ErrNotSent}, "BlockSize")
	if !errors.As(err, &field) {
		t.Errorf("got %v, want a *apdu.PINEntryError", err)
	}
}

func testContactless(t *testing.T, d *pcsctest.Daemon) {
	classic, _ := hex.DecodeString("3B8F8001804F0CA000000306030001000000006A")
	ctx := within(t, patience)
	for _, tt := range []struct {
		name            string
		characteristics []byte
		atr             []byte
		want            bool
	}{
		{"the reader says so", binary.NativeEndian.AppendUint32(nil, 8), atrT0, true},
		{"the reader says other things", binary.NativeEndian.AppendUint32(nil, 3), atrT0, false},
		{"a storage card", nil, classic, true},
		{"an answer to reset as made up for contactless cards", nil, atrT1, true},
		{"a card with contacts", nil, atrT0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := &pcsctest.ReaderOptions{}
			if tt.characteristics != nil {
				opts.Attributes = map[uint32][]byte{uint32(pcsc.SCARD_ATTR_CHARACTERISTICS): tt.characteristics}
			}
			r, conn := plugAndConnect(t, d, opts, &testCard{atr: tt.atr}, nil)
			if got, err := conn.Contactless(ctx); err != nil || got != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
			r.Eject()
			if _, err := conn.Contactless(ctx); !errors.Is(err, apdu.ErrRemoved) {
				t.Errorf("got %v for a card that is gone, want ErrRemoved", err)
			}
		})
	}
}
