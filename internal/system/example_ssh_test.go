package system_test

import (
	"crypto/elliptic"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// An sshServer is OpenSSH's sshd, which lets in who runs this test.
type sshServer struct{ user, port, known string }

// startSSHD starts an sshd that lets in the holder of one key, a line of authorized_keys.
func startSSHD(t *testing.T, authorized string) *sshServer {
	t.Helper()
	sshd, keygen := system.Need(t, "sshd", "openssh-server"), system.Need(t, "ssh-keygen", "openssh-client")
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where sshd gives up its rights
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	port := strconv.Itoa(freePort(t))
	// It has two keys, of which the client knows the one that it would not ask for first.
	known := ""
	config := []string{"Port " + port, "ListenAddress 127.0.0.1", "AuthorizedKeysFile " + write("authorized", authorized),
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "UsePAM no", "StrictModes no", "PermitRootLogin yes", "PidFile none"}
	for _, kind := range []string{"ed25519", "ecdsa"} {
		file := filepath.Join(dir, kind)
		mustOutput(t, os.Environ(), keygen, "-q", "-t", kind, "-N", "", "-f", file)
		config = append(config, "HostKey "+file)
		known = write("known", "[127.0.0.1]:"+port+" "+mustRead(t, file+".pub"))
	}
	config = append(config, "")
	start(t, os.Environ(), sshd, "-D", "-e", "-f", write("config", strings.Join(config, "\n"))).says(t, "Server listening")
	return &sshServer{me.Username, port, known}
}

// args are those of ssh-client for a command on s.
func (s *sshServer) args(where ...string) []string {
	return append(where, "-p", s.port, "-known", s.known, s.user+"@127.0.0.1", "echo", "logged", "in")
}

func TestSSHClient(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "ssh-client")

	t.Run("a card in software", func(t *testing.T) {
		out, err := runExample(t, "/nowhere", "", program, "-emulate")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "Hello, somebody")
	})

	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP256, piv.AlgorithmP384, piv.AlgorithmEd25519, piv.AlgorithmRSA2048} {
		t.Run("sshd lets in the holder of a card, "+algorithm.String(), func(t *testing.T) {
			daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
			putIn(t, daemon, 0, signerCard(t, newTestAuthority(t), map[piv.Slot]piv.Algorithm{piv.SlotAuthentication: algorithm}))
			public, err := runExample(t, daemon.SocketName, "", program, "-public")
			if err != nil {
				t.Fatalf("%v\n%s", err, public)
			}
			server := startSSHD(t, public)
			e := startAtTerminal(t, daemon.Env(), string(testPIN), quote(append([]string{program}, server.args()...)...))
			e.ends()
			checkSays(t, e.output(), "logged in")
		})
	}

	t.Run("sshd does not let in another key, and an unknown server gets no signature", func(t *testing.T) {
		ca := newTestAuthority(t)
		keys := map[piv.Slot]piv.Algorithm{piv.SlotAuthentication: piv.AlgorithmP256, piv.SlotCardAuthentication: piv.AlgorithmP256}
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
		spy := &spyCard{Card: signerCard(t, ca, keys)}
		putIn(t, daemon, 0, spy)
		public, err := runExample(t, daemon.SocketName, "", program, "-public")
		if err != nil {
			t.Fatalf("%v\n%s", err, public)
		}
		server := startSSHD(t, public)
		out, err := runExample(t, daemon.SocketName, "", program, server.args("-slot", "9E")...)
		if err == nil || !strings.Contains(out, "unable to authenticate") {
			t.Errorf("another key: got %v\n%s", err, out)
		}
		stranger := *server
		stranger.known = os.DevNull
		if signed := signatures(spy); signed != 0 {
			t.Errorf("the card has signed %d times", signed)
		}
		out, err = runExample(t, daemon.SocketName, "", program, stranger.args("-slot", "9E")...)
		if err == nil || !strings.Contains(out, "-known") || signatures(spy) != 0 {
			t.Errorf("an unknown server: got %v and %d signatures\n%s", err, signatures(spy), out)
		}
		e := startAtTerminal(t, daemon.Env(), string(testPIN), quote(append([]string{program}, server.args()...)...))
		e.ends()
		if signed := signatures(spy); signed != 1 {
			t.Errorf("logged in, the card has signed %d times", signed)
		}
	})
}

// signatures returns how often a card was asked to sign.
func signatures(spy *spyCard) int {
	commands, _ := spy.noted()
	n := 0
	for _, c := range commands {
		if c == apdu.InsGeneralAuthenticateOdd {
			n++
		}
	}
	return n
}

// TestSSHClientOnSoftHSM is not parallel, as the token is in the environment.
func TestSSHClientOnSoftHSM(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ssh-client")
	goTool(t, nil, "build", "-o", program, "./examples/ssh-client")
	for _, tt := range []struct {
		name string
		opts *cryptoki.KeyPairOptions
	}{
		{"P-256", &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "ssh", ID: []byte{1}}},
		{"RSA 2048", &cryptoki.KeyPairOptions{RSABits: 2048, Label: "ssh", ID: []byte{1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tokenCertificate(t, newTestAuthority(t), tt.opts)
			where := []string{"-module", module(t, "softhsm/libsofthsm2.so", "softhsm2"), "-token", "cardoki test", "-key", "ssh"}
			public := startAtTerminal(t, os.Environ(), "123456", quote(append([]string{program, "-public"}, where...)...))
			public.ends()
			server := startSSHD(t, public.find(`(?m)^((?:ssh-rsa|ecdsa-sha2-\S+) \S+)\s*$`))
			e := startAtTerminal(t, os.Environ(), "123456", quote(append([]string{program}, server.args(where...)...)...))
			e.ends()
			checkSays(t, e.output(), "logged in")
		})
	}
}
