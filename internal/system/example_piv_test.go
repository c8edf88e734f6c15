package system_test

import (
	"bytes"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/piv"
)

func TestSignFile(t *testing.T) {
	t.Parallel()
	system.Need(t, "openssl", "openssl")
	program := buildExample(t, "sign-file")

	// verifies runs the commands that the program has printed.
	verifies := func(t *testing.T, out, file string) {
		t.Helper()
		_, commands, ok := strings.Cut(strings.ReplaceAll(out, "\r", ""), "\n\n")
		if !ok {
			t.Fatalf("it tells no commands:\n%s", out)
		}
		if out := mustOutput(t, os.Environ(), "sh", "-ec", commands); !strings.Contains(out, "Verified OK") {
			t.Errorf("openssl: %s", out)
		}
		if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := output(t, os.Environ(), "sh", "-ec", commands); err == nil || strings.Contains(out, "Verified OK") {
			t.Errorf("openssl verifies a file that was changed: %s", out)
		}
	}
	write := func(t *testing.T) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "message")
		if err := os.WriteFile(file, bytes.Repeat([]byte("a long message\n"), 10_000), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}

	t.Run("a card in software", func(t *testing.T) {
		file := write(t)
		out, err := runExample(t, "/nowhere", "", program, "-emulate", file)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		verifies(t, out, file)
	})
	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP384, piv.AlgorithmRSA2048} {
		t.Run("a card in a reader, "+algorithm.String(), func(t *testing.T) {
			file := write(t)
			daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
			putIn(t, daemon, 0, signerCard(t, newTestAuthority(t), map[piv.Slot]piv.Algorithm{piv.SlotSignature: algorithm}))
			e := startAtTerminal(t, daemon.Env(), string(testPIN), quote(program, "-serial", strconv.Itoa(testSerial), file))
			e.ends()
			verifies(t, e.output()[strings.Index(e.output(), "Signed with"):], file)
			if strings.Contains(e.output(), string(testPIN)) {
				t.Errorf("the PIN is shown:\n%s", e.output())
			}
		})
	}
	t.Run("a wrong PIN", func(t *testing.T) {
		file := write(t)
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
		putIn(t, daemon, 0, signerCard(t, newTestAuthority(t), map[piv.Slot]piv.Algorithm{piv.SlotSignature: piv.AlgorithmP256}))
		e := startAtTerminal(t, daemon.Env(), "999999", quote(program, file))
		if err := e.cmd.Wait(); err == nil {
			t.Error("it succeeds")
		}
		checkSays(t, e.output(), "sign-file: ", "2 tries left")
		if _, err := os.Stat(file + ".sig"); err == nil {
			t.Error("a signature was written")
		}
	})
}

func TestDecryptFile(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "decrypt-file")

	t.Run("cards in software", func(t *testing.T) {
		out, err := runExample(t, "/nowhere", "", program, "-emulate")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		checkSays(t, out, "RSA 2048: 210000 bytes became", "P-256: 210000 bytes became", "P-384: 210000 bytes became", "X25519: 210000 bytes became", "and 210000 again")
	})

	for _, algorithm := range []piv.Algorithm{piv.AlgorithmP256, piv.AlgorithmP384, piv.AlgorithmRSA2048} {
		t.Run("encrypted with a certificate, decrypted by the card in a reader, "+algorithm.String(), func(t *testing.T) {
			c := signerCard(t, newTestAuthority(t), map[piv.Slot]piv.Algorithm{piv.SlotKeyManagement: algorithm})
			daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
			putIn(t, daemon, 0, c)
			var cert string
			lookAt(t, daemon, func(client *piv.Client) {
				crt, err := client.Certificate(t.Context(), piv.SlotKeyManagement)
				if err != nil {
					t.Fatal(err)
				}
				cert = writePEM(t, "holder.pem", "CERTIFICATE", crt.Raw)
			})
			dir := t.TempDir()
			plain, sealed, opened := filepath.Join(dir, "plain"), filepath.Join(dir, "sealed"), filepath.Join(dir, "opened")
			for _, size := range []int{0, 1, 64 << 10, 200_000} { // about the blocks of the envelope
				message := bytes.Repeat([]byte("secret "), size/7+1)[:size]
				if err := os.WriteFile(plain, message, 0o600); err != nil {
					t.Fatal(err)
				}
				mustOutput(t, os.Environ(), "sh", "-ec", quote(program, "-encrypt", cert, plain)+" > "+quote(sealed))
				if bytes.Contains([]byte(mustRead(t, sealed)), []byte("secret")) {
					t.Errorf("%d bytes: the envelope shows the plaintext", size)
				}
				startAtTerminal(t, daemon.Env(), string(testPIN), quote(program, sealed)+" > "+quote(opened)).ends()
				if got := mustRead(t, opened); got != string(message) {
					t.Errorf("%d bytes: got %d others", size, len(got))
				}
			}
			// One bit less, one byte less.
			envelope := []byte(mustRead(t, sealed))
			for _, bad := range [][]byte{append(bytes.Clone(envelope[:len(envelope)-1]), envelope[len(envelope)-1]^1), envelope[:len(envelope)-1]} {
				if err := os.WriteFile(sealed, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				e := startAtTerminal(t, daemon.Env(), string(testPIN), quote(program, sealed)+" > "+quote(opened))
				if err := e.cmd.Wait(); err == nil {
					t.Error("an envelope that was changed is opened")
				}
			}
		})
	}
}

