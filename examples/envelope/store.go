package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cardoki/cardoki/cryptoki"
)

// A store has the data keys, each wrapped by the master key. Its file is no secret.
type store struct {
	pool *cryptoki.Pool
	file string

	// Master is the number of the master key.
	Master int
	Keys   map[string][]byte // by name: nonce, then the key as the master key seals it
}

func (s *store) load() error {
	b, err := os.ReadFile(s.file)
	if err == nil {
		err = json.Unmarshal(b, s)
	}
	return err
}

// save replaces the file at once, so that a crash leaves the old or the new one.
func (s *store) save() error {
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.file+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.file)
}

func label(master int) string { return fmt.Sprintf("master key %d", master) }

func (s *store) create(ctx context.Context) error {
	if _, err := os.Stat(s.file); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already", s.file)
	}
	s.Master = 1
	if err := s.newMaster(ctx, 1); err != nil {
		return err
	}
	return s.save()
}

// newMaster generates a master key on the token, where it stays. One that an earlier try
// has left is used.
func (s *store) newMaster(ctx context.Context, n int) error {
	_, err := s.pool.SecretKey(ctx, cryptoki.KeyQuery{Label: label(n)})
	if !errors.Is(err, cryptoki.ErrNotFound) {
		return err
	}
	return s.pool.Do(ctx, func(session *cryptoki.Session) error {
		_, err := session.GenerateSecretKey(ctx, &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, Size: 32, Label: label(n), ID: []byte(label(n)), Encrypt: true, Decrypt: true})
		return err
	})
}

func (s *store) master(ctx context.Context, n int) (*cryptoki.AEAD, error) {
	key, err := s.pool.SecretKey(ctx, cryptoki.KeyQuery{Label: label(n)})
	if err != nil {
		return nil, err
	}
	return key.AEAD(nil)
}

// dataKey returns the data key of the name, for use in Go. It makes one if there is none and
// make says so.
func (s *store) dataKey(ctx context.Context, name string, make bool) (cipher.AEAD, error) {
	master, err := s.master(ctx, s.Master)
	if err != nil {
		return nil, err
	}
	var key []byte
	defer func() { clear(key) }()
	if wrapped, there := s.Keys[name]; there {
		if key, err = unwrap(ctx, master, name, wrapped); err != nil {
			return nil, err
		}
	} else if !make {
		return nil, fmt.Errorf("there is no data key %q", name)
	} else {
		key = append(key, random(32)...)
		wrapped, err := wrap(ctx, master, name, key)
		if err != nil {
			return nil, err
		}
		if s.Keys == nil {
			s.Keys = map[string][]byte{}
		}
		s.Keys[name] = wrapped
		if err := s.save(); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// rotate makes another master key and wraps all data keys by it. The old one stays on the
// token, for copies of the old file.
func (s *store) rotate(ctx context.Context) error {
	old, err := s.master(ctx, s.Master)
	if err != nil {
		return err
	}
	if err := s.newMaster(ctx, s.Master+1); err != nil {
		return err
	}
	master, err := s.master(ctx, s.Master+1)
	if err != nil {
		return err
	}
	keys := map[string][]byte{}
	for name, wrapped := range s.Keys {
		key, err := unwrap(ctx, old, name, wrapped)
		if err == nil {
			keys[name], err = wrap(ctx, master, name, key)
		}
		clear(key)
		if err != nil {
			return fmt.Errorf("data key %q: %w", name, err)
		}
	}
	s.Keys, s.Master = keys, s.Master+1
	return s.save()
}

func wrap(ctx context.Context, master *cryptoki.AEAD, name string, key []byte) ([]byte, error) {
	nonce := random(master.NonceSize())
	return master.AppendSeal(ctx, nonce, nonce, key, []byte(name))
}

func unwrap(ctx context.Context, master *cryptoki.AEAD, name string, wrapped []byte) ([]byte, error) {
	n := master.NonceSize()
	if len(wrapped) < n {
		return nil, cryptoki.ErrOpen
	}
	return master.AppendOpen(ctx, nil, wrapped[:n], wrapped[n:], []byte(name))
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
