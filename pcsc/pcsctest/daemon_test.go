package pcsctest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/internal/pcsclite"
	"github.com/cardoki/cardoki/pcsc/pcsctest"
)

var le = binary.NativeEndian

func TestVersionsAreNegotiatedAsByTheDaemonsOfThatVersion(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   pcsctest.Options
		offers []int32 // minor versions of clients that are accepted at once
		told   int32   // to those who are refused, and to the others
	}{
		{"4:4 as pcscd 1.9.9", pcsctest.Options{}, []int32{4}, 4},
		{"4:5 as pcscd 2.3.0", pcsctest.Options{Minor: 5}, []int32{5}, 5},
		{"4:6 as pcscd 2.5", pcsctest.Options{Minor: 6, OlderClients: true}, []int32{4, 5, 6}, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := start(t, &tt.opts)
			for minor := int32(3); minor <= 7; minor++ {
				var want uint32 = 0x8010001E
				for _, m := range tt.offers {
					if m == minor {
						want = 0
					}
				}
				conn, err := net.Dial("unix", d.Socket())
				if err != nil {
					t.Fatal(err)
				}
				got := ask(t, conn, pcsctest.CMD_VERSION, numbers(4, uint32(minor), 9))
				if diff := cmp.Diff(numbers(4, uint32(tt.told), want), got); diff != "" {
					t.Errorf("client of 4:%d (-want +got):\n%s", minor, diff)
				}
				conn.Close()
			}
			if c, err := pcsclite.Dial(within(t, patience), d.Socket()); err != nil {
				t.Errorf("our own client: %v", err)
			} else {
				c.Close()
			}
		})
	}
}

func numbers(n ...uint32) (b []byte) {
	for _, v := range n {
		b = le.AppendUint32(b, v)
	}
	return b
}

