package apdu

import (
	"context"
	"io"
)

// A Conn is a [Transmitter] that is to be closed, such as a connection to the card in a
// reader.
type Conn interface {
	Transmitter
	io.Closer
}

// A Connector is a card that can be reached: the card in a reader (package pcsc lists
// them), or one in software.
type Connector struct {
	// Name is what users know the place by: the name of the reader.
	Name string
	// Connect connects to the card. The caller closes what it returns.
	Connect func(ctx context.Context) (Conn, error)
}
