package vpcd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/internal/pcsclite"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

func TestSlot(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	slot := vpcd.NewSlot(l.Addr().String())
	if err := slot.Remove(); err != nil {
		t.Errorf("remove of nothing: %v", err)
	}
	c := &card{}
	if err := slot.Insert(within(t, patience), c); err != nil {
		t.Fatal(err)
	}
	reader, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	wantErrors(t, slot.Insert(within(t, patience), c), nil, "remove it first")
	reader.SetDeadline(time.Now().Add(patience))
	if _, err := reader.Write(append(frame(1), frame(4)...)); err != nil {
		t.Fatal(err)
	}
	readFrame(t, reader)
	if err := slot.Remove(); err != nil {
		t.Errorf("remove: %v", err)
	}
	if _, err := reader.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want the connection closed", err)
	}
	if diff := cmp.Diff([]string{"power on", "power off"}, c.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// A reader that has gone makes room for the next card.
	for range 2 {
		if err := slot.Insert(within(t, patience), &card{}); err != nil {
			t.Fatal(err)
		}
		reader, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		reader.Close()
		err = errors.New("never tried")
		for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			err = slot.Insert(within(t, patience), &card{})
		}
		if err != nil {
			t.Fatal(err)
		}
		if reader, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		reader.Close()
		if err := slot.Remove(); err != nil && !errors.Is(err, vpcd.ErrReaderGone) {
			t.Logf("remove: %v", err)
		}
	}
	l.Close()
	wantErrors(t, slot.Insert(within(t, patience), c), nil, "is pcscd running")
	done, cancel := context.WithCancel(context.Background())
	cancel()
	wantErrors(t, slot.Insert(done, c), []error{context.Canceled})
}

// Four cards in the four readers of two entries of a real pcscd, each of which comes
// and goes by itself.
func TestSeveralCardsInPCSCD(t *testing.T) {
	p := system.StartPCSCD(t, &system.PCSCDOptions{Readers: 4})
	client, err := pcsclite.Dial(within(t, patience), p.SocketName)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	slots := make([]*vpcd.Slot, len(p.Addresses))
	present := make([]bool, len(slots))
	for i, address := range p.Addresses {
		slots[i] = vpcd.NewSlot(address)
		defer slots[i].Remove()
	}
	check := func() {
		t.Helper()
		var got []bool
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			states, err := client.ReaderStates(within(t, patience))
			if err != nil {
				t.Fatal(err)
			}
			got = nil
			for _, s := range states {
				got = append(got, s.State&pcsclite.ReaderPresent != 0)
			}
			if cmp.Equal(got, present) {
				return
			}
		}
		t.Fatalf("got cards in %v, want %v", got, present)
	}
	set := func(i int, in bool) {
		t.Helper()
		if in {
			if err := slots[i].Insert(within(t, patience), &card{}); err != nil {
				t.Fatal(err)
			}
		} else if err := slots[i].Remove(); err != nil {
			t.Errorf("reader %d: %v", i, err)
		}
		present[i] = in
	}
	for i := range slots {
		set(i, true)
	}
	check()
	for i, name := range p.Readers { // each answers for itself
		h, _, err := client.Connect(within(t, patience), name, pcsclite.ShareShared, 3)
		if err != nil {
			t.Fatal(err)
		}
		out, err := client.Transmit(within(t, patience), h, 2, nil, []byte{0, 0xA4, 0, byte(i)})
		if err != nil || len(out) != 6 || out[3] != byte(i) {
			t.Errorf("reader %d: got % X, %v", i, out, err)
		}
		if err := client.Disconnect(within(t, patience), h, 0); err != nil {
			t.Error(err)
		}
	}
	set(1, false)
	set(2, false)
	check()
	set(0, false)
	set(1, true)
	check()
}
