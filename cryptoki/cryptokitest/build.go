package cryptokitest

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed module/module.c
var source []byte

// ErrNoCompiler is wrapped by the error of Build when there is no C compiler. It Is
// errors.ErrUnsupported.
var ErrNoCompiler = fmt.Errorf("cryptokitest: no C compiler; install gcc, or set CC: %w", errors.ErrUnsupported)

// Build compiles the module into dir, which must be there, and returns the path of the
// library. It takes the compiler of the environment variable CC, or else cc, gcc or clang. It
// takes a second, so that a test with many modules builds once and uses [Start].
//
// A library without a control file beside it, which Start writes, has one token
// "cryptokitest" with the PIN "1234" and no objects.
func Build(dir string) (path string, err error) {
	compiler, err := findCompiler()
	if err != nil {
		return "", err
	}
	c := filepath.Join(dir, "cryptokitest.c")
	if err := os.WriteFile(c, source, 0o600); err != nil {
		return "", fmt.Errorf("cryptokitest: %w", err)
	}
	path = filepath.Join(dir, "cryptokitest.so")
	cmd := exec.Command(compiler, "-shared", "-fPIC", "-O2", "-pthread", "-o", path, c)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cryptokitest: %s: %w\n%s", compiler, err, out)
	}
	return path, nil
}

func findCompiler() (string, error) {
	names := []string{"cc", "gcc", "clang"}
	if cc := os.Getenv("CC"); cc != "" {
		names = []string{cc}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoCompiler
}
