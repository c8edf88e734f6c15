package card

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
)

// keeper keeps one byte in the store, and in memory: INS 20 stores P1, INS 22 returns
// it.
type keeper struct {
	value  byte
	loaded bool
	lost   int
}

func (k *keeper) AID() iso7816.AID { return aidA }
func (k *keeper) PowerOff()        { k.loaded, k.lost = false, k.lost+1 }

func (k *keeper) Open(env *Env) (Session, error) {
	if !k.loaded {
		k.value = 0
		if b, err := env.Store.Load("value"); err == nil {
			k.value = b[0]
		}
		k.loaded = true
	}
	return &keeping{k, env.Store}, nil
}

type keeping struct {
	k     *keeper
	store Store
}

func (*keeping) Select(*ResponseWriter) apdu.Status { return apdu.StatusOK }
func (*keeping) Close()                             {}

func (s *keeping) ServeAPDU(_ context.Context, w *ResponseWriter, c *apdu.Command) apdu.Status {
	switch c.Instruction {
	case 0x20:
		if s.store.Commit("value", []byte{c.P1}) != nil {
			return apdu.StatusMemoryFailure
		}
		s.k.value = c.P1
		return apdu.StatusOK
	case 0x22:
		w.Write([]byte{s.k.value})
		return apdu.StatusOK
	}
	return apdu.StatusInstructionNotSupported
}

func TestSnapshot(t *testing.T) {
	file, err := OpenFileStore(filepath.Join(t.TempDir(), "card.json"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]Store{"memory": nil, "file": file} {
		t.Run(name, func(t *testing.T) {
			k := &keeper{}
			c := New(&Options{Store: store}, k)
			dialogue(t, c, selectA, "9000", "00200700", "9000", "0022000001", "079000")
			s, err := c.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			dialogue(t, c, "00200800", "9000", "0022000001", "089000")
			if err := c.Restore(s); err != nil {
				t.Fatal(err)
			}
			dialogue(t, c, "0022000001", "6985", selectA, "9000", "0022000001", "079000", "00200900", "9000")
			if err := c.Restore(s); err != nil {
				t.Fatal(err)
			}
			dialogue(t, c, selectA, "9000", "0022000001", "079000")
			other := New(nil, &keeper{})
			if err := other.Restore(s); err != nil {
				t.Fatal(err)
			}
			dialogue(t, other, selectA, "9000", "0022000001", "079000")
			if store == nil {
				return
			}
			again, err := OpenFileStore(file.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			dialogue(t, New(&Options{Store: again}, &keeper{}), selectA, "9000", "0022000001", "079000")
		})
	}
}

// barren is a Store that has no snapshots.
type barren struct{ s Store }

func (b barren) Load(name string) ([]byte, error)      { return b.s.Load(name) }
func (b barren) Commit(name string, data []byte) error { return b.s.Commit(name, data) }

func TestSnapshotOfAnotherStore(t *testing.T) {
	c := New(&Options{Store: barren{NewMemoryStore()}}, &keeper{})
	if _, err := c.Snapshot(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	dialogue(t, c, selectA, "9000")
	if err := c.Restore(&Snapshot{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	dialogue(t, c, "0022000001", "009000") // as it was
}

func TestPowerOffTellsApplications(t *testing.T) {
	k := &keeper{}
	c := New(nil, k)
	c.PowerOff()
	c.PowerOn()
	c.Reset()
	if k.lost != 2 {
		t.Errorf("got %d, want 2", k.lost)
	}
}
