package pcsc_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

func testCards(t *testing.T, d *pcsctest.Daemon) {
	want := []string{}
	for _, name := range []string{"Empty 00 00", "First 00 00", "Second 00 00"} {
		r, err := d.AddReader(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Unplug)
		if name != "Empty 00 00" {
			if err := r.Insert(&testCard{}); err != nil {
				t.Fatal(err)
			}
			want = append(want, name)
		}
	}
	ctx := within(t, patience)
	var got []string
	for c, err := range pcsc.Cards(ctx, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Name)
		conn, err := c.Connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := conn.Transmit(ctx, nil, selectMF); err != nil || len(out) == 0 {
			t.Errorf("%s: got % X, %v", c.Name, out, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// A connector outlives the loop, and a card that went meanwhile is an error.
	for c, err := range pcsc.Cards(ctx, nil) {
		if err != nil {
			t.Fatal(err)
		}
		d.Reader(c.Name).Eject()
		if conn, err := c.Connect(ctx); conn != nil || !errors.Is(err, pcsc.SCARD_E_NO_SMARTCARD) {
			t.Errorf("got %v, %v; want no card", conn, err)
		}
		break
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for c, err := range pcsc.Cards(ended, nil) {
		if !errors.Is(err, context.Canceled) || c.Connect != nil {
			t.Errorf("got %v, %v; want a context that ended", c, err)
		}
	}
}
