//go:build cgo

package system_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"

	"github.com/cardoki/cardoki/signer"
)

func agreeRows() []signerRow {
	const section = "Key agreement"
	var rows []signerRow
	for _, key := range []string{"P-256", "P-384", "P-521", "X25519"} {
		rows = append(rows, signerRow{section: section, key: key, name: "ecdh.KeyExchanger", openssl: true, try: (*signerTrial).agrees})
	}
	return append(rows,
		signerRow{section: section, key: "P-224", name: "ecdh.KeyExchanger", try: (*signerTrial).agrees},
		signerRow{section: section, key: "P-256", name: "ecdh.KeyExchanger, a peer on another curve", try: func(x *signerTrial) error {
			k, err := x.exchanger(nil)
			if err != nil {
				return err
			}
			_, err = k.ECDH(x25519TestKey().PublicKey())
			return err
		}},
		signerRow{section: section, key: "X25519", name: "ecdh.KeyExchanger, a peer of low order", try: func(x *signerTrial) error {
			k, err := x.exchanger(nil)
			if err != nil {
				return err
			}
			zero, err := ecdh.X25519().NewPublicKey(make([]byte, 32))
			if err != nil {
				x.t.Fatal(err)
			}
			secret, err := k.ECDH(zero)
			if err == nil || secret != nil {
				return wrong("a secret of %d bytes, error %v", len(secret), err)
			}
			return err
		}})
}

// exchanger returns the row's key for key agreement.
func (x *signerTrial) exchanger(opts *signer.Options) (*signer.KeyExchanger, error) {
	key, err := x.signerKey()
	if err != nil {
		return nil, err
	}
	k, ok := key.(signer.Agreeing)
	if !ok {
		return nil, wrong("a key of type %T", key)
	}
	return signer.NewKeyExchanger(k, opts)
}

// agrees agrees on a secret with the standard library, and with openssl.
func (x *signerTrial) agrees() error {
	k, err := x.exchanger(nil)
	if err != nil {
		return err
	}
	own, ok := signerTestKeys()[x.row.key].(*ecdh.PrivateKey)
	if !ok {
		if own, err = signerTestKeys()[x.row.key].(*ecdsa.PrivateKey).ECDH(); err != nil {
			x.t.Fatal(err)
		}
	}
	if !k.PublicKey().Equal(own.PublicKey()) {
		return wrong("another public key")
	}
	peer, err := k.Curve().GenerateKey(rand.Reader)
	if err != nil {
		x.t.Fatal(err)
	}
	want, err := peer.ECDH(k.PublicKey())
	if err != nil {
		x.t.Fatal(err)
	}
	got, err := k.ECDH(peer.PublicKey())
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return wrong("another secret")
	}
	if x.row.openssl {
		if want, err = x.opensslAgrees(peer, k.PublicKey()); err != nil || !bytes.Equal(got, want) {
			return wrong("openssl has another secret, or error %v", err)
		}
	}
	return nil
}

func kemRows() []signerRow {
	const section = "ML-KEM"
	var rows []signerRow
	for _, key := range []string{"ML-KEM-768", "ML-KEM-1024"} {
		rows = append(rows,
			signerRow{section: section, key: key, name: "crypto.Decapsulator", try: (*signerTrial).decapsulates},
			signerRow{section: section, key: key, name: "crypto.Decapsulator, a changed ciphertext gives another secret", try: (*signerTrial).decapsulatesChanged},
			signerRow{section: section, key: key, name: "crypto.Decapsulator, a ciphertext that is too short", try: func(x *signerTrial) error {
				k, err := x.decapsulator()
				if err != nil {
					return err
				}
				_, err = k.Decapsulate(make([]byte, 100))
				return err
			}})
	}
	return rows
}

func (x *signerTrial) decapsulator() (*signer.Decapsulator, error) {
	key, err := x.get(x.ctx, x.row.key)
	if err != nil {
		return nil, err
	}
	k, ok := key.(signer.Decapsulating)
	if !ok {
		return nil, wrong("a key of type %T", key)
	}
	return signer.NewDecapsulator(k, nil)
}

func (x *signerTrial) decapsulates() error {
	k, err := x.decapsulator()
	if err != nil {
		return err
	}
	want, ciphertext := k.Encapsulator().Encapsulate()
	got, err := k.Decapsulate(ciphertext)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return wrong("another secret")
	}
	return nil
}

func (x *signerTrial) decapsulatesChanged() error {
	k, err := x.decapsulator()
	if err != nil {
		return err
	}
	secret, ciphertext := k.Encapsulator().Encapsulate()
	ciphertext[7] ^= 1
	got, err := k.Decapsulate(ciphertext)
	if err != nil {
		return err
	}
	if len(got) != len(secret) || bytes.Equal(got, secret) {
		return wrong("the secret of the ciphertext as it was")
	}
	return nil
}
