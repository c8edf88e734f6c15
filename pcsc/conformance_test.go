package pcsc_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/pcsc"
)

// TestConformance is what every backend must do, on a real pcscd. It uses one
// daemon under one name, since libpcsclite reads the name once a process; so with the
// tag libpcsclite it runs with -count 1 only.
func TestConformance(t *testing.T) {
	p := system.StartPCSCD(t, nil)
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, p *system.PCSCD)
	}{
		{"readers are listed with their states and cards", testReaders},
		{"no card and unknown reader are told apart and name the readers", testConnectErrors},
		{"Open finds a reader by part of its name or by its card", testOpen},
		{"commands and responses are carried whole", testTransmit},
		{"T=0 is mapped", testT0},
		{"frames of 65,535 bytes pass in both directions", testLongFrames},
		{"round trips are not held up by TCP", testQuick},
		{"an exclusive connection keeps others away", testExclusive},
		{"a transaction keeps others waiting until their time is up", testTransaction},
		{"a reset by another program is noticed until reconnect", testReset},
		{"a card torn out while it answers is gone", testTornOut},
		{"a card swapped for another is noticed", testSwapped},
		{"a card put back before the service looked works, and its removal is seen", testPutBack},
		{"the disposition at close is carried out", testDisposition},
		{"a card torn out in a transaction keeps nobody out of the next", testSwappedInTransaction},
		{"exclusive use can be given up for shared use", testExclusiveGivenUp},
		{"a direct connection needs no card, and a reader without features has none", testVirtualReader},
		{"Watch sees a real card come, go and be reset", testWatchReal},
		{"a closed connection says so and did not send", testClosed},
		{"pcscd killed during a call frees the caller; a new context works", testKilled},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, p) })
	}
}

