package vpcd

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Slot is where cards are put into a virtual reader and taken out again, at any
// time. It is safe for concurrent use.
type Slot struct {
	address string

	mu     sync.Mutex // held while a card goes in or out
	cancel context.CancelFunc
	ended  chan struct{} // closed when the card is served no more
	result error         // of Serve, once ended is closed
	out    time.Time     // when the last card was taken out
}

// NewSlot returns the slot of the driver that listens at address. One entry of the
// driver in reader.conf is two readers: the second listens at the next port.
func NewSlot(address string) *Slot { return &Slot{address: address} }

// Insert connects card to the driver and serves it until [Slot.Remove], or until the
// reader ends the connection. It returns when the connection is made, for which it
// takes as long as ctx allows: ctx has no part in what follows. pcscd sees the card
// within 0.4 s, if no other is in the reader.
//
// After [Slot.Remove] it waits until pcscd has surely seen that the slot was empty, 0.6 s
// from then, so that no program takes the new card for the old one. A card that is in the
// slot already is an error, unless its reader has gone.
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
	if err := s.settle(ctx); err != nil {
		return err
	}
	conn, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	s.serve(conn, card)
	return nil
}

// settle waits until the last removal was noticed.
func (s *Slot) settle(ctx context.Context) error {
	t := time.NewTimer(time.Until(s.out.Add(noticeDelay)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("vpcd: waiting for the reader to see that the last card is out: %w", ctx.Err())
	}
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
	s.out = time.Now()
	s.cancel, s.ended, s.result = nil, nil, nil
	return err
}