// ask sends a request and reads an answer as long as its body, or 8 bytes for none.
func ask(t testing.TB, conn net.Conn, command pcsctest.Command, body []byte) []byte {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(append(numbers(uint32(len(body)), uint32(command)), body...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, max(len(body), 8))
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return answer
}

func TestReaderEventsAreCountedFrom45On(t *testing.T) {
	d := start(t, &pcsctest.Options{Minor: 5})
	conn, err := net.Dial("unix", d.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := ask(t, conn, pcsctest.CMD_GET_READER_EVENTS, nil); !bytes.Equal(got, numbers(2, 0)) {
		t.Errorf("got % X, want 2 events", got)
	}
	d.Reader(reader1).Unplug()
	if got := ask(t, conn, pcsctest.CMD_GET_READER_EVENTS, nil); !bytes.Equal(got, numbers(3, 0)) {
		t.Errorf("got % X, want 3 events", got)
	}
}

func TestClientsThatBreakTheProtocolAreCutOff(t *testing.T) {
	d := start(t, nil)
	insert(t, d, &card{})
	for _, tt := range []struct {
		name string
		sent []byte
	}{
		{"an unknown command", numbers(0, 0x7F)},
		{"command 0", numbers(0, 0)},
		{"a command of a later version", numbers(0, 0x15)},
		{"a body too short", numbers(4, 0x11, 4)},
		{"a body too long", numbers(16, 0x01, 2, 0, 0, 0)},
		{"a body of 4 GiB", numbers(0xFFFFFFFF, 0x11)},
		{"a handle that is not its own", numbers(8, 0x07, 1, 0)},
		{"a command APDU of 65,549 bytes", numbers(32, 0x09, 1, 2, 16, 65549, 2, 16, 65548, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("unix", d.Socket())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			if _, err := conn.Write(tt.sent); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %d bytes, %v, want the connection closed", n, err)
			}
		})
	}
}

// Both worlds are asked without a client, which would not do such things.
func TestContextsAreTheClientsOwn(t *testing.T) {
	contexts := func(w *world) (got []uint32) {
		w.put(0, &card{})
		conn, err := net.Dial("unix", w.socket)
		if err != nil {
			w.t.Fatal(err)
		}
		defer conn.Close()
		rv := func(b []byte) uint32 { return le.Uint32(b[len(b)-4:]) }
		name := make([]byte, 128)
		copy(name, reader0)
		connect := func(context uint32) []byte {
			return ask(w.t, conn, pcsctest.SCARD_CONNECT, append(append(numbers(context), name...), numbers(2, 3, 0, 0, 0)...))
		}
		got = append(got, rv(connect(1)), rv(ask(w.t, conn, pcsctest.SCARD_RELEASE_CONTEXT, numbers(1, 0))))
		got = append(got, rv(ask(w.t, conn, pcsctest.SCARD_ESTABLISH_CONTEXT, numbers(4, 0, 0))))
		b := ask(w.t, conn, pcsctest.SCARD_ESTABLISH_CONTEXT, numbers(2, 0, 0))
		context := le.Uint32(b[4:])
		got = append(got, rv(b), rv(connect(context+1)), rv(connect(context)))
		got = append(got, rv(ask(w.t, conn, pcsctest.SCARD_RELEASE_CONTEXT, numbers(context+1, 0))))
		got = append(got, rv(ask(w.t, conn, pcsctest.SCARD_RELEASE_CONTEXT, numbers(context, 0))))
		return append(got, uint32(w.states()[0].Sharing))
	}
	fake := contexts(fakeWorld(t, nil))
	if want := []uint32{0x80100003, 0x80100003, 0x80100011, 0, 0x80100011, 0, 0x80100011, 0, 0}; !cmp.Equal(fake, want) {
		t.Errorf("got %08X, want %08X", fake, want)
	}
	t.Run("pcscd", func(t *testing.T) {
		if real := contexts(realWorld(t)); !cmp.Equal(real, fake) {
			t.Errorf("pcscd answers %08X, pcsctest %08X", real, fake)
		}
	})
}

func TestLongestCommandsAndResponses(t *testing.T) {
	long := append(bytes.Repeat([]byte{0xA5}, 65536), 0x90, 0)
	d := start(t, nil)
	insert(t, d, &card{transmit: func(_ context.Context, dst, command []byte) ([]byte, error) {
		switch command[1] {
		case 0xB0:
			return append(dst, long...), nil
		case 0xB1:
			return append(dst, make([]byte, 65549)...), nil
		}
		return append(dst, byte(len(command)>>16), byte(len(command)>>8), byte(len(command)), 0x90, 0), nil
	}})
	c := dial(t, d.Socket())
	h := connect(t, c)
	ctx := within(t, patience)
	// Lc 65,535 and Le 65,536.
	got, err := c.Transmit(ctx, h, 2, nil, append([]byte{0, 0xCB, 0, 0, 0, 0xFF, 0xFF}, make([]byte, 65537)...))
	if want := []byte{1, 0, 8, 0x90, 0}; err != nil || !bytes.Equal(got, want) {
		t.Errorf("got % X, %v, want % X", got, err, want)
	}
	if got, err = c.Transmit(ctx, h, 2, nil, []byte{0, 0xB0, 0, 0, 0, 0, 0}); err != nil || !bytes.Equal(got, long) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(long))
	}
	if _, err = c.Transmit(ctx, h, 2, nil, make([]byte, 65548)); err != nil {
		t.Errorf("65,548 bytes: %v", err)
	}
	_, err = c.Transmit(ctx, h, 2, nil, []byte{0, 0xB1, 0, 0})
	wantCode(t, "response of 65,549 bytes", err, 0x80100008)
	_, err = c.Transmit(ctx, h, 2, nil, selectMF)
	wantCode(t, "after that", err, 0)
}