// establish returns a context that is closed at the end of the test.
func establish(t testing.TB) *pcsc.Context {
	t.Helper()
	c, err := pcsc.Establish(within(t, patience), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// patience is how long a step may take that succeeds in the end.
const patience = 20 * time.Second

// use inserts card into the first reader, waits until pcscd sees it and connects
// to it.
func use(t testing.TB, p *system.PCSCD, card *testCard, opts *pcsc.ConnectOptions) (conn *pcsc.Conn, remove func()) {
	t.Helper()
	c := establish(t)
	waitUntilEmpty(t, c, p.Readers[0])
	remove = insert(t, p.Addresses[0], card)
	if _, err := c.WaitForCard(within(t, patience), named(p.Readers[0])); err != nil {
		t.Fatal(err)
	}
	return connect(t, c, p.Readers[0], opts), remove
}

// named accepts the reader of a name.
func named(name string) func(pcsc.Reader) bool {
	return func(r pcsc.Reader) bool { return r.Name == name }
}

func connect(t testing.TB, c *pcsc.Context, reader string, opts *pcsc.ConnectOptions) *pcsc.Conn {
	t.Helper()
	conn, err := c.Connect(within(t, patience), reader, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// waitUntilEmpty waits until a card of an earlier test is gone.
func waitUntilEmpty(t testing.TB, c *pcsc.Context, reader string) {
	t.Helper()
	ctx := within(t, patience)
	readers, err := c.Readers(ctx)
	for err == nil {
		if !slices.ContainsFunc(readers, func(r pcsc.Reader) bool { return r.Name == reader && r.State.Present() }) {
			return
		}
		readers, err = c.WaitForChange(ctx, readers)
	}
	t.Fatal(err)
}

// wantErrors fails the test unless err is each of the wanted errors, and a
// *pcsc.Error whose text says each of the words.
func wantErrors(t testing.TB, err error, wanted []error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want %v", wanted)
	}
	for _, want := range wanted {
		if !errors.Is(err, want) {
			t.Errorf("got %v, want an error that is %v", err, want)
		}
	}
	var e *pcsc.Error
	if !errors.As(err, &e) {
		t.Errorf("got %T, want a *pcsc.Error", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got message %q, want it to say %q", err, w)
		}
	}
}

func wantNot(t testing.TB, err error, unwanted ...error) {
	t.Helper()
	for _, u := range unwanted {
		if errors.Is(err, u) {
			t.Errorf("got %v, which must not be %v", err, u)
		}
	}
}

func exchange(t testing.TB, conn *pcsc.Conn, command, want []byte) {
	t.Helper()
	got, err := conn.Transmit(within(t, patience), nil, command)
	if err != nil {
		t.Fatalf("transmit % X: %v", command[:min(len(command), 8)], err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got response of %d bytes % X, want %d bytes % X", len(got), got[:min(len(got), 16)], len(want), want[:min(len(want), 16)])
	}
}

var selectMF = []byte{0x00, 0xA4, 0x00, 0x00}

func testReaders(t *testing.T, p *system.PCSCD) {
	c := establish(t)
	ctx := within(t, patience)
	got, err := c.Readers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got {
		names = append(names, r.Name)
		if r.State.Present() || r.State.InUse() || r.State.Exclusive() || r.State.Unavailable() || len(r.ATR) > 0 {
			t.Errorf("reader %q: got %v, want no card", r.Name, r.State)
		}
	}
	if diff := cmp.Diff(p.Readers, names); diff != "" {
		t.Errorf("readers (-want +got):\n%s", diff)
	}
	// A wait that is given up leaves the context usable.
	_, err = c.WaitForChange(within(t, 50*time.Millisecond), got)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	wantNot(t, err, apdu.ErrRetired)
	remove := insert(t, p.Addresses[1], &testCard{})
	r, err := c.WaitForCard(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != p.Readers[1] || !r.State.Present() || !bytes.Equal(r.ATR, atrT1) {
		t.Errorf("got %+v, want a card in %q with ATR % X", r, p.Readers[1], atrT1)
	}
	remove()
	waitUntilEmpty(t, c, p.Readers[1])
}

func testConnectErrors(t *testing.T, p *system.PCSCD) {
	c := establish(t)
	ctx := within(t, patience)
	_, err := c.Connect(ctx, p.Readers[0], nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_NO_SMARTCARD}, "insert a card", p.Readers[0])
	wantNot(t, err, apdu.ErrRemoved, apdu.ErrRetired)
	_, err = c.Connect(ctx, "No Such Reader", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_UNKNOWN_READER}, "No Such Reader", p.Readers[0], p.Readers[1])
	_, err = c.Connect(ctx, strings.Repeat("x", 300), nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_UNKNOWN_READER}, p.Readers[0])
	_, err = pcsc.Open(ctx, "", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_NO_SMARTCARD}, "insert a card", p.Readers[0], p.Readers[1])
	_, err = pcsc.Open(ctx, "virtual", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_UNKNOWN_READER}, p.Readers[0], p.Readers[1], "say more")
	_, err = pcsc.Open(ctx, "yubikey", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_UNKNOWN_READER}, "yubikey", p.Readers[0])
	var e *pcsc.Error
	if errors.As(err, &e) {
		if diff := cmp.Diff(p.Readers, e.Readers); diff != "" {
			t.Errorf("readers of the error (-want +got):\n%s", diff)
		}
	}
}

func testOpen(t *testing.T, p *system.PCSCD) {
	c := establish(t)
	ctx := within(t, patience)
	insert(t, p.Addresses[1], &testCard{})
	if _, err := c.WaitForCard(ctx, named(p.Readers[1])); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", p.Readers[1], "pcd 00 01"} {
		conn, err := pcsc.Open(ctx, name, nil)
		if err != nil {
			t.Fatalf("Open(%q): %v", name, err)
		}
		if conn.Reader() != p.Readers[1] {
			t.Errorf("Open(%q): got reader %q, want %q", name, conn.Reader(), p.Readers[1])
		}
		conn.Close()
	}
	insert(t, p.Addresses[0], &testCard{})
	if _, err := c.WaitForCard(ctx, named(p.Readers[0])); err != nil {
		t.Fatal(err)
	}
	_, err := pcsc.Open(ctx, "", nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_UNKNOWN_READER}, "2 readers hold a card", p.Readers[0], p.Readers[1])
}

