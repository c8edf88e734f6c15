//go:build cgo

package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/system"
)

// tables are the two of docs/healing.md, and what they were measured on.
func tables(t *testing.T, results map[string]map[string]*healed) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %s. %d callers; %d runs.\n\n", machine(), versions(t), misfortuneCallers, misfortuneRuns)
	b.WriteString("| what happens | library | calls | right | by another key | errors | the error, mostly | callers that hang | first signature | recovery |\n|---|---|---:|---:|---:|---:|---|---:|---:|---:|\n")
	for _, m := range misfortunes {
		for i, l := range libraries {
			name := ""
			if i == 0 {
				name = m.name
			}
			h := resultOf(results, l.name, m.name)
			fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %s | %d | %s | %s |\n", name, l.name, h.Calls, h.Right, h.Wrong, h.Errors, h.mostly(), h.Hangs, median(h.First), h.recovery(recoveryLimit))
		}
	}
	fmt.Fprintf(&b, "\nThe module that misbehaves, %d callers; %d runs, each with a module of its own:\n\n| function | what becomes of one call |", faultCallers, faultRuns)
	line := "|---|---|"
	for _, l := range libraries {
		fmt.Fprintf(&b, " %s: errors | recovery | PINs |", l.name)
		line += "---:|---:|---:|"
	}
	b.WriteString("\n" + line + "\n")
	for _, f := range faults() {
		fmt.Fprintf(&b, "| %s | %s |", f.function, f.what)
		for _, l := range libraries {
			h := resultOf(results, l.name, f.name())
			told := fmt.Sprintf("%d of %d", h.Errors, h.Calls)
			if h.Wrong > 0 {
				told += fmt.Sprintf(", %d wrong", h.Wrong)
			}
			if h.Hangs > 0 {
				told += fmt.Sprintf(", %d hang", h.Hangs)
			}
			fmt.Fprintf(&b, " %s | %s | %d |", told, h.recovery(faultRecoveryLimit), h.Logins)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// mostly is the most frequent error.
func (h *healed) mostly() string {
	most := ""
	for kind, n := range h.Kinds {
		if n > h.Kinds[most] || n == h.Kinds[most] && kind < most {
			most = kind
		}
	}
	return most
}

// recovery is the median of the recoveries, or that there was none.
func (h *healed) recovery(limit time.Duration) string {
	switch {
	case h.Crashed != "":
		return h.Crashed
	case !h.recovered():
		return fmt.Sprintf("never within %v", limit)
	}
	return median(h.Took)
}

func median(took []time.Duration) string {
	if len(took) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(took))
	return fmt.Sprintf("%.1f ms", float64(sorted[len(sorted)/2])/1e6)
}

// machine names what the figures were measured on.
func machine() string {
	model := ""
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = " of " + strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s/%s, %d cores%s, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), model, runtime.Version())
}

// versions names the other library and the token in software.
func versions(t *testing.T) string {
	t.Helper()
	const module = "github.com/ThalesGroup/crypto11 "
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(mod), module)
	if !ok {
		t.Fatalf("go.mod does not require %s", module)
	}
	crypto11, _, _ := strings.Cut(after, "\n")
	crypto11, _, _ = strings.Cut(crypto11, " ")
	soft, err := exec.Command(system.Need(t, "softhsm2-util", "softhsm2"), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("crypto11 %s, SoftHSM2 %s", crypto11, strings.TrimSpace(string(soft)))
}

// updatePage writes the tables into docs/healing.md.
func updatePage(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "healing.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, middle, end = "<!-- healing: made by ", " -->\n", "<!-- end of healing -->"
	head, rest, ok := strings.Cut(string(page), begin)
	comment, rest, ok2 := strings.Cut(rest, middle)
	_, tail, ok3 := strings.Cut(rest, end)
	if !ok || !ok2 || !ok3 {
		t.Fatal("docs/healing.md has no place for the tables")
	}
	if err := os.WriteFile(path, []byte(head+begin+comment+middle+text+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