func TestKillAndRestart(t *testing.T) {
	d := start(t, nil)
	started, ended := make(chan struct{}), make(chan struct{})
	cd := &card{transmit: func(ctx context.Context, dst, command []byte) ([]byte, error) {
		if command[1] == 0xB0 {
			close(started)
			<-ctx.Done()
			close(ended)
			return dst, ctx.Err()
		}
		return append(dst, 0x90, 0), nil
	}}
	insert(t, d, cd)
	c := dial(t, d.Socket())
	h := connect(t, c)
	waiter := dial(t, d.Socket())
	results := make(chan error, 2)
	go func() {
		_, err := c.Transmit(context.Background(), h, 2, nil, []byte{0, 0xB0, 0, 0, 0})
		results <- err
	}()
	go func() {
		_, err := waiter.WaitReaderStateChange(context.Background(), 0, func([]pcsclite.ReaderState) bool { return false })
		results <- err
	}()
	<-started
	d.Kill()
	for range 2 {
		var broken *pcsclite.BrokenError
		if err := <-results; !errors.As(err, &broken) {
			t.Errorf("got %v, want a broken connection", err)
		}
	}
	<-ended
	if _, err := pcsclite.Dial(within(t, patience), d.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no socket", err)
	}
	d.Kill() // again: nothing happens
	// While the daemon is down cards come and go.
	if err := d.Reader(reader1).Insert(&card{atr: atrT0}); err != nil {
		t.Fatal(err)
	}
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	c = dial(t, d.Socket())
	states, err := c.ReaderStates(within(t, patience))
	if err != nil || len(states) != 2 {
		t.Fatalf("got %v, %v", states, err)
	}
	for i, atr := range [][]byte{atrT1, atrT0} {
		if s := states[i]; s.ATR != string(atr) || s.EventCounter != 0 || s.Sharing != 0 {
			t.Errorf("got %+v, want a card with ATR % X from the start", s, atr)
		}
	}
	if diff := cmp.Diff([]string{"on", "off", "on"}, cd.taken()); diff != "" {
		t.Errorf("the card (-want +got):\n%s", diff)
	}
	h = connect(t, c)
	_, err = c.Transmit(within(t, patience), h, 2, nil, selectMF)
	wantCode(t, "transmit after the restart", err, 0)
	if err := d.Restart(); err != nil { // without a Kill before
		t.Fatal(err)
	}
	_, err = c.Transmit(within(t, patience), h, 2, nil, selectMF)
	wantCode(t, "the old connection", err, 1)
	d.Close()
	d.Close()
	if err := d.Restart(); err == nil {
		t.Error("got no error from Restart after Close")
	}
	if diff := cmp.Diff([]string{"off", "on", "off"}, cd.taken()); diff != "" {
		t.Errorf("the card (-want +got):\n%s", diff)
	}
}

func TestWaitingForEvents(t *testing.T) {
	d := start(t, nil)
	c := dial(t, d.Socket())
	never := func([]pcsclite.ReaderState) bool { return false }
	_, err := c.WaitReaderStateChange(within(t, 20*time.Millisecond), 0, never)
	if !errors.Is(err, context.DeadlineExceeded) || c.Closed() {
		t.Errorf("got %v, want the context's error and a client that lives", err)
	}
	registered := make(chan struct{}, 1)
	wait := func() <-chan error {
		result := make(chan error, 1)
		go func() {
			_, err := c.WaitReaderStateChange(within(t, patience), 0, func([]pcsclite.ReaderState) bool {
				registered <- struct{}{}
				return false
			})
			result <- err
		}()
		<-registered
		return result
	}
	r := d.Reader(reader0)
	var added *pcsctest.Reader
	other := dial(t, d.Socket())
	var h pcsclite.Card
	for _, step := range []struct {
		name string
		do   func() error
		want uint32
	}{
		{"a card comes", func() error { return r.Insert(&card{}) }, 0},
		{"a client connects", func() (err error) { h = connect(t, other); return nil }, 0},
		{"a client disconnects", func() error { return other.Disconnect(within(t, patience), h, 0) }, 0},
		{"a card goes", func() error { r.Eject(); return nil }, 0},
		{"a reader comes", func() (err error) { added, err = d.AddReader("Another 00 00", nil); return err }, 0},
		{"a reader goes", func() error { added.Unplug(); return nil }, 0},
		{"another client cancels", func() error { return other.Cancel(within(t, patience), c.Context()) }, 0x80100002},
	} {
		result := wait()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		wantCode(t, step.name, <-result, step.want)
	}
	wantCode(t, "cancel when nobody waits", other.Cancel(within(t, patience), c.Context()), 0x80100003)
	// A reset is no event.
	insert(t, d, &card{})
	h = connect(t, other)
	result := wait()
	if _, err := other.Reconnect(within(t, patience), h, 2, 3, 1); err != nil {
		t.Fatal(err)
	}
	// A reconnection may change the share mode, so it is told.
	wantCode(t, "a reconnection", <-result, 0)
}

