package main

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cardoki/cardoki/iso7816/piv"
)

// A sealed file is magic, the length of the encapsulated key in two bytes, that key, and
// blocks: each is encrypted with its number as nonce, and a mark in it on the last, so that
// none can be left out, put elsewhere or cut off.
const (
	magic     = "cardoki envelope 1\n"
	blockSize = 64 << 10
	keySize   = 32
	maxHeader = 1024
)

var errEnvelope = errors.New("this is no envelope, or it was changed")

// encapsulate returns a new key, and what its holder needs to get it.
func encapsulate(public crypto.PublicKey) (key, header []byte, err error) {
	switch pub := public.(type) {
	case *rsa.PublicKey:
		key = make([]byte, keySize)
		rand.Read(key)
		header, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, key, []byte(magic))
		return key, header, err
	case *ecdsa.PublicKey:
		point, err := pub.ECDH()
		if err != nil {
			return nil, nil, err
		}
		return encapsulate(point)
	case *ecdh.PublicKey:
		ephemeral, err := pub.Curve().GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		secret, err := ephemeral.ECDH(pub)
		if err != nil {
			return nil, nil, err
		}
		header = ephemeral.PublicKey().Bytes()
		key, err = derive(secret, header, pub)
		return key, header, err
	}
	return nil, nil, fmt.Errorf("a key of type %T can't be encrypted to", public)
}

// decapsulate lets the card get the key.
func decapsulate(ctx context.Context, key *piv.Key, header []byte) ([]byte, error) {
	var own *ecdh.PublicKey
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		return key.Decrypt(ctx, header, &rsa.OAEPOptions{Hash: crypto.SHA256, Label: []byte(magic)})
	case *ecdsa.PublicKey:
		var err error
		if own, err = pub.ECDH(); err != nil {
			return nil, err
		}
	case *ecdh.PublicKey:
		own = pub
	default:
		return nil, fmt.Errorf("a key of %v decrypts nothing", key.Algorithm())
	}
	ephemeral, err := own.Curve().NewPublicKey(header)
	if err != nil {
		return nil, errEnvelope
	}
	secret, err := key.ECDH(ctx, ephemeral)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return derive(secret, header, own)
}

// derive makes a key of the secret that was agreed, bound to both public keys.
func derive(secret, ephemeral []byte, recipient *ecdh.PublicKey) ([]byte, error) {
	info := magic + string(ephemeral) + string(recipient.Bytes())
	return hkdf.Key(sha256.New, secret, nil, info, keySize)
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// nonce is that of block n.
func nonce(n uint64, last bool) []byte {
	b := make([]byte, 12)
	binary.BigEndian.PutUint64(b[3:], n)
	if last {
		b[11] = 1
	}
	return b
}

// blocks calls f with what r holds, in blocks of size bytes but for the last.
func blocks(r io.Reader, size int, f func(n uint64, block []byte, last bool) error) error {
	block, next := make([]byte, size), make([]byte, size)
	have, err := io.ReadFull(r, block)
	for n := uint64(0); ; n++ {
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		more := 0
		if err == nil {
			more, err = io.ReadFull(r, next)
		}
		if err := f(n, block[:have], more == 0); err != nil || more == 0 {
			return err
		}
		block, next, have = next, block, more
	}
}

// seal encrypts what r holds to the holder of the private key.
func seal(w io.Writer, r io.Reader, public crypto.PublicKey) error {
	key, header, err := encapsulate(public)
	if err != nil {
		return err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	head := append([]byte(magic), byte(len(header)>>8), byte(len(header)))
	if _, err := w.Write(append(head, header...)); err != nil {
		return err
	}
	return blocks(r, blockSize, func(n uint64, block []byte, last bool) error {
		_, err := w.Write(aead.Seal(nil, nonce(n, last), block, nil))
		return err
	})
}

// unseal decrypts what seal wrote. What it has written when it fails is true, and not all.
func unseal(ctx context.Context, w io.Writer, r io.Reader, key *piv.Key) error {
	head := make([]byte, len(magic)+2)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(magic)]) != magic {
		return errEnvelope
	}
	size := int(binary.BigEndian.Uint16(head[len(magic):]))
	if size > maxHeader {
		return errEnvelope
	}
	header := make([]byte, size)
	if _, err := io.ReadFull(r, header); err != nil {
		return errEnvelope
	}
	fileKey, err := decapsulate(ctx, key, header)
	if err != nil {
		return err
	}
	defer clear(fileKey)
	aead, err := newAEAD(fileKey)
	if err != nil {
		return errEnvelope
	}
	return blocks(r, blockSize+aead.Overhead(), func(n uint64, block []byte, last bool) error {
		plain, err := aead.Open(nil, nonce(n, last), block, nil)
		if err != nil {
			return errEnvelope
		}
		_, err = w.Write(plain)
		return err
	})
}
