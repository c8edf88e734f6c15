package piv

import (
	"context"
	"crypto"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// benchKey returns a key in slot 9E of a card in memory.
func benchKey(b testing.TB, a Algorithm) *Key {
	b.Helper()
	c, _, _ := open(b, nil)
	return generate(b, c, SlotCardAuthentication, a)
}

// BenchmarkSign is a signature by the card in memory: all of it, beside the card alone
// with a command that is ready.
func BenchmarkSign(b *testing.B) {
	for _, a := range []Algorithm{AlgorithmP256, AlgorithmP384, AlgorithmRSA2048} {
		b.Run(a.String()+"/card", func(b *testing.B) {
			c, _, s := open(b, nil)
			k := generate(b, c, SlotCardAuthentication, a)
			input := digest[:]
			if bits := algorithms[a].rsaBits; bits > 0 {
				input = make([]byte, bits/8)
				copy(input[1:], digest[:])
			}
			objects := tlv.Append(tlv.Append(nil, tagResponse, nil), tagChallenge, input)
			cmd := apdu.Command{
				Instruction: apdu.InsGeneralAuthenticateOdd, P1: byte(a), P2: byte(k.Slot()),
				Data: tlv.Append(nil, tagDynamicAuth, objects), Ne: apdu.MaxExtendedNe,
			}
			raw, err := cmd.AppendBinary(nil)
			if err != nil {
				b.Fatal(err)
			}
			inner := s.Transmitter.(*card.Card)
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if out, err := inner.Transmit(ctx, dst, raw); err != nil || len(out) < 64 {
					b.Fatal(len(out), err)
				}
			}
		})
		b.Run(a.String()+"/cardoki", func(b *testing.B) {
			k := benchKey(b, a)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// canned is a PIV card that answers at once: the host's own cost.
type canned struct{ application, discovery, signature []byte }

func (c *canned) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	switch apdu.Instruction(command[1]) {
	case apdu.InsSelect:
		dst = append(dst, c.application...)
	case apdu.InsGetDataOdd:
		dst = append(dst, c.discovery...)
	case apdu.InsGeneralAuthenticateOdd:
		dst = append(dst, c.signature...)
	}
	return append(dst, 0x90, 0x00), nil
}

// cannedKey returns a key of a card that answers at once.
func cannedKey(t testing.TB) *Key {
	t.Helper()
	k := benchKey(t, AlgorithmP256)
	sig, err := k.Sign(ctx, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	aid := AID.AppendTo(nil)
	d := Discovery{AID: AID, PIN: true}
	c, err := Open(ctx, iso7816.NewChannel(&canned{
		application: tlv.Append(nil, 0x61, tlv.Append(nil, tagAID, aid)),
		discovery:   d.AppendTo(nil),
		signature:   tlv.Append(nil, tagDynamicAuth, tlv.Append(nil, tagResponse, sig)),
	}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{client: c.client, slot: k.slot, algorithm: k.algorithm, policy: k.policy, public: k.public}
}

// What the host allocates for a signature: the digest and what comes of it, the answers
// of the card, and the signature.
func TestAllocations(t *testing.T) {
	k := cannedKey(t)
	n := testing.AllocsPerRun(100, func() {
		if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
			t.Fatal(err)
		}
	})
	if n > maxAllocations {
		t.Errorf("got %v allocations, want at most %d", n, maxAllocations)
	}
}

const maxAllocations = 7

// BenchmarkHost is what the host adds to a signature: the proof of the selection, and
// two exchanges.
func BenchmarkHost(b *testing.B) {
	k := cannedKey(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}
