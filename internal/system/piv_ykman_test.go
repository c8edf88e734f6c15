package system_test

import (
	"os"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// What a card in the state of a new YubiKey has.
const (
	factoryPIN        = "123456"
	factoryPUK        = "12345678"
	factoryManagement = "010203040506070801020304050607080102030405060708"
)

// TestYkman goes through what ykman piv can do.
//
// Expected failure of ykman 4.0.9 as Debian 12 has it: without --reader it counts the
// readers whose names have "Yubico YubiKey" in them, with a card or without, and vpcd
// makes two of them ("Multiple YubiKeys detected").
func TestYkman(t *testing.T) {
	openssl := system.Need(t, "openssl", "openssl")
	ykman := system.Need(t, "ykman", "yubikey-manager")
	daemon := system.StartPCSCD(t, &system.PCSCDOptions{Name: "Yubico YubiKey CCID"}) // it reads the interfaces off the name
	insert(t, daemon, card.New(nil, piv.NewApplication(&piv.ApplicationOptions{Version: piv.Version{Major: 5, Minor: 7, Patch: 2}})))
	newTool(t, daemon, ykman).fails("Multiple YubiKeys detected", "piv", "info")

	x := newTool(t, daemon, ykman, "--reader", daemon.Readers[0], "piv")
	managed := []string{"-m", factoryManagement}
	x.says("PIV version: 5.7.2", "info")

	for _, k := range []struct{ slot, algorithm, hash, pin, touch string }{
		{"9a", "ECCP256", "SHA256", "once", "never"},
		{"9c", "RSA2048", "SHA384", "always", "always"},
		{"82", "ECCP384", "SHA512", "never", "cached"},
	} {
		t.Run(k.slot+" "+k.algorithm, func(t *testing.T) {
			y := *x
			y.t = t
			public, cert, request := y.file(k.slot+".pub"), y.file(k.slot+".crt"), y.file(k.slot+".csr")
			y.run(append([]string{"keys", "generate", "-a", k.algorithm, "--pin-policy", k.pin, "--touch-policy", k.touch, k.slot, public}, managed...)...)
			if got := y.run("keys", "export", k.slot, "-"); got != mustRead(t, public) {
				t.Errorf("keys export: got\n%s", got)
			}
			y.run(append([]string{"certificates", "generate", "-P", factoryPIN, "-a", k.hash, "-s", "CN=card holder " + k.slot, k.slot, public}, managed...)...)
			y.run("certificates", "export", k.slot, cert)
			mustOutput(t, x.env, openssl, "verify", "-check_ss_sig", "-CAfile", cert, cert)
			if got := mustOutput(t, x.env, openssl, "x509", "-in", cert, "-noout", "-pubkey"); got != mustRead(t, public) {
				t.Errorf("certificates export: got the key\n%s", got)
			}
			y.says("CN=card holder "+k.slot, "info")
			y.run("certificates", "request", "-P", factoryPIN, "-a", k.hash, "-s", "CN=request "+k.slot, k.slot, public, request)
			if out := mustOutput(t, x.env, openssl, "req", "-in", request, "-noout", "-verify", "-subject"); !strings.Contains(out, "request "+k.slot) {
				t.Errorf("certificates request: got %s", out)
			}
			attestation := y.run("keys", "attest", k.slot, "-")
			checkAttestation(t, y.run("certificates", "export", "f9", "-"), attestation, public, k.pin, k.touch)
			y.run(append([]string{"certificates", "delete", k.slot}, managed...)...)
			y.fails("No certificate found", "certificates", "export", k.slot, "-")
		})
	}

	// A key and a certificate that were made elsewhere.
	for _, k := range [][]string{{"rsa:2048"}, {"ec", "-pkeyopt", "ec_paramgen_curve:P-384"}} {
		keyFile, cert := x.file("imported.key"), x.file("imported.crt")
		mustOutput(t, x.env, openssl, append([]string{"req", "-x509", "-nodes", "-subj", "/CN=imported", "-keyout", keyFile, "-out", cert, "-newkey"}, k...)...)
		x.run(append([]string{"keys", "import", "9a", keyFile}, managed...)...)
		x.run(append([]string{"certificates", "import", "--verify", "-P", factoryPIN, "9a", cert}, managed...)...)
		if got := x.run("certificates", "export", "9a", "-"); got != mustRead(t, cert) {
			t.Errorf("certificates export: got\n%s", got)
		}
		x.fails("Attestation failed", "keys", "attest", "9a", "-")
	}
	x.fails("not tied to the private key", append([]string{"certificates", "import", "--verify", "82", x.file("imported.crt")}, managed...)...)

	// Data objects, those that only the PIN gives out too.
	object := x.file("object")
	if err := os.WriteFile(object, []byte("object of the test"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"5fff10", "facial"} {
		x.run(append([]string{"objects", "import", name, object}, managed...)...)
		x.says("object of the test", "objects", "export", "-P", factoryPIN, name, "-")
	}
	x.fails("PIN verification failed, 2 tries left", "objects", "export", "-P", "999999", "facial", "-")
	for _, name := range []string{"chuid", "ccc"} {
		before := x.run("objects", "export", name, "-")
		x.run(append([]string{"objects", "generate", name}, managed...)...)
		if x.run("objects", "export", name, "-") == before {
			t.Errorf("objects generate %s: it is as before", name)
		}
	}

	// PIN, PUK and management key.
	x.says("New PIN set.", "access", "change-pin", "-P", factoryPIN, "-n", "654321")
	x.fails("PIN change failed - 2 tries left.", "access", "change-pin", "-P", factoryPIN, "-n", "654321")
	x.says("New PUK set.", "access", "change-puk", "-p", factoryPUK, "-n", "87654321")
	x.fails("PUK change failed - 2 tries left.", "access", "change-puk", "-p", factoryPUK, "-n", "87654321")
	for _, want := range []string{"1 tries left", "PIN is blocked", "PIN is blocked"} {
		x.fails(want, "access", "change-pin", "-P", factoryPIN, "-n", "654321")
	}
	x.says("PIN unblocked", "access", "unblock-pin", "-p", "87654321", "-n", "112233")
	x.says("PIN tries remaining: 3/3", "info")

	const other = "A1A2A3A4A5A6A7A8B1B2B3B4B5B6B7B8C1C2C3C4C5C6C7C8D1D2D3D4D5D6D7D8"
	for _, k := range []struct{ algorithm, key string }{{"AES128", other[:32]}, {"AES256", other}, {"TDES", other[:48]}} {
		x.run(append([]string{"access", "change-management-key", "-f", "-a", k.algorithm, "-n", k.key}, managed...)...)
		managed = []string{"-m", k.key}
	}
	x.says("Management key algorithm: TDES", "info")
	x.run(append([]string{"access", "change-management-key", "-f", "-a", "AES192", "-P", "112233", "--protect"}, managed...)...)
	x.says("protected by PIN", "info")
	x.fails("Authentication with management key failed", append([]string{"objects", "generate", "chuid"}, managed...)...)
	x.run("keys", "generate", "-a", "ECCP256", "-P", "112233", "95", x.file("95.pub"))
	x.says("PIN:\t123456", "access", "set-retries", "-f", "-P", "112233", "5", "7")
	x.says("PIN tries remaining: 5/5", "info")

	x.says("All PIV data have been cleared", "reset", "-f")
	x.says("PIN tries remaining: 3/3", "info")
	x.says("Using default Management key!", "info")
	x.fails("No key stored in slot", "keys", "export", "9a", "-")
}