// lookAt lets f use the card in the first reader of a daemon that is not in the environment.
func lookAt(t *testing.T, daemon *system.PCSCD, f func(*piv.Client)) {
	t.Helper()
	conn, err := cardIn(t, daemon, 0).Connect(t.Context(), daemon.Readers[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, err := piv.Open(t.Context(), iso7816.NewChannel(conn, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	f(client)
}

func TestIssueCard(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "issue-card")
	out, err := runExample(t, "/nowhere", "", program, "-emulate")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	checkSays(t, out, "Slot 9A", "Slot 9C", "Slot 9D", "Slot 9E", "P-384", "RSA 2048", "The card keeps a random management key", "The PUK is changed.", "The PIN is changed.")
	if out, err := runExample(t, "/nowhere", "", program); err == nil {
		t.Errorf("it takes any card:\n%s", out)
	}
}

// TestSSHAgent lets OpenSSH log in to a private sshd with the keys that the agent serves.
func TestSSHAgent(t *testing.T) {
	t.Parallel()
	ssh, keygen, add := system.Need(t, "ssh", "openssh-client"), system.Need(t, "ssh-keygen", "openssh-client"), system.Need(t, "ssh-add", "openssh-client")
	sshd := system.Need(t, "sshd", "openssh-server")
	program := buildExample(t, "ssh-agent")
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where sshd gives up its rights
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}

	// logsIn logs in with each key of the agent, and not without it.
	logsIn := func(t *testing.T, socket string, keys int) {
		t.Helper()
		dir := t.TempDir()
		file := func(name string) string { return filepath.Join(dir, name) }
		env := append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		public := mustOutput(t, env, add, "-L")
		lines := strings.Split(strings.TrimSpace(public), "\n")
		if len(lines) != keys {
			t.Fatalf("got %d keys, want %d:\n%s", len(lines), keys, public)
		}
		if out, err := output(t, env, add, "-D"); err == nil {
			t.Errorf("ssh-add -D: the keys are removed:\n%s", out)
		}
		mustOutput(t, env, keygen, "-q", "-t", "ed25519", "-N", "", "-f", file("host"))
		for i, line := range lines {
			authorized := file("authorized" + strconv.Itoa(i))
			if err := os.WriteFile(authorized, []byte(line+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			port := strconv.Itoa(freePort(t))
			config := strings.Join([]string{
				"Port " + port, "ListenAddress 127.0.0.1", "HostKey " + file("host"), "AuthorizedKeysFile " + authorized,
				"PasswordAuthentication no", "KbdInteractiveAuthentication no", "UsePAM no", "StrictModes no", "PermitRootLogin yes", "PidFile none", "",
			}, "\n")
			if err := os.WriteFile(file("sshd.conf"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			start(t, env, sshd, "-D", "-e", "-f", file("sshd.conf")).says(t, "Server listening")
			login := []string{"-F", "none", "-p", port, "-o", "UserKnownHostsFile=" + file("known"), "-o", "StrictHostKeyChecking=accept-new",
				"-o", "PreferredAuthentications=publickey", "-o", "IdentityFile=none", me.Username + "@127.0.0.1", "echo", "logged", "in"}
			if out := mustOutput(t, env, ssh, login...); !strings.Contains(out, "logged in") {
				t.Errorf("%s: %s", line, out)
			}
			if out, err := output(t, append(env, "SSH_AUTH_SOCK="), ssh, login...); err == nil {
				t.Errorf("without the agent: %s", out)
			}
		}
	}
	// Not t.TempDir, whose path may be longer than a socket's may be.
	socketDir := func(t *testing.T) string {
		t.Helper()
		dir, err := os.MkdirTemp("", "agent")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}

	t.Run("a card in software", func(t *testing.T) {
		socket := filepath.Join(socketDir(t), "s")
		e := startExample(t, "/nowhere", program, "-emulate", "-socket", socket)
		e.expect("1 keys.")
		if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the socket: got %v, %v; want nobody else to use it", info, err)
		}
		logsIn(t, socket, 1)
		e.interrupt()
	})
	t.Run("a card in a reader, the PIN by askpass", func(t *testing.T) {
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
		putIn(t, daemon, 0, signerCard(t, newTestAuthority(t), map[piv.Slot]piv.Algorithm{
			piv.SlotAuthentication: piv.AlgorithmRSA2048, piv.SlotSignature: piv.AlgorithmP384, piv.SlotCardAuthentication: piv.AlgorithmP256}))
		dir := socketDir(t)
		ask, socket := filepath.Join(dir, "ask"), filepath.Join(dir, "s")
		if err := os.WriteFile(ask, []byte("#!/bin/sh\necho "+string(testPIN)+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		e := startExample(t, daemon.SocketName, "/usr/bin/env", "SSH_ASKPASS="+ask, program, "-askpass", "-socket", socket)
		e.expect("3 keys.")
		logsIn(t, socket, 3)
		e.interrupt()
	})
}
