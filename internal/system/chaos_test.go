package system_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// chaosRounds is how often each scenario of TestChaos is gone through.
var chaosRounds = flag.Int("chaos", number("CARDOKI_CHAOS", 5), "rounds of each scenario of TestChaos; also CARDOKI_CHAOS")

// number returns the number in an environment variable, or a default.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// roleVariable tells this program, run by itself, to be something else than the test:
// a program beside others at one card. libpcsclite reads the name of pcscd's socket once
// in the life of a process, so a scenario with a daemon of its own is one too.
const roleVariable = "CARDOKI_TEST_ROLE"

// A process is this program, run as a process of its own.
type process struct {
	cmd    *exec.Cmd
	tell   io.WriteCloser // its standard input
	report *json.Decoder  // what it reports
	log    *strings.Builder
}

// startProcess runs the named test in a process of its own, in a role.
func startProcess(t *testing.T, test, role string, env ...string) *process {
	t.Helper()
	limit := 10 * time.Minute
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline)
	}
	p := &process{log: &strings.Builder{}}
	p.cmd = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.timeout="+limit.String(), "-chaos="+strconv.Itoa(*chaosRounds))
	p.cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	p.cmd.ExtraFiles = []*os.File{to}
	p.report = json.NewDecoder(from)
	if p.tell, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	to.Close()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wait waits for the end of the program.
func (p *process) wait() error {
	p.tell.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, p.log)
	}
	return nil
}

// reporter returns where a program in a role reports to.
func reporter() *json.Encoder { return json.NewEncoder(os.NewFile(3, "report")) }

// A scenario is one thing that happens.
type scenario struct {
	name  string
	round func(c *chaos, round int)
	other bool // there is another program
}

// scenarios are what happens to a program at a card, each on a pcscd of its own.
var scenarios = []scenario{
	{"card torn out mid-command", (*chaos).tornOut, false},
	{"pcscd killed mid-command", (*chaos).killed, false},
	{"card and reader reinserted", (*chaos).reinserted, false},
	{"another program resets", (*chaos).resetByOther, true},
	{"another program holds a transaction", (*chaos).heldByOther, true},
	{"another program selects its application", (*chaos).selectedByOther, true},
	{"deadline expires mid-command", (*chaos).expired, false},
}

// TestChaos does to a program at a card what happens to it on a desktop and on a server,
// on a real pcscd, over and over: after each round it goes on as the packages' pages say,
// and the card's signature verifies.
func TestChaos(t *testing.T) {
	switch role := os.Getenv(roleVariable); {
	case role == "other":
		otherProgram(t)
		return
	case role != "":
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == role })
		c := newChaos(t, scenarios[i].other)
		for round := range *chaosRounds {
			scenarios[i].round(c, round)
			c.fig.Rounds++
			c.check(round)
		}
		reporter().Encode(c.end())
		return
	}
	needPCSCD(t)
	results := map[string]*figures{}
	start := time.Now()
	var processes []*process // all at once: most of a round is waiting
	for _, s := range scenarios {
		processes = append(processes, startProcess(t, "TestChaos", s.name))
	}
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			p, f := processes[i], &figures{}
			reported := p.report.Decode(f)
			// The process has failed too when a handle or goroutine was left.
			if err := p.wait(); err != nil || reported != nil {
				t.Fatalf("%v, %v", reported, err)
			}
			for what, n := range map[string]int{"hangs": f.Hangs, "wrong answers": f.Wrong, "PINs to another application": f.Strays, "PIN tries that nobody asked for": max(f.Tried-f.Asked, 0), "descriptors left": f.Left} {
				if n != 0 {
					t.Errorf("got %d %s in %d rounds, want none", n, what, f.Rounds)
				}
			}
			if f.Rounds != *chaosRounds || f.Recoveries != f.Rounds || f.Answers < 2*f.Rounds {
				t.Errorf("got %d rounds, %d recoveries and %d answers, want %d rounds that each end well", f.Rounds, f.Recoveries, f.Answers, *chaosRounds)
			}
			results[s.name] = f
		})
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scenario\trounds\trecovered\tanswers\tmedian\tmax\thangs\twrong\tPINs asked, tried, astray\terrors by kind")
	for _, s := range scenarios {
		if f := results[s.name]; f != nil {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%v\t%v\t%d\t%d\t%d, %d, %d\t%s\n", s.name, f.Rounds, f.Recoveries, f.Answers, f.Median.Round(100*time.Microsecond), f.Max.Round(100*time.Microsecond), f.Hangs, f.Wrong, f.Asked, f.Tried, f.Strays, f.kinds())
		}
	}
	w.Flush()
	t.Logf("each process ended with no handle, goroutine or descriptor left; %v in all\n%s", time.Since(start).Round(time.Second), &b)
}

// figures are what came of a scenario.
type figures struct {
	Rounds, Recoveries int
	Answers            int // responses that were checked
	Hangs, Wrong       int
	Asked, Tried       int // PINs: given by the user, presented to the card
	Strays             int // presented to another application than PIV
	Left               int // descriptors that nobody closed
	Median, Max        time.Duration
	Errors             map[string]int
}

// kinds lists the errors, the most frequent first.
func (f *figures) kinds() string {
	var kinds []string
	for k := range f.Errors {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b string) int {
		if d := f.Errors[b] - f.Errors[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%d %s", f.Errors[k], k)
	}
	return strings.Join(kinds, ", ")
}

// within calls f with a context that ends after limit, and reports whether it then came
// back: a call that does not is a hang.
func within(limit time.Duration, f func(ctx context.Context) error) (err error, returned bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	const grace = 5 * time.Second // for two cores and the race detector
	t := time.NewTimer(limit + grace)
	defer t.Stop()
	select {
	case err := <-done:
		return err, true
	case <-t.C:
		return nil, false
	}
}
