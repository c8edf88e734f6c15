package system_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

var update = flag.Bool("update", false, "record the transcripts in testdata anew")

func TestMain(m *testing.M) { leak.Main(m) }

// What the cards of these tests are made with.
var (
	testPIN       = []byte("246810")
	managementKey = []byte("management key, 24 bytes")
)

const testSerial = 20261125

func newApplication() *piv.Application {
	return piv.NewApplication(&piv.ApplicationOptions{PIN: testPIN, ManagementKey: managementKey, Serial: testSerial})
}

// givePIN is an Options.PIN that gives the right one.
func givePIN(context.Context, piv.PINRequest) ([]byte, error) {
	return append([]byte(nil), testPIN...), nil
}

// An authority issues certificates. Its times are fixed, so that a certificate
// depends on its key alone.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var notBefore = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "Test CA"},
		NotBefore:             notBefore,
		NotAfter:              notBefore.AddDate(20, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

// issue returns a certificate for localhost, good for both ends of a connection.
func (a *authority) issue(name string, public crypto.PublicKey) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    notBefore,
		NotAfter:     notBefore.AddDate(20, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// writePEM writes a PEM file into a folder of the test and returns its path.
func writePEM(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// provision gives the card behind client a key and a certificate in a slot.
func provision(ctx context.Context, client *piv.Client, ca *authority, slot piv.Slot, algorithm piv.Algorithm) error {
	if err := client.AuthenticateManagementKey(ctx, 0, managementKey); err != nil {
		return err
	}
	public, err := client.GenerateKey(ctx, slot, algorithm, nil)
	if err != nil {
		return err
	}
	cert, err := ca.issue("card holder "+slot.String(), public)
	if err != nil {
		return err
	}
	return client.PutCertificate(ctx, slot, cert)
}

// insert puts c into the first reader of a private pcscd, and takes it out when the
// test ends or remove is called.
func insert(t *testing.T, daemon *system.PCSCD, c *card.Card) (remove func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- vpcd.DialAndServe(ctx, daemon.Addresses[0], c, &vpcd.Options{Redial: true}) }()
	remove = func() {
		cancel()
		if err, ok := <-ended; ok {
			if err != nil {
				t.Errorf("vpcd: %v", err)
			}
			close(ended)
		}
	}
	t.Cleanup(remove)
	pc, err := pcsc.Establish(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	wait, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if _, err := pc.WaitForCard(wait, func(r pcsc.Reader) bool { return r.Name == daemon.Readers[0] }); err != nil {
		t.Fatal(err)
	}
	return remove
}

// connect returns a channel to the card in the first reader of a private pcscd.
func connect(t *testing.T, daemon *system.PCSCD) *iso7816.Channel {
	t.Helper()
	conn, err := pcsc.Open(context.Background(), daemon.Readers[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return iso7816.NewChannel(conn, nil)
}
