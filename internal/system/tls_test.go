package system_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// handshakeTimeout ends a test that hangs.
const handshakeTimeout = 30 * time.Second

// tlsKeys are the keys that every handshake is tried with.
var tlsKeys = []struct {
	name string
	make func(*testing.T, *authority) tls.Certificate
}{
	{"PIV P-256", func(t *testing.T, ca *authority) tls.Certificate {
		return pivCertificate(t, ca, piv.SlotAuthentication, piv.AlgorithmP256)
	}},
	{"PIV RSA 2048", func(t *testing.T, ca *authority) tls.Certificate {
		return pivCertificate(t, ca, piv.SlotAuthentication, piv.AlgorithmRSA2048)
	}},
	{"SoftHSM2 P-256", func(t *testing.T, ca *authority) tls.Certificate {
		return tokenCertificate(t, ca, &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "tls", ID: []byte{1}})
	}},
	{"SoftHSM2 RSA 2048", func(t *testing.T, ca *authority) tls.Certificate {
		return tokenCertificate(t, ca, &cryptoki.KeyPairOptions{RSABits: 2048, Label: "tls", ID: []byte{1}})
	}},
}

func pivCertificate(t *testing.T, ca *authority, slot piv.Slot, algorithm piv.Algorithm) tls.Certificate {
	t.Helper()
	ch := iso7816.NewChannel(card.New(nil, newApplication()), nil)
	client, err := piv.Open(t.Context(), ch, &piv.Options{PIN: givePIN})
	if err != nil {
		t.Fatal(err)
	}
	if err := provision(t.Context(), client, ca, slot, algorithm); err != nil {
		t.Fatal(err)
	}
	cert, err := client.TLSCertificate(t.Context(), slot)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func tokenCertificate(t *testing.T, ca *authority, o *cryptoki.KeyPairOptions) tls.Certificate {
	t.Helper()
	hsm := system.StartSoftHSM(t)
	pool := openToken(t, hsm, hsm.Label)
	err := pool.Do(t.Context(), func(s *cryptoki.Session) error {
		_, _, err := s.GenerateKeyPair(t.Context(), o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := pool.Key(t.Context(), cryptoki.KeyQuery{Label: o.Label})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.issue("token holder", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	err = pool.Do(t.Context(), func(s *cryptoki.Session) error {
		_, err := s.PutCertificate(t.Context(), o.Label, o.ID, leaf)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pool.TLSCertificate(t.Context(), cryptoki.KeyQuery{Label: o.Label})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// openToken returns a pool of read-write sessions with a token of SoftHSM2.
func openToken(t *testing.T, hsm *system.SoftHSM, label string) *cryptoki.Pool {
	t.Helper()
	module, err := cryptoki.Open(hsm.Module, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { module.Close() })
	slot, err := module.FindToken(label)
	if err != nil {
		t.Fatal(err)
	}
	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(hsm.PIN)), ReadWrite: true})
	t.Cleanup(func() { pool.Close() })
	return pool
}

var tlsVersions = []struct {
	name, openssl string
	version       uint16
}{{"TLS 1.2", "-tls1_2", tls.VersionTLS12}, {"TLS 1.3", "-tls1_3", tls.VersionTLS13}}

func newTestAuthority(t *testing.T) *authority {
	t.Helper()
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestTLSWithOpenSSL shakes hands with openssl on the other side, as client and as
// server, with each kind of key. openssl verifies the certificate and with it the
// signature that the card made.
func TestTLSWithOpenSSL(t *testing.T) {
	openssl := system.Need(t, "openssl", "openssl")
	for _, key := range tlsKeys {
		t.Run(key.name, func(t *testing.T) {
			ca := newTestAuthority(t)
			caFile := writePEM(t, "ca.pem", "CERTIFICATE", ca.cert.Raw)
			cert := key.make(t, ca)
			for _, v := range tlsVersions {
				t.Run(v.name+" server", func(t *testing.T) { serveOpenSSL(t, openssl, cert, caFile, v.openssl, v.version) })
				t.Run(v.name+" client", func(t *testing.T) { dialOpenSSL(t, openssl, ca, cert, caFile, v.openssl, v.version) })
			}
		})
	}
}

// serveOpenSSL is the server; openssl s_client comes and echoes.
func serveOpenSSL(t *testing.T, openssl string, cert tls.Certificate, caFile, flag string, version uint16) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		c.SetDeadline(time.Now().Add(handshakeTimeout))
		conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version})
		_, err = io.WriteString(conn, "hello from the card\n")
		served <- errors.Join(err, conn.Close())
	}()
	ctx, cancel := context.WithTimeout(t.Context(), handshakeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, openssl, "s_client", "-connect", listener.Addr().String(), "-CAfile", caFile, "-verify_return_error", "-verify_hostname", "localhost", "-ign_eof", flag)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("openssl: %v\n%s", err, out)
	}
	if err := <-served; err != nil {
		t.Errorf("server: %v", err)
	}
	for _, want := range []string{"Verify return code: 0 (ok)", "hello from the card"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("openssl did not print %q:\n%s", want, out)
		}
	}
	if _, ok := cert.Leaf.PublicKey.(*ecdsa.PublicKey); !ok && !bytes.Contains(out, []byte("Peer signature type: RSA-PSS")) {
		t.Errorf("the signature is not RSA-PSS:\n%s", out)
	}
}

