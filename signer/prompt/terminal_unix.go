//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package prompt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/term"
)

// terminal is the controlling terminal, in raw mode while it is asked.
type terminal struct{ f *os.File }

func openTerminal() (*terminal, error) {
	// Not blocking, so that a deadline can end a read.
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return &terminal{f}, nil
}

func (t *terminal) close() { t.f.Close() }

// raw puts the terminal into raw mode and returns what undoes that.
func (t *terminal) raw() (restore func(), err error) {
	conn, err := t.f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var state *term.State
	var modeErr error
	if err := conn.Control(func(fd uintptr) { state, modeErr = term.MakeRaw(int(fd)) }); err != nil {
		return nil, err
	}
	if modeErr != nil {
		return nil, modeErr
	}
	return func() { conn.Control(func(fd uintptr) { term.Restore(int(fd), state) }) }, nil
}

// ask shows message and returns the line that is typed, which is shown with echo only.
func (t *terminal) ask(ctx context.Context, message string, echo bool) ([]byte, error) {
	restore, err := t.raw()
	if err != nil {
		return nil, fmt.Errorf("prompt: terminal: %w", err)
	}
	defer restore()
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		t.f.SetReadDeadline(time.Unix(1, 0))
		close(cut)
	})
	defer func() {
		if !stop() {
			<-cut
		}
	}()
	if _, err := t.f.WriteString(message); err != nil {
		return nil, fmt.Errorf("prompt: terminal: %w", err)
	}
	defer t.f.WriteString("\r\n")
	l := &line{b: make([]byte, 0, maxSecret)} // never moved
	var c [1]byte
	defer clear(c[:])
	for {
		if _, err := t.f.Read(c[:]); err != nil {
			l.wipe()
			if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, fmt.Errorf("prompt: terminal: %w", err)
		}
		done, err := l.key(c[0])
		if err != nil {
			l.wipe()
			return nil, err
		}
		if done {
			return l.b, nil
		}
		if echo {
			t.f.Write(c[:])
		}
	}
}
