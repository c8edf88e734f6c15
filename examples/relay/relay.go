package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

// A relay keeps the card of one reader in a virtual reader.
type relay struct {
	pc      *pcsc.Context
	reader  string
	address string
	options pcsc.ConnectOptions

	mayEnter time.Time // when the next card may go into the virtual reader

	mu   sync.Mutex
	out  io.Writer
	last string // what was said last
}

// say prints a line, unless it is the one that was printed before it.
func (r *relay) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if line := fmt.Sprintf(format, args...); line != r.last {
		r.last = line
		fmt.Fprintf(r.out, "%s %s\n", time.Now().Format(time.TimeOnly), line)
	}
}

// run follows the card of the real reader until ctx ends.
func (r *relay) run(ctx context.Context) error {
	remove := func() {}
	defer func() { remove() }()
	for e, err := range r.pc.Watch(ctx) {
		switch {
		case ctx.Err() != nil:
			return nil // as the user wished
		case err != nil:
			return err
		case e.Kind == pcsc.ServiceLost:
			r.say("pcscd is gone; waiting for it")
		case e.Reader.Name != r.reader:
		case e.Kind == pcsc.CardInserted:
			remove = r.insert(ctx)
		case e.Kind == pcsc.CardRemoved:
			remove()
			r.say("the card was removed")
		}
	}
	return nil
}

// insert keeps the card in the virtual reader until remove is called.
func (r *relay) insert(ctx context.Context) (remove func()) {
	ctx, cancel := context.WithCancel(ctx)
	var served sync.WaitGroup
	served.Go(func() { r.keep(ctx) })
	return func() {
		cancel()
		served.Wait()
	}
}

// absence is how long a card is out at least. The virtual reader looks every 0.4 s: a card
// that is back sooner was never away, and programs there would go on as if its PIN were
// verified.
const absence = time.Second

// keep puts the card into the virtual reader, and in again whenever it fell out.
func (r *relay) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(r.mayEnter)):
		}
		err := r.serve(ctx)
		r.mayEnter = time.Now().Add(absence)
		if err != nil && ctx.Err() == nil {
			r.say("not in the virtual reader: %v", err)
		}
	}
}

// serve is the card in the virtual reader for as long as the real one has it.
func (r *relay) serve(ctx context.Context) error {
	conn, err := r.pc.Connect(ctx, r.reader, &r.options)
	if err != nil {
		return err
	}
	defer conn.Close()
	// What was verified here is not for the programs there; Close is the other way round.
	if err := conn.Reset(ctx, apdu.UnpowerCard); err != nil {
		return err
	}
	const patience = 3 * time.Second
	alone := time.AfterFunc(patience, func() {
		r.say("the virtual reader has not taken the card yet; is another card in it?")
	})
	defer alone.Stop()
	taken := func() {
		alone.Stop()
		r.say("the card with ATR % X is in the virtual reader", conn.ATR())
	}
	for {
		alone.Reset(patience)
		err := vpcd.DialAndServe(ctx, r.address, &card{Conn: conn, taken: taken}, nil)
		if e, ok := errors.AsType[*net.OpError](err); !ok || e.Op != "dial" {
			return err
		}
		alone.Stop()
		r.say("%v", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(absence):
		}
	}
}
