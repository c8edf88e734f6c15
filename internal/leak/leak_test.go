package leak

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestLeft_handles(t *testing.T) {
	handle := new(int)
	Opened(handle, "card handle")
	left := Left(0)
	for _, want := range []string{"open handle: card handle", "TestLeft_handles"} {
		if !strings.Contains(left, want) {
			t.Errorf("got %q, want it to tell %q", left, want)
		}
	}
	Closed(handle)
	Closed(handle) // closing is idempotent
	if left := Left(0); strings.Contains(left, "open handle") {
		t.Errorf("after Closed: got %q, want no handle", left)
	}
}

func park(c chan struct{}) { <-c }

func TestLeft_goroutines(t *testing.T) {
	c := make(chan struct{})
	go park(c)
	if left := Left(0); !strings.Contains(left, "internal/leak.TestLeft_goroutines") {
		t.Errorf("got %q, want the parked goroutine", left)
	}
	// One that ends while Left waits is no leak.
	time.AfterFunc(20*time.Millisecond, func() { close(c) })
	if left := Left(10 * time.Second); left != "" {
		t.Errorf("got %q, want nothing left", left)
	}
}

func TestOpened_doesNothingOutsideOfTests(t *testing.T) {
	tracking = false
	defer func() { tracking = true }()
	Opened("untracked", "untracked")
	Closed("untracked")
	if left := Left(0); strings.Contains(left, "untracked") {
		t.Errorf("got %q, want nothing tracked", left)
	}
}

// child is what TestChild does in a process of its own.
const child = "LEAK_TEST_CHILD"

func TestChild(t *testing.T) {
	switch os.Getenv(child) {
	case "":
		t.Skip("run by TestMain_exitCode")
	case "handle":
		Opened(t, "forgotten handle")
	case "goroutine":
		go park(make(chan struct{}))
	case "failure":
		t.Error("failed on purpose")
	}
}

func TestMain_exitCode(t *testing.T) {
	for _, tt := range []struct {
		what string
		code int
		says string
	}{
		{"nothing", 0, "PASS"},
		{"handle", 1, "forgotten handle"},
		{"goroutine", 1, "internal/leak.TestChild"},
		{"failure", 1, "failed on purpose"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
			cmd.Env = append(os.Environ(), child+"="+tt.what)
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != tt.code || !strings.Contains(string(out), tt.says) {
				t.Errorf("got exit code %d and %q, want %d and %q", got, out, tt.code, tt.says)
			}
		})
	}
}
