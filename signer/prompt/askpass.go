package prompt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Askpass asks by a program as OpenSSH does: it gets the message as its argument and
// prints the answer.
type Askpass struct {
	// Program is the path of the program. Empty means the environment variable
	// SSH_ASKPASS, and without that ssh-askpass.
	Program string
}

// AskSecret returns the line that the program prints. A program that fails is
// [ErrCancelled].
func (a Askpass) AskSecret(ctx context.Context, message string) ([]byte, error) {
	return a.run(ctx, printable(message)+": ")
}

// Confirm reports whether the program ended well; it is told by SSH_ASKPASS_PROMPT that
// the question is one of yes or no.
func (a Askpass) Confirm(ctx context.Context, message string) (bool, error) {
	answer, err := a.run(ctx, printable(message), "SSH_ASKPASS_PROMPT=confirm")
	clear(answer)
	if errors.Is(err, ErrCancelled) {
		return false, nil
	}
	return err == nil, err
}

func (a Askpass) run(ctx context.Context, message string, env ...string) ([]byte, error) {
	program := cmp.Or(a.Program, os.Getenv("SSH_ASKPASS"), "ssh-askpass")
	cmd := exec.CommandContext(ctx, program, message)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("prompt: askpass: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("prompt: askpass: %w; set SSH_ASKPASS to a program that is there", err)
	}
	// One buffer that is never moved: no copy of the answer is left behind.
	buf := make([]byte, maxSecret+2)
	n, readErr := io.ReadFull(out, buf)
	if readErr == nil {
		io.Copy(io.Discard, out)
	}
	err = cmd.Wait()
	answer := bytes.TrimRight(buf[:n], "\r\n")
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("prompt: askpass: %w", ctx.Err())
	case err != nil:
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w (%s: %v)", ErrCancelled, program, err)
		}
	case readErr == nil || len(answer) > maxSecret:
		err = errTooLong
	default:
		return answer, nil
	}
	clear(buf)
	return nil, err
}
