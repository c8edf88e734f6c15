package card

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testStore(t *testing.T, s Store) {
	t.Helper()
	if _, err := s.Load("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	data := []byte("one")
	if err := s.Commit("a", data); err != nil {
		t.Fatal(err)
	}
	data[0] = 'X'
	got, err := s.Load("a")
	if err != nil || string(got) != "one" {
		t.Errorf("got %q, %v; want one", got, err)
	}
	got[0] = 'Y'
	if got, _ := s.Load("a"); string(got) != "one" {
		t.Errorf("got %q, want one", got)
	}
	p := prefixed(s, "A000")
	if _, err := p.Load("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another application's part: got %v, want ErrNotExist", err)
	}
	if err := p.Commit("a", []byte("two")); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Load("a"); string(got) != "one" {
		t.Errorf("got %q, want one", got)
	}
}

func TestMemoryStore(t *testing.T) { testStore(t, NewMemoryStore()) }

func TestFileStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "card.json")
	s, err := OpenFileStore(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	testStore(t, s)
	again, err := OpenFileStore(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := prefixed(again, "A000").Load("a"); err != nil || string(got) != "two" {
		t.Errorf("after opening again: got %q, %v; want two", got, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("got %d files in the folder, want 1", len(left))
	}
}

func TestFileStoreKeepsTheOldStateWhenACommitFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "card.json")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := OpenFileStore(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("a", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Dir(path), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("a", []byte("new")); err == nil {
		t.Fatal("got nil, want an error: the folder is gone")
	}
	if got, _ := s.Load("a"); string(got) != "old" {
		t.Errorf("got %q, want old", got)
	}
}

func TestOpenFileStoreRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, content string
		mode          fs.FileMode
		want          string
	}{
		{"what is not JSON", "PK\x03\x04", 0o600, "is not a card's state"},
		{"another format", `{"format":"other 1"}`, 0o600, "is not a card's state"},
		{"an empty file", "", 0o600, "is not a card's state"},
		{"a file that others can read", `{"format":"cardoki card state 1"}`, 0o644, "chmod 600"},
	} {
		path := filepath.Join(t.TempDir(), "card.json")
		if err := os.WriteFile(path, []byte(tt.content), tt.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFileStore(path, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error that says %q", tt.name, err, tt.want)
		}
	}
	if _, err := OpenFileStore(t.TempDir(), nil); err == nil {
		t.Error("a folder: got nil, want an error")
	}
}

func TestFileStoreThatIsEncrypted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "card.json")
	key := &FileStoreOptions{Key: bytes.Repeat([]byte{1}, 32)}
	s, err := OpenFileStore(path, key)
	if err != nil {
		t.Fatal(err)
	}
	testStore(t, s)
	if err := s.Commit("secret", []byte("attack at dawn")); err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, needle := range []string{"attack", base64.StdEncoding.EncodeToString([]byte("attack at dawn")), "secret", "A000"} {
		if bytes.Contains(one, []byte(needle)) {
			t.Errorf("%q is in the file", needle)
		}
	}
	again, err := OpenFileStore(path, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Load("secret"); err != nil || string(got) != "attack at dawn" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := again.Commit("secret", []byte("attack at dawn")); err != nil {
		t.Fatal(err)
	}
	if two, _ := os.ReadFile(path); bytes.Equal(one, two) {
		t.Error("the same file twice: the nonce is not new")
	}
	for name, opts := range map[string]*FileStoreOptions{"no key": nil, "another key": {Key: bytes.Repeat([]byte{2}, 32)}} {
		if _, err := OpenFileStore(path, opts); !errors.Is(err, ErrFileKey) {
			t.Errorf("%s: got %v, want ErrFileKey", name, err)
		}
	}
	if _, err := OpenFileStore(path, &FileStoreOptions{Key: make([]byte, 31)}); err == nil {
		t.Error("a key of 31 bytes: got nil, want an error")
	}
	content := string(one)
	at := strings.Index(content, `"sealed": "`) + len(`"sealed": "`) + 20
	changed := []byte(content[:at] + string(content[at]^1) + content[at+1:])
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileStore(path, key); err == nil {
		t.Error("a changed file: got nil, want an error")
	}
	if err := os.WriteFile(path, []byte(`{"format":"cardoki card state 1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileStore(path, key); !errors.Is(err, ErrFileKey) {
		t.Errorf("a file that is not encrypted: got %v, want ErrFileKey", err)
	}
}
