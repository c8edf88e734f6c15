package apdutest

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/cardoki/cardoki/apdu"
)

// A Recorder is an [apdu.Transmitter] that writes a transcript of what passes
// through it. It forwards the optional companions.
type Recorder struct {
	apdu.Decorator
	w   io.Writer
	err error
}

// Record returns a Recorder around t that writes to w, one line in one Write, and
// writes ATR, protocol and limits at once. The transcript is raw and holds every
// secret that is exchanged; see the package comment.
//
// An error of w does not disturb the exchanges: look at [Recorder.Err] in the
// end.
func Record(t apdu.Transmitter, w io.Writer) *Recorder {
	r := &Recorder{Decorator: apdu.Decorator{Transmitter: t}, w: w}
	if atr := r.ATR(); atr != nil {
		r.printf("atr % X\n", atr)
	}
	l := r.Limits()
	if l.Protocol != apdu.ProtocolUnknown {
		r.printf("protocol %v\n", l.Protocol)
	}
	if l.MaxCommand != 0 || l.MaxResponse != 0 {
		r.printf("limits %d %d\n", l.MaxCommand, l.MaxResponse)
	}
	return r
}

func (r *Recorder) printf(format string, args ...any) {
	if r.err != nil {
		return
	}
	if _, err := fmt.Fprintf(r.w, format, args...); err != nil {
		r.err = fmt.Errorf("apdutest: the transcript was cut: %w", err)
	}
}

// Err returns the first error of the writer. The transcript ends before it.
func (r *Recorder) Err() error { return r.err }

// Comment writes text to the transcript as a comment, a line for each of its
// lines.
func (r *Recorder) Comment(text string) {
	for line := range strings.Lines(text) {
		r.printf("# %s\n", strings.TrimRight(line, "\r\n"))
	}
}

// Transmit passes command on and writes the exchange.
func (r *Recorder) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	n := len(dst)
	out, err := r.Decorator.Transmit(ctx, dst, command)
	if err != nil {
		r.printf("%X %s %s\n", command, arrow, formatError(err))
	} else {
		r.printf("%X %s %X\n", command, arrow, out[min(n, len(out)):])
	}
	return out, err
}

// Begin passes on and writes a failure.
func (r *Recorder) Begin(ctx context.Context) error {
	err := r.Decorator.Begin(ctx)
	if err != nil {
		r.printf("%s %s\n", eventBegin, formatError(err))
	}
	return err
}

// End passes on and writes a failure.
func (r *Recorder) End(disposition apdu.Disposition) error {
	err := r.Decorator.End(disposition)
	if err != nil {
		r.printf("%s %s\n", eventEnd, formatError(err))
	}
	return err
}

// Reconnect passes on and writes what came of it.
func (r *Recorder) Reconnect(ctx context.Context) error {
	err := r.Decorator.Reconnect(ctx)
	if err != nil {
		r.printf("%s %s\n", eventReconnect, formatError(err))
	} else {
		r.printf("%s\n", eventReconnect)
	}
	return err
}
