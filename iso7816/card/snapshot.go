package card

import (
	"errors"
	"fmt"
	"maps"
)

// A Snapshot is the lasting state of a card at some moment. It holds every key and
// PIN, and prints none of them.
type Snapshot struct{ values map[string][]byte }

// Format implements [fmt.Formatter].
func (*Snapshot) Format(f fmt.State, _ rune) { f.Write([]byte("[card snapshot]")) }

// A SnapshotStore is a [Store] whose whole content can be taken, and put back all
// or nothing. Those of this package are.
type SnapshotStore interface {
	Store
	Snapshot() *Snapshot
	Restore(*Snapshot) error
}

var (
	_ SnapshotStore = (*MemoryStore)(nil)
	_ SnapshotStore = (*FileStore)(nil)
)

// Snapshot returns the lasting state of the card, for [Card.Restore] of this card or
// of another one with the same applications. It waits for a command under way. The
// error Is [errors.ErrUnsupported] when the card's store is no [SnapshotStore].
func (c *Card) Snapshot() (*Snapshot, error) {
	s, ok := c.opts.Store.(SnapshotStore)
	if !ok {
		return nil, fmt.Errorf("card: snapshot: %w by a %T", errors.ErrUnsupported, c.opts.Store)
	}
	<-c.lock
	defer func() { c.lock <- struct{}{} }()
	return s.Snapshot(), nil
}

// Restore puts the lasting state back, and resets the card: selections and security
// status are gone. After an error the state is as it was, and the card was reset.
func (c *Card) Restore(snapshot *Snapshot) error {
	s, ok := c.opts.Store.(SnapshotStore)
	if !ok {
		return fmt.Errorf("card: restore: %w by a %T", errors.ErrUnsupported, c.opts.Store)
	}
	<-c.lock
	defer func() { c.lock <- struct{}{} }()
	err := s.Restore(snapshot)
	c.forget()
	return err
}

// Snapshot implements [SnapshotStore].
func (s *MemoryStore) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Snapshot{maps.Clone(s.values)} // values are never modified
}

// Restore implements [SnapshotStore]. It never returns an error.
func (s *MemoryStore) Restore(snapshot *Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = maps.Clone(snapshot.values)
	return nil
}

// Snapshot implements [SnapshotStore].
func (s *FileStore) Snapshot() *Snapshot { return s.mem.Snapshot() }

// Restore implements [SnapshotStore]: the file is replaced as by Commit.
func (s *FileStore) Restore(snapshot *Snapshot) error {
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	return s.replace(maps.Clone(snapshot.values))
}
