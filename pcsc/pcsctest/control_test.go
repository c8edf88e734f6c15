package pcsctest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/pcsclite"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

const reader2 = "Keypad Reader 00 00"

func TestAttributes(t *testing.T) {
	d := start(t, nil)
	var set []byte
	r, err := d.AddReader(reader2, &pcsctest.ReaderOptions{
		Attributes: map[uint32][]byte{0x00010100: []byte("Maker\x00")},
		SetAttribute: func(id uint32, value []byte) uint32 {
			if id != 7 {
				return 0x8010001F
			}
			set = bytes.Clone(value)
			return 0
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Insert(&card{}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, d.Socket())
	ctx := within(t, patience)
	h, _, err := c.Connect(ctx, reader2, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetAttribute(0x00010102, []byte{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		id   uint32
		want string
		code uint32
	}{
		{"vendor name", 0x00010100, "Maker\x00", 0},
		{"one that was set later", 0x00010102, "\x01\x02\x03\x04", 0},
		{"answer to reset", 0x00090303, string(atrT1), 0},
		{"friendly name", 0x7FFF0003, reader2 + "\x00", 0},
		{"system name", 0x7FFF0004, reader2 + "\x00", 0},
		{"unknown", 0x00010101, "", 0x8010001F},
	} {
		got, err := c.Attribute(ctx, h, tt.id)
		if string(got) != tt.want && tt.code == 0 || code(err) != tt.code {
			t.Errorf("%s: got %q, %v, want %q, 0x%08X", tt.name, got, err, tt.want, tt.code)
		}
	}
	if err := r.SetAttribute(0x00010100, nil); err != nil {
		t.Fatal(err)
	}
	_, err = c.Attribute(ctx, h, 0x00010100)
	wantCode(t, "an attribute that was taken away", err, 0x8010001F)
	wantCode(t, "set", c.SetAttribute(ctx, h, 7, []byte("value")), 0)
	if string(set) != "value" {
		t.Errorf("got %q set", set)
	}
	wantCode(t, "set another", c.SetAttribute(ctx, h, 8, []byte{1}), 0x8010001F)
	if err := r.SetAttribute(1, make([]byte, 265)); err == nil {
		t.Error("got an attribute of 265 bytes")
	}
	if _, err := d.AddReader("x", &pcsctest.ReaderOptions{Attributes: map[uint32][]byte{1: make([]byte, 265)}}); err == nil {
		t.Error("got a reader with an attribute of 265 bytes")
	}
	r.Eject()
	_, err = c.Attribute(ctx, h, 0x00090303)
	wantCode(t, "after the removal", err, 0x80100069)
}

// A PIN pad by PC/SC part 10: the reader asks its keys for the PIN and sends VERIFY
// by itself.
func TestFeaturesAndControlCodes(t *testing.T) {
	const getFeatures, verifyDirect = 0x42000000 + 3400, 0x06
	d := start(t, nil)
	r, err := d.AddReader(reader2, &pcsctest.ReaderOptions{
		Features: map[byte]pcsctest.ControlFunc{
			verifyDirect: func(_ context.Context, c *pcsctest.ControlCall) ([]byte, uint32) {
				out, err := c.Transmit(nil, append(bytes.Clone(c.In), "1234"...))
				if err != nil {
					return nil, 0x8010000C
				}
				return out, 0
			},
			0x12: func(context.Context, *pcsctest.ControlCall) ([]byte, uint32) { return make([]byte, 300), 0 },
		},
		Control: func(_ context.Context, c *pcsctest.ControlCall) ([]byte, uint32) {
			if c.Code == 99 {
				return append([]byte("got "), c.In...), 0
			}
			return []byte("lost"), 0x8010001F
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cd := &card{}
	if err := r.Insert(cd); err != nil {
		t.Fatal(err)
	}
	c := dial(t, d.Socket())
	ctx := within(t, patience)
	h, _, err := c.Connect(ctx, reader2, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.Control(ctx, h, getFeatures, nil, nil)
	want := []byte{verifyDirect, 4, 0x42, 0x33, 0, 0x06, 0x12, 4, 0x42, 0x33, 0, 0x12}
	if err != nil || !bytes.Equal(list, want) {
		t.Fatalf("features: got % X, %v, want % X", list, err, want)
	}
	got, err := c.Control(ctx, h, 0x42330006, nil, []byte{0, 0x20, 0, 0x80, 4})
	if want := "\x00\x20\x00\x80\x041234\x90\x00"; err != nil || string(got) != want {
		t.Errorf("VERIFY: got %q, %v, want %q", got, err, want)
	}
	got, err = c.Control(ctx, h, 99, nil, []byte("it"))
	if err != nil || string(got) != "got it" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = c.Control(ctx, h, 98, nil, nil)
	wantCode(t, "unknown control code", err, 0x8010001F)
	if got, err = c.Control(ctx, h, 0x42330012, nil, nil); err != nil || len(got) != 300 {
		t.Errorf("got %d bytes, %v, want 300", len(got), err)
	}
	wantCode(t, "status", c.Status(ctx, h), 0)
	// In another client's transaction the reader does nothing.
	other := dial(t, d.Socket())
	h2, _, err := other.Connect(ctx, reader2, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.BeginTransaction(ctx, h2); err != nil {
		t.Fatal(err)
	}
	_, err = c.Control(ctx, h, 99, nil, nil)
	wantCode(t, "control in the other's transaction", err, 0x8010000B)
	r.Eject()
	_, err = c.Control(ctx, h, 0x42330006, nil, []byte{0, 0x20, 0, 0x80, 4})
	wantCode(t, "VERIFY without a card", err, 0x8010000C)
}

func TestControlThatIsSlowEndsWithTheDaemon(t *testing.T) {
	d := start(t, nil)
	started := make(chan struct{})
	if _, err := d.AddReader(reader2, &pcsctest.ReaderOptions{Control: func(ctx context.Context, c *pcsctest.ControlCall) ([]byte, uint32) {
		if _, err := c.Transmit(nil, selectMF); !errors.Is(err, apdu.ErrRemoved) {
			t.Errorf("got %v, want ErrRemoved", err)
		}
		close(started)
		<-ctx.Done()
		return nil, 0x80100001
	}}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, d.Socket())
	h, _, err := c.Connect(within(t, patience), reader2, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		_, err := c.Control(context.Background(), h, 1, nil, nil)
		result <- err
	}()
	<-started
	d.Kill()
	wantCode(t, "control", <-result, 1)
}

func TestMotorizedReaderEjectsItsCard(t *testing.T) {
	d := start(t, nil)
	r, err := d.AddReader(reader2, &pcsctest.ReaderOptions{Motorized: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, patience)
	c := dial(t, d.Socket())
	for _, how := range []func(h pcsclite.Card) error{
		func(h pcsclite.Card) error { return c.Disconnect(ctx, h, 3) },
		func(h pcsclite.Card) error {
			if err := c.BeginTransaction(ctx, h); err != nil {
				return err
			}
			return c.EndTransaction(ctx, h, 3)
		},
	} {
		cd := &card{}
		if err := r.Insert(cd); err != nil {
			t.Fatal(err)
		}
		h, _, err := c.Connect(ctx, reader2, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		err = how(h)
		if code(err) != 0 && code(err) != 0x80100016 { // a removal ends the transaction first
			t.Errorf("got %v", err)
		}
		s, err := c.ReaderStates(ctx)
		if err != nil || s[2].State != pcsclite.ReaderAbsent {
			t.Errorf("got %+v, %v, want the card out", s, err)
		}
		r.Eject()
		if diff := cmp.Diff([]string{"on", "off"}, cd.taken()); diff != "" {
			t.Errorf("the card (-want +got):\n%s", diff)
		}
	}
}
