package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cardoki/cardoki/cryptoki"
)

// The file is a random prefix and chunks that are sealed one by one, so that nothing is
// written that is not authentic, and no file is too large. The nonce of a chunk is the
// prefix, its number, and whether it is the last, so that chunks can't be moved, left out
// or cut off. One key is good for a million files.
const (
	prefixSize = 7
	chunkSize  = 64 << 10
	last       = 1
)

type nonces struct {
	nonce [prefixSize + 4 + 1]byte
	n     uint32
}

// next returns the nonce of the next chunk.
func (n *nonces) next(end bool) ([]byte, error) {
	if n.n == 1<<32-1 {
		return nil, errors.New("the file is too long: 256 TiB are possible")
	}
	binary.BigEndian.PutUint32(n.nonce[prefixSize:], n.n)
	n.n++
	n.nonce[len(n.nonce)-1] = 0
	if end {
		n.nonce[len(n.nonce)-1] = last
	}
	return n.nonce[:], nil
}

func seal(ctx context.Context, aead *cryptoki.AEAD, out io.Writer, in io.Reader) error {
	var n nonces
	rand.Read(n.nonce[:prefixSize])
	if _, err := out.Write(n.nonce[:prefixSize]); err != nil {
		return err
	}
	return chunks(in, chunkSize, func(chunk []byte, end bool) error {
		nonce, err := n.next(end)
		if err != nil {
			return err
		}
		sealed, err := aead.AppendSeal(ctx, nil, nonce, chunk, nil)
		if err == nil {
			_, err = out.Write(sealed)
		}
		return err
	})
}

func open(ctx context.Context, aead *cryptoki.AEAD, out io.Writer, in io.Reader) error {
	var n nonces
	if _, err := io.ReadFull(in, n.nonce[:prefixSize]); err != nil {
		return errors.New("this is no file that was encrypted here")
	}
	return chunks(in, chunkSize+aead.Overhead(), func(chunk []byte, end bool) error {
		nonce, err := n.next(end)
		if err != nil {
			return err
		}
		plain, err := aead.AppendOpen(ctx, nil, nonce, chunk, nil)
		if err == nil {
			_, err = out.Write(plain)
		}
		clear(plain)
		return err
	})
}

// chunks calls f with chunks of the size given; the last may be shorter, even empty.
func chunks(in io.Reader, size int, f func(chunk []byte, end bool) error) error {
	r := bufio.NewReaderSize(in, size)
	chunk := make([]byte, size)
	for {
		n, err := io.ReadFull(r, chunk)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		_, more := r.Peek(1)
		end := err != nil || more == io.EOF
		if err := f(chunk[:n], end); err != nil || end {
			return err
		}
	}
}
