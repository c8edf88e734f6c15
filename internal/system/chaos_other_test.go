package system_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/pcsc"
)

// tellOther has the other program do something.
func (c *chaos) tellOther(what string) {
	c.t.Helper()
	if _, err := io.WriteString(c.other.tell, what+"\n"); err != nil {
		c.t.Fatalf("the other program: %v\n%s", err, c.other.log)
	}
}

// awaitOther waits until it is done.
func (c *chaos) awaitOther() {
	c.t.Helper()
	c.must("the other program", stepLimit, func(context.Context) error {
		var result string
		if err := c.other.report.Decode(&result); err != nil {
			return fmt.Errorf("%w\n%s", err, c.other.log)
		}
		if result != "" {
			return errors.New(result)
		}
		return nil
	})
}

// otherProgram is that program: it does what it is told on its standard input.
func otherProgram(t *testing.T) {
	out := reporter()
	conn, err := pcsc.Open(t.Context(), "", nil)
	if err != nil {
		out.Encode(err.Error())
		return
	}
	defer conn.Close()
	out.Encode("")
	ch := iso7816.NewChannel(conn, nil)
	aid := counterAID(1)
	own := &iso7816.Application{Channel: ch, Select: func(ctx context.Context, tx *iso7816.Channel) error {
		_, err := tx.SelectApplication(ctx, aid)
		return err
	}}
	begin := func(ctx context.Context) error {
		err := conn.Begin(ctx)
		for range 10 {
			if !errors.Is(err, apdu.ErrReset) {
				break
			}
			if err = conn.Reconnect(ctx); err == nil {
				err = conn.Begin(ctx)
			}
		}
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		ctx, cancel := context.WithTimeout(t.Context(), stepLimit)
		var err error
		switch in.Text() {
		case "reset":
			if err = begin(ctx); err == nil {
				err = conn.End(apdu.ResetCard)
			}
		case "hold":
			err = begin(ctx)
		case "release":
			err = conn.End(apdu.LeaveCard)
		case "select":
			err = countOn(ctx, own, 1)
		default:
			err = fmt.Errorf("told %q", in.Text())
		}
		cancel()
		if err == nil {
			out.Encode("")
		} else {
			out.Encode(err.Error())
		}
	}
}

// countOn is a group of commands of a program: it takes the number of a counter, and
// puts the next one there.
func countOn(ctx context.Context, a *iso7816.Application, number int) error {
	return a.Exclusive(ctx, func(tx *iso7816.Channel) error {
		send := func(ins apdu.Instruction, data []byte, ne int) ([]byte, error) {
			return tx.Send(ctx, apdu.Command{Instruction: ins, P1: byte(number >> 8), P2: byte(number), Data: data, Ne: ne})
		}
		before, err := send(insBegin, nil, 4)
		if err != nil {
			return err
		}
		if len(before) != 4 {
			return fmt.Errorf("got a number of %d bytes", len(before))
		}
		next := binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(before)+1)
		nonce := make([]byte, 8)
		rand.Read(nonce)
		if got, err := send(insEcho, nonce, 8); err != nil || !bytes.Equal(got, nonce) {
			return fmt.Errorf("wrong echo: %w", err)
		}
		if _, err := send(insWrite, next, 0); err != nil {
			return err
		}
		if got, err := send(insRead, nil, 4); err != nil || !bytes.Equal(got, next) {
			return fmt.Errorf("another number than was written: %w", err)
		}
		_, err = send(insEnd, nil, 0)
		return err
	})
}
