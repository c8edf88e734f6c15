package piv

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/card"
)

// touchTime is how long a key waits for a touch, and how long one is remembered by
// keys whose policy caches it.
const touchTime = 15 * time.Second

// touch waits for a touch where policy wants one, and reports whether the key may be
// used.
func (s *session) touch(ctx context.Context, slot Slot, policy TouchPolicy) bool {
	if policy != TouchPolicyAlways && policy != TouchPolicyCached {
		return true
	}
	if last, ok := s.app.touched[slot]; policy == TouchPolicyCached && ok {
		if age := s.env.Now().Sub(last); age >= 0 && age < touchTime {
			return true
		}
	}
	if s.app.opts.Touch != nil {
		ctx, cancel := context.WithTimeout(ctx, touchTime)
		defer cancel()
		if !s.app.opts.Touch(ctx, slot) {
			return false
		}
	}
	if policy == TouchPolicyCached {
		if s.app.touched == nil {
			s.app.touched = map[Slot]time.Time{}
		}
		s.app.touched[slot] = s.env.Now()
	}
	return true
}

// useKey answers GENERAL AUTHENTICATE with an asymmetric key: signature and
// decryption, which are the same to RSA, and key agreement.
func (s *session) useKey(ctx context.Context, w *card.ResponseWriter, c *apdu.Command, pinFresh bool) apdu.Status {
	slot := Slot(c.P2)
	k := s.app.state.Keys[slot]
	switch {
	case k == nil:
		return apdu.StatusReferencedDataNotFound
	case k.Algorithm != Algorithm(c.P1):
		return apdu.StatusIncorrectP1P2
	case s.contactless() && slot != SlotCardAuthentication:
		return apdu.StatusSecurityStatusNotSatisfied
	}
	d, ok := parseDynamicAuth(c.Data)
	if !ok || d.response == nil || len(d.response) != 0 {
		return apdu.StatusIncorrectParametersInData
	}
	switch k.PINPolicy {
	case PINPolicyNever:
	case PINPolicyAlways:
		if !pinFresh {
			return apdu.StatusSecurityStatusNotSatisfied
		}
	default:
		if !s.pinVerified {
			return apdu.StatusSecurityStatusNotSatisfied
		}
	}
	if !s.touch(ctx, slot, k.TouchPolicy) {
		return apdu.StatusSecurityStatusNotSatisfied
	}
	result, err := k.compute(s.env.Rand, &d)
	if err != nil {
		return apdu.StatusIncorrectParametersInData
	}
	defer clear(result)
	return writeDynamicAuth(w, tagResponse, result)
}

var errInput = errors.New("piv: input does not fit the key")

// compute returns what the private key makes of the challenge or of the other party's
// point.
func (k *key) compute(random io.Reader, d *dynamicAuth) ([]byte, error) {
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		return rawRSA(random, private, d.challenge)
	case *ecdsa.PrivateKey:
		if d.exponentiation == nil {
			return signDigest(random, private, d.challenge)
		}
		own, err := private.ECDH()
		if err != nil {
			return nil, err
		}
		return agree(own, d.exponentiation)
	case ed25519.PrivateKey:
		if len(d.challenge) == 0 {
			return nil, errInput
		}
		return private.Sign(nil, d.challenge, crypto.Hash(0))
	case *ecdh.PrivateKey:
		return agree(private, d.exponentiation)
	}
	return nil, errInput
}

func signDigest(random io.Reader, private *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	if n := (private.Curve.Params().BitSize + 7) / 8; len(digest) == 0 || len(digest) > n {
		return nil, errInput
	}
	return ecdsa.SignASN1(random, private, digest)
}

func agree(own *ecdh.PrivateKey, point []byte) ([]byte, error) {
	peer, err := own.Curve().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	return own.ECDH(peer)
}

// rawRSA computes input^d mod n, as a PIV card does: the padding is the host's.
// crypto/rsa does not offer it. The input is blinded, since math/big does not run
// in constant time, and the result checked, since a faulty one gives the key away.
func rawRSA(random io.Reader, private *rsa.PrivateKey, input []byte) ([]byte, error) {
	n := private.N
	m := new(big.Int).SetBytes(input)
	if len(input) != private.Size() || m.Cmp(n) >= 0 {
		return nil, errInput
	}
	e := big.NewInt(int64(private.E))
	blind, unblind, err := blinding(random, n, e)
	if err != nil {
		return nil, err
	}
	x := new(big.Int).Mul(m, blind)
	x = exponentiate(private, x.Mod(x, n))
	x.Mod(x.Mul(x, unblind), n)
	if new(big.Int).Exp(x, e, n).Cmp(m) != 0 {
		return nil, errors.New("piv: RSA result is faulty")
	}
	return x.FillBytes(make([]byte, private.Size())), nil
}

// exponentiate returns x^d mod n, by way of the two primes (RFC 8017, RSADP).
func exponentiate(private *rsa.PrivateKey, x *big.Int) *big.Int {
	if len(private.Primes) != 2 || private.Precomputed.Dp == nil {
		return new(big.Int).Exp(x, private.D, private.N)
	}
	p, q := private.Primes[0], private.Primes[1]
	m1 := new(big.Int).Exp(x, private.Precomputed.Dp, p)
	m2 := new(big.Int).Exp(x, private.Precomputed.Dq, q)
	h := m1.Sub(m1, m2)
	h.Mod(h.Mul(h, private.Precomputed.Qinv), p)
	return h.Add(h.Mul(h, q), m2)
}

// blinding returns r^e and the inverse of r modulo n, for a random r.
func blinding(random io.Reader, n, e *big.Int) (blind, unblind *big.Int, err error) {
	b := make([]byte, len(n.Bytes())+8)
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, nil, err
		}
		r := new(big.Int).SetBytes(b)
		r.Mod(r, n)
		if unblind = new(big.Int).ModInverse(r, n); unblind != nil {
			return r.Exp(r, e, n), unblind, nil
		}
	}
}
