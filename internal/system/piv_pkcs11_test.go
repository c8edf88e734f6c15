package system_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// issueUser returns a certificate of a person, for TLS and S/MIME.
func (a *authority) issueUser(public crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return nil, err
	}
	usage := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	if _, ok := public.(*ecdsa.PublicKey); ok {
		usage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement
	}
	template := &x509.Certificate{
		SerialNumber:   serial,
		Subject:        pkix.Name{CommonName: "card holder"},
		EmailAddresses: []string{"holder@example.test"},
		NotBefore:      notBefore,
		NotAfter:       notBefore.AddDate(20, 0, 0),
		KeyUsage:       usage,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageEmailProtection},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// A holder is somebody with a card in a reader, a PKCS#11 module for it, and a folder.
type holder struct {
	tool   // has no program of its own
	module string
	certs  map[piv.Slot]*x509.Certificate
	ca     *authority
	caFile string
}

// TestProgramsOnOpenSC lets programs that know PKCS#11 use the card through OpenSC, in
// the reader of a private pcscd.
//
// Expected failures:
//
//   - The engine of libp11 0.4.12 asks for the PIN of a key that wants it each time, as
//     that of slot 9C, on the terminal, whatever PIN it was given (OpenSC/libp11 pull
//     request 121). It can use the key when OpenSC 0.23.0 is told to remember the PIN.
//   - modutil -list of NSS 3.87.1 ends with 32 when a reader is empty, as the second one
//     of vpcd is.
func TestProgramsOnOpenSC(t *testing.T) {
	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP256, piv.AlgorithmRSA2048} {
		t.Run(algorithm.String(), func(t *testing.T) {
			h := newHolder(t, module(t, "opensc-pkcs11.so", "opensc-pkcs11"), map[piv.Slot]piv.Algorithm{
				piv.SlotAuthentication: algorithm,
				piv.SlotSignature:      algorithm,
				piv.SlotKeyManagement:  piv.AlgorithmRSA2048,
			})
			for _, p := range []struct {
				name string
				run  func(*testing.T, *holder)
			}{
				{"OpenSSH", useOpenSSH},
				{"OpenVPN", useOpenVPN},
				{"openssl and curl", useOpenSSLEngine},
				{"GnuTLS", useGnuTLS},
				{"NSS", useNSS},
				{"Firefox", useFirefox},
			} {
				t.Run(p.name, func(t *testing.T) {
					own := *h
					own.t, own.dir = t, t.TempDir()
					p.run(t, &own)
				})
			}
		})
	}
}

// newHolder gives somebody a card with keys and certificates.
func newHolder(t *testing.T, module string, keys map[piv.Slot]piv.Algorithm) *holder {
	t.Helper()
	ca := newTestAuthority(t)
	daemon, certs := newYubiKeyOf(t, ca, keys)
	return &holder{tool: *newTool(t, daemon, ""), module: module, certs: certs, ca: ca, caFile: writePEM(t, "ca.pem", "CERTIFICATE", ca.cert.Raw)}
}

// calls runs a program of the holder and returns what it prints.
func (h *holder) calls(program string, args ...string) string {
	h.t.Helper()
	return mustOutput(h.t, h.env, program, args...)
}

// write writes a file into the holder's folder and returns its path.
func (h *holder) write(name, content string, mode os.FileMode) string {
	h.t.Helper()
	if err := os.WriteFile(h.file(name), []byte(content), mode); err != nil {
		h.t.Fatal(err)
	}
	return h.file(name)
}

// A running program is beside the test, at most until that ends.
type running struct {
	ended chan struct{} // closed when it has ended

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *running) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *running) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start starts a program, and kills it when the test ends.
func start(t *testing.T, env []string, name string, args ...string) *running {
	t.Helper()
	p := &running{ended: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env, p, p, 5*time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // what it printed tells how it ended
		close(p.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(name), p)
		}
	})
	return p
}

// says waits until the program has printed something.
func (p *running) says(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(p.String(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q is missing in\n%s", want, p)
		}
	}
}