func testTransmit(t *testing.T, p *system.PCSCD) {
	card := &testCard{}
	conn, _ := use(t, p, card, nil)
	if got := conn.ATR(); !bytes.Equal(got, atrT1) {
		t.Errorf("got ATR % X, want % X", got, atrT1)
	}
	if diff := cmp.Diff(apdu.Limits{Protocol: apdu.ProtocolT1, MaxCommand: 65544, MaxResponse: 65538}, conn.Limits()); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if err := conn.Status(within(t, patience)); err != nil {
		t.Errorf("status: %v", err)
	}
	for _, command := range [][]byte{
		{0, 0xA4, 4, 0}, {0, 0xCA, 0, 0, 0}, {0, 0xDA, 0, 0, 2, 1, 2}, {0, 0xDA, 0, 0, 2, 1, 2, 0},
		append([]byte{0, 0xDA, 0, 0, 255}, make([]byte, 255)...),
		append([]byte{0, 0xDA, 0, 0, 0, 8, 0}, make([]byte, 2048)...),
	} {
		exchange(t, conn, command, append(slices.Clone(command), 0x90, 0))
	}
	// The response is appended; what was there stays.
	dst := append(make([]byte, 0, 100), 1, 2, 3)
	got, err := conn.Transmit(context.Background(), dst, selectMF)
	if want := []byte{1, 2, 3, 0, 0xA4, 0, 0, 0x90, 0}; err != nil || !bytes.Equal(got, want) {
		t.Errorf("got % X, %v, want % X", got, err, want)
	}
	// What is no command does not reach the card.
	before := card.commands.Load()
	for _, bad := range [][]byte{nil, {0}, {0, 0xA4, 4}} {
		got, err := conn.Transmit(context.Background(), dst, bad)
		wantErrors(t, err, []error{apdu.ErrNotSent}, "shorter than")
		if len(got) != len(dst) {
			t.Errorf("got %d bytes with an error, want dst unchanged", len(got))
		}
	}
	_, err = conn.Transmit(context.Background(), nil, make([]byte, 65545))
	wantErrors(t, err, []error{apdu.ErrNotSent, apdu.ErrLength}, "65545", "65544")
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = conn.Transmit(done, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrNotSent, context.Canceled}, "not sent")
	wantNot(t, err, apdu.ErrRetired)
	if got := card.commands.Load(); got != before {
		t.Errorf("got %d commands at the card that should not be there", got-before)
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

func testT0(t *testing.T, p *system.PCSCD) {
	conn, _ := use(t, p, &testCard{atr: atrT0}, nil)
	if diff := cmp.Diff(apdu.Limits{Protocol: apdu.ProtocolT0, MaxCommand: 261, MaxResponse: 258}, conn.Limits()); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		name          string
		command, sent []byte
	}{
		{"case 1 gets P3 = 00", []byte{0, 0xA4, 1, 2}, []byte{0, 0xA4, 1, 2, 0}},
		{"case 2 stays", []byte{0, 0xB0, 1, 2, 3}, []byte{0, 0xB0, 1, 2, 3}},
		{"case 3 stays", []byte{0, 0xD6, 1, 2, 1, 9}, []byte{0, 0xD6, 1, 2, 1, 9}},
		{"case 4 loses its Le", []byte{0, 0xA4, 1, 2, 1, 9, 0}, []byte{0, 0xA4, 1, 2, 1, 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			exchange(t, conn, tt.command, append(slices.Clone(tt.sent), 0x90, 0))
		})
	}
	for _, tt := range []struct {
		name    string
		command []byte
	}{
		{"case 2E is refused", []byte{0, 0xB0, 0, 0, 0, 0, 0}},
		{"case 3E is refused", []byte{0, 0xD6, 0, 0, 0, 0, 1, 9}},
		{"case 4E is refused", []byte{0, 0xA4, 0, 0, 0, 0, 1, 9, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := conn.Transmit(context.Background(), nil, tt.command)
			wantErrors(t, err, []error{apdu.ErrNotSent, apdu.ErrLength})
			var e *apdu.LengthError
			if !errors.As(err, &e) {
				t.Errorf("got %v, want a *apdu.LengthError", err)
			}
		})
	}
}

