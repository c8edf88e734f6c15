package card

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A Store keeps what must survive power off: named values. Its methods are called
// by one goroutine at a time, except that a Store used by two cards at once must
// be safe for concurrent use; those of this package are.
type Store interface {
	// Load returns the value last committed under name, or an error that Is
	// [fs.ErrNotExist]. The caller may keep and modify it.
	Load(name string) ([]byte, error)
	// Commit replaces the value under name, all or nothing: after an error, or a
	// crash at any moment, Load returns the old value or the new one. It does not
	// keep data.
	Commit(name string, data []byte) error
}

// prefixed returns the part of s whose names begin with the given word.
func prefixed(s Store, prefix string) Store { return part{s, prefix + "/"} }

type part struct {
	Store
	prefix string
}

func (p part) Load(name string) ([]byte, error)      { return p.Store.Load(p.prefix + name) }
func (p part) Commit(name string, data []byte) error { return p.Store.Commit(p.prefix+name, data) }

// A MemoryStore is a [Store] that lives as long as the program. Two cards, one
// after the other, on the same MemoryStore are the same card before and after a
// power cut.
type MemoryStore struct {
	mu     sync.Mutex
	values map[string][]byte
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{values: map[string][]byte{}} }

// Load implements [Store].
func (s *MemoryStore) Load(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[name]
	if !ok {
		return nil, fmt.Errorf("card: load %q: %w", name, fs.ErrNotExist)
	}
	return append([]byte(nil), v...), nil
}

// Commit implements [Store].
func (s *MemoryStore) Commit(name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[name] = append([]byte(nil), data...)
	return nil
}

// A FileStore is a [Store] in one file, which is made with mode 0600. Whoever can read
// it has every key and PIN of the card, unless it is encrypted. One program at a time may
// use it.
type FileStore struct {
	path string
	mem  *MemoryStore
	seal cipher.AEAD // nil: the file is not encrypted
}

// FileStoreOptions are settings of [OpenFileStore]. The zero value, and a nil pointer,
// are a file that is not encrypted.
type FileStoreOptions struct {
	// Key encrypts the file, by AES-256-GCM with a new nonce for each commit: 32 random
	// bytes, or what a key derivation function makes of a passphrase. It is not kept or
	// cleared; the key schedule stays in memory as long as the store. Nobody notices when
	// the whole file is put back to an earlier one.
	Key []byte
}

// The formats name a file's content. Values and what is sealed are in base64.
const (
	fileFormat   = "cardoki card state 1"
	sealedFormat = "cardoki card state 1, AES-256-GCM"
)

type fileContent struct {
	Format string            `json:"format"`
	Values map[string][]byte `json:"values,omitempty"`
	Sealed []byte            `json:"sealed,omitempty"` // nonce and encrypted values in JSON
}

// ErrFileKey reports a file that is encrypted, under another key or when none was given,
// or that is not when one was.
var ErrFileKey = errors.New("the file is encrypted under another key, or was changed")

// OpenFileStore returns the store in the file at path. A file that is not there
// is made by the first commit. What a commit left that was cut short by a crash is
// removed. It refuses a file that other users can read, or that is not a card's state,
// or that the key does not fit: [ErrFileKey]. opts may be nil.
func OpenFileStore(path string, opts *FileStoreOptions) (*FileStore, error) {
	s := &FileStore{path: path, mem: NewMemoryStore()}
	if opts != nil && opts.Key != nil {
		if len(opts.Key) != 32 {
			return nil, fmt.Errorf("card: open state: a key of %d bytes, not 32", len(opts.Key))
		}
		block, err := aes.NewCipher(opts.Key)
		if err != nil {
			return nil, fmt.Errorf("card: open state: %w", err)
		}
		if s.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("card: open state: %w", err)
		}
	}
	removeLeftovers(path)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("card: open state: %w", err)
	}
	if readableByOthers(info) {
		return nil, fmt.Errorf("card: state file %s can be read by other users (mode %v) and holds private keys; run chmod 600 on it", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("card: open state: %w", err)
	}
	defer clear(b)
	if s.mem.values, err = s.decode(b); err != nil {
		return nil, fmt.Errorf("card: state file %s: %w", path, err)
	}
	return s, nil
}

// decode returns the values in a file.
func (s *FileStore) decode(b []byte) (map[string][]byte, error) {
	var c fileContent
	if err := json.Unmarshal(b, &c); err != nil || c.Format != fileFormat && c.Format != sealedFormat {
		return nil, fmt.Errorf("it is not a card's state (its format is not %q)", fileFormat)
	}
	values := map[string][]byte{}
	switch {
	case (c.Format == sealedFormat) != (s.seal != nil):
		if s.seal != nil {
			return nil, fmt.Errorf("%w: it is not encrypted", ErrFileKey)
		}
		return nil, fmt.Errorf("%w: give its key", ErrFileKey)
	case s.seal == nil:
		maps.Copy(values, c.Values)
		return values, nil
	}
	plain, err := s.seal.Open(nil, nil, c.Sealed, []byte(sealedFormat))
	if err != nil {
		return nil, ErrFileKey
	}
	defer clear(plain)
	if err := json.Unmarshal(plain, &values); err != nil {
		return nil, ErrFileKey
	}
	return values, nil
}

// encode returns the file that holds values.
func (s *FileStore) encode(values map[string][]byte) ([]byte, error) {
	c := fileContent{Format: fileFormat, Values: values}
	if s.seal != nil {
		plain, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		defer clear(plain)
		c = fileContent{Format: sealedFormat, Sealed: s.seal.Seal(nil, nil, plain, []byte(sealedFormat))}
	}
	return json.MarshalIndent(c, "", "\t")
}

// Load implements [Store].
func (s *FileStore) Load(name string) ([]byte, error) { return s.mem.Load(name) }

// Commit implements [Store]: it writes a new file beside the old one, makes sure
// that it is on the disk, and puts it in its place.
func (s *FileStore) Commit(name string, data []byte) error {
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	next := maps.Clone(s.mem.values)
	next[name] = append([]byte(nil), data...)
	return s.replace(next)
}

// replace makes values the content of the file and, if that succeeded, of s.
func (s *FileStore) replace(values map[string][]byte) error {
	b, err := s.encode(values)
	if err != nil {
		return fmt.Errorf("card: commit state: %w", err)
	}
	defer clear(b)
	if err := replaceFile(s.path, b); err != nil {
		return fmt.Errorf("card: commit state: %w", err)
	}
	s.mem.values = values
	return nil
}

// temporary returns the folder in which the next content of path is written, and how
// the name of that file begins; digits follow.
func temporary(path string) (dir, prefix string) {
	return filepath.Dir(path), "." + strings.TrimPrefix(filepath.Base(path), ".") + ".new-"
}

// removeLeftovers removes what commits that did not come to their end left beside path:
// it may hold keys.
func removeLeftovers(path string) {
	dir, prefix := temporary(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // OpenFileStore will say so
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), prefix)
		if ok && digits != "" && e.Type().IsRegular() && strings.Trim(digits, "0123456789") == "" {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

func replaceFile(path string, b []byte) (err error) {
	dir, prefix := temporary(path)
	f, err := os.CreateTemp(dir, prefix+"*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(b); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil {
		d.Sync() // not all systems can; the rename itself is atomic
		d.Close()
	}
	return nil
}
