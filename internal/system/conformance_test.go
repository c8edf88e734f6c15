package system_test

import (
	"context"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/pcsc"
)

// TestConnIsATransmitter runs the conformance suite on a connection to a card in
// software behind a real pcscd.
func TestConnIsATransmitter(t *testing.T) {
	daemon := system.StartPCSCD(t, nil)
	insert(t, daemon, card.New(nil, newApplication()))
	apdutest.TestTransmitter(t, func(t *testing.T) apdu.Transmitter {
		conn, err := pcsc.Open(context.Background(), daemon.Readers[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	})
}
