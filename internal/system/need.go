package system

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

// Need returns the path of a program. Where it is missing the test is skipped, or
// fails in CI, and names the Debian package to install.
func Need(t testing.TB, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
			if _, err := os.Stat(dir + program); err == nil {
				return dir + program
			}
		}
		missing(t, program+" is missing: apt-get install "+debianPackage)
	}
	return path
}

// NeedFile does for a file what [Need] does for a program.
func NeedFile(t testing.TB, path, debianPackage string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, path+" is missing: apt-get install "+debianPackage)
	}
}

// Supported ends a test whose part says by err that it can't be had here, for want of a
// compiler or of cgo; any other error is for the caller.
func Supported(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errors.ErrUnsupported) {
		missing(t, err.Error())
	}
}

// missing ends a test that lacks a part: in CI nothing may lack.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}
