package signer

import (
	"context"
	"crypto"
	"crypto/mlkem"
	"fmt"
)

// A Decapsulator is a key of ML-KEM as crypto.Decapsulator, for crypto/hpke and
// others. It is safe for concurrent use.
type Decapsulator struct {
	d   *decapsulating
	ctx context.Context // of WithContext, or nil
}

type decapsulating struct {
	device
	key            Decapsulating
	encapsulator   crypto.Encapsulator
	ciphertextSize int
}

var _ crypto.Decapsulator = (*Decapsulator)(nil)

// NewDecapsulator returns key as crypto.Decapsulator. It refuses a key that is
// neither ML-KEM-768 nor ML-KEM-1024. opts may be nil; Verify and Hash mean nothing
// here.
//
// Nobody notices when the device has another key than the public one, as both sides
// then have secrets that look random: see [Check].
func NewDecapsulator(key Decapsulating, opts *Options) (*Decapsulator, error) {
	d := &decapsulating{device: newDevice(key.Public(), opts), key: key}
	switch pub := d.pub.(type) {
	case *mlkem.EncapsulationKey768:
		d.encapsulator, d.ciphertextSize = pub, mlkem.CiphertextSize768
	case *mlkem.EncapsulationKey1024:
		d.encapsulator, d.ciphertextSize = pub, mlkem.CiphertextSize1024
	default:
		return nil, fmt.Errorf("%w: decapsulation with a key of type %T", ErrUnsupported, d.pub)
	}
	return &Decapsulator{d: d}, nil
}

// WithContext returns a copy of k whose use of the key ends with ctx too, besides
// Options.Context.
func (k *Decapsulator) WithContext(ctx context.Context) *Decapsulator {
	return &Decapsulator{d: k.d, ctx: ctx}
}

// Encapsulator returns the public key, *mlkem.EncapsulationKey768 or
// *mlkem.EncapsulationKey1024.
func (k *Decapsulator) Encapsulator() crypto.Encapsulator { return k.d.encapsulator }

// Decapsulate returns the shared key that ciphertext carries, 32 bytes; the caller
// clears it. A ciphertext of the wrong length gives an error that Is [ErrInvalid].
func (k *Decapsulator) Decapsulate(ciphertext []byte) ([]byte, error) {
	if n := k.d.ciphertextSize; len(ciphertext) != n {
		return nil, fmt.Errorf("%w: a ciphertext of %d bytes is not one of this key, which has %d", ErrInvalid, len(ciphertext), n)
	}
	var shared []byte
	err := k.d.use(k.ctx, Operation{Use: UseDecapsulate, Scheme: MLKEM}, func(ctx context.Context) (err error) {
		shared, err = k.d.key.Decapsulate(ctx, ciphertext)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(shared) != mlkem.SharedKeySize {
		clear(shared)
		return nil, fmt.Errorf("signer: the device's shared key has %d bytes; it must have %d", len(shared), mlkem.SharedKeySize)
	}
	return shared, nil
}
