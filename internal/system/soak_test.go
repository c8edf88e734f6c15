package system_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

// TestSoak exchanges commands for a long time through a real pcscd and its virtual
// reader, and sees that neither this process nor the daemon grows. CARDOKI_SOAK is the
// number of exchanges.
func TestSoak(t *testing.T) {
	if os.Getenv(roleVariable) == "" { // in a process of its own: nothing else grows in it
		needPCSCD(t)
		p := startProcess(t, "TestSoak", "soak")
		var figures string
		reported := p.report.Decode(&figures)
		if err := p.wait(); err != nil || reported != nil {
			t.Fatalf("%v, %v", reported, err)
		}
		t.Log(figures)
		return
	}
	exchanges := number("CARDOKI_SOAK", 4000)
	daemon := system.StartPCSCD(t, nil)
	c := card.New(nil, &counter{aid: counterAID(1), owner: 1})
	slot := vpcd.NewSlot(daemon.Addresses[0])
	if err := slot.Insert(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slot.Remove() })
	pc, err := pcsc.Establish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	wait, cancel := context.WithTimeout(t.Context(), stepLimit)
	defer cancel()
	if _, err := pc.WaitForCard(wait, func(r pcsc.Reader) bool { return r.Name == daemon.Readers[0] }); err != nil {
		t.Fatal(err)
	}
	conn, err := pc.Connect(wait, daemon.Readers[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	selectCounter := append([]byte{0, 0xA4, 4, 0, byte(counterAID(1).Len())}, counterAID(1).AppendTo(nil)...)

	// Half of the commands come with a deadline and half in a transaction, by fours.
	echo := make([]byte, 5+200+1)
	copy(echo, []byte{0, byte(insEcho), 0, 1, 200})
	var response []byte
	exchange := func(ctx context.Context, i int) error {
		binary.BigEndian.PutUint32(echo[5:], uint32(i))
		r, err := conn.Transmit(ctx, response[:0], echo)
		if err != nil {
			return err
		}
		response = r
		if !bytes.Equal(r[:len(r)-2], echo[5:205]) || !bytes.Equal(r[len(r)-2:], []byte{0x90, 0}) {
			return fmt.Errorf("wrong response of %d bytes", len(r))
		}
		return nil
	}
	if r, err := conn.Transmit(t.Context(), nil, selectCounter); err != nil || !bytes.HasSuffix(r, []byte{0x90, 0}) {
		t.Fatalf("select: % X, %v", r, err)
	}
	if _, err := conn.Transmit(t.Context(), nil, []byte{0, byte(insBegin), 0, 1, 4}); err != nil {
		t.Fatal(err)
	}
	const block = 8
	run := func(from, to int) {
		t.Helper()
		for i := from; i < to; i += block {
			all := func(ctx context.Context) func() error {
				return func() error {
					for j := range block / 2 {
						if err := exchange(ctx, i+j); err != nil {
							return err
						}
					}
					return nil
				}
			}
			err := all(context.Background())()
			if err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), stepLimit)
				err = conn.Transaction(ctx, 0, all(ctx))
				cancel()
			}
			if err != nil {
				t.Fatalf("exchange %d: %v", i, err)
			}
		}
	}

	type sample struct{ heap, own, daemon int }
	look := func() (s sample) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return sample{int(m.HeapAlloc), resident(t, os.Getpid()), resident(t, daemon.PID())}
	}
	const samples = 10
	part := max(exchanges/samples, block)
	run(0, part) // warm
	start, first := time.Now(), look()
	var all []sample
	for i := 1; i < samples; i++ {
		run(i*part, (i+1)*part)
		all = append(all, look())
	}
	each := time.Since(start) / time.Duration(part*(samples-1))
	last := all[len(all)-1]
	greatest := sample{}
	for _, s := range all {
		greatest.heap, greatest.own, greatest.daemon = max(greatest.heap, s.heap), max(greatest.own, s.own), max(greatest.daemon, s.daemon)
	}
	const mib = 1 << 20
	reporter().Encode(fmt.Sprintf("%d exchanges, %v each, those with a deadline and transactions included; first, last and greatest: heap %d, %d, %d KiB; resident %d, %d, %d KiB; pcscd %d, %d, %d KiB",
		part*samples, each, first.heap>>10, last.heap>>10, greatest.heap>>10, first.own>>10, last.own>>10, greatest.own>>10, first.daemon>>10, last.daemon>>10, greatest.daemon>>10))
	for _, m := range []struct {
		what        string
		first, last int
		growth      int
	}{
		{"heap", first.heap, last.heap, mib},
		{"resident memory", first.own, last.own, 16 * mib},
		{"resident memory of pcscd", first.daemon, last.daemon, 2 * mib},
	} {
		if m.last > m.first+m.growth {
			t.Errorf("%s grew from %d to %d KiB, want at most %d KiB more", m.what, m.first>>10, m.last>>10, m.growth>>10)
		}
	}
}

// resident returns the resident memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			var kib int
			fmt.Sscan(f[1], &kib)
			return kib << 10
		}
	}
	t.Fatal("no VmRSS in /proc")
	return 0
}