// useOpenSSH logs in to a private sshd with the key of slot 9A: ssh has the module
// loaded itself, and ssh-agent has.
func useOpenSSH(t *testing.T, h *holder) {
	ssh, keygen := system.Need(t, "ssh", "openssh-client"), system.Need(t, "ssh-keygen", "openssh-client")
	sshd := system.Need(t, "sshd", "openssh-server")
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where sshd gives up its rights
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	keys := h.calls(keygen, "-D", h.module)
	own := ""
	for line := range strings.Lines(keys) {
		if strings.HasPrefix(line, "ssh-rsa ") || strings.HasPrefix(line, "ecdsa-") {
			exported := h.calls(keygen, "-e", "-m", "PKCS8", "-f", h.write("candidate.pub", line, 0o600))
			if block, _ := pem.Decode([]byte(exported)); block != nil && bytes.Equal(block.Bytes, mustPKIX(t, h.certs[piv.SlotAuthentication].PublicKey)) {
				own = line
			}
		}
	}
	if own == "" {
		t.Fatalf("ssh-keygen -D: the key of slot 9A is missing in\n%s", keys)
	}
	authorized := h.write("authorized", own, 0o600)
	h.calls(keygen, "-q", "-t", "ed25519", "-N", "", "-f", h.file("host"))
	port := strconv.Itoa(freePort(t))
	config := h.write("sshd.conf", strings.Join([]string{
		"Port " + port, "ListenAddress 127.0.0.1", "HostKey " + h.file("host"), "AuthorizedKeysFile " + authorized,
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "UsePAM no", "StrictModes no", "PermitRootLogin yes", "PidFile none", "",
	}, "\n"), 0o600)
	start(t, h.env, sshd, "-D", "-e", "-f", config).says(t, "Server listening")

	ask := h.write("ask", "#!/bin/sh\necho "+factoryPIN+"\n", 0o700)
	env := append(h.env, "SSH_ASKPASS="+ask, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:none", "SSH_AUTH_SOCK=")
	login := []string{"-F", "none", "-p", port, "-o", "UserKnownHostsFile=" + h.file("known"), "-o", "StrictHostKeyChecking=accept-new",
		"-o", "PreferredAuthentications=publickey", "-o", "IdentityFile=none"}
	if out := mustOutput(t, env, ssh, append(login, "-I", h.module, me.Username+"@127.0.0.1", "echo", "logged", "in")...); !strings.Contains(out, "logged in") {
		t.Errorf("ssh -I: %s", out)
	}
	if out, err := output(t, env, ssh, append(login, me.Username+"@127.0.0.1", "true")...); err == nil {
		t.Errorf("ssh without the card: %s", out)
	}

	agentSocket := h.file("agent")
	path, err := filepath.EvalSymlinks(h.module)
	if err != nil {
		t.Fatal(err)
	}
	start(t, env, system.Need(t, "ssh-agent", "openssh-client"), "-D", "-a", agentSocket, "-P", path+","+h.module).says(t, "SSH_AUTH_SOCK")
	env = append(env, "SSH_AUTH_SOCK="+agentSocket)
	mustOutput(t, env, system.Need(t, "ssh-add", "openssh-client"), "-s", h.module)
	if out := mustOutput(t, env, ssh, append(login, me.Username+"@127.0.0.1", "echo", "logged", "in")...); !strings.Contains(out, "logged in") {
		t.Errorf("ssh with ssh-agent: %s", out)
	}
}

// useOpenVPN connects a client that has its key on the card with a server of its own,
// without any network device.
func useOpenVPN(t *testing.T, h *holder) {
	openvpn := system.Need(t, "openvpn", "openvpn")
	serverCert, serverKey := h.server(t)
	port := strconv.Itoa(freePort(t))
	common := []string{"--dev", "null", "--proto", "udp4", "--verb", "4", "--ca", h.caFile, "--ifconfig-noexec", "--route-noexec", "--cipher", "AES-256-GCM"}
	server := start(t, h.env, openvpn, append(common, "--tls-server", "--local", "127.0.0.1", "--lport", port, "--cert", serverCert, "--key", serverKey, "--dh", "none")...)
	server.says(t, "UDPv4 link remote")

	// The client asks for the PIN on its management interface.
	management, err := net.Listen("unix", h.file("management"))
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- answerOpenVPN(management) }()
	t.Cleanup(func() {
		management.Close()
		<-answered
	})
	ids := regexp.MustCompile(`Serialized id: *(\S+/01)\n`).FindStringSubmatch(h.calls(openvpn, "--show-pkcs11-ids", h.module))
	if ids == nil {
		t.Fatal("openvpn --show-pkcs11-ids does not show the key of slot 9A")
	}
	client := start(t, h.env, openvpn, append(common, "--tls-client", "--remote", "127.0.0.1", port, "--nobind", "--pkcs11-providers", h.module, "--pkcs11-id", ids[1],
		"--remote-cert-tls", "server", "--management", h.file("management"), "unix", "--management-client", "--management-query-passwords", "--connect-retry-max", "1")...)
	client.says(t, "Initialization Sequence Completed")
	server.says(t, "VERIFY OK: depth=0, CN=card holder")
}

