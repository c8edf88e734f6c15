package system_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

// What the programs of TestSharing do, and how long.
const (
	sharingPrograms = 16
	sharingTime     = 4 * time.Second
	// sharingLeast is how many groups each must have ended: pcscd gives nobody a turn, and
	// tells who waits about ten times a second.
	sharingLeast = 5
	// sharingUnfair is how many times as many one may end as another.
	sharingUnfair = 15
)

// share is what came of one of them.
type share struct {
	Number  int
	Kind    string
	Groups  int
	Resets  int // groups that a reset interrupted, done again
	Asked   int // PINs given
	Longest time.Duration
	Err     string
}

// TestSharing lets 16 programs use one card behind a real pcscd, all at once: two
// counters that tell when somebody comes between, and PIV keys with a PIN for each use.
func TestSharing(t *testing.T) {
	if role := os.Getenv(roleVariable); role != "" {
		shareCard(t, role)
		return
	}
	daemon := system.StartPCSCD(t, nil)
	counters := []*counter{{aid: counterAID(1)}, {aid: counterAID(2)}}
	c, public := newCardWithKey(t, piv.SlotSignature, counters[0], counters[1])
	slot := vpcd.NewSlot(daemon.Addresses[0])
	if err := slot.Insert(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slot.Remove() })
	point, err := public.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var processes []*process
	for i := range sharingPrograms {
		processes = append(processes, startProcess(t, "TestSharing", fmt.Sprintf("%d %x", i+1, point)))
	}
	for _, p := range processes { // each is connected
		var ready string
		if err := p.report.Decode(&ready); err != nil || ready != "" {
			t.Fatalf("%s, %v, %v", ready, err, p.wait())
		}
	}
	for _, p := range processes {
		fmt.Fprintln(p.tell, "go")
	}
	var shares []share
	for _, p := range processes {
		var s share
		reported := p.report.Decode(&s)
		if err := p.wait(); err != nil || reported != nil {
			t.Fatalf("%v, %v", reported, err)
		}
		shares = append(shares, s)
	}

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "program\tuses\tgroups\tinterrupted\tPINs given\tlongest")
	leastGroups, unfair := sharingLeast, sharingUnfair
	if throughLibrary() {
		// It waits 0.1 s more between two tries, which the others use.
		leastGroups, unfair = 1, 1000
	}
	asked, total := 0, 0
	counted := map[string]int{}
	for _, s := range shares {
		fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%d\t%v\n", s.Number, s.Kind, s.Groups, s.Resets, s.Asked, s.Longest.Round(time.Millisecond))
		asked += s.Asked
		total += s.Groups
		counted[s.Kind] += s.Groups
		if s.Err != "" {
			t.Errorf("program %d: %s", s.Number, s.Err)
		}
		if s.Groups < leastGroups {
			t.Errorf("program %d: got %d groups in %v, want %d", s.Number, s.Groups, sharingTime, leastGroups)
		}
	}
	w.Flush()
	for i, a := range counters {
		if a.interleaved != 0 || a.torn != 0 {
			t.Errorf("counter %d: %d commands came between those of a group, %d groups were cut", i+1, a.interleaved, a.torn)
		}
		if n := counted[counterName(i+1)]; int(a.value) != n || a.groups != n {
			t.Errorf("counter %d: got %d after %d groups, its programs ended %d", i+1, a.value, a.groups, n)
		}
	}
	tried, strays := c.counts()
	if tried != counted["PIV"] || tried > asked || strays != 0 {
		t.Errorf("got %d PINs presented to PIV and %d to others, for %d given and %d signatures", tried, strays, asked, counted["PIV"])
	}
	by := func(a, b share) int { return a.Groups - b.Groups }
	least, most := slices.MinFunc(shares, by).Groups, slices.MaxFunc(shares, by).Groups
	if most > unfair*least {
		t.Errorf("got %d to %d groups a program, want at most %d times as many", least, most, unfair)
	}
	t.Logf("%d programs, %v: %d groups, %d to %d each; PINs given, presented, astray: %d, %d, %d\n%s", len(shares), sharingTime, total, least, most, asked, tried, strays, &table)
}

// throughLibrary reports whether this build goes through libpcsclite.
func throughLibrary() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool {
		return s.Key == "-tags" && strings.Contains(s.Value, "libpcsclite")
	})
}

func counterName(i int) string { return fmt.Sprint("counter ", i) }

// shareCard is one of the programs.
func shareCard(t *testing.T, role string) {
	out := reporter()
	var s share
	var point []byte
	if _, err := fmt.Sscanf(role, "%d %x", &s.Number, &point); err != nil {
		t.Fatal(err)
	}
	conn, err := openWhenThere(t.Context())
	if err != nil {
		out.Encode(err.Error())
		return
	}
	defer conn.Close()
	ch := iso7816.NewChannel(conn, nil)
	group, err := groupOf(t.Context(), ch, &s, point)
	if err != nil {
		out.Encode(err.Error())
		return
	}
	out.Encode("")
	var goes string
	fmt.Scanln(&goes)
	for start := time.Now(); time.Since(start) < sharingTime && s.Err == ""; {
		ctx, cancel := context.WithTimeout(t.Context(), stepLimit)
		from := time.Now()
		err := group(ctx)
		if errors.Is(err, apdu.ErrReset) {
			s.Resets++
			err = ch.Reconnect(ctx)
		} else if err == nil {
			s.Groups++
			s.Longest = max(s.Longest, time.Since(from))
		}
		if err != nil {
			s.Err = err.Error()
		}
		cancel()
		// As programs do, it thinks about what it got.
		time.Sleep(time.Duration(mathrand.IntN(int(10 * time.Millisecond))))
	}
	out.Encode(s)
}

// openWhenThere waits for a card and connects to it.
func openWhenThere(ctx context.Context) (*pcsc.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	pc, err := pcsc.Establish(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	r, err := pc.WaitForCard(ctx, nil)
	if err != nil {
		return nil, err
	}
	return pc.Connect(ctx, r.Name, nil)
}

// groupOf returns what the program does over and over: every fourth signs, the others
// count on one of two counters.
func groupOf(ctx context.Context, ch *iso7816.Channel, s *share, point []byte) (func(ctx context.Context) error, error) {
	if s.Number%4 != 0 {
		i := 1 + s.Number%2
		s.Kind = counterName(i)
		a := &iso7816.Application{Channel: ch, Select: func(ctx context.Context, tx *iso7816.Channel) error {
			_, err := tx.SelectApplication(ctx, counterAID(byte(i)))
			return err
		}}
		return func(ctx context.Context) error { return countOn(ctx, a, s.Number) }, nil
	}
	s.Kind = "PIV"
	client, err := piv.Open(ctx, ch, &piv.Options{PIN: func(ctx context.Context, r piv.PINRequest) ([]byte, error) {
		s.Asked++
		return givePIN(ctx, r)
	}})
	if err != nil {
		return nil, err
	}
	key, err := client.Key(ctx, piv.SlotSignature)
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	if b, err := public.Bytes(); !ok || err != nil || string(b) != string(point) {
		return nil, errors.New("another key")
	}
	return func(ctx context.Context) error {
		digest := make([]byte, 32)
		rand.Read(digest)
		signature, err := key.Sign(ctx, digest, crypto.SHA256)
		if err == nil && !ecdsa.VerifyASN1(public, digest, signature) {
			err = errors.New("wrong signature")
		}
		return err
	}, nil
}
