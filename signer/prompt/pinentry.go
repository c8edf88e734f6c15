package prompt

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Pinentry asks by GnuPG's pinentry, which has windows for many desktops.
type Pinentry struct {
	// Program is the path of the program. Empty means pinentry.
	Program string
	// Title is the title of the window. Empty leaves it to the program.
	Title string
}

// AskSecret returns what the user enters. The cancel button is [ErrCancelled].
func (p Pinentry) AskSecret(ctx context.Context, message string) ([]byte, error) {
	return p.run(ctx, message, "GETPIN")
}

// Confirm reports whether the user says yes.
func (p Pinentry) Confirm(ctx context.Context, message string) (bool, error) {
	answer, err := p.run(ctx, message, "CONFIRM")
	clear(answer)
	if errors.Is(err, ErrCancelled) {
		return false, nil
	}
	return err == nil, err
}

func (p Pinentry) run(ctx context.Context, message, question string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, cmp.Or(p.Program, "pinentry"))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("prompt: pinentry: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("prompt: pinentry: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("prompt: pinentry: %w; install pinentry", err)
	}
	a := &assuan{in: in, out: bufio.NewReaderSize(out, 4*maxSecret)}
	answer, err := a.ask(p.Title, message, question)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("prompt: pinentry: %w", context.Cause(ctx))
	}
	in.Close()
	if err != nil {
		cancel() // it has no say any more
	}
	cmd.Wait()
	return answer, err
}

// assuan is the protocol that pinentry speaks: lines, answered by OK or ERR.
type assuan struct {
	in  io.Writer
	out *bufio.Reader
}

// cancelled are the error codes of libgpg-error, in their low 16 bits, by which the user
// says no: GPG_ERR_CANCELED, GPG_ERR_NOT_CONFIRMED, GPG_ERR_FULLY_CANCELED.
var cancelled = map[int]bool{99: true, 114: true, 198: true}

func (a *assuan) ask(title, message, question string) ([]byte, error) {
	if _, err := a.answer(); err != nil { // the greeting
		return nil, err
	}
	lines := []string{"SETDESC " + escape(message), "SETPROMPT PIN:"}
	if title != "" {
		lines = append(lines, "SETTITLE "+escape(title))
	}
	for _, l := range append(lines, question) {
		if _, err := io.WriteString(a.in, l+"\n"); err != nil {
			return nil, fmt.Errorf("prompt: pinentry: %w", err)
		}
		data, err := a.answer()
		if err != nil || l == question {
			return data, err
		}
	}
	return nil, nil
}

// answer reads up to OK or ERR and returns the data that came before.
func (a *assuan) answer() (data []byte, err error) {
	const maxLines = 1000
	for range maxLines {
		l, err := a.out.ReadSlice('\n')
		if err != nil {
			clear(data)
			return nil, fmt.Errorf("prompt: pinentry: %w", err)
		}
		l = bytes.TrimRight(l, "\r\n")
		switch {
		case bytes.Equal(l, []byte("OK")) || bytes.HasPrefix(l, []byte("OK ")):
			return data, nil
		case bytes.HasPrefix(l, []byte("ERR ")):
			var code int
			fmt.Sscan(string(l[4:]), &code)
			clear(data)
			if cancelled[code&0xFFFF] {
				return nil, ErrCancelled
			}
			return nil, fmt.Errorf("prompt: pinentry: %s", printable(string(l)))
		case bytes.HasPrefix(l, []byte("D ")):
			if len(data)+len(l) > maxSecret {
				clear(data)
				clear(l)
				return nil, errTooLong
			}
			if data == nil {
				data = make([]byte, 0, maxSecret) // never moved
			}
			data = unescape(data, l[2:])
			clear(l)
		}
		// Status lines (S) and comments (#) say nothing here.
	}
	clear(data)
	return nil, errors.New("prompt: pinentry: it does not come to an end")
}

// escape writes what would end a line, and percent signs, as %XX.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c == '%' || c == 0x7F {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// unescape appends s with its %XX decoded.
func unescape(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, ok1 := digit(s[i+1])
			lo, ok2 := digit(s[i+2])
			if ok1 && ok2 {
				dst = append(dst, hi<<4|lo)
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

// digit returns the value of a hexadecimal digit.
func digit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
