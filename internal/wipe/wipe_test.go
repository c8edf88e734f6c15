package wipe

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"testing"

	"github.com/cardoki/cardoki/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestBlock(t *testing.T) {
	for name, f := range map[string]func() (cipher.Block, error){
		"AES-128":    func() (cipher.Block, error) { return aes.NewCipher(bytes.Repeat([]byte{7}, 16)) },
		"AES-192":    func() (cipher.Block, error) { return aes.NewCipher(bytes.Repeat([]byte{7}, 24)) },
		"AES-256":    func() (cipher.Block, error) { return aes.NewCipher(bytes.Repeat([]byte{7}, 32)) },
		"triple DES": func() (cipher.Block, error) { return des.NewTripleDESCipher(bytes.Repeat([]byte{7}, 24)) },
	} {
		one, err := f()
		if err != nil {
			t.Fatal(err)
		}
		other, err := f()
		if err != nil {
			t.Fatal(err)
		}
		if !Block(one) {
			t.Errorf("%s: not wiped", name)
		}
		in := make([]byte, other.BlockSize())
		want, got := make([]byte, len(in)), make([]byte, len(in))
		other.Encrypt(want, in)
		again, _ := f()
		again.Encrypt(got, in)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: another cipher of the same key was touched", name)
		}
		func() {
			defer func() { recover() }() // without rounds it may refuse
			one.Encrypt(got, in)
			if bytes.Equal(got, want) {
				t.Errorf("%s: the key is still there", name)
			}
		}()
	}
}

// pointers is a cipher that holds a pointer.
type pointers struct {
	cipher.Block
	n *int
}

func TestBlockLeavesOthersAlone(t *testing.T) {
	n := 1
	for _, b := range []cipher.Block{nil, pointers{}, &pointers{n: &n}, (*pointers)(nil)} {
		if Block(b) {
			t.Errorf("%T was wiped", b)
		}
	}
}