// answerOpenVPN gives the PIN to whoever asks for it on the management interface.
func answerOpenVPN(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), ">PASSWORD:Need '"); ok {
			name, _, _ = strings.Cut(name, "'")
			fmt.Fprintf(conn, "password %q %q\n", name, factoryPIN)
		}
	}
	return nil
}

// server returns certificate and key of a server, both as files.
func (h *holder) server(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.ca.issue("localhost", k.Public())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "server.pem", "CERTIFICATE", c.Raw), writePEM(t, "server.key", "PRIVATE KEY", der)
}

// serveHTTPS starts a server that lets in those with a certificate and tells them their
// name and TLS version.
func (h *holder) serveHTTPS(t *testing.T) (port string) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(h.server(t))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s, by %s.\n", r.TLS.PeerCertificates[0].Subject.CommonName, tls.VersionName(r.TLS.Version))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: h.ca.pool()}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients say what went wrong
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err = net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// uri names the key or certificate of a slot.
func (h *holder) uri(id, kind string) string {
	u := "pkcs11:token=card%20holder;id=%" + id + ";type=" + kind
	if kind == "private" {
		u += ";pin-value=" + factoryPIN
	}
	return u
}

// useOpenSSLEngine signs with openssl, and asks a server that wants a certificate with
// openssl and curl, all by the engine pkcs11 of libp11.
func useOpenSSLEngine(t *testing.T, h *holder) {
	openssl, curl := system.Need(t, "openssl", "openssl"), system.Need(t, "curl", "curl")
	module(t, "engines-3/pkcs11.so", "libengine-pkcs11-openssl")
	config := h.write("openssl.cnf", strings.Join([]string{"openssl_conf=o", "[o]", "engines=e", "[e]", "pkcs11=p", "[p]", "engine_id=pkcs11",
		"MODULE_PATH=" + h.module, "PIN=" + factoryPIN, "init=0", ""}, "\n"), 0o600)
	env := append(h.env, "OPENSSL_CONF="+config)
	message, signature := h.write("message", "signed by a card in software\n", 0o600), h.file("signature")
	port := h.serveHTTPS(t)
	// setsid takes the terminal away, if there is one.
	if out, err := output(t, env, "setsid", "--wait", openssl, "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign", h.uri("02", "private"), "-out", signature, message); err == nil || !strings.Contains(out, "while reading strings") {
		t.Errorf("openssl with a key that wants the PIN each time: got %v, want a failure to ask for it\n%s", err, out)
	}
	env = append(env, "OPENSC_CONF="+h.write("opensc.conf", "app default { framework pkcs15 { use_pin_caching = true; pin_cache_ignore_user_consent = true; } }\n", 0o600))
	for id, slot := range map[string]piv.Slot{"01": piv.SlotAuthentication, "02": piv.SlotSignature} {
		certFile := writePEM(t, "certificate.pem", "CERTIFICATE", h.certs[slot].Raw)
		mustOutput(t, env, openssl, "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign", h.uri(id, "private"), "-out", signature, message)
		if out := h.calls(openssl, "dgst", "-sha256", "-verify", writePEM(t, "public", "PUBLIC KEY", mustPKIX(t, h.certs[slot].PublicKey)), "-signature", signature, message); !strings.Contains(out, "Verified OK") {
			t.Errorf("slot %v: openssl dgst: %s", slot, out)
		}
		out := mustOutput(t, env, curl, "-sS", "--max-time", "20", "--cacert", h.caFile, "--engine", "pkcs11",
			"--cert-type", "ENG", "--cert", h.uri(id, "cert"), "--key-type", "ENG", "--key", h.uri(id, "private"), "https://localhost:"+port+"/")
		if !strings.Contains(out, "Hello, card holder, by TLS 1.3") {
			t.Errorf("slot %v: curl: %s", slot, out)
		}
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			out := h.asksByTLS(t, env, openssl, "s_client", version, "-quiet", "-connect", "localhost:"+port, "-CAfile", h.caFile, "-verify_return_error",
				"-cert", certFile, "-engine", "pkcs11", "-keyform", "engine", "-key", h.uri(id, "private"))
			if !strings.Contains(out, "Hello, card holder") {
				t.Errorf("slot %v: openssl s_client %s: %s", slot, version, out)
			}
		}
	}
}

