package system_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

// life is the one test body for all transports: what a PIV card goes through from
// the factory to daily use. It returns the first thing that went wrong.
func life(ctx context.Context, ch *iso7816.Channel) error {
	asked := 0
	client, err := piv.Open(ctx, ch, &piv.Options{PIN: func(ctx context.Context, r piv.PINRequest) ([]byte, error) {
		asked++
		return givePIN(ctx, r)
	}})
	if err != nil {
		return err
	}
	if serial, err := client.Serial(ctx); err != nil || serial != fmt.Sprint(testSerial) {
		return fmt.Errorf("serial number %q: %w", serial, err)
	}

	err = client.VerifyPIN(ctx, []byte("000000"))
	if e, ok := errors.AsType[*iso7816.VerifyError](err); !ok || e.Remaining != 2 {
		return fmt.Errorf("wrong PIN: got %w, want 2 tries left", err)
	}
	if v, err := client.PINStatus(ctx); err != nil || v.Remaining != 2 {
		return fmt.Errorf("after a wrong PIN: got %+v, %w; want 2 tries left", v, err)
	}

	ca, err := newAuthority()
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("message"))
	for slot, algorithm := range pairs(
		piv.SlotAuthentication, piv.AlgorithmP256,
		piv.SlotSignature, piv.AlgorithmP384,
		piv.SlotKeyManagement, piv.AlgorithmRSA2048,
	) {
		if err := provision(ctx, client, ca, slot, algorithm); err != nil {
			return err
		}
		cert, err := client.TLSCertificate(ctx, slot)
		if err != nil {
			return err
		}
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: ca.pool(), CurrentTime: notBefore.Add(time.Hour)}); err != nil {
			return err
		}
		key, err := client.Key(ctx, slot)
		if err != nil {
			return err
		}
		switch public := key.Public().(type) {
		case *ecdsa.PublicKey:
			signature, err := key.Sign(ctx, digest[:], crypto.SHA256)
			if err != nil {
				return err
			}
			if !ecdsa.VerifyASN1(public, digest[:], signature) {
				return fmt.Errorf("slot %v: wrong signature", slot)
			}
			if err := agree(ctx, key); err != nil {
				return err
			}
		case *rsa.PublicKey:
			if err := useRSA(ctx, key, public, digest[:]); err != nil {
				return err
			}
		}
	}
	// 9A: once; 9C: the signature and the agreement; 9D: verified already.
	if asked != 3 {
		return fmt.Errorf("the PIN was asked for %d times, want 3", asked)
	}
	return nil
}

// pairs yields pairs of slot and algorithm in their order.
func pairs(list ...any) func(yield func(piv.Slot, piv.Algorithm) bool) {
	return func(yield func(piv.Slot, piv.Algorithm) bool) {
		for i := 0; i < len(list); i += 2 {
			if !yield(list[i].(piv.Slot), list[i+1].(piv.Algorithm)) {
				return
			}
		}
	}
}

func useRSA(ctx context.Context, key *piv.Key, public *rsa.PublicKey, digest []byte) error {
	signature, err := key.Sign(ctx, digest, crypto.SHA256)
	if err != nil {
		return err
	}
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, signature); err != nil {
		return err
	}
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	if signature, err = key.Sign(ctx, digest, opts); err != nil {
		return err
	}
	if err := rsa.VerifyPSS(public, crypto.SHA256, digest, signature, opts); err != nil {
		return err
	}
	message := []byte("attack at dawn")
	ciphertext, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, message, nil)
	if err != nil {
		return err
	}
	plaintext, err := key.Decrypt(ctx, ciphertext, &rsa.OAEPOptions{Hash: crypto.SHA256})
	if err != nil || !bytes.Equal(plaintext, message) {
		return fmt.Errorf("decrypt: got %d bytes, %w", len(plaintext), err)
	}
	return nil
}

func agree(ctx context.Context, key *piv.Key) error {
	own, err := key.Public().(*ecdsa.PublicKey).ECDH()
	if err != nil {
		return err
	}
	peer, err := own.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	want, err := peer.ECDH(own)
	if err != nil {
		return err
	}
	got, err := key.ECDH(ctx, peer.PublicKey())
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("key agreement: the two ends do not agree")
	}
	return nil
}

func TestLifeInMemory(t *testing.T) {
	if err := life(t.Context(), iso7816.NewChannel(card.New(nil, newApplication()), nil)); err != nil {
		t.Fatal(err)
	}
}

func TestLifeInMemoryOfACardWithoutExtendedLength(t *testing.T) {
	if err := life(t.Context(), iso7816.NewChannel(card.New(&card.Options{ShortOnly: true}, newApplication()), nil)); err != nil {
		t.Fatal(err)
	}
}

