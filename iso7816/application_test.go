package iso7816_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// A script answers commands, as hexadecimal, in the order given, and notes them. An
// answer "reset" is apdu.ErrReset.
type script struct {
	answers    []string
	sent       []string
	reconnects int
	beginError error
	noMend     bool // Reconnect is not supported
}

func (s *script) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	s.sent = append(s.sent, fmt.Sprintf("%X", command))
	if len(s.answers) == 0 {
		return dst, errors.New("no answer left")
	}
	next := s.answers[0]
	s.answers = s.answers[1:]
	if next == "reset" {
		return dst, fmt.Errorf("card: %w", apdu.ErrReset)
	}
	b, err := apdu.ParseHex(next)
	return append(dst, b...), err
}

func (s *script) Begin(context.Context) error { err := s.beginError; s.beginError = nil; return err }

func (s *script) End(apdu.Disposition) error { return nil }

func (s *script) Reconnect(context.Context) error {
	s.reconnects++
	if s.noMend {
		return errors.ErrUnsupported
	}
	return nil
}

func application(s *script, prove bool) *iso7816.Application {
	a := &iso7816.Application{
		Channel: iso7816.NewChannel(s, nil),
		Select: func(ctx context.Context, tx *iso7816.Channel) error {
			_, err := tx.Send(ctx, apdu.Command{Instruction: apdu.InsSelect, P1: 4})
			return err
		},
	}
	if prove {
		a.Prove = func(ctx context.Context, tx *iso7816.Channel) (bool, error) {
			r, err := tx.Exchange(ctx, apdu.Command{Instruction: apdu.InsGetData})
			return r.Status.OK(), err
		}
	}
	return a
}

const (
	doSelect = "00A40400"
	doProve  = "00CA0000"
	doWork   = "00100000"
)

func TestApplication(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prove   bool
		begin   error
		noMend  bool
		groups  int
		answers string
		sent    string
		epoch   uint64
		err     error // of the last group
		mended  int
	}{
		{name: "the first group selects", prove: true, groups: 1, answers: "9000 9000", sent: doSelect + " " + doWork, epoch: 1},
		{name: "the next proves", prove: true, groups: 2, answers: "9000 9000 9000 9000", sent: doSelect + " " + doWork + " " + doProve + " " + doWork, epoch: 1},
		{name: "and selects where another application is selected", prove: true, groups: 2, answers: "9000 9000 6A88 9000 9000", sent: doSelect + " " + doWork + " " + doProve + " " + doSelect + " " + doWork, epoch: 2},
		{name: "without a proof each group selects", groups: 2, answers: "9000 9000 9000 9000", sent: doSelect + " " + doWork + " " + doSelect + " " + doWork, epoch: 2},
		{name: "an application that is not there", prove: true, groups: 1, answers: "6A82", sent: doSelect, err: apdu.StatusFileNotFound},
		{name: "a reset noticed at the begin", prove: true, begin: apdu.ErrReset, groups: 1, answers: "9000 9000", sent: doSelect + " " + doWork, epoch: 2, mended: 1},
		{name: "a reset noticed by the proof", prove: true, groups: 2, answers: "9000 9000 reset 6A88 9000 9000", sent: doSelect + " " + doWork + " " + doProve + " " + doProve + " " + doSelect + " " + doWork, epoch: 3, mended: 1},
		{name: "a second reset is the caller's", groups: 1, answers: "reset reset", sent: doSelect + " " + doSelect, epoch: 1, err: apdu.ErrReset, mended: 1},
		{name: "a reset while the group runs is the caller's", groups: 1, answers: "9000 reset", sent: doSelect + " " + doWork, epoch: 1, err: apdu.ErrReset},
		{name: "a transport that can't reconnect", groups: 1, noMend: true, answers: "reset", sent: doSelect, err: apdu.ErrReset, mended: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{answers: strings.Fields(tt.answers), beginError: tt.begin, noMend: tt.noMend}
			a := application(s, tt.prove)
			var err error
			for range tt.groups {
				err = a.Exclusive(t.Context(), func(tx *iso7816.Channel) error {
					_, err := tx.Send(t.Context(), apdu.Command{Instruction: 0x10})
					return err
				})
			}
			if !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if got := strings.Join(s.sent, " "); got != tt.sent {
				t.Errorf("sent %s, want %s", got, tt.sent)
			}
			if a.Epoch() != tt.epoch || s.reconnects != tt.mended || len(s.answers) != 0 {
				t.Errorf("got epoch %d, %d reconnects, %d answers left; want %d, %d, 0", a.Epoch(), s.reconnects, len(s.answers), tt.epoch, tt.mended)
			}
		})
	}
}
