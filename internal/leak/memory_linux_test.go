package leak

import (
	"crypto/rand"
	"runtime"
	"testing"
)

func TestSearchMemory(t *testing.T) {
	hidden := make([]byte, 32)
	rand.Read(hidden)
	if n, err := SearchMemory(hidden); err != nil || n != 0 {
		t.Errorf("a secret that nobody has: got %d, %v", n, err)
	}
	secret := Masked(hidden)
	n, err := SearchMemory(hidden)
	runtime.KeepAlive(secret)
	if err != nil || n == 0 {
		t.Errorf("a secret that is kept: got %d, %v", n, err)
	}
}