func TestLifeThroughPCSCD(t *testing.T) {
	daemon := system.StartPCSCD(t, nil)
	insert(t, daemon, card.New(nil, newApplication()))
	if err := life(t.Context(), connect(t, daemon)); err != nil {
		t.Fatal(err)
	}
}

// reseed fixes the randomness of the host after each exchange, so that what a card
// in the same process drew makes no difference. crypto/rand is fixed for the whole
// process: such a test is not parallel.
type reseed struct {
	apdu.Decorator
	t *testing.T
	n uint64
}

func (r *reseed) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	r.n++
	defer cryptotest.SetGlobalRandom(r.t, r.n)
	return r.Decorator.Transmit(ctx, dst, command)
}

func TestLifeFromATranscript(t *testing.T) {
	path := filepath.Join("testdata", "piv-life.apdu")
	cryptotest.SetGlobalRandom(t, 0)
	if *update {
		var transcript bytes.Buffer
		recorder := apdutest.Record(card.New(nil, newApplication()), &transcript)
		recorder.Comment("The life of a PIV card in software: made by go test ./internal/system -run Transcript -update")
		if err := life(t.Context(), iso7816.NewChannel(&reseed{Decorator: apdu.Decorator{Transmitter: recorder}, t: t}, nil)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, transcript.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	player, err := apdutest.Replay(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := life(t.Context(), iso7816.NewChannel(&reseed{Decorator: apdu.Decorator{Transmitter: player}, t: t}, nil)); err != nil {
		t.Fatal(err)
	}
	if err := player.Done(); err != nil {
		t.Error(err)
	}
}

// TestLifeWithTheCardTornOut tears the card out at each exchange of the same life, and
// puts it in again: the error is clear, and the same channel works after a reconnect.
func TestLifeWithTheCardTornOut(t *testing.T) {
	all := apdutest.NewFaults(card.New(nil, newApplication()), nil)
	if err := life(t.Context(), iso7816.NewChannel(all, nil)); err != nil {
		t.Fatal(err)
	}
	for _, late := range []bool{false, true} {
		for n := range all.Exchanges() {
			c := card.New(nil, newApplication())
			faults := apdutest.NewFaults(c, apdutest.Once(n, apdutest.Fault{Remove: true, Late: late}))
			faults.Lost = c.Reset
			ch := iso7816.NewChannel(faults, nil)
			err := life(t.Context(), ch)
			if err == nil {
				t.Fatalf("exchange %d: got nil, want an error", n)
			}
			checkError(t, n, err, []error{apdu.ErrRemoved})
			if err := ch.Reconnect(t.Context()); !errors.Is(err, apdu.ErrRemoved) {
				t.Fatalf("exchange %d: reconnect without a card: got %v, want ErrRemoved", n, err)
			}
			faults.Insert()
			if err := ch.Reconnect(t.Context()); err != nil {
				t.Fatalf("exchange %d: reconnect: %v", n, err)
			}
			client, err := piv.Open(t.Context(), ch, nil)
			if err != nil {
				t.Fatalf("exchange %d: the next connect: %v", n, err)
			}
			// The wrong PIN of life was spent, or not yet, or made good by the right one.
			if v, err := client.PINStatus(t.Context()); err != nil || v.Remaining < 2 || v.Remaining > 3 {
				t.Errorf("exchange %d: PIN: got %+v, %v; want two or three tries left", n, v, err)
			}
		}
	}
}

// day is a shorter body, for a card that has its keys: daily use.
func day(ctx context.Context, ch *iso7816.Channel) error {
	client, err := piv.Open(ctx, ch, &piv.Options{PIN: givePIN})
	if err != nil {
		return err
	}
	if _, err := client.Serial(ctx); err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("message"))
	for _, slot := range []piv.Slot{piv.SlotAuthentication, piv.SlotSignature, piv.SlotKeyManagement} {
		if _, err := client.Certificate(ctx, slot); err != nil {
			return err
		}
		key, err := client.Key(ctx, slot)
		if err != nil {
			return err
		}
		if _, err := key.Signer(&signer.Options{Context: ctx}).Sign(nil, digest[:], crypto.SHA256); err != nil {
			return err
		}
	}
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	return provision(ctx, client, ca, piv.SlotRetired1, piv.AlgorithmP256)
}

// TestDayWithTheCardTornOut tears the card out, and resets it, at each exchange of
// day in turn, before the command reaches it and after: there is a clear error, no
// secret in it, nothing hangs, the card is whole, and the next connect works. A reset
// between two groups of commands may be mended, unless what it took is needed.
func TestDayWithTheCardTornOut(t *testing.T) {
	factory := provisionedStore(t)
	exchanges := 0
	{
		faults := apdutest.NewFaults(card.New(&card.Options{Store: factory()}, newApplication()), nil)
		if err := day(t.Context(), iso7816.NewChannel(faults, nil)); err != nil {
			t.Fatal(err)
		}
		exchanges = faults.Exchanges()
	}
	if exchanges < 20 {
		t.Fatalf("got %d exchanges, want a day of more", exchanges)
	}
	for _, tt := range []struct {
		name  string
		fault apdutest.Fault
		is    []error // the error is one of these, nil being none; empty: any, or none
	}{
		{"torn out before", apdutest.Fault{Remove: true}, []error{apdu.ErrRemoved}},
		{"torn out after", apdutest.Fault{Remove: true, Late: true}, []error{apdu.ErrRemoved}},
		{"reset", apdutest.Fault{Reset: true}, []error{nil, apdu.ErrReset, piv.ErrAuthenticationLost}},
		{"response cut", apdutest.Fault{Cut: 1}, nil},
		{"response gone", apdutest.Fault{Cut: 1 << 20}, nil},
		{"refused", apdutest.Fault{Status: apdu.StatusNoPreciseDiagnosis}, nil},
		{"asked to wait for ever", apdutest.Fault{Delay: time.Hour}, []error{context.DeadlineExceeded}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			counts := map[error]int{}
			for n := range exchanges {
				store := factory()
				c := card.New(&card.Options{Store: store}, newApplication())
				faults := apdutest.NewFaults(c, apdutest.Once(n, tt.fault))
				faults.Lost = c.Reset
				ctx := t.Context()
				if tt.fault.Delay > 0 {
					var cancel func()
					ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
					defer cancel()
				}
				err := day(ctx, iso7816.NewChannel(faults, nil))
				counts[checkError(t, n, err, tt.is)]++

				// The card goes in again: it is as it was, or as it should have become.
				again := card.New(&card.Options{Store: store}, newApplication())
				ch := iso7816.NewChannel(again, nil)
				client, err := piv.Open(t.Context(), ch, nil)
				if err != nil {
					t.Fatalf("exchange %d: the next connect: %v", n, err)
				}
				if v, err := client.PINStatus(t.Context()); err != nil || v.Remaining != 3 {
					t.Errorf("exchange %d: PIN afterwards: %+v, %v; want three tries left", n, v, err)
				}
				if err := day(t.Context(), ch); err != nil {
					t.Errorf("exchange %d: the next day: %v", n, err)
				}
			}
			for _, e := range tt.is {
				if counts[e] == 0 {
					t.Errorf("never got %v", e)
				}
			}
		})
	}
}

// checkError checks the error of a day on which the card failed and returns which of
// is it is.
func checkError(t *testing.T, n int, err error, is []error) (found error) {
	t.Helper()
	if i := slices.IndexFunc(is, func(e error) bool { return errors.Is(err, e) }); i >= 0 {
		found = is[i]
	} else if len(is) > 0 {
		t.Errorf("exchange %d: got %v, want one of %v", n, err, is)
	}
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, secret := range []string{string(testPIN), fmt.Sprintf("%x", testPIN), fmt.Sprintf("%X", managementKey), string(managementKey)} {
		if strings.Contains(text, secret) {
			t.Errorf("exchange %d: a secret is in %q", n, text)
		}
	}
	if len(text) < 20 {
		t.Errorf("exchange %d: %q says too little", n, text)
	}
	return found
}

// provisionedStore returns a function that gives copies of the store of a card with
// keys and certificates.
func provisionedStore(t *testing.T) func() *card.MemoryStore {
	t.Helper()
	store := card.NewMemoryStore()
	client, err := piv.Open(t.Context(), iso7816.NewChannel(card.New(&card.Options{Store: store}, newApplication()), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	for slot, algorithm := range pairs(
		piv.SlotAuthentication, piv.AlgorithmP256,
		piv.SlotSignature, piv.AlgorithmP384,
		piv.SlotKeyManagement, piv.AlgorithmRSA2048,
	) {
		if err := provision(t.Context(), client, ca, slot, algorithm); err != nil {
			t.Fatal(err)
		}
	}
	return func() *card.MemoryStore {
		const name = "A000000308000010000100/state"
		state, err := store.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		c := card.NewMemoryStore()
		if err := c.Commit(name, state); err != nil {
			t.Fatal(err)
		}
		return c
	}
}
