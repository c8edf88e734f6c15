package prompt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/leak"
)

// role, in the environment, makes the test binary one of the programs that are asked.
const role = "CARDOKI_TEST_PROMPT"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Setenv("GORACE", "atexit_sleep_ms=0") // of the programs that are asked
		leak.Main(m)
	case "askpass":
		fmt.Println(strings.Join(os.Args[1:], "|") + "=" + os.Getenv("SSH_ASKPASS_PROMPT"))
	case "askpass-long":
		fmt.Println(strings.Repeat("x", maxSecret+1))
	case "askpass-cancel":
		os.Exit(1)
	case "hang":
		time.Sleep(time.Minute)
	case "pinentry":
		pinentry(os.Getenv(role + "_ANSWER"))
	case "terminal":
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		b, err := Terminal{}.AskSecret(ctx, "PIN for \x1b[31mslot 9A")
		fmt.Printf("got %q, %v\n", b, err)
		cancel()
		yes, err := Terminal{}.Confirm(context.Background(), "Sure?")
		fmt.Printf("confirmed %v, %v\n", yes, err)
	case "terminal-timeout":
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		b, err := Terminal{}.AskSecret(ctx, "PIN")
		fmt.Printf("got %q, %v %v\n", b, err, errors.Is(err, context.DeadlineExceeded))
	}
}

// pinentry answers GETPIN and CONFIRM with answer and tells what it was told.
func pinentry(answer string) {
	fmt.Println("OK Pleased to meet you")
	var told []string
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		l := in.Text()
		switch {
		case l == "GETPIN" || l == "CONFIRM":
			answer = strings.ReplaceAll(answer, "TOLD", strings.ReplaceAll(strings.Join(told, "|"), "%", "%25"))
			fmt.Println(strings.ReplaceAll(answer, "\\n", "\n"))
		default:
			told = append(told, l)
			fmt.Println("# comment")
			fmt.Println("S STATUS")
			fmt.Println("OK")
		}
	}
}

func TestAskpass(t *testing.T) {
	a := Askpass{Program: os.Args[0]}
	ask := func(as string) ([]byte, error) {
		t.Setenv(role, as)
		return a.AskSecret(t.Context(), "PIN for \x1b[31mslot\n9A")
	}
	if got, err := ask("askpass"); err != nil || string(got) != "PIN for [31mslot9A: =" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ask("askpass-cancel"); got != nil || !errors.Is(err, ErrCancelled) {
		t.Errorf("got %q, %v; want ErrCancelled", got, err)
	}
	if got, err := ask("askpass-long"); got != nil || err == nil {
		t.Errorf("got %d bytes, %v; want an error", len(got), err)
	}
	for as, want := range map[string]bool{"askpass": true, "askpass-cancel": false} {
		t.Setenv(role, as)
		if got, err := a.Confirm(t.Context(), "Sure?"); err != nil || got != want {
			t.Errorf("%s: got %v, %v", as, got, err)
		}
	}
	t.Setenv(role, "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.AskSecret(ctx, "PIN"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
	if _, err := (Askpass{Program: "/nonexistent"}).AskSecret(t.Context(), "PIN"); err == nil || errors.Is(err, ErrCancelled) {
		t.Errorf("got %v, want that there is no such program", err)
	}
}

func TestPinentry(t *testing.T) {
	p := Pinentry{Program: os.Args[0], Title: "100% cardoki"}
	t.Setenv(role, "pinentry")
	for _, tt := range []struct {
		name, answer, want string
		err                error
	}{
		{"a PIN", `D 12%2534%0A\nOK`, "12%34\n", nil},
		{"in two lines", `D 12\nD 34\nOK done`, "1234", nil},
		{"what it is told", `D TOLD\nOK`, "SETDESC slot%0A9A 50%25|SETPROMPT PIN:|SETTITLE 100%25 cardoki", nil},
		{"nothing", `OK`, "", nil},
		{"the cancel button", `ERR 83886179 Operation cancelled <Pinentry>`, "", ErrCancelled},
		{"closed", `ERR 83886278 Operation fully cancelled`, "", ErrCancelled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(role+"_ANSWER", tt.answer)
			got, err := p.AskSecret(t.Context(), "slot\n9A 50%")
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
	for answer, want := range map[string]bool{"OK": true, "ERR 83886194 Not confirmed": false} {
		t.Setenv(role+"_ANSWER", answer)
		if got, err := p.Confirm(t.Context(), "Sure?"); err != nil || got != want {
			t.Errorf("%s: got %v, %v", answer, got, err)
		}
	}
	for name, answer := range map[string]string{
		"another error": "ERR 83886142 Timeout", "too long": `D ` + strings.Repeat("x", maxSecret) + `\nOK`,
		"a line without end": `D ` + strings.Repeat("x", 10*maxSecret),
	} {
		t.Setenv(role+"_ANSWER", answer)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if got, err := p.AskSecret(ctx, "PIN"); got != nil || err == nil || errors.Is(err, ErrCancelled) || strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s: got %q, %v; want an error", name, got, err)
		}
		cancel()
	}
	t.Setenv(role, "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.AskSecret(ctx, "PIN"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

// atTerminal runs the test binary at a terminal of its own, types keys and returns what is
// on the screen.
func atTerminal(t *testing.T, as, keys string) string {
	t.Helper()
	script, err := exec.LookPath("script")
	if err != nil || runtime.GOOS != "linux" {
		if os.Getenv("CI") != "" && runtime.GOOS == "linux" {
			t.Fatal("script is missing: install bsdutils")
		}
		t.Skip("script is missing: install bsdutils")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, "-qec", os.Args[0], "/dev/null")
	cmd.Env = append(os.Environ(), role+"="+as)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Each line is typed when it is asked for.
	lines := strings.SplitAfter(keys, "\r")
	for buf := make([]byte, 1024); ; {
		n, err := out.Read(buf)
		screen.Write(buf[:n])
		if len(lines) > 0 && (bytes.HasSuffix(buf[:n], []byte(": ")) || bytes.HasSuffix(buf[:n], []byte("[y/N] "))) {
			in.Write([]byte(lines[0]))
			lines = lines[1:]
		}
		if err != nil {
			break
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, screen.Bytes())
	}
	return screen.String()
}

func TestTerminal(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
		want       []string
		not        string
	}{
		{"a PIN and yes", "123456\ry\r", []string{"PIN for [31mslot 9A: ", `got "123456", <nil>`, "Sure? [y/N] ", "confirmed true, <nil>"}, ": 123456"},
		{"corrections", "12\x7f3é\x7f4\x15567\rno\r", []string{`got "567", <nil>`, "confirmed false, <nil>"}, ""},
		{"Ctrl-C", "12\x03\r", []string{`got "", prompt: the user cancelled`}, ""},
		{"Ctrl-D", "\x04\r", []string{`got "", prompt: the user cancelled`}, ""},
		{"too long", strings.Repeat("7", maxSecret+1) + "\r", []string{`got "", prompt: the answer is longer`}, "7777777777"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			screen := atTerminal(t, "terminal", tt.keys)
			for _, w := range tt.want {
				if !strings.Contains(screen, w) {
					t.Errorf("%q is missing in\n%s", w, screen)
				}
			}
			if tt.not != "" && strings.Contains(screen, tt.not) {
				t.Errorf("%q is on the screen:\n%s", tt.not, screen)
			}
		})
	}
	if screen := atTerminal(t, "terminal-timeout", ""); !strings.Contains(screen, "true") {
		t.Errorf("the context does not end the reading:\n%s", screen)
	}
}
