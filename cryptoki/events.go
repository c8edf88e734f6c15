package cryptoki

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/cardoki/cardoki/internal/ck"
)

// A SlotEvent is a token that came or went.
type SlotEvent struct {
	Slot    *Slot
	Present bool      // the token is there
	Token   TokenInfo // then: what it says of itself; zero if that could not be read
}

// eventInterval is how often Events looks.
const eventInterval = 250 * time.Millisecond

// Events iterates over the tokens that there are now, and then over those that come and go, until
// ctx ends; its error, or the one that made looking impossible, is the last that comes.
//
// The slots are looked at four times a second; C_WaitForSlotEvent is asked without waiting, as a
// wait in it can't be ended, and tells of a token that was away only for a moment. A token that was
// swapped for another, or initialised anew, goes and comes. Errors of a module that may pass,
// such as those of a daemon that is restarted, are waited out.
func (m *Module) Events(ctx context.Context) iter.Seq2[SlotEvent, error] {
	return func(yield func(SlotEvent, error) bool) {
		known := map[SlotID]TokenInfo{}
		t := time.NewTicker(eventInterval)
		defer t.Stop()
		for {
			moved, err := m.moved(ctx)
			var slots []*Slot
			if err == nil {
				slots, err = m.slotsWithTokens(ctx)
			}
			switch {
			case err != nil && (ctx.Err() != nil || troubleOf(err) == 0):
				yield(SlotEvent{}, err)
				return
			case err == nil && !m.changes(ctx, known, slots, moved, yield):
				return
			}
			select {
			case <-t.C:
			case <-ctx.Done():
				yield(SlotEvent{}, ctx.Err())
				return
			}
		}
	}
}

// changes tells what is different in slots from what is known, and remembers it. It reports
// whether there are to be more.
func (m *Module) changes(ctx context.Context, known map[SlotID]TokenInfo, slots []*Slot, moved []SlotID, yield func(SlotEvent, error) bool) bool {
	now := map[SlotID]TokenInfo{}
	for _, s := range slots {
		info, err := m.tokenOf(ctx, s)
		if err != nil && ctx.Err() != nil {
			return true // which the caller sees
		}
		now[s.id] = info
	}
	same := func(id SlotID) bool {
		a, was := known[id]
		b, is := now[id]
		return was && is && a.Serial == b.Serial && a.Label == b.Label && !slices.Contains(moved, id)
	}
	for _, id := range sorted(known) {
		if !same(id) && !yield(SlotEvent{Slot: &Slot{m: m, id: id}}, nil) {
			return false
		}
	}
	for _, id := range sorted(now) {
		if !same(id) && !yield(SlotEvent{Slot: &Slot{m: m, id: id}, Present: true, Token: now[id]}, nil) {
			return false
		}
	}
	clear(known)
	for id, info := range now {
		known[id] = info
	}
	return true
}

func sorted(m map[SlotID]TokenInfo) []SlotID {
	var ids []SlotID
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// ask calls f with a session that is not open, for calls that need none.
func (m *Module) ask(slot SlotID, f func(*Session) error) error {
	s, err := m.newSession(slot, false, asking{})
	if err != nil {
		return err
	}
	defer s.discard()
	return f(s)
}

// asking owns sessions that are never open.
type asking struct{}

func (asking) abandoned(*Session) {}
func (asking) gone(*Session)      {}

func (m *Module) tokenOf(ctx context.Context, slot *Slot) (t TokenInfo, err error) {
	err = m.ask(slot.id, func(s *Session) error {
		t, err = s.tokenInfo(ctx)
		return err
	})
	return t, err
}

func (m *Module) slotsWithTokens(ctx context.Context) (slots []*Slot, err error) {
	err = m.ask(0, func(s *Session) error {
		ids, err := s.slotList(ctx)
		for _, id := range ids {
			slots = append(slots, &Slot{m: m, id: SlotID(id)})
		}
		return err
	})
	return slots, err
}

// moved returns the slots of which the module says that something happened there.
func (m *Module) moved(ctx context.Context) (slots []SlotID, err error) {
	const most = 64 // events at once
	err = m.ask(0, func(s *Session) error {
		for range most {
			if err := s.begin(ctx); err != nil {
				return err
			}
			if err := s.run(ctx, (*Session).callSlotEvent); err != nil {
				return err
			}
			slot, rv := s.object, s.res.RV
			s.end()
			if rv != ck.RV(CKR_OK) {
				return nil // there is none, or the module does not tell
			}
			slots = append(slots, SlotID(slot))
		}
		return nil
	})
	return slots, err
}

func (s *Session) callSlotEvent() {
	slot, rv := s.fl.WaitForSlotEvent()
	s.object = slot
	s.step(rv, ck.WaitForSlotEvent)
}