// asksByTLS runs a program that makes a TLS connection of its standard input and output,
// asks the server of serveHTTPS for its page, and returns what the program has printed
// when the page has come, or when it has ended without.
func (h *holder) asksByTLS(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	out := &running{ended: make(chan struct{})}
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env, out, out, time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	go func() {
		_ = cmd.Wait() // what it printed tells how it ended
		close(out.ended)
	}()
	for {
		select {
		case <-out.ended:
			return out.String()
		case <-time.After(10 * time.Millisecond):
			if strings.Contains(out.String(), "Hello, ") {
				cancel() // not all of them end with the connection
			}
		}
	}
}

// useGnuTLS lists and tests the objects with p11tool, which finds OpenSC's module by
// p11-kit's configuration, makes a certificate request, and asks a server.
func useGnuTLS(t *testing.T, h *holder) {
	p11tool, certtool := system.Need(t, "p11tool", "gnutls-bin"), system.Need(t, "certtool", "gnutls-bin")
	if out := h.calls(p11tool, "--list-tokens"); !strings.Contains(out, "Module: opensc-pkcs11.so") || !strings.Contains(out, "Label: card holder") {
		t.Errorf("p11tool --list-tokens: %s", out)
	}
	list := h.calls(p11tool, "--login", "--set-pin", factoryPIN, "--list-all", "pkcs11:token=card%20holder")
	for _, want := range []string{"object=PIV%20AUTH%20key;type=private", "object=SIGN%20key;type=private", "object=KEY%20MAN%20key;type=private", "object=Certificate%20for%20PIV%20Authentication;type=cert"} {
		if !strings.Contains(list, want) {
			t.Errorf("p11tool --list-all: %q is missing in\n%s", want, list)
		}
	}
	for _, id := range []string{"01", "02"} {
		out := h.calls(p11tool, "--login", "--set-pin", factoryPIN, "--test-sign", "pkcs11:token=card%20holder;type=private;id=%"+id)
		if strings.Count(out, "... ok") != 3 {
			t.Errorf("p11tool --test-sign %s: %s", id, out)
		}
		public := strings.TrimSuffix(h.uri(id, "private"), ";pin-value="+factoryPIN)
		public = strings.Replace(public, "type=private", "type=public", 1)
		template := h.write("template", "cn=request\n", 0o600)
		h.calls(certtool, "--generate-request", "--load-privkey", h.uri(id, "private"), "--load-pubkey", public, "--template", template, "--outfile", h.file("request"))
		if out := h.calls(system.Need(t, "openssl", "openssl"), "req", "-in", h.file("request"), "-verify", "-noout", "-subject"); !strings.Contains(out, "request") {
			t.Errorf("certtool --generate-request %s: %s", id, out)
		}
	}
	out := h.asksByTLS(t, h.env, system.Need(t, "gnutls-cli", "gnutls-bin"), "--x509cafile", h.caFile, "--x509certfile", h.uri("01", "cert"), "--x509keyfile", h.uri("01", "private"),
		"-p", h.serveHTTPS(t), "localhost")
	if !strings.Contains(out, "Hello, card holder") {
		t.Errorf("gnutls-cli: %s", out)
	}
}

