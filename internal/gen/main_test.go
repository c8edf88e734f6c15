package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cardoki/cardoki/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestCommittedTablesAreWhatTheGeneratorWrites(t *testing.T) {
	files, err := generate("testdata/pkcs11-numbers.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("the generator wrote nothing")
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what the generator writes; run make generate", name)
		}
	}
}

func TestNumbersFitAnUlongOfFourBytes(t *testing.T) {
	for _, tt := range []struct {
		value uint64
		want  string
	}{
		{0, "0x00000000"},
		{1<<32 - 1, "0xFFFFFFFF"},
		{1<<64 - 1, "^uint(0)"},
		{1<<64 - 2, "^uint(0x1)"},
	} {
		if got := value("uint", tt.value); got != tt.want {
			t.Errorf("value(%#x): got %s, want %s", tt.value, got, tt.want)
		}
	}
}
