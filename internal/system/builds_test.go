package system_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// root is the top of the module.
var root = filepath.Join("..", "..")

func goTool(t *testing.T, env []string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.WaitDelay = root, 5*time.Second
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s go %s: %v\n%s", strings.Join(env, " "), strings.Join(args, " "), err, out)
	}
}

// TestBuilds builds where a newcomer may build: without cgo, with gcc but without
// any header packages, and for other systems.
func TestBuilds(t *testing.T) {
	if testing.Short() {
		t.Skip("builds everything several times")
	}
	public := []string{"./apdu/...", "./iso7816/...", "./pcsc/...", "./signer/...", "./cryptoki/..."}
	for _, tt := range []struct {
		name string
		env  []string
		args []string
	}{
		{"without cgo", []string{"CGO_ENABLED=0"}, []string{"build", "./..."}},
		{"with cgo and without pkg-config", []string{"CGO_ENABLED=1", "PKG_CONFIG=/bin/false"}, []string{"build", "./..."}},
		{"windows/amd64", []string{"CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64"}, append([]string{"vet"}, public...)},
		{"darwin/arm64", []string{"CGO_ENABLED=0", "GOOS=darwin", "GOARCH=arm64"}, append([]string{"vet"}, public...)},
		{"linux/386", []string{"CGO_ENABLED=0", "GOARCH=386"}, append([]string{"vet"}, public...)},
		{"wasm", []string{"GOOS=js", "GOARCH=wasm"}, []string{"build", "./apdu/...", "./iso7816/...", "./signer/..."}},
	} {
		t.Run(tt.name, func(t *testing.T) { goTool(t, tt.env, tt.args...) })
	}
}

// quickstart builds the example and returns its path.
func quickstart(t *testing.T, env ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "quickstart")
	goTool(t, env, "build", "-o", path, "./examples/quickstart")
	return path
}

// TestQuickstartInABareEnvironment runs the README's first command with nothing in
// the environment but the path of go, as in a container: no gcc, no pkg-config.
func TestQuickstartInABareEnvironment(t *testing.T) {
	where, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	goroot, modules, _ := strings.Cut(strings.TrimSpace(string(where)), "\n")
	bin := filepath.Join(goroot, "bin")
	cmd := exec.Command(filepath.Join(bin, "go"), "run", "./examples/quickstart", "-trace")
	cmd.Dir = root
	// Go keeps its build cache below HOME; the modules are not downloaded again.
	cmd.Env = []string{"PATH=" + bin, "HOME=" + t.TempDir(), "GOMODCACHE=" + modules, "GOFLAGS=-buildvcs=false"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkQuickstart(t, string(out))
}

// checkQuickstart checks what quickstart says when it traces a card in software.
func checkQuickstart(t *testing.T, out string) {
	t.Helper()
	for _, want := range []string{"ATR 3B", "serial number", "P-256", "TLS 1.3", "SELECT PIV", "VERIFY reference 80, 8 bytes hidden → 9000", "GENERAL AUTHENTICATE"} {
		if !strings.Contains(out, want) {
			t.Errorf("quickstart does not say %q:\n%s", want, out)
		}
	}
}

// TestQuickstartNeverTracesASecret runs the example with a trace many times over,
// each time with another random PIN, and looks for eight digits in a row where none
// should be.
func TestQuickstartNeverTracesASecret(t *testing.T) {
	program := quickstart(t, "CGO_ENABLED=0")
	hidden := regexp.MustCompile(`VERIFY.*(3[0-9] ?){8}|VERIFY.*[0-9]{8}`)
	for range 5 {
		out, err := exec.Command(program, "-trace").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if m := hidden.Find(out); m != nil {
			t.Fatalf("the PIN may be in %q", m)
		}
	}
}

// TestREADMECommands runs every command that README.md tells a newcomer to run and
// that needs nothing but Go.
func TestREADMECommands(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^go run (\./examples/\S+.*?)(?:\s+#.*)?$`).FindAllSubmatch(readme, -1)
	ran := 0
	for _, c := range commands {
		line := string(c[1])
		if regexp.MustCompile(`-reader|-module|\$token|virtual-card|list-readers`).MatchString(line) {
			continue // need a card, a token or a driver: tested elsewhere
		}
		ran++
		t.Run(line, func(t *testing.T) {
			args := strings.Fields(line)
			name, server := strings.CutSuffix(args[0], "-server")
			if !server {
				goTool(t, nil, append([]string{"run"}, args...)...)
				return
			}
			// It goes on until it is interrupted, and writes its certificate.
			for i, arg := range args {
				if strings.HasSuffix(arg, ".pem") {
					args[i] = filepath.Join(t.TempDir(), arg)
				}
			}
			program := buildExample(t, strings.TrimPrefix(name, "./examples/")+"-server")
			e := startExample(t, "/nowhere", program, append(args[1:], "-listen", "127.0.0.1:0")...)
			e.find(listening443)
			e.interrupt()
		})
	}
	if ran == 0 {
		t.Error("README.md has no command for a newcomer")
	}
	if !bytes.Contains(readme, []byte("\nmake test")) {
		t.Error("README.md does not name make test")
	}
}