// dialOpenSSL is the client, which openssl s_server demands a certificate of.
func dialOpenSSL(t *testing.T, openssl string, ca *authority, cert tls.Certificate, caFile, flag string, version uint16) {
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serverCert, err := ca.issue("server", serverKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), handshakeTimeout)
	defer cancel()
	port := freePort(t)
	cmd := exec.CommandContext(ctx, openssl, "s_server", "-accept", "127.0.0.1:"+strconv.Itoa(port), "-naccept", "1", flag,
		"-cert", writePEM(t, "server.pem", "CERTIFICATE", serverCert.Raw), "-key", writePEM(t, "server.key", "PRIVATE KEY", der),
		"-CAfile", caFile, "-Verify", "1", "-verify_return_error", "-rev")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reply, state, err := talk(ctx, port, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.pool(), ServerName: "localhost", MinVersion: version, MaxVersion: version})
	if err != nil {
		cancel()
	}
	waited := cmd.Wait()
	if err != nil || waited != nil {
		t.Fatalf("client: %v; openssl: %v\n%s", err, waited, out.Bytes())
	}
	if reply != "drac eht morf\n" {
		t.Errorf("openssl answered %q", reply)
	}
	if state.Version != version {
		t.Errorf("got %s", tls.VersionName(state.Version))
	}
}

// talk dials until the server listens, sends a line and returns the answer.
func talk(ctx context.Context, port int, config *tls.Config) (string, tls.ConnectionState, error) {
	dialer := &tls.Dialer{Config: config}
	for {
		c, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		var refused *net.OpError
		if errors.As(err, &refused) && refused.Op == "dial" && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			return "", tls.ConnectionState{}, err
		}
		conn := c.(*tls.Conn)
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(handshakeTimeout))
		if _, err := io.WriteString(conn, "from the card\n"); err != nil {
			return "", tls.ConnectionState{}, err
		}
		reply := make([]byte, 14)
		n, err := io.ReadFull(conn, reply)
		return string(reply[:n]), conn.ConnectionState(), err
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestTLSSharedSigner lets 8 goroutines shake hands with one key at the same time,
// on both sides.
func TestTLSSharedSigner(t *testing.T) {
	const goroutines, rounds = 8, 3
	for _, key := range tlsKeys {
		t.Run(key.name, func(t *testing.T) {
			ca := newTestAuthority(t)
			cert := key.make(t, ca)
			server := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ca.pool(), ClientAuth: tls.RequireAndVerifyClientCert}
			client := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.pool(), ServerName: "localhost"}
			var wg sync.WaitGroup
			for i := range goroutines {
				wg.Go(func() {
					for range rounds {
						v := tlsVersions[i%len(tlsVersions)].version
						if err := pipeHandshake(server, client, v); err != nil {
							t.Errorf("goroutine %d: %v", i, err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// pipeHandshake shakes hands in memory.
func pipeHandshake(server, client *tls.Config, version uint16) error {
	client = client.Clone()
	client.MinVersion, client.MaxVersion = version, version
	a, b := net.Pipe()
	deadline := time.Now().Add(handshakeTimeout)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	served := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		err := conn.Handshake()
		if err == nil {
			_, err = io.WriteString(conn, "done")
		}
		if err != nil {
			a.Close()
		}
		served <- err
	}()
	conn := tls.Client(b, client)
	got, err := make([]byte, 4), conn.Handshake()
	if err == nil {
		_, err = io.ReadFull(conn, got)
	}
	if err != nil {
		b.Close()
	}
	err = errors.Join(err, <-served)
	a.Close()
	b.Close()
	if err == nil && !strings.HasPrefix(string(got), "done") {
		return fmt.Errorf("got %q", got)
	}
	return err
}