// testLongFrames passes what the virtual reader can: 65,535 bytes.
func testLongFrames(t *testing.T, p *system.PCSCD) {
	long := append(bytes.Repeat([]byte{0x5A}, 65533), 0x90, 0)
	card := &testCard{transmit: func(_ context.Context, dst, command []byte) ([]byte, error) {
		if len(command) > 7 {
			return append(dst, byte(len(command)>>8), byte(len(command)), 0x90, 0), nil
		}
		return append(dst, long...), nil
	}}
	conn, _ := use(t, p, card, nil)
	exchange(t, conn, append([]byte{0, 0xD6, 0, 0, 0, 0xFF, 0xF8}, make([]byte, 65528)...), []byte{0xFF, 0xFF, 0x90, 0})
	exchange(t, conn, []byte{0, 0xB0, 0, 0, 0, 0, 0}, long)
}

// testQuick fails when the card's end of the connection acknowledges late: then each
// round trip takes 44 ms.
func testQuick(t *testing.T, p *system.PCSCD) {
	conn, _ := use(t, p, &testCard{}, nil)
	const trips = 50
	start := time.Now()
	for range trips {
		exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
	}
	if took := time.Since(start); took > trips*20*time.Millisecond {
		t.Errorf("%d round trips took %v, want less than 20 ms each", trips, took)
	}
}

func testExclusive(t *testing.T, p *system.PCSCD) {
	shared, _ := use(t, p, &testCard{}, nil)
	c := establish(t)
	_, err := c.Connect(within(t, patience), p.Readers[0], &pcsc.ConnectOptions{Share: pcsc.ShareExclusive})
	wantErrors(t, err, []error{pcsc.SCARD_E_SHARING_VIOLATION}, "close the program")
	shared.Close()
	alone := connect(t, c, p.Readers[0], &pcsc.ConnectOptions{Share: pcsc.ShareExclusive})
	exchange(t, alone, selectMF, append(slices.Clone(selectMF), 0x90, 0))
	readers, err := c.Readers(within(t, patience))
	if err != nil || !readers[0].State.Exclusive() {
		t.Errorf("got %v, %v, want the reader in exclusive use", readers, err)
	}
	_, err = c.Connect(within(t, patience), p.Readers[0], nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_SHARING_VIOLATION})
}

func testTransaction(t *testing.T, p *system.PCSCD) {
	card := &testCard{}
	a, _ := use(t, p, card, nil)
	c := establish(t)
	b := connect(t, c, p.Readers[0], nil)
	if err := a.Begin(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	before := card.commands.Load()
	for _, tt := range []struct {
		name string
		call func(ctx context.Context) error
	}{
		{"Transmit", func(ctx context.Context) error { _, err := b.Transmit(ctx, nil, selectMF); return err }},
		{"Begin", func(ctx context.Context) error { return b.Begin(ctx) }},
		{"Connect", func(ctx context.Context) error {
			conn, err := c.Connect(ctx, p.Readers[0], nil)
			if err == nil {
				conn.Close()
			}
			return err
		}},
	} {
		start := time.Now()
		err := tt.call(within(t, 150*time.Millisecond))
		wantErrors(t, err, []error{context.DeadlineExceeded})
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: got out after %v, want about 150 ms", tt.name, took)
		}
		if errors.Is(err, apdu.ErrRetired) {
			b.Close()
			// pcscd frees b's place when its call has returned: a new one.
			b = nil
		}
		if b == nil {
			break
		}
	}
	if got := card.commands.Load(); got != before {
		t.Errorf("got %d commands at the card during the other's transaction", got-before)
	}
	exchange(t, a, selectMF, append(slices.Clone(selectMF), 0x90, 0))
	if err := a.End(apdu.LeaveCard); err != nil {
		t.Fatal(err)
	}
	wantErrors(t, a.End(apdu.LeaveCard), []error{pcsc.SCARD_E_NOT_TRANSACTED})

	// Who waits long enough gets the card.
	b2 := connect(t, c, p.Readers[0], nil)
	if err := a.Begin(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := b2.Transmit(context.Background(), nil, selectMF)
		done <- err
	}()
	time.Sleep(30 * time.Millisecond)
	if err := a.End(apdu.LeaveCard); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("transmit after the other's transaction: %v", err)
	}
}

