package pcsclite_test

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/pcsclite"
)

// A daemon that lives but does not accept fills the queue of its socket: connecting
// then fails with EAGAIN on Linux, which must mean waiting, not failing.
func TestFullQueueOfTheSocketIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	results := make(chan error)
	for range 3 {
		go func() {
			_, err := pcsclite.Dial(ctx, path)
			results <- err
		}()
	}
	for range 3 {
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	}
}
