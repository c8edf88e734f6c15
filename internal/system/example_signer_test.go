package system_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// A typist enters the PIN whenever a program asks for it.
type typist struct {
	*example
	keys io.WriteCloser
	pin  string
	seen int // what was answered
}

var pinPrompt = regexp.MustCompile(`PIN[^\n]*: `)

func (y *typist) Write(b []byte) (int, error) {
	n, err := y.example.Write(b)
	out := y.output()
	for loc := pinPrompt.FindStringIndex(out[y.seen:]); loc != nil; loc = pinPrompt.FindStringIndex(out[y.seen:]) {
		y.seen += loc[1]
		io.WriteString(y.keys, y.pin+"\n")
	}
	return n, err
}

// startAtTerminal starts a command of the shell at a terminal, where pin is entered
// when it is asked for.
func startAtTerminal(t *testing.T, env []string, pin, command string) *example {
	t.Helper()
	cmd := exec.Command(system.Need(t, "script", "bsdutils"), "-qefc", "exec "+command, "/dev/null")
	e := &example{t: t, cmd: cmd, grown: make(chan struct{}, 1)}
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	y := &typist{example: e, keys: keys, pin: pin}
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env, y, y, examplePatience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Signal(os.Interrupt) // which script passes on by closing the terminal
			keys.Close()
			cmd.Process.Kill()
			cmd.Wait()
		}
		if t.Failed() {
			t.Logf("at the terminal, %s:\n%s", command, e.output())
		}
	})
	return e
}

// ends waits for a command at a terminal to end well.
func (e *example) ends() {
	e.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- e.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			e.t.Fatal(err)
		}
	case <-time.After(3 * examplePatience):
		e.cmd.Process.Kill()
		<-ended
		e.t.Fatal("it does not end")
	}
}

// find waits until the program has said what pattern matches, and returns its first
// group.
func (e *example) find(pattern string) string {
	e.t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(examplePatience)
	for {
		if m := re.FindStringSubmatch(e.output()); m != nil {
			return m[1]
		}
		select {
		case <-e.grown:
		case <-deadline:
			e.t.Fatalf("it does not say what matches %s", pattern)
		}
	}
}

// quote is for the shell.
func quote(args ...string) string {
	for i, a := range args {
		args[i] = "'" + a + "'"
	}
	return strings.Join(args, " ")
}