func testReset(t *testing.T, p *system.PCSCD) {
	card := &testCard{}
	a, _ := use(t, p, card, nil)
	b := connect(t, establish(t), p.Readers[0], nil)
	if err := b.Begin(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if err := b.End(apdu.ResetCard); err != nil {
		t.Fatal(err)
	}
	before := card.commands.Load()
	ctx := within(t, patience)
	for range 2 {
		_, err := a.Transmit(ctx, nil, selectMF)
		wantErrors(t, err, []error{apdu.ErrReset, pcsc.SCARD_W_RESET_CARD}, "reset by another program", "reconnect")
		wantErrors(t, a.Begin(ctx), []error{apdu.ErrReset})
		wantErrors(t, a.Status(ctx), []error{apdu.ErrReset})
	}
	if got := card.commands.Load(); got != before {
		t.Errorf("got %d commands executed after the reset", got-before)
	}
	if card.resets.Load() == 0 && card.powerOffs.Load() == 0 {
		t.Error("the card was not reset")
	}
	if err := a.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	exchange(t, a, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

func testTornOut(t *testing.T, p *system.PCSCD) {
	card := &testCard{transmit: func(ctx context.Context, dst, command []byte) ([]byte, error) {
		if command[1] == 0xA4 {
			return echo(ctx, dst, command)
		}
		return dst, errors.New("torn out")
	}}
	conn, _ := use(t, p, card, nil)
	ctx := within(t, patience)
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
	dst := []byte{7}
	got, err := conn.Transmit(ctx, dst, []byte{0, 0xB0, 0, 0, 0})
	wantErrors(t, err, []error{apdu.ErrRemoved}, "insert the card")
	wantNot(t, err, apdu.ErrNotSent, apdu.ErrReset, apdu.ErrRetired)
	if !bytes.Equal(got, dst) {
		t.Errorf("got % X with an error, want dst unchanged", got)
	}
	_, err = conn.Transmit(ctx, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRemoved})
	wantErrors(t, conn.Begin(ctx), []error{apdu.ErrRemoved})
	wantErrors(t, conn.Status(ctx), []error{apdu.ErrRemoved})
	waitUntilEmpty(t, establish(t), p.Readers[0])
	wantErrors(t, conn.Reconnect(ctx), []error{apdu.ErrRemoved, pcsc.SCARD_E_NO_SMARTCARD})
	insert(t, p.Addresses[0], &testCard{atr: atr2})
	if _, err := establish(t).WaitForCard(ctx, named(p.Readers[0])); err != nil {
		t.Fatal(err)
	}
	if err := conn.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(conn.ATR(), atr2) {
		t.Errorf("got ATR % X after reconnect, want that of the new card, % X", conn.ATR(), atr2)
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

func testSwapped(t *testing.T, p *system.PCSCD) {
	conn, remove := use(t, p, &testCard{}, nil)
	c := establish(t)
	ctx := within(t, patience)
	remove()
	waitUntilEmpty(t, c, p.Readers[0])
	other := &testCard{atr: atr2}
	insert(t, p.Addresses[0], other)
	if _, err := c.WaitForCard(ctx, named(p.Readers[0])); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := conn.Transmit(ctx, nil, selectMF)
		wantErrors(t, err, []error{apdu.ErrRemoved, pcsc.SCARD_W_REMOVED_CARD})
	}
	if n := other.commands.Load(); n != 0 {
		t.Errorf("the other card got %d commands meant for the first", n)
	}
	if err := conn.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

// testPutBack takes a card out and puts it in again within the 0.4 s after which pcscd
// looks: while Reconnect is at it, and at once.
func testPutBack(t *testing.T, p *system.PCSCD) {
	card := &testCard{}
	conn, remove := use(t, p, card, nil)
	c := establish(t)
	ctx := within(t, patience)
	for _, at := range []time.Duration{0, 5 * time.Millisecond} {
		fail := &testCard{transmit: func(_ context.Context, dst, _ []byte) ([]byte, error) { return dst, errors.New("torn out") }}
		remove()
		waitUntilEmpty(t, c, p.Readers[0])
		insert(t, p.Addresses[0], fail)
		if _, err := c.WaitForCard(ctx, named(p.Readers[0])); err != nil {
			t.Fatal(err)
		}
		if err := conn.Reconnect(ctx); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Transmit(ctx, nil, selectMF)
		wantErrors(t, err, []error{apdu.ErrRemoved})
		back := make(chan func(), 1)
		time.AfterFunc(at, func() { back <- insert(t, p.Addresses[0], card) })
		if err := conn.Reconnect(ctx); err != nil {
			// The service has seen the card go, and then will see this one come.
			wantErrors(t, err, []error{apdu.ErrRemoved, pcsc.SCARD_E_NO_SMARTCARD})
			if _, err := c.WaitForCard(ctx, named(p.Readers[0])); err != nil {
				t.Fatalf("the card that was put back: %v", err)
			}
			if err := conn.Reconnect(ctx); err != nil {
				t.Fatal(err)
			}
		}
		remove = <-back
		exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
	}
	remove()
	waitUntilEmpty(t, c, p.Readers[0])
}

func testSwappedInTransaction(t *testing.T, p *system.PCSCD) {
	conn, remove := use(t, p, &testCard{}, nil)
	c := establish(t)
	other := connect(t, c, p.Readers[0], nil)
	tornOutInTransaction(t, conn, func() {
		remove()
		waitUntilEmpty(t, c, p.Readers[0])
		insert(t, p.Addresses[0], &testCard{atr: atr2})
		if _, err := c.WaitForCard(within(t, patience), named(p.Readers[0])); err != nil {
			t.Fatal(err)
		}
	}, other)
	if err := conn.Reconnect(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
}

func testExclusiveGivenUp(t *testing.T, p *system.PCSCD) {
	conn, _ := use(t, p, &testCard{}, &pcsc.ConnectOptions{Share: pcsc.ShareExclusive})
	ctx := within(t, patience)
	if err := conn.Change(ctx, nil, apdu.LeaveCard); err != nil {
		t.Fatal(err)
	}
	other := connect(t, establish(t), p.Readers[0], nil)
	for _, c := range []*pcsc.Conn{other, conn, other} {
		if err := c.Transaction(ctx, apdu.LeaveCard, func() error {
			exchange(t, c, selectMF, append(slices.Clone(selectMF), 0x90, 0))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func testVirtualReader(t *testing.T, p *system.PCSCD) {
	c := establish(t)
	ctx := within(t, patience)
	waitUntilEmpty(t, c, p.Readers[0])
	conn := connect(t, c, p.Readers[0], &pcsc.ConnectOptions{Share: pcsc.ShareDirect})
	_, err := conn.Transmit(ctx, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrNotSent}, "direct connection")
	if f, err := conn.Features(ctx); err != nil || len(f) != 0 {
		t.Errorf("got features %v, %v, want none", f, err)
	}
	if name, err := conn.AttributeText(ctx, pcsc.SCARD_ATTR_DEVICE_FRIENDLY_NAME); err != nil || name != p.Readers[0] {
		t.Errorf("got name %q, %v, want %q", name, err, p.Readers[0])
	}
	_, err = conn.Attribute(ctx, pcsc.SCARD_ATTR_VENDOR_IFD_SERIAL_NO)
	wantErrors(t, err, []error{pcsc.SCARD_E_UNSUPPORTED_FEATURE})
	_, err = conn.Control(ctx, pcsc.ControlCode(1), nil, []byte{1})
	wantErrors(t, err, nil)
	if _, err := c.Readers(ctx); err != nil {
		t.Error(err)
	}
}

func testWatchReal(t *testing.T, p *system.PCSCD) {
	c := establish(t)
	waitUntilEmpty(t, c, p.Readers[0])
	w := watch(t, context.Background(), c)
	n := w.want(t, 0, "reader added: "+p.Readers[0], "reader added: "+p.Readers[1])
	remove := insert(t, p.Addresses[0], &testCard{})
	n = w.want(t, n, "card inserted: "+p.Readers[0])
	if !throughLibrary() {
		conn := connect(t, c, p.Readers[0], nil)
		time.Sleep(600 * time.Millisecond) // the watcher looks twice a second
		if err := conn.Transaction(within(t, patience), apdu.ResetCard, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		n = w.want(t, n, "card reset: "+p.Readers[0])
		conn.Close()
	}
	remove()
	w.want(t, n, "card removed: "+p.Readers[0])
}

func testDisposition(t *testing.T, p *system.PCSCD) {
	card := &testCard{}
	a, _ := use(t, p, card, nil)
	b := connect(t, establish(t), p.Readers[0], &pcsc.ConnectOptions{Disposition: apdu.ResetCard})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := a.Transmit(within(t, patience), nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrReset})
}

func testClosed(t *testing.T, p *system.PCSCD) {
	conn, _ := use(t, p, &testCard{}, nil)
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	ctx := within(t, patience)
	_, err := conn.Transmit(ctx, nil, selectMF)
	closed := []error{apdu.ErrRetired, apdu.ErrNotSent}
	wantErrors(t, err, closed, "open a new one")
	wantErrors(t, conn.Begin(ctx), closed)
	wantErrors(t, conn.End(apdu.LeaveCard), closed)
	wantErrors(t, conn.Reconnect(ctx), closed)
	c := establish(t)
	c.Close()
	c.Close()
	_, err = c.Readers(ctx)
	wantErrors(t, err, []error{apdu.ErrRetired}, "establish a new one")
	_, err = c.Connect(ctx, p.Readers[0], nil)
	wantErrors(t, err, []error{apdu.ErrRetired})
}

func testKilled(t *testing.T, p *system.PCSCD) {
	started := make(chan struct{})
	release := make(chan struct{})
	card := &testCard{transmit: func(ctx context.Context, dst, command []byte) ([]byte, error) {
		if command[1] == 0xB0 {
			close(started)
			<-release
		}
		return echo(ctx, dst, command)
	}}
	conn, remove := use(t, p, card, nil)
	c := establish(t)
	result := make(chan error)
	go func() {
		_, err := conn.Transmit(context.Background(), nil, []byte{0, 0xB0, 0, 0, 0})
		result <- err
	}()
	<-started
	p.Kill()
	select {
	case err := <-result:
		wantErrors(t, err, []error{apdu.ErrRetired}, "stopped or restarted", "security status", "Reconnect")
	case <-time.After(patience):
		t.Error("the call hangs")
	}
	close(release)
	remove()
	ctx := within(t, patience)
	_, err := conn.Transmit(ctx, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRetired, apdu.ErrNotSent}, "security status")
	for range 2 {
		_, err = c.Readers(ctx)
		wantErrors(t, err, []error{pcsc.SCARD_E_NO_SERVICE}, "is pcscd installed and running?")
		wantNot(t, err, apdu.ErrRetired)
		wantErrors(t, conn.Reconnect(ctx), []error{apdu.ErrRetired, pcsc.SCARD_E_NO_SERVICE}, "is pcscd installed and running?")
	}
	_, err = pcsc.Establish(ctx, nil)
	wantErrors(t, err, []error{pcsc.SCARD_E_NO_SERVICE}, "is pcscd installed and running?", p.SocketName)
	p.Restart()
	if readers, err := c.Readers(ctx); err != nil || len(readers) != 2 {
		t.Errorf("the context after the restart: got %v, %v, want both readers", readers, err)
	}
	wantErrors(t, conn.Reconnect(ctx), []error{apdu.ErrRemoved, pcsc.SCARD_E_NO_SMARTCARD}, "insert the card")
	_, err = conn.Transmit(ctx, nil, selectMF)
	wantErrors(t, err, []error{apdu.ErrRetired})
	other := &testCard{atr: atr2}
	insert(t, p.Addresses[0], other)
	if _, err := c.WaitForCard(ctx, named(p.Readers[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Transmit(ctx, nil, selectMF); !errors.Is(err, apdu.ErrRetired) || other.commands.Load() != 0 {
		t.Errorf("got %v and %d commands at the card before Reconnect", err, other.commands.Load())
	}
	if err := conn.Reconnect(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(conn.ATR(), atr2) {
		t.Errorf("got ATR % X, want that of the card there is now", conn.ATR())
	}
	exchange(t, conn, selectMF, append(slices.Clone(selectMF), 0x90, 0))
	if err := conn.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	wantErrors(t, conn.Reconnect(ctx), []error{apdu.ErrRetired, apdu.ErrNotSent}, "was closed")
}
