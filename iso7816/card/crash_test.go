package card

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crashPath, in the environment, makes the test binary a program that commits
// growing numbers to the store there, and prints each one that was committed, until it
// is killed.
const crashPath = "CARDOKI_TEST_COMMIT_FOREVER"

func commitForever(path string) {
	s, err := OpenFileStore(path, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	padding := bytes.Repeat([]byte("x"), 20_000) // so that writing takes a while
	for n := 1; ; n++ {
		if err := s.Commit("n", append([]byte(fmt.Sprintf("%d ", n)), padding...)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

// A program is killed while it commits, again and again: the file holds the value
// committed last, or the one that was under way, and nothing is left beside it.
func TestFileStoreOfAProgramThatIsKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "card.json")
	for round := range 20 {
		os.Remove(path)
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), crashPath+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		last := ""
		if lines.Scan() {
			last = lines.Text()
		}
		timer := time.AfterFunc(time.Duration(round)*300*time.Microsecond, func() { cmd.Process.Kill() })
		for lines.Scan() {
			last = lines.Text()
		}
		timer.Stop()
		cmd.Process.Kill()
		cmd.Wait()
		want, err := strconv.Atoi(last)
		if err != nil {
			t.Fatalf("the program said %q", last)
		}
		s, err := OpenFileStore(path, nil)
		if err != nil {
			t.Fatalf("after %d commits: %v", want, err)
		}
		value, err := s.Load("n")
		if err != nil {
			t.Fatal(err)
		}
		number, padding, _ := strings.Cut(string(value), " ")
		if got, err := strconv.Atoi(number); err != nil || got != want && got != want+1 || len(padding) != 20_000 {
			t.Errorf("after %d commits: got %q and %d bytes", want, number, len(padding))
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
			t.Errorf("got %d files in the folder, want 1: %v", len(left), left)
		}
	}
}

func TestOpenFileStoreRemovesNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "card.json")
	keep := []string{".card.json", ".card.json.new-", ".card.json.new-1x", "card.json.new-12", ".card.json.bak", ".other.json.new-12"}
	for _, name := range append(keep, ".card.json.new-12") {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".card.json.new-13"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileStore(path, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range keep {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".card.json.new-12")); err == nil {
		t.Error("what a commit left is still there")
	}
}