// signerCard makes a card with keys and certificates of ca.
func signerCard(t *testing.T, ca *authority, keys map[piv.Slot]piv.Algorithm) *card.Card {
	t.Helper()
	c := card.New(nil, newApplication())
	client, err := piv.Open(t.Context(), iso7816.NewChannel(c, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	for slot, algorithm := range keys {
		if err := provision(t.Context(), client, ca, slot, algorithm); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// keyFiles returns a certificate and its key for a program that has them in files.
func keyFiles(t *testing.T, ca *authority, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.issue(name, private.Public())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "cert.pem", "CERTIFICATE", c.Raw), writePEM(t, "key.pem", "PRIVATE KEY", der)
}

const listening443 = `Listening: https://([^/]*)/`

// asksServer lets curl and openssl s_client ask an HTTPS server, with each version of TLS,
// and with a certificate if there is one.
func asksServer(t *testing.T, address, root, cert, key, want string) {
	t.Helper()
	curl, openssl := system.Need(t, "curl", "curl"), system.Need(t, "openssl", "openssl")
	for _, v := range tlsVersions {
		number := strings.TrimPrefix(v.name, "TLS ")
		args := []string{"-sS", "--noproxy", "*", "--max-time", "20", "--cacert", root, "--tlsv" + number, "--tls-max", number, "https://" + address + "/"}
		client := []string{"s_client", "-connect", address, "-CAfile", root, "-verify_return_error", "-verify_ip", "127.0.0.1", v.openssl, "-brief"}
		if cert != "" {
			args = append(args, "--cert", cert, "--key", key)
			client = append(client, "-cert", cert, "-key", key)
		}
		if out, err := output(t, os.Environ(), curl, args...); err != nil || !strings.Contains(out, want+", by "+v.name) {
			t.Errorf("curl, %s: got %v, want %q in\n%s", v.name, err, want, out)
		}
		if out, err := output(t, os.Environ(), openssl, client...); err != nil || !strings.Contains(out, "Verification: OK") {
			t.Errorf("openssl, %s: %v\n%s", v.name, err, out)
		}
	}
}

func TestTLSServer(t *testing.T) {
	t.Parallel()
	curl := system.Need(t, "curl", "curl")
	program := buildExample(t, "tls-server")

	t.Run("a card in software", func(t *testing.T) {
		root := filepath.Join(t.TempDir(), "root.pem")
		e := startExample(t, "/nowhere", program, "-emulate", "-root", root, "-listen", "127.0.0.1:0")
		asksServer(t, e.find(listening443), root, "", "", "Hello, stranger")
		e.interrupt()
	})

	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP256, piv.AlgorithmRSA2048} {
		t.Run("a card in a reader, clients with a certificate, "+algorithm.String(), func(t *testing.T) {
			ca := newTestAuthority(t)
			caFile := writePEM(t, "ca.pem", "CERTIFICATE", ca.cert.Raw)
			cert, key := keyFiles(t, ca, "visitor")
			c := signerCard(t, ca, map[piv.Slot]piv.Algorithm{piv.SlotAuthentication: algorithm})
			daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
			remove := putIn(t, daemon, 0, c)
			e := startAtTerminal(t, daemon.Env(), string(testPIN), quote(program, "-clients", caFile, "-listen", "127.0.0.1:0"))
			address := e.find(listening443)
			asksServer(t, address, caFile, cert, key, "Hello, CN=visitor")
			ask := []string{"-sS", "--noproxy", "*", "--max-time", "20", "--cacert", caFile, "https://" + address + "/"}
			if out, err := output(t, os.Environ(), curl, ask...); err == nil {
				t.Errorf("a client without a certificate is let in:\n%s", out)
			}

			// The card goes, and comes into another reader.
			ask = append(ask, "--cert", cert, "--key", key)
			remove()
			if out, err := output(t, os.Environ(), curl, ask...); err == nil {
				t.Errorf("without a card:\n%s", out)
			}
			putIn(t, daemon, 1, c)
			deadline := time.Now().Add(2 * examplePatience)
			for {
				out, err := output(t, os.Environ(), curl, ask...)
				if err == nil && strings.Contains(out, "Hello, CN=visitor") {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the card is back: %v\n%s", err, out)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}

// TestTLSServerOnSoftHSM is not parallel, as the token is in the environment.
func TestTLSServerOnSoftHSM(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tls-server")
	goTool(t, nil, "build", "-o", program, "./examples/tls-server")
	for _, tt := range []struct {
		name string
		opts *cryptoki.KeyPairOptions
	}{
		{"P-256", &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "tls", ID: []byte{1}}},
		{"RSA 2048", &cryptoki.KeyPairOptions{RSABits: 2048, Label: "tls", ID: []byte{1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca := newTestAuthority(t)
			cert, key := keyFiles(t, ca, "visitor")
			tokenCertificate(t, ca, tt.opts)
			caFile := writePEM(t, "ca.pem", "CERTIFICATE", ca.cert.Raw)
			module := module(t, "softhsm/libsofthsm2.so", "softhsm2")
			e := startAtTerminal(t, os.Environ(), "123456", quote(program, "-module", module, "-token", "cardoki test", "-key", "tls", "-clients", caFile, "-listen", "127.0.0.1:0"))
			asksServer(t, e.find(listening443), caFile, cert, key, "Hello, CN=visitor")
		})
	}
}

func TestTLSClient(t *testing.T) {
	t.Parallel()
	openssl := system.Need(t, "openssl", "openssl")
	program := buildExample(t, "tls-client")

	t.Run("a card in software", func(t *testing.T) {
		out, err := runExample(t, "/nowhere", "", program, "-emulate")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "200 OK by TLS 1.3", "Hello, CN=card holder 9A")
	})

	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP256, piv.AlgorithmRSA2048} {
		for _, v := range tlsVersions {
			t.Run("openssl s_server wants the certificate of a card, "+algorithm.String()+", "+v.name, func(t *testing.T) {
				ca := newTestAuthority(t)
				caFile := writePEM(t, "ca.pem", "CERTIFICATE", ca.cert.Raw)
				cert, key := keyFiles(t, ca, "server")
				port := strconv.Itoa(freePort(t))
				server := start(t, os.Environ(), openssl, "s_server", "-accept", "127.0.0.1:"+port, v.openssl, "-cert", cert, "-key", key, "-CAfile", caFile, "-Verify", "1", "-verify_return_error", "-www")
				server.says(t, "ACCEPT")
				daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
				putIn(t, daemon, 0, signerCard(t, ca, map[piv.Slot]piv.Algorithm{piv.SlotAuthentication: algorithm}))
				e := startAtTerminal(t, daemon.Env(), string(testPIN), quote(program, "-servers", caFile, "https://127.0.0.1:"+port+"/"))
				e.ends()
				checkSays(t, e.output(), "by "+v.name+` from "CN=server"`, "200 ok", "Client certificate", "Verify return code: 0 (ok)")
			})
		}
	}
}

func TestIssueCert(t *testing.T) {
	t.Parallel()
	openssl := system.Need(t, "openssl", "openssl")
	program := buildExample(t, "issue-cert")
	check := func(t *testing.T, dir string) {
		t.Helper()
		file := func(name string) string { return filepath.Join(dir, name) }
		for _, c := range []struct {
			want string
			args []string
		}{
			{"verify OK", []string{"req", "-in", file("csr.pem"), "-noout", "-verify"}},
			{"OK", []string{"verify", "-CAfile", file("ca.pem"), file("cert.pem")}},
			{"verify OK", []string{"crl", "-in", file("crl.pem"), "-CAfile", file("ca.pem"), "-noout", "-text"}},
		} {
			if out, err := output(t, os.Environ(), openssl, c.args...); err != nil || !strings.Contains(out, c.want) {
				t.Errorf("openssl %s: got %v, want %q in\n%s", c.args[0], err, c.want, out)
			}
		}
		out, err := output(t, os.Environ(), openssl, "verify", "-crl_check", "-CAfile", file("ca.pem"), "-CRLfile", file("crl.pem"), file("cert.pem"))
		if err == nil || !strings.Contains(out, "certificate revoked") {
			t.Errorf("openssl verify -crl_check: got %v, want the certificate revoked\n%s", err, out)
		}
	}

	t.Run("a card in software", func(t *testing.T) {
		dir := t.TempDir()
		out, err := runExample(t, "/nowhere", "", program, "-emulate", dir)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		check(t, dir)
		_, commands, _ := strings.Cut(out, "\n\n")
		mustOutput(t, os.Environ(), "sh", "-ec", commands)
		if out, err := runExample(t, "/nowhere", "", program, "-emulate", dir); err == nil {
			t.Errorf("it overwrites files:\n%s", out)
		}
	})

	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP384, piv.AlgorithmRSA2048} {
		t.Run("a card in a reader, and a request by openssl, "+algorithm.String(), func(t *testing.T) {
			ca := newTestAuthority(t)
			daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
			putIn(t, daemon, 0, signerCard(t, ca, map[piv.Slot]piv.Algorithm{piv.SlotSignature: algorithm, piv.SlotAuthentication: piv.AlgorithmP256}))
			dir := t.TempDir()
			file := func(name string) string { return filepath.Join(dir, name) }
			issue := func(to string, args ...string) {
				t.Helper()
				startAtTerminal(t, daemon.Env(), string(testPIN), quote(append([]string{program}, args...)...)+" > "+quote(file(to))).ends()
			}
			issue("ca.pem", "-subject", "CA on a card", "ca")
			issue("csr.pem", "-subject", "localhost", "-slot", "9A", "csr")
			issue("cert.pem", "-ca", file("ca.pem"), "sign", file("csr.pem"))
			issue("crl.pem", "-ca", file("ca.pem"), "crl", file("cert.pem"))
			check(t, dir)

			mustOutput(t, os.Environ(), openssl, "req", "-new", "-nodes", "-newkey", "rsa:2048", "-keyout", file("key.pem"), "-out", file("other.pem"), "-subj", "/CN=other.example")
			issue("other.crt", "-ca", file("ca.pem"), "sign", file("other.pem"))
			mustOutput(t, os.Environ(), openssl, "verify", "-CAfile", file("ca.pem"), "-CRLfile", file("crl.pem"), "-crl_check", file("other.crt"))

			// A request whose signature is not right.
			der := mustPEM(t, file("other.pem"))
			der[len(der)-1] ^= 1
			out, err := runExample(t, daemon.SocketName, "", program, "-ca", file("ca.pem"), "sign", writePEM(t, "bad.pem", "CERTIFICATE REQUEST", der))
			if err == nil {
				t.Errorf("it signs a request without proof:\n%s", out)
			}
		})
	}
}

func mustPEM(t *testing.T, path string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(mustRead(t, path)))
	if block == nil {
		t.Fatalf("%s holds no PEM", path)
	}
	return block.Bytes
}

func TestSSHHostKey(t *testing.T) {
	t.Parallel()
	ssh, keygen := system.Need(t, "ssh", "openssh-client"), system.Need(t, "ssh-keygen", "openssh-client")
	program := buildExample(t, "ssh-host-key")
	dir := t.TempDir()
	identity := filepath.Join(dir, "identity")
	mustOutput(t, os.Environ(), keygen, "-q", "-t", "ed25519", "-N", "", "-f", identity)
	stranger := filepath.Join(dir, "stranger")
	mustOutput(t, os.Environ(), keygen, "-q", "-t", "ed25519", "-N", "", "-f", stranger)

	login := func(t *testing.T, known, identity string, more ...string) (string, error) {
		t.Helper()
		line := strings.TrimSpace(mustRead(t, known))
		host := regexp.MustCompile(`^\[127\.0\.0\.1\]:(\d+) `).FindStringSubmatch(line)
		if host == nil {
			t.Fatalf("this is no line of known_hosts: %q", line)
		}
		args := append([]string{"-F", "none", "-p", host[1], "-o", "UserKnownHostsFile=" + known, "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes",
			"-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i", identity}, more...)
		return output(t, os.Environ(), ssh, append(args, "somebody@127.0.0.1", "greet")...)
	}
	known := func(t *testing.T, e *example) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(path, []byte(e.find(`For known_hosts: ([^\r\n]*)\r?\n`)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const hello = "Hello, somebody. The key of this host is on a card."

	t.Run("a card in software", func(t *testing.T) {
		e := startExample(t, "/nowhere", program, "-emulate", "-listen", "127.0.0.1:0", "-authorized", identity+".pub")
		file := known(t, e)
		if out, err := login(t, file, identity); err != nil || !strings.Contains(out, hello) {
			t.Errorf("%v\n%s", err, out)
		}
		if out, err := login(t, file, stranger); err == nil || !strings.Contains(out, "Permission denied") {
			t.Errorf("a stranger: got %v, want it refused\n%s", err, out)
		}
		// Another card, another key: ssh notices.
		other := startExample(t, "/nowhere", program, "-emulate", "-listen", "127.0.0.1:0")
		otherLine := mustRead(t, known(t, other))
		address, _, _ := strings.Cut(mustRead(t, file), " ")
		_, key, _ := strings.Cut(otherLine, " ")
		wrong := filepath.Join(t.TempDir(), "wrong")
		if err := os.WriteFile(wrong, []byte(address+" "+key), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := login(t, wrong, identity); err == nil || !strings.Contains(out, "REMOTE HOST IDENTIFICATION HAS CHANGED") {
			t.Errorf("another host key: got %v\n%s", err, out)
		}
		e.interrupt()
		other.interrupt()
	})

	for _, tt := range []struct {
		algorithm piv.Algorithm
		names     []string
	}{
		{piv.AlgorithmP384, []string{"ecdsa-sha2-nistp384"}},
		{piv.AlgorithmRSA2048, []string{"rsa-sha2-256", "rsa-sha2-512"}},
	} {
		t.Run("a card in a reader, "+tt.algorithm.String(), func(t *testing.T) {
			daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
			putIn(t, daemon, 0, signerCard(t, newTestAuthority(t), map[piv.Slot]piv.Algorithm{piv.SlotCardAuthentication: tt.algorithm}))
			e := startExample(t, daemon.SocketName, program, "-listen", "127.0.0.1:0")
			file := known(t, e)
			for _, name := range tt.names {
				if out, err := login(t, file, identity, "-o", "HostKeyAlgorithms="+name); err != nil || !strings.Contains(out, hello) {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
			}
			e.interrupt()
		})
	}
}
