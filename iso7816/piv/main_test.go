package piv

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"

	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

func TestMain(m *testing.M) { leak.Main(m) }

var (
	ctx               = context.Background()
	testPIN           = []byte("654321")
	testManagementKey = []byte("0123456789abcdefghijklmn")
)

// spy is a transport that remembers the instructions it carried, and can answer
// in place of the card.
type spy struct {
	apdu.Transmitter
	mu     sync.Mutex
	seen   []apdu.Command
	answer func(c *apdu.Command) []byte // nil result: let the card answer
}

func (s *spy) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return dst, err
	}
	c.Data = append([]byte(nil), c.Data...)
	s.mu.Lock()
	s.seen = append(s.seen, c)
	s.mu.Unlock()
	if s.answer != nil {
		if r := s.answer(&c); r != nil {
			return append(dst, r...), nil
		}
	}
	return s.Transmitter.Transmit(ctx, dst, command)
}

// tries returns how many VERIFY commands with a PIN were sent since the last call.
func (s *spy) tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.seen {
		if c.Instruction == apdu.InsVerify && len(c.Data) > 0 {
			n++
		}
	}
	s.seen = nil
	return n
}

func newApplication() *Application {
	return NewApplication(&ApplicationOptions{PIN: testPIN, ManagementKey: testManagementKey, Serial: 4711})
}

// open returns a client of a new card, the channel below it and a spy between
// that and the card.
func open(t testing.TB, opts *Options) (*Client, *iso7816.Channel, *spy) {
	t.Helper()
	s := &spy{Transmitter: card.New(nil, newApplication())}
	ch := iso7816.NewChannel(s, nil)
	c, err := Open(ctx, ch, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c, ch, s
}

func manage(t testing.TB, c *Client) {
	t.Helper()
	if err := c.AuthenticateManagementKey(ctx, AlgorithmAES192, testManagementKey); err != nil {
		t.Fatal(err)
	}
}

func generate(t testing.TB, c *Client, slot Slot, a Algorithm) *Key {
	t.Helper()
	manage(t, c)
	pub, err := c.GenerateKey(ctx, slot, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.Key(ctx, slot)
	if err != nil {
		t.Fatal(err)
	}
	if !k.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(pub) {
		t.Fatal("the key is not the one that was generated")
	}
	return k
}

// issue returns a certificate of pub by a certificate authority of its own.
func issue(t testing.TB, pub crypto.PublicKey) *x509.Certificate {
	t.Helper()
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, ca)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// pinCallback returns an Options.PIN that gives pin, and the requests it saw.
func pinCallback(pin []byte) (func(context.Context, PINRequest) ([]byte, error), *[]PINRequest) {
	var seen []PINRequest
	return func(_ context.Context, r PINRequest) ([]byte, error) {
		seen = append(seen, r)
		return append([]byte(nil), pin...), nil
	}, &seen
}
