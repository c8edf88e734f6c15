package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/iso7816"
)

// A shell carries out lines.
type shell struct {
	out      io.Writer
	card     *witness
	channel  *iso7816.Channel // nil: commands go to card as they are
	reset    func(context.Context) error
	recorder *apdutest.Recorder // nil without a transcript
	begun    bool               // a transaction
}

const help = `00 A4 04 00 …   a command, in any way to write bytes in hexadecimal
select AID      an application, by its identifier or one of these names:
                %s
atr             the answer to reset
reset           a warm reset of the card
reconnect       after another program reset the card, or it was taken out
begin, end      a transaction: no other program reaches the card meanwhile
help, quit
`

var errQuit = errors.New("quit")

// run carries out lines to their end. An error ends what comes from a pipe, where nobody
// could decide otherwise; a status of the card, whatever it is, is no error.
func (s *shell) run(lines source) error {
	for n := 1; ; n++ {
		line, err := lines.next()
		switch {
		case err == io.EOF:
			return nil
		case err == nil:
			err = s.line(line)
		case err != errTooLong:
			return err
		}
		switch {
		case err == errQuit:
			return nil
		case err == nil:
		case lines.interactive():
			fmt.Fprintln(s.out, err)
		default:
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// line carries out one line. Ctrl-C ends the wait for the card.
func (s *shell) line(line string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	line, _, _ = strings.Cut(line, "#")
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch strings.ToLower(word) {
	case "":
		return nil
	case "help", "?":
		fmt.Fprintf(s.out, help, strings.Join(slices.Sorted(maps.Keys(names)), " "))
		return nil
	case "quit", "exit":
		return errQuit
	case "atr":
		fmt.Fprintf(s.out, "ATR %s\n", apdu.FormatHex(s.card.ATR()))
		return nil
	case "select":
		aid, ok := names[strings.ToLower(strings.TrimSpace(rest))]
		if !ok {
			var err error
			if aid, err = iso7816.ParseAID(rest); err != nil {
				return fmt.Errorf("%w; help lists the names", err)
			}
		}
		c := apdu.Command{Instruction: apdu.InsSelect, P1: byte(iso7816.SelectDFName), Data: aid.AppendTo(nil), Ne: apdu.MaxShortNe}
		b, err := c.AppendBinary(nil)
		if err != nil {
			return err
		}
		return s.send(ctx, b)
	case "reset", "reconnect", "begin", "end":
		return s.control(ctx, strings.ToLower(word))
	}
	b, err := apdu.ParseHex(line)
	if err != nil {
		return fmt.Errorf("%w; help lists what else there is", err)
	}
	return s.send(ctx, b)
}

// send sends a command, and in the end whatever the card wants to be sent after it.
func (s *shell) send(ctx context.Context, b []byte) error {
	if s.channel == nil {
		_, err := s.card.Transmit(ctx, nil, b)
		return err
	}
	c, err := apdu.ParseCommand(b)
	if err != nil {
		return fmt.Errorf("%w; with -raw it would be sent as it is", err)
	}
	_, err = s.channel.Exchange(ctx, c)
	return err
}

// control does what is no command to the card.
func (s *shell) control(ctx context.Context, what string) (err error) {
	switch {
	case what == "reset":
		if err = s.reset(ctx); err == nil && s.recorder != nil {
			s.recorder.Comment("reset") // a transcript has no line for it
		}
	case what == "reconnect":
		var connection apdu.Reconnecter = s.card
		if s.channel != nil {
			connection = s.channel
		}
		if err = connection.Reconnect(ctx); err == nil {
			s.begun = false
		}
	case what == "begin" && s.begun:
		return errors.New("there is a transaction already; end it first")
	case what == "begin":
		err = s.card.Begin(ctx)
		s.begun = err == nil
	case !s.begun:
		return errors.New("there is no transaction to end")
	default:
		err = s.card.End(apdu.LeaveCard)
		s.begun = false
	}
	if err == nil {
		fmt.Fprintf(s.out, "%s: done\n", what)
	}
	return err
}