// The event, or the answer to the end of the waiting: one of them comes, never both.
func TestEventIsNotFollowedByAnAnswerToStop(t *testing.T) {
	d := start(t, nil)
	conn, err := net.Dial("unix", d.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	send := func(b []byte) {
		t.Helper()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(n int) []byte {
		t.Helper()
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	send(numbers(0, uint32(pcsctest.CMD_WAIT_READER_STATE_CHANGE)))
	receive(16 * 184)
	insert(t, d, &card{})
	send(numbers(0, uint32(pcsctest.CMD_STOP_WAITING_READER_STATE_CHANGE)))
	send(numbers(12, uint32(pcsctest.CMD_VERSION), 4, 4, 1))
	if got := receive(8 + 12); !bytes.Equal(got, numbers(0, 0, 4, 4, 0)) {
		t.Errorf("got % X, want the event and the version", got)
	}
	send(numbers(0, uint32(pcsctest.CMD_WAIT_READER_STATE_CHANGE)))
	receive(16 * 184)
	send(numbers(0, uint32(pcsctest.CMD_STOP_WAITING_READER_STATE_CHANGE)))
	d.Reader(reader0).Eject()
	send(numbers(12, uint32(pcsctest.CMD_VERSION), 4, 4, 1))
	if got := receive(8 + 12); !bytes.Equal(got, numbers(0, 0, 4, 4, 0)) {
		t.Errorf("got % X, want the answer and the version", got)
	}
}

// Cards that come and go faster than anybody looks are all counted, and nobody who
// waits misses the end.
func TestHotPlugStorm(t *testing.T) {
	d := start(t, nil)
	c := dial(t, d.Socket())
	const rounds = 300
	done := make(chan error, 1)
	go func() {
		for {
			states, err := c.WaitReaderStateChange(within(t, patience), 0, func(s []pcsclite.ReaderState) bool {
				return s[0].EventCounter == 2*rounds && s[1].EventCounter == 2*rounds
			})
			if err != nil || states[0].EventCounter == 2*rounds && states[1].EventCounter == 2*rounds {
				done <- err
				return
			}
		}
	}()
	var wg sync.WaitGroup
	for _, name := range []string{reader0, reader1} {
		wg.Go(func() {
			r := d.Reader(name)
			cd := &card{}
			for range rounds {
				if err := r.Insert(cd); err != nil {
					t.Error(err)
				}
				r.Eject()
			}
			if n := len(cd.taken()); n != 2*rounds {
				t.Errorf("%s: card was powered on and off %d times, want %d", name, n, 2*rounds)
			}
		})
	}
	wg.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// The counter has 16 bits.
	r := d.Reader(reader0)
	cd := &card{}
	for range (0x10000 - 2*rounds) / 2 {
		if err := r.Insert(cd); err != nil {
			t.Fatal(err)
		}
		r.Eject()
	}
	s, err := dial(t, d.Socket()).ReaderStates(within(t, patience))
	if err != nil || s[0].EventCounter != 0 {
		t.Errorf("got %+v, %v, want the counter at 0 again", s, err)
	}
}

// Readers come and go while clients are connected to them.
func TestUnpluggedReader(t *testing.T) {
	d := start(t, nil)
	started := make(chan struct{})
	insert(t, d, &card{transmit: func(ctx context.Context, dst, command []byte) ([]byte, error) {
		if command[1] == 0xB0 {
			close(started)
			<-ctx.Done()
			return dst, ctx.Err()
		}
		return append(dst, 0x90, 0), nil
	}})
	c := dial(t, d.Socket())
	h := connect(t, c)
	result := make(chan error)
	go func() {
		_, err := c.Transmit(context.Background(), h, 2, nil, []byte{0, 0xB0, 0, 0, 0})
		result <- err
	}()
	<-started
	r := d.Reader(reader0)
	r.Unplug()
	wantCode(t, "the command under way", <-result, 0x80100017)
	ctx := within(t, patience)
	_, err := c.Transmit(ctx, h, 2, nil, selectMF)
	wantCode(t, "the next", err, 0x80100011)
	wantCode(t, "status", c.Status(ctx, h), 0x80100011)
	wantCode(t, "begin", c.BeginTransaction(ctx, h), 0x80100011)
	_, err = c.Reconnect(ctx, h, 2, 3, 0)
	wantCode(t, "reconnect", err, 0x80100011)
	wantCode(t, "disconnect", c.Disconnect(ctx, h, 1), 0)
	_, _, err = c.Connect(ctx, reader0, 2, 3)
	wantCode(t, "connect", err, 0x80100009)
	if err := r.Insert(&card{}); err == nil {
		t.Error("got no error for a card in an unplugged reader")
	}
	if d.Reader(reader0) != nil {
		t.Error("the reader is still there")
	}
	if _, err := d.AddReader(reader0, nil); err != nil {
		t.Fatal(err)
	}
	insert(t, d, &card{})
	connect(t, c)
	if _, err := d.AddReader(reader0, nil); err == nil {
		t.Error("got two readers of one name")
	}
	for _, name := range []string{"", string(make([]byte, 128)), "a\x00b"} {
		if _, err := d.AddReader(name, nil); err == nil {
			t.Errorf("got a reader named %q", name)
		}
	}
	for i := range 15 {
		_, err := d.AddReader(string(rune('A'+i)), nil)
		if want := i < 14; (err == nil) != want {
			t.Errorf("reader %d: got %v", i+3, err)
		}
	}
}

func TestOneReaderHasOneCard(t *testing.T) {
	d := start(t, nil)
	r := d.Reader(reader0)
	if err := r.Insert(nil); err == nil {
		t.Error("got no error for no card")
	}
	insert(t, d, &card{})
	if err := r.Insert(&card{}); err == nil {
		t.Error("got two cards in a reader")
	}
	r.Eject()
	r.Eject()
	insert(t, d, &card{})
}

func TestCardWithoutAnAnswerToResetIsMute(t *testing.T) {
	for _, atr := range [][]byte{{}, {0x3B}, make([]byte, 34)} {
		d := start(t, nil)
		insert(t, d, &card{atr: atr})
		c := dial(t, d.Socket())
		ctx := within(t, patience)
		s, err := c.ReaderStates(ctx)
		if err != nil || s[0].State != pcsclite.ReaderPresent|pcsclite.ReaderSwallowed || s[0].ATR != "" {
			t.Errorf("got %+v, %v, want a mute card", s, err)
		}
		_, _, err = c.Connect(ctx, reader0, 2, 3)
		wantCode(t, "connect", err, 0x80100067)
		d.Close()
	}
}

func TestUnusedCardLosesItsPower(t *testing.T) {
	d := start(t, nil)
	cd := &card{}
	r := d.Reader(reader0)
	if r.PowerDown() {
		t.Error("an empty reader lost power")
	}
	insert(t, d, cd)
	c := dial(t, d.Socket())
	h := connect(t, c)
	if r.PowerDown() {
		t.Error("a card in use lost its power")
	}
	ctx := within(t, patience)
	if err := c.Disconnect(ctx, h, 0); err != nil {
		t.Fatal(err)
	}
	if !r.PowerDown() || r.PowerDown() {
		t.Error("want the power gone once")
	}
	h = connect(t, c)
	_, err := c.Transmit(ctx, h, 2, nil, selectMF)
	wantCode(t, "transmit", err, 0)
	if diff := cmp.Diff([]string{"on", "off", "on"}, cd.taken()); diff != "" {
		t.Errorf("the card (-want +got):\n%s", diff)
	}
}

// The daemon holds a client back that asks for the card again and again.
func TestConnectWaitsForTheEndOfATransaction(t *testing.T) {
	d := start(t, nil)
	insert(t, d, &card{})
	a, b := dial(t, d.Socket()), dial(t, d.Socket())
	ctx := within(t, patience)
	h := connect(t, a)
	other := connect(t, b)
	if err := a.BeginTransaction(ctx, h); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	wantCode(t, "begin of the other", b.BeginTransaction(ctx, other), 0x8010000B)
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("answered after %v, want 100 ms", took)
	}
	for _, call := range []struct {
		name string
		do   func() error
	}{
		{"connect", func() error { _, _, err := b.Connect(ctx, reader0, 2, 3); return err }},
		{"disconnect with a reset", func() error { return b.Disconnect(ctx, other, 1) }},
	} {
		result := make(chan error, 1)
		go func() { result <- call.do() }()
		select {
		case err := <-result:
			t.Errorf("%s: got %v during the other's transaction", call.name, err)
		case <-time.After(20 * time.Millisecond):
		}
		if err := a.EndTransaction(ctx, h, 0); err != nil {
			t.Fatal(err)
		}
		wantCode(t, call.name, <-result, 0)
		if call.name == "connect" {
			if err := a.BeginTransaction(ctx, h); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A daemon that ends frees who waits.
	if _, err := a.Reconnect(ctx, h, 2, 3, 0); err != nil {
		t.Fatal(err)
	}
	if err := a.BeginTransaction(ctx, h); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, _, err := b.Connect(context.Background(), reader0, 2, 3)
		result <- err
	}()
	d.Kill()
	wantCode(t, "connect", <-result, 1)
}

// 8 clients share a card, each in groups of two commands, which nobody interrupts.
func TestTransactionsKeepGroupsTogether(t *testing.T) {
	d := start(t, &pcsctest.Options{LockPoll: time.Millisecond})
	var last byte
	insert(t, d, &card{transmit: func(_ context.Context, dst, command []byte) ([]byte, error) {
		if command[1] == 0xB0 && command[2] != last {
			return append(dst, 0x69, 0x85), nil
		}
		last = command[2]
		return append(dst, 0x90, 0), nil
	}})
	var wg sync.WaitGroup
	for i := range 8 {
		c := dial(t, d.Socket())
		h := connect(t, c)
		wg.Go(func() {
			ctx := context.Background()
			for range 50 {
				err := c.BeginTransaction(ctx, h)
				for code(err) == 0x8010000B {
					err = c.BeginTransaction(ctx, h)
				}
				if err != nil {
					t.Error(err)
					return
				}
				for _, ins := range []byte{0xA4, 0xB0} {
					out, err := c.Transmit(ctx, h, 2, nil, []byte{0, ins, byte(i), 0})
					if err != nil || !bytes.Equal(out, []byte{0x90, 0}) {
						t.Errorf("client %d: got % X, %v", i, out, err)
					}
				}
				if err := c.EndTransaction(ctx, h, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTransmitDoesNotAllocate(t *testing.T) {
	d := start(t, nil)
	insert(t, d, &card{transmit: func(_ context.Context, dst, _ []byte) ([]byte, error) { return append(dst, 0x90, 0), nil }})
	c := dial(t, d.Socket())
	h := connect(t, c)
	dst := make([]byte, 0, 16)
	var failed error
	n := testing.AllocsPerRun(200, func() {
		if _, err := c.Transmit(context.Background(), h, 2, dst, selectMF); err != nil {
			failed = err
		}
	})
	if failed != nil || n != 0 {
		t.Errorf("got %v allocations, %v, want 0, so that those of a client can be counted", n, failed)
	}
}

func BenchmarkTransmit(b *testing.B) {
	d := start(b, nil)
	insert(b, d, &card{transmit: func(_ context.Context, dst, _ []byte) ([]byte, error) { return append(dst, 0x90, 0), nil }})
	c := dial(b, d.Socket())
	h := connect(b, c)
	dst := make([]byte, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Transmit(context.Background(), h, 2, dst, selectMF); err != nil {
			b.Fatal(err)
		}
	}
}