// profile makes a profile of NSS that knows the module and the authority.
func (h *holder) profile(t *testing.T) (dir string) {
	t.Helper()
	modutil, certutil := system.Need(t, "modutil", "libnss3-tools"), system.Need(t, "certutil", "libnss3-tools")
	dir = h.file("profile")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.calls(certutil, "-N", "-d", "sql:"+dir, "--empty-password")
	h.calls(modutil, "-dbdir", "sql:"+dir, "-force", "-add", "card", "-libfile", h.module)
	h.calls(certutil, "-A", "-d", "sql:"+dir, "-n", "ca", "-t", "CT,C,", "-i", h.caFile)
	return dir
}

// useNSS goes through NSS's tools: the token, its keys and certificates, TLS, and S/MIME
// with signature and decryption.
func useNSS(t *testing.T, h *holder) {
	certutil, cmsutil := system.Need(t, "certutil", "libnss3-tools"), system.Need(t, "cmsutil", "libnss3-tools")
	openssl := system.Need(t, "openssl", "openssl")
	db := "sql:" + h.profile(t)
	pin := h.write("pin", factoryPIN+"\n", 0o600)
	if out, err := output(t, h.env, system.Need(t, "modutil", "libnss3-tools"), "-dbdir", db, "-list", "card"); err == nil || !strings.Contains(out, "Token Name: card holder") {
		t.Errorf("modutil -list: %v\n%s", err, out)
	}
	for _, id := range []string{"01", "02", "03"} {
		if out := h.calls(certutil, "-K", "-d", db, "-h", "card holder", "-f", pin); !strings.Contains(out, " "+id+" ") {
			t.Errorf("certutil -K: key %s is missing in\n%s", id, out)
		}
	}
	if out := h.calls(certutil, "-L", "-d", db, "-h", "card holder", "-f", pin); !strings.Contains(out, "card holder:Certificate for PIV Authentication") {
		t.Errorf("certutil -L: %s", out)
	}
	out := h.asksByTLS(t, h.env, system.Need(t, "tstclnt", "libnss3-tools"), "-4", "-h", "localhost", "-p", h.serveHTTPS(t), "-d", db, "-n", "card holder:Certificate for PIV Authentication", "-W", pin)
	if !strings.Contains(out, "Hello, card holder") {
		t.Errorf("tstclnt: %s", out)
	}

	message := h.write("message", "signed by a card in software\n", 0o600)
	for _, nickname := range []string{"Certificate for PIV Authentication", "Certificate for Digital Signature"} {
		h.calls(cmsutil, "-S", "-d", db, "-f", pin, "-N", "card holder:"+nickname, "-G", "-i", message, "-o", h.file("signed"))
		h.calls(openssl, "cms", "-verify", "-inform", "DER", "-in", h.file("signed"), "-CAfile", h.caFile, "-purpose", "smimesign", "-out", h.file("plain"))
		if got := mustRead(t, h.file("plain")); strings.ReplaceAll(got, "\r", "") != mustRead(t, message) {
			t.Errorf("cmsutil -S with the %s: got %q", nickname, got)
		}
	}
	recipient := writePEM(t, "recipient.pem", "CERTIFICATE", h.certs[piv.SlotKeyManagement].Raw)
	h.calls(openssl, "cms", "-encrypt", "-aes256", "-in", message, "-outform", "DER", "-out", h.file("enveloped"), recipient)
	h.calls(cmsutil, "-D", "-d", db, "-f", pin, "-i", h.file("enveloped"), "-o", h.file("plain"))
	if got := mustRead(t, h.file("plain")); strings.ReplaceAll(got, "\r", "") != mustRead(t, message) {
		t.Errorf("cmsutil -D: got %q", got)
	}
}
