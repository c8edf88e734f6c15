package system_test

import (
	"crypto/elliptic"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// These tests try what docs/deployment.md says.

// TestDeployment_scratch runs a program built without cgo where nothing is but itself and
// pcscd's socket, as in a container made from scratch.
func TestDeployment_scratch(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can change the root folder of a program")
	}
	program := buildExample(t, "card-info")
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it is linked dynamically")
		}
	}
	daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
	putIn(t, daemon, 0, signerCard(t, newTestAuthority(t), map[piv.Slot]piv.Algorithm{piv.SlotAuthentication: piv.AlgorithmP256}))
	folder := filepath.Dir(daemon.SocketName) // with the socket alone
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "card-info"), content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, ".dockerenv"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		socket string
		mode   os.FileMode
		ok     bool
		want   string
	}{
		{"any user, where the socket has mode 0666, as systemd makes it", "/comm", 0o666, true, "slot 9A        P-256"},
		{"a user who may not write to the socket", "/comm", 0o600, false, "user uid 65534 may not open /comm"},
		{"a container without the socket", "/run/pcscd/pcscd.comm", 0o666, false, "docker run -v /run/pcscd:/run/pcscd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.Chmod(daemon.SocketName, tt.mode); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/card-info")
			cmd.Dir, cmd.Env = "/", []string{"PCSCLITE_CSOCK_NAME=" + tt.socket}
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: folder, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, err := cmd.CombinedOutput()
			if (err == nil) != tt.ok || !strings.Contains(string(out), tt.want) {
				t.Errorf("got %v, want %q in\n%s", err, tt.want, out)
			}
		})
	}
}

func TestDeployment_withoutCgo(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "tls-client")
	out, err := runExample(t, "/nowhere", "", program, "-module", "/usr/lib/softhsm/libsofthsm2.so", "-token", "token", "-key", "key", "https://localhost/")
	_, message, _ := strings.Cut(strings.TrimSpace(out), "tls-client: ")
	if err == nil || !strings.Contains(mustRead(t, filepath.Join(root, "docs", "deployment.md")), "\t"+message+"\n") {
		t.Errorf("got %v, and docs/deployment.md has another message than\n%s", err, out)
	}
}

// TestDeployment_remoteHSM uses a token of another host: p11-kit serves it there, ssh
// carries the connection, and p11-kit-client.so is the module here. It is not parallel, as
// the token is in the environment.
func TestDeployment_remoteHSM(t *testing.T) {
	client := module(t, "pkcs11/p11-kit-client.so", "p11-kit-modules")
	ssh, keygen, p11kit := system.Need(t, "ssh", "openssh-client"), system.Need(t, "ssh-keygen", "openssh-client"), system.Need(t, "p11-kit", "p11-kit")
	tokenCertificate(t, newTestAuthority(t), &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "tls", ID: []byte{1}})
	program := filepath.Join(t.TempDir(), "selftest")
	goTool(t, nil, "build", "-o", program, "./examples/selftest")
	if t.Failed() {
		return
	}
	dir, err := os.MkdirTemp("", "p11-kit-") // not t.TempDir, whose path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	there, here := filepath.Join(dir, "there"), filepath.Join(dir, "here")

	softHSM := module(t, "softhsm/libsofthsm2.so", "softhsm2")
	start(t, os.Environ(), p11kit, "server", "--foreground", "--name", there, "--provider", softHSM, "pkcs11:token=cardoki%20test")
	identity := filepath.Join(dir, "identity")
	mustOutput(t, os.Environ(), keygen, "-q", "-t", "ed25519", "-N", "", "-f", identity)
	server := startSSHD(t, mustRead(t, identity+".pub"))
	start(t, os.Environ(), ssh, "-F", "none", "-N", "-p", server.port, "-i", identity, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "UserKnownHostsFile="+server.known,
		"-o", "ExitOnForwardFailure=yes", "-L", here+":"+there, server.user+"@127.0.0.1")
	for deadline := time.Now().Add(examplePatience); ; time.Sleep(10 * time.Millisecond) {
		_, hereErr := os.Stat(here)
		_, thereErr := os.Stat(there)
		if hereErr == nil && thereErr == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sockets are not there: %v, %v", hereErr, thereErr)
		}
	}
	// The program sees nothing of SoftHSM2.
	env := append(os.Environ(), "P11_KIT_SERVER_ADDRESS=unix:path="+here, "SOFTHSM2_CONF=/nowhere")
	report, _ := reportOf(t, env, "123456", program, "-module", client, "-token", "cardoki test", "-pin")
	checkSays(t, report, "| key 1: P-256; certificate | ECDSA with SHA-256, SHA-384, SHA-512 |")
}
