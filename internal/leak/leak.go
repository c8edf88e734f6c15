// Package leak is the TestMain of cardoki's packages: after the tests it looks
// for goroutines and handles that nobody released.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

var handles struct {
	sync.Mutex
	opened map[any]string
}

// tracking is set by Main, so that programs other than tests pay nothing.
var tracking bool

// Opened notes that handle was opened; what says in words what it is. The place
// of the call is remembered. It does nothing outside of tests.
func Opened(handle any, what string) {
	if !tracking {
		return
	}
	stack := make([]byte, 8<<10)
	stack = stack[:runtime.Stack(stack, false)]
	handles.Lock()
	defer handles.Unlock()
	if handles.opened == nil {
		handles.opened = map[any]string{}
	}
	handles.opened[handle] = what + "\n" + string(stack)
}

// Closed notes that handle was closed.
func Closed(handle any) {
	if !tracking {
		return
	}
	handles.Lock()
	defer handles.Unlock()
	delete(handles.opened, handle)
}

// Main runs the tests of a package and exits. It fails them when a handle is
// left open, or when a goroutine that runs code of this module is still there
// two seconds after the last test.
//
//	func TestMain(m *testing.M) { leak.Main(m) }
func Main(m interface{ Run() int }) {
	tracking = true
	code := m.Run()
	if code == 0 {
		if left := Left(2 * time.Second); left != "" {
			fmt.Fprintf(os.Stderr, "leak: %s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// Left waits until every handle is closed and every goroutine of this module has
// ended, at most for the given time, and returns a description of what is left.
func Left(patience time.Duration) string {
	deadline := time.Now().Add(patience)
	for {
		left := now()
		if left == "" || time.Now().After(deadline) {
			return left
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func now() string {
	var left []string
	handles.Lock()
	for _, where := range handles.opened {
		left = append(left, "open handle: "+where)
	}
	handles.Unlock()
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for i, g := range strings.Split(string(buf), "\n\n") {
		// The first is this one; tests that wait for their subtests are no leak,
		// when a test itself calls Left.
		waits := strings.Contains(g, "\ntesting.(*T).Run(")
		if i > 0 && !waits && strings.Contains(g, "github.com/cardoki/cardoki") {
			left = append(left, "goroutine: "+g)
		}
	}
	sort.Strings(left)
	return strings.Join(left, "\n")
}
