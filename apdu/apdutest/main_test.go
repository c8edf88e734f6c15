package apdutest_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An echo is a card that answers its command, and counts what it was asked.
type echo struct {
	transmits, begins, ends, reconnects int
	err                                 error
}

func (e *echo) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	if len(command) == 0 || len(command) > apdu.MaxCommandSize {
		return dst, &apdu.LengthError{Field: "command", Value: len(command), Max: apdu.MaxCommandSize}
	}
	e.transmits++
	if e.err != nil {
		return dst, e.err
	}
	return append(append(dst, command...), 0x90, 0x00), nil
}

func (e *echo) Begin(ctx context.Context) error { e.begins++; return e.err }
func (e *echo) End(apdu.Disposition) error      { e.ends++; return e.err }
func (e *echo) ATR() []byte                     { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }
func (e *echo) Limits() apdu.Limits {
	return apdu.Limits{Protocol: apdu.ProtocolT1, MaxCommand: 261, MaxResponse: 258}
}
func (e *echo) Reconnect(ctx context.Context) error { e.reconnects++; return e.err }

// Everything here that claims to be a Transmitter is one.
func TestTransmitter(t *testing.T) {
	const transcript = "atr 3B 00\nprotocol T=1\n" +
		"00A4040000 -> 6A82\n00A4040000 -> 6A82\n00A4040000 -> 6A82\n00A4040000 -> 6A82\n"
	for _, tt := range []struct {
		name string
		make func(t *testing.T) apdu.Transmitter
	}{
		{"a card", func(*testing.T) apdu.Transmitter { return &echo{} }},
		{"a Player", func(t *testing.T) apdu.Transmitter {
			p, err := apdutest.Replay(strings.NewReader(transcript))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}},
		{"a Recorder", func(*testing.T) apdu.Transmitter { return apdutest.Record(&echo{}, &bytes.Buffer{}) }},
		{"Faults without a fault", func(*testing.T) apdu.Transmitter { return apdutest.NewFaults(&echo{}, nil) }},
		{"a Tracer", func(*testing.T) apdu.Transmitter { return apdu.Trace(&echo{}, func(string) {}) }},
	} {
		t.Run(tt.name, func(t *testing.T) { apdutest.TestTransmitter(t, tt.make) })
	}
}
