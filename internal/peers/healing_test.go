//go:build cgo

package peers

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/system"
)

var updateHealing = flag.Bool("update", false, "write the tables of docs/healing.md anew")

// healingVariable makes this program one library that meets misfortunes, as a part says.
const healingVariable = "CARDOKI_PEERS_HEALING"

// processLimit ends a process that does not come to an end.
const processLimit = 20 * time.Second

// A part is what one process does.
type part struct {
	Library    string // cardoki or crypto11
	Misfortune string // empty: the faults of the module that misbehaves

	HSM system.SoftHSM // where there is a misfortune
	Dir string         // where there is none: for modules, made of
	Lib string         // this
}

// A healed is what came of a misfortune or a fault.
type healed struct {
	Name    string
	Runs    int
	Calls   int // calls that ended from the first misfortune on: the sum of the next three
	Right   int
	Wrong   int // signatures that the key that was meant did not make
	Errors  int
	Kinds   map[string]int  // of the errors
	Hangs   int             // callers that did not come back
	Logins  int             // PINs asked for or tried, but for the first
	First   []time.Duration // of each run that ended well: until a caller signed again
	Took    []time.Duration // and until all did, and there were no more errors
	Done    bool            // it ended as it should
	Crashed string          // or how the process ended
}

// recovered reports whether each run ended well.
func (h *healed) recovered() bool { return h.Done && h.Runs > 0 && len(h.Took) == h.Runs }

// check compares what came of a library that heals with what should.
func (h *healed) check(t *testing.T, runs, logins int) {
	t.Helper()
	if h.Wrong != 0 || h.Hangs != 0 {
		t.Errorf("got %d wrong signatures and %d callers that hang, want none", h.Wrong, h.Hangs)
	}
	if !h.recovered() || h.Runs != runs {
		t.Errorf("got %d runs and %d recoveries, want %d; %s", h.Runs, len(h.Took), runs, h.Crashed)
	}
	if h.Logins > runs*logins {
		t.Errorf("%d PINs were spent in %d runs, want %d in each", h.Logins, h.Runs, logins)
	}
}

// TestHealing does to cardoki and to crypto11 what happens to services at a token, and
// tells what came of it. It fails if cardoki does not heal.
func TestHealing(t *testing.T) {
	if role := os.Getenv(healingVariable); role != "" {
		var p part
		if err := json.Unmarshal([]byte(role), &p); err != nil {
			t.Fatal(err)
		}
		report := json.NewEncoder(os.NewFile(3, "report"))
		if p.Misfortune == "" {
			meetFaults(t, &p, report)
		} else {
			meetMisfortune(t, &p, report)
		}
		return
	}
	system.Need(t, "p11-kit", "p11-kit")
	p11KitClient(t)
	dir := t.TempDir()
	module, err := cryptokitest.Build(dir)
	if err != nil {
		system.Need(t, "gcc", "gcc")
		t.Fatal(err)
	}
	results := map[string]map[string]*healed{}
	for _, lib := range libraries {
		results[lib.name] = map[string]*healed{}
		end := func(r *runningPart) {
			if err := r.wait(results[lib.name]); err != nil && lib.heals {
				t.Errorf("%s, %s: %v", lib.name, r.part.Misfortune, err)
			}
		}
		var running []*runningPart
		for _, m := range misfortunes {
			r := startPart(t, &part{Library: lib.name, Misfortune: m.name, HSM: *system.StartSoftHSM(t)})
			if lib.heals {
				end(r)
			} else { // which takes long
				running = append(running, r)
			}
		}
		for _, r := range running {
			end(r)
		}
		end(startPart(t, &part{Library: lib.name, Dir: dir, Lib: module}))
	}
	for _, m := range misfortunes {
		t.Run(m.name, func(t *testing.T) { resultOf(results, "cardoki", m.name).check(t, misfortuneRuns, 1) })
	}
	for _, f := range faults() {
		t.Run(f.name(), func(t *testing.T) {
			h := resultOf(results, "cardoki", f.name())
			if h.check(t, faultRuns, f.logins); h.Errors > 0 {
				t.Logf("%d errors: %v", h.Errors, h.Kinds)
			}
		})
	}
	text := tables(t, results)
	t.Log(text)
	if *updateHealing && !t.Failed() {
		updatePage(t, text)
	}
}

func resultOf(results map[string]map[string]*healed, library, name string) *healed {
	if h := results[library][name]; h != nil {
		return h
	}
	return &healed{Crashed: "nothing was reported"}
}

// A runningPart is a process.
type runningPart struct {
	part   *part
	cmd    *exec.Cmd
	cancel context.CancelFunc
	report *os.File
	log    strings.Builder
}

func startPart(t *testing.T, p *part) *runningPart {
	t.Helper()
	role, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &runningPart{part: p, report: from}
	ctx, cancel := context.WithTimeout(t.Context(), processLimit)
	r.cancel = cancel
	t.Cleanup(cancel)
	r.cmd = exec.CommandContext(ctx, os.Args[0], "-test.run=^TestHealing$")
	r.cmd.Env = append(os.Environ(), healingVariable+"="+string(role))
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	r.cmd.ExtraFiles = []*os.File{to}
	r.cmd.WaitDelay = time.Second
	err = r.cmd.Start()
	to.Close()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wait takes the reports until the process ends, and returns how it did. A process that
// crashes has reported until then.
func (r *runningPart) wait(results map[string]*healed) error {
	defer r.report.Close()
	defer r.cancel()
	var mine []string
	for d := json.NewDecoder(r.report); ; {
		h := &healed{}
		if d.Decode(h) != nil {
			break
		}
		results[h.Name] = h
		mine = append(mine, h.Name)
	}
	err := r.cmd.Wait()
	if err == nil {
		return nil
	}
	how := err.Error()
	if strings.Contains(r.log.String(), "SIGSEGV") || strings.Contains(r.log.String(), "SIGABRT") {
		how = "crashes in the module"
	} else if how == "signal: killed" {
		how = "does not end"
	}
	if len(mine) == 0 && r.part.Misfortune != "" {
		results[r.part.Misfortune] = &healed{Crashed: how}
	}
	for _, name := range mine {
		if h := results[name]; !h.Done {
			h.Crashed = how
		}
	}
	return fmt.Errorf("%w\n%s", err, &r.log)
}

// p11KitClient returns the path of p11-kit's module for a server elsewhere.
func p11KitClient(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/*/pkcs11/p11-kit-client.so", "/usr/lib*/pkcs11/p11-kit-client.so"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[0]
		}
	}
	system.NeedFile(t, "/usr/lib/pkcs11/p11-kit-client.so", "p11-kit-modules")
	return ""
}
