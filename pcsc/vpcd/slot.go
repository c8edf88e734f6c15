package vpcd

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// A Slot is where cards are put into a virtual reader and taken out again, at any
// time. It is safe for concurrent use.
type Slot struct {
	address string

	mu     sync.Mutex // held while a card goes in or out
	cancel context.CancelFunc
	ended  chan struct{} // closed when the card is served no more
	result error         // of Serve, once ended is closed
}

// NewSlot returns the slot of the driver that listens at address. One entry of the
// driver in reader.conf is two readers: the second listens at the next port.
func NewSlot(address string) *Slot { return &Slot{address: address} }

// Insert connects card to the driver and serves it until [Slot.Remove], or until the
// reader ends the connection. It returns when the connection is made, for which it
// takes as long as ctx allows: ctx has no part in what follows. pcscd sees the card
// within 0.4 s, if no other is in the reader.
//
// A card that is in the slot already is an error, unless its reader has gone.
func (s *Slot) Insert(ctx context.Context, card Card) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		select {
		case <-s.ended:
			s.cancel()
		default:
			return fmt.Errorf("vpcd: the slot at %s has a card already: remove it first", s.address)
		}
	}
	conn, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	s.serve(conn, card)
	return nil
}

func (s *Slot) serve(conn net.Conn, card Card) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	s.cancel, s.ended = cancel, ended
	go func() {
		defer close(ended)
		s.result = Serve(ctx, conn, card)
	}()
}

// Remove takes the card out and waits until it is called no more; pcscd notices
// within 0.4 s. It returns what [Serve] returned: nil when all was well until now, and
// when there is no card.
func (s *Slot) Remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		return nil
	}
	s.cancel()
	<-s.ended
	err := s.result
	s.cancel, s.ended, s.result = nil, nil, nil
	return err
}
