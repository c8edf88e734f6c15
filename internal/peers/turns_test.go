package peers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A player is one way to do what a benchmark measures.
type player struct {
	name string
	do   func(n int) error // does it n times

	// timed is do of a player who knows better how long it took.
	timed func(n int) (time.Duration, error)
	// outside says that the player is not Go, and allocates nothing that could be counted.
	outside bool
}

// byTurns lets the players take turns, since a machine is now faster and now slower; the
// order of turns is by chance. A turn is of so many operations, or with 0 of as many as the
// first player needs 100 us for, up to 4,096: what the others left in the caches is then
// forgotten. It tells the median of the turns of each player and the least, in nanoseconds
// an operation; the ratio of its median to that of the first player, which is the floor; and
// its allocations for an operation. It returns the medians.
func byTurns(b *testing.B, turn int, players ...player) []float64 {
	fixed := turn > 0
	took := make([][]float64, len(players))
	play := func(p *player, n int) time.Duration {
		start := time.Now()
		var d time.Duration
		var err error
		if p.timed != nil {
			d, err = p.timed(n)
		} else {
			err = p.do(n)
			d = time.Since(start)
		}
		if err != nil {
			b.Fatalf("%s: %v", p.name, err)
		}
		return d
	}
	for turn = max(turn, 1); !fixed && turn < 4096 && play(&players[0], turn) < 100*time.Microsecond; turn *= 2 {
	}
	for j := range players {
		play(&players[j], turn) // what is done once is done
	}
	for b.Loop() {
		for _, j := range rand.Perm(len(players)) {
			took[j] = append(took[j], float64(play(&players[j], turn))/float64(turn))
		}
	}
	medians := make([]float64, len(players))
	for j := range players {
		p := &players[j]
		slices.Sort(took[j])
		medians[j] = took[j][len(took[j])/2]
		b.ReportMetric(medians[j], p.name+"-ns")
		b.ReportMetric(took[j][0], p.name+"-min-ns")
		if j > 0 {
			b.ReportMetric(medians[j]/medians[0], p.name+"/"+players[0].name)
		}
		if !p.outside {
			runs := 5
			if medians[j] > 1e6 {
				runs = 1
			}
			b.ReportMetric(testing.AllocsPerRun(runs, func() { play(p, 1) }), p.name+"-allocs")
		}
	}
	b.ReportMetric(0, "ns/op") // that of all players means nothing
	return medians
}

// times returns a function that calls f n times, or until there is an error.
func times(f func() error) func(int) error {
	return func(n int) error {
		for range n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	}
}
