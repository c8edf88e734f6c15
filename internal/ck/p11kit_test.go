//go:build cgo

package ck_test

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/cardoki/cardoki/internal/ck"
	"github.com/cardoki/cardoki/internal/system"
)

// p11-kit gives another function list, with a connection and handles of its own, whenever it is asked:
// management and core must use the same one.
func TestOpen_p11kitClient(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	const client = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
	system.NeedFile(t, client, "p11-kit-modules")
	socket := filepath.Join(hsm.Dir, "p11-kit")
	server := exec.Command(system.Need(t, "p11-kit", "p11-kit"), "server", "-f", "-n", socket, "--provider", hsm.Module, "pkcs11:token=cardoki%20test")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Signal(syscall.SIGTERM)
	t.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+socket)
	fl, err := ck.Open(client)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ck.Open(client); err != nil || again != fl {
		t.Errorf("Open again: got another Instance, %v", err)
	}
	var slots []uint
	for deadline := time.Now().Add(5 * time.Second); len(slots) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server has shown no token for 5 s")
		}
		if _, rv := fl.Acquire(); rv != 0 {
			continue
		}
		if slots, _ = fl.GetSlotList(true); len(slots) == 0 {
			fl.Release()
		}
	}
	defer fl.Release()
	s, rv := fl.OpenSession(slots[0], pkcs11.CKF_RW_SESSION)
	if rv != 0 {
		t.Fatalf("C_OpenSession: %#x", rv)
	}
	if info, rv := fl.GetSessionInfo(s); rv != 0 || info.Slot != slots[0] {
		t.Errorf("C_GetSessionInfo by the core of a session that was opened by miekg: got %+v, %#x", info, rv)
	}
	if rv := fl.Login(s, pkcs11.CKU_USER, []byte(hsm.PIN)); rv != 0 {
		t.Fatalf("C_Login: %#x", rv)
	}
	key := generate(t, fl, s)
	if r := fl.Sign(s, &ck.Mechanism{Type: pkcs11.CKM_ECDSA}, key, make([]byte, 32), make([]byte, 64)); r.RV != 0 || r.N != 64 {
		t.Errorf("C_Sign: got %+v", r)
	}
}
